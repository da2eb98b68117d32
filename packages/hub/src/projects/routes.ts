/** Projects for people; for sites, the projects that ask them and the delivery of their decisions. */
import { HUB_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { personOf } from '../hub-context.ts';
import { EVERYBODY, RESEARCH } from '../roles.ts';
import { SITE, siteOf } from '../site-caller.ts';
import {
  closeProject,
  draftProject,
  listAskedProjects,
  listProjects,
  type ProjectsDeps,
  readProject,
  receiveDecision,
  submitProject,
} from './projects.ts';

const ASKED_BYTES_MAX = 1024 * 1024; // a specification of 50 algorithms with 500 features each stays below

export function projectRoutes(deps: ProjectsDeps): Route[] {
  return [
    defineRoute(HUB_API.createProject)({
      access: RESEARCH,
      bodyLimitBytes: ASKED_BYTES_MAX,
      handler: ({ body, caller }) => draftProject(deps, body, personOf(caller)),
    }),
    defineRoute(HUB_API.listProjects)({
      access: EVERYBODY,
      handler: async () => ({ projects: await listProjects(deps.db) }),
    }),
    defineRoute(HUB_API.readProject)({
      access: EVERYBODY,
      handler: ({ params }) => readProject(deps.db, params.projectId),
    }),
    defineRoute(HUB_API.submitProject)({
      access: RESEARCH,
      handler: ({ params, caller }) => submitProject(deps, params.projectId, personOf(caller)),
    }),
    defineRoute(HUB_API.closeProject)({
      access: RESEARCH,
      handler: ({ params, caller }) => closeProject(deps, params.projectId, personOf(caller)),
    }),
    defineRoute(HUB_API.listAskedProjects)({
      access: SITE,
      handler: async ({ caller }) => ({ projects: await listAskedProjects(deps.db, siteOf(caller)) }),
    }),
    defineRoute(HUB_API.deliverDecision)({
      access: SITE,
      handler: async ({ body, caller }) => {
        await receiveDecision(deps, { keyId: caller.keyId, envelope: body });
        return { ok: true };
      },
    }),
  ];
}
