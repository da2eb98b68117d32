/** Putting model versions to work, and taking them out at once. */
import { SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { GOVERNANCE, PROJECT_READERS } from '../roles.ts';
import type { Deployments } from './deployments.ts';

export function deploymentRoutes(deployments: Deployments): Route[] {
  return [
    defineRoute(SITE_API.deploy)({
      access: GOVERNANCE,
      handler: ({ body, caller, signal }) => deployments.deploy(body, { name: caller.name, signal }),
    }),
    defineRoute(SITE_API.listDeployments)({
      access: PROJECT_READERS,
      handler: async () => ({ deployments: await deployments.list() }),
    }),
    defineRoute(SITE_API.stopDeployment)({
      access: GOVERNANCE,
      handler: ({ params, caller }) => deployments.stop(params.deploymentId, { name: caller.name }),
    }),
  ];
}
