/** Passes of the ETL and the row account, for those who bring data. */
import { SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { DATA } from '../roles.ts';
import type { CdmPasses } from './cdm-passes.ts';

export function cdmPassRoutes(passes: CdmPasses): Route[] {
  return [
    defineRoute(SITE_API.askForCdmPass)({
      access: DATA,
      status: 201,
      handler: ({ body, caller }) => passes.ask({ isRebuild: body.isRebuild, by: caller.name }),
    }),
    defineRoute(SITE_API.listCdmPasses)({ access: DATA, handler: async () => ({ passes: await passes.list() }) }),
    defineRoute(SITE_API.readCdmPass)({ access: DATA, handler: ({ params }) => passes.read(params.passId) }),
    defineRoute(SITE_API.readCdmAccount)({
      access: DATA,
      handler: ({ query, signal }) => passes.account(query.findings, signal),
    }),
  ];
}
