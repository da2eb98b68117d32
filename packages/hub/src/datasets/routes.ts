/** A site says which datasets it offers. */
import { HUB_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import type { HubContext } from '../hub-context.ts';
import { SITE, siteOf } from '../site-caller.ts';
import { offerDatasets } from './datasets.ts';

const OFFERS_BYTES_MAX = 16 * 1024 * 1024; // 500 schemas of a few hundred columns

export function datasetRoutes(context: HubContext): Route[] {
  return [
    defineRoute(HUB_API.offerDatasets)({
      access: SITE,
      bodyLimitBytes: OFFERS_BYTES_MAX,
      handler: async ({ body, caller }) => {
        await offerDatasets(context, { siteId: siteOf(caller), datasets: body.datasets });
        return { ok: true };
      },
    }),
  ];
}
