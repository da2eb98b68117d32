/** Joining the hub, the list of its sites, and leaving it. */
import { HUB_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { personOf } from '../hub-context.ts';
import { ADMIN, EVERYBODY } from '../roles.ts';
import { createCode, type EnrolmentDeps, enrol, listSites, revokeSite } from './enrolment.ts';

export function enrolmentRoutes(deps: EnrolmentDeps): Route[] {
  return [
    defineRoute(HUB_API.createEnrolmentCode)({
      access: ADMIN,
      handler: ({ body, caller }) => createCode(deps, body.siteName, personOf(caller)),
    }),
    defineRoute(HUB_API.enrol)({
      access: { kind: 'public', why: 'a site without a key here cannot be known yet; the request proves code and key' },
      handler: async ({ body, verifySignedBy }) => {
        await verifySignedBy(body.publicKeyPem);
        return enrol(deps, body);
      },
    }),
    defineRoute(HUB_API.listSites)({
      access: EVERYBODY,
      handler: async () => ({ sites: await listSites(deps) }),
    }),
    defineRoute(HUB_API.revokeSite)({
      access: ADMIN,
      handler: async ({ params, caller }) => {
        await revokeSite(deps, params.siteId, personOf(caller));
        return { ok: true };
      },
    }),
  ];
}
