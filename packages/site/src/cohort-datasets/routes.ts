/** Asking for datasets out of cohorts, and their reports. */
import { SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { DATA, PROJECT_READERS } from '../roles.ts';
import type { CohortDatasets } from './cohort-datasets.ts';

/** Definitions of cohorts are long; as many as a specification may hold are not asked for together. */
const SPECIFICATION_BYTES_MAX = 4 * 1024 * 1024;

export function cohortDatasetRoutes(builds: CohortDatasets): Route[] {
  return [
    defineRoute(SITE_API.buildDataset)({
      access: DATA,
      status: 202,
      bodyLimitBytes: SPECIFICATION_BYTES_MAX,
      handler: ({ body, caller }) => builds.ask(body, caller.name),
    }),
    defineRoute(SITE_API.listDatasetBuilds)({
      access: PROJECT_READERS,
      handler: async () => ({ builds: await builds.list() }),
    }),
    defineRoute(SITE_API.readDatasetBuild)({
      access: PROJECT_READERS,
      handler: ({ params }) => builds.read(params.buildId),
    }),
  ];
}
