/** A site leaves the head of its audit chain; the hub's own chain is read through the routes of `service`. */
import { HUB_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { SITE } from '../site-caller.ts';
import { type AnchorsDeps, anchorAudit } from './anchors.ts';

export function anchorRoutes(deps: AnchorsDeps): Route[] {
  return [
    defineRoute(HUB_API.anchorAudit)({
      access: SITE,
      handler: async ({ body, caller }) => {
        await anchorAudit(deps, { keyId: caller.keyId, envelope: body });
        return { ok: true };
      },
    }),
  ];
}
