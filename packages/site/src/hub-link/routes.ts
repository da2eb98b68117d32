/** Which hub this site joined and whether it answers. */
import { type HubLink, SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { EVERYBODY } from '../roles.ts';

export function hubLinkRoutes(status: () => HubLink): Route[] {
  return [defineRoute(SITE_API.readHubLink)({ access: EVERYBODY, handler: async () => status() })];
}
