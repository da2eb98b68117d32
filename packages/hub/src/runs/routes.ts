/** Starting, reading and stopping runs. */
import { HUB_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { personOf } from '../hub-context.ts';
import { EVERYBODY, RESEARCH } from '../roles.ts';
import type { AdvanceDeps } from './advance.ts';
import { createRun, listRuns, readRun, stopRun } from './runs.ts';

export function runRoutes(deps: AdvanceDeps): Route[] {
  return [
    defineRoute(HUB_API.createRun)({
      access: RESEARCH,
      handler: ({ params, body, caller }) =>
        createRun(deps, { projectId: params.projectId, plan: body, person: personOf(caller) }),
    }),
    defineRoute(HUB_API.listRuns)({
      access: EVERYBODY,
      handler: async ({ params }) => ({ runs: await listRuns(deps.db, params.projectId) }),
    }),
    defineRoute(HUB_API.readRun)({
      access: EVERYBODY,
      handler: ({ params, query, signal }) =>
        readRun(deps, { runId: params.runId, waitMs: query.waitMs ?? 0, afterRounds: query.afterRounds, signal }),
    }),
    defineRoute(HUB_API.stopRun)({
      access: RESEARCH,
      handler: ({ params, caller }) => stopRun(deps, params.runId, personOf(caller)),
    }),
  ];
}
