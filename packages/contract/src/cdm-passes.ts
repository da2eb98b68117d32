/**
 * Passes of the ETL at a site: what its own FHIR store and image index hold becomes its CDM. Operations for those who bring data;
 * nothing here reaches the hub.
 */
import { type Static, Type } from 'typebox';
import { endpoint } from './endpoint.ts';
import type { CdmPassState } from './states.ts';

const closed = { additionalProperties: false } as const;
const count = Type.Integer({ minimum: 0 });

const CdmPassSchema = Type.Object(
  {
    passId: Type.Integer({ minimum: 1 }),
    state: Type.Unsafe<CdmPassState>(Type.String()),
    isRebuild: Type.Boolean({ description: 'whether all is read and every patient made anew' }),
    askedBy: Type.String({ description: 'an account, or "schedule"' }),
    askedAt: Type.String({ format: 'date-time' }),
    startedAt: Type.Optional(Type.String({ format: 'date-time' })),
    endedAt: Type.Optional(Type.String({ format: 'date-time' })),
    isPublished: Type.Optional(Type.Boolean({ description: 'false: nothing had changed, and the CDM is as it was' })),
    readCount: Type.Optional(count),
    changedCount: Type.Optional(count),
    patientCount: Type.Optional(Type.Integer({ minimum: 0, description: 'patients made anew' })),
    reason: Type.Optional(Type.String({ description: 'why it failed' })),
  },
  closed,
);
export type CdmPass = Static<typeof CdmPassSchema>;

const RowAccountSchema = Type.Object(
  {
    byType: Type.Array(
      Type.Object(
        {
          resourceType: Type.String(),
          outcome: Type.String({ description: 'mapped, mapped-with-warning, unmapped or refused' }),
          count: Type.String({ description: 'resources, decimal' }),
        },
        closed,
      ),
    ),
    findings: Type.Array(
      Type.Object(
        {
          resourceType: Type.String(),
          severity: Type.String(),
          rule: Type.String(),
          system: Type.Union([Type.String(), Type.Null()]),
          code: Type.Union([Type.String(), Type.Null()]),
          count: Type.String({ description: 'resources, decimal' }),
        },
        closed,
      ),
    ),
  },
  closed,
);

/** What became of every resource, and what stands in the way most often. */
export type RowAccount = Static<typeof RowAccountSchema>;

export const CDM_PASS_API = {
  askForCdmPass: endpoint({
    method: 'POST',
    path: '/api/v1/cdm-passes',
    summary: 'Bring the CDM up to date with the records and images of this site; one that waits already is given',
    body: Type.Object({ isRebuild: Type.Boolean() }, closed),
    response: CdmPassSchema,
  }),
  listCdmPasses: endpoint({
    method: 'GET',
    path: '/api/v1/cdm-passes',
    summary: 'The latest passes of the ETL, newest first',
    response: Type.Object({ passes: Type.Array(CdmPassSchema) }, closed),
  }),
  readCdmPass: endpoint({
    method: 'GET',
    path: '/api/v1/cdm-passes/:passId',
    summary: 'A pass of the ETL, and what came of it',
    params: Type.Object({ passId: Type.Integer({ minimum: 1 }) }),
    response: CdmPassSchema,
  }),
  readCdmAccount: endpoint({
    method: 'GET',
    path: '/api/v1/cdm-account',
    summary: 'How every resource and study ended that is in the CDM, and the most frequent findings',
    query: Type.Object({ findings: Type.Optional(Type.Integer({ minimum: 0, maximum: 9999 })) }),
    response: RowAccountSchema,
  }),
} as const;
