/** Pulling studies from a PACS: for those who bring data. */
import { SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { DATA } from '../roles.ts';
import type { StudyPulls } from './study-pull.ts';

export function studyPullRoutes(pulls: StudyPulls): Route[] {
  return [
    defineRoute(SITE_API.createPull)({
      access: DATA,
      status: 201,
      handler: ({ body, caller }) => pulls.create(body, caller.name),
    }),
    defineRoute(SITE_API.listPulls)({
      access: DATA,
      handler: async () => ({ pulls: await pulls.list() }),
    }),
    defineRoute(SITE_API.readPull)({
      access: DATA,
      handler: ({ params, query, caller }) => pulls.read(params.pullId, query, caller.name),
    }),
    defineRoute(SITE_API.retryPull)({
      access: DATA,
      handler: ({ params, caller }) => pulls.retry(params.pullId, caller.name),
    }),
  ];
}
