/** What projects ask, what the gate would say, and the governance lead's word. */
import { SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { GOVERNANCE, OVERSIGHT, PROJECT_READERS } from '../roles.ts';
import type { Governance } from './governance.ts';

export function governanceRoutes(governance: Governance): Route[] {
  return [
    defineRoute(SITE_API.listProjects)({
      access: PROJECT_READERS,
      handler: async ({ signal }) => ({ projects: await governance.list(signal) }),
    }),
    defineRoute(SITE_API.readProject)({
      access: PROJECT_READERS,
      handler: ({ params, signal }) => governance.read(params.projectId, signal),
    }),
    defineRoute(SITE_API.listProjectBundles)({
      access: PROJECT_READERS,
      handler: async ({ params, signal }) => ({ bundles: await governance.bundles(params.projectId, signal) }),
    }),
    defineRoute(SITE_API.previewProject)({
      access: OVERSIGHT,
      handler: async ({ params, signal }) => ({ algorithms: await governance.preview(params.projectId, signal) }),
    }),
    defineRoute(SITE_API.decide)({
      access: GOVERNANCE,
      handler: ({ params, body, caller, signal }) =>
        governance.decide(params.projectId, body, { name: caller.name, signal }),
    }),
    defineRoute(SITE_API.grantQuestions)({
      access: GOVERNANCE,
      handler: async ({ params, body, caller }) => {
        await governance.grantQuestions(params.projectId, { ...body, by: caller.name });
        return { ok: true };
      },
    }),
  ];
}
