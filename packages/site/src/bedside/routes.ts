/** CDS Hooks 2.0 for record systems, and what became of the answers for the hospital's own people. */
import { SITE_API } from '@lantern/contract';
import { type Access, defineRoute, type Route } from '@lantern/service';
import { ADMIN } from '../roles.ts';
import type { Bedside } from './bedside.ts';

const REQUEST_BYTES_MAX = 4 * 1024 ** 2; // a few thousand Observations
const CONSULTATION_READERS = { kind: 'roles', roles: ['admin', 'governance', 'clinician'] } as const satisfies Access;
const RECORD_SYSTEM = { kind: 'cds-client' } as const satisfies Access;

export function bedsideRoutes(bedside: Bedside): Route[] {
  return [
    defineRoute(SITE_API.cdsDiscovery)({
      access: { kind: 'public', why: 'CDS Hooks discovery: which services there are, no data' },
      handler: async () => ({ services: await bedside.services() }),
    }),
    defineRoute(SITE_API.cdsCall)({
      access: RECORD_SYSTEM,
      bodyLimitBytes: REQUEST_BYTES_MAX,
      handler: async ({ params, body, signal }) => ({ cards: await bedside.consult(params.serviceId, body, signal) }),
    }),
    defineRoute(SITE_API.cdsFeedback)({
      access: RECORD_SYSTEM,
      handler: async ({ params, body }) => {
        await bedside.feedBack(params.serviceId, body.feedback);
        return {};
      },
    }),
    defineRoute(SITE_API.listConsultations)({
      access: CONSULTATION_READERS,
      handler: async () => ({ consultations: await bedside.consultations() }),
    }),
    defineRoute(SITE_API.registerCdsClient)({
      access: ADMIN,
      handler: async ({ body, caller }) => {
        await bedside.registerClient(body, { name: caller.name });
        return { ok: true };
      },
    }),
  ];
}
