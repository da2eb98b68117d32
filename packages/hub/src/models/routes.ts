/** The registry of model versions, for people and for sites that deploy them. */
import { HUB_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { type HubContext, personOf } from '../hub-context.ts';
import { EVERYBODY, RESEARCH } from '../roles.ts';
import { SITE } from '../site-caller.ts';
import { listModelVersions, readModelVersion, releaseModelVersion, retireModelVersion } from './models.ts';

export function modelRoutes(context: HubContext): Route[] {
  return [
    defineRoute(HUB_API.releaseModelVersion)({
      access: RESEARCH,
      handler: ({ body, caller }) => releaseModelVersion(context, body, personOf(caller)),
    }),
    defineRoute(HUB_API.listModelVersions)({
      access: EVERYBODY,
      handler: async () => ({ modelVersions: await listModelVersions(context.db) }),
    }),
    defineRoute(HUB_API.readModelVersion)({
      access: EVERYBODY,
      handler: ({ params }) => readModelVersion(context.db, params.modelVersionId),
    }),
    defineRoute(HUB_API.retireModelVersion)({
      access: RESEARCH,
      handler: ({ params, caller }) => retireModelVersion(context, params.modelVersionId, personOf(caller)),
    }),
    defineRoute(HUB_API.siteReadModelVersion)({
      access: SITE,
      handler: ({ params }) => readModelVersion(context.db, params.modelVersionId),
    }),
  ];
}
