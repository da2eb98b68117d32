/** Importing files, registering and removing datasets. */
import { IMPORT_CHUNK_BYTES_MAX, SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { DATA, PROJECT_READERS } from '../roles.ts';
import type { Datasets } from './datasets.ts';

export function datasetRoutes(datasets: Datasets): Route[] {
  return [
    defineRoute(SITE_API.importOffset)({
      access: DATA,
      handler: ({ params }) => datasets.importOffset(params.digest),
    }),
    defineRoute(SITE_API.appendImport)({
      access: DATA,
      stream: true,
      bodyLimitBytes: IMPORT_CHUNK_BYTES_MAX,
      handler: ({ params, query, bodyStream }) =>
        datasets.appendImport(params.digest, { offset: query.offset, totalBytes: query.sizeBytes, body: bodyStream }),
    }),
    defineRoute(SITE_API.registerDataset)({
      access: DATA,
      status: 201,
      handler: ({ body, caller, signal }) => datasets.register(body, { name: caller.name, signal }),
    }),
    defineRoute(SITE_API.listDatasets)({
      access: PROJECT_READERS,
      handler: async () => ({ datasets: await datasets.list() }),
    }),
    defineRoute(SITE_API.removeDataset)({
      access: DATA,
      handler: async ({ params, caller }) => {
        await datasets.remove(params.dataset, caller.name);
        return { ok: true };
      },
    }),
  ];
}
