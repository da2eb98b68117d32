/** The feed as it is seen by those who bring data: what came, and what became of it. */
import { SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { DATA } from '../roles.ts';
import type { FeedAccess } from './feed-access.ts';

export function feedRoutes(feed: FeedAccess): Route[] {
  return [
    defineRoute(SITE_API.readFeed)({ access: DATA, handler: async () => ({ counts: await feed.counts() }) }),
    defineRoute(SITE_API.listFeedMessages)({
      access: DATA,
      handler: async ({ query }) => ({ messages: await feed.list(query) }),
    }),
    defineRoute(SITE_API.readFeedMessage)({ access: DATA, handler: ({ params }) => feed.read(params.sequence) }),
    defineRoute(SITE_API.retryFeedMessage)({
      access: DATA,
      handler: ({ params, caller }) => feed.retry(params.sequence, caller.name),
    }),
    defineRoute(SITE_API.retryFeed)({
      access: DATA,
      handler: async ({ caller }) => ({ retriedCount: await feed.retryAll(caller.name) }),
    }),
  ];
}
