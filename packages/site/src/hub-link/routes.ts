/** Which hub this site joined, whether it answers, and what was sent to it. */
import { type HubLink, type SentMessages, SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { EVERYBODY, PROJECT_READERS } from '../roles.ts';

export function hubLinkRoutes(link: { status(): HubLink; sent(): SentMessages['messages']; startedAt: Date }): Route[] {
  const since = link.startedAt.toISOString();
  return [
    defineRoute(SITE_API.readHubLink)({ access: EVERYBODY, handler: async () => link.status() }),
    defineRoute(SITE_API.listSentMessages)({
      access: PROJECT_READERS,
      handler: async () => ({ since, messages: link.sent() }),
    }),
  ];
}
