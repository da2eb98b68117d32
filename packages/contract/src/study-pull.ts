/** Pulls of studies from a peer of the hospital: a list goes in, every entry comes out with what became of it. */
import { type Static, Type } from 'typebox';
import { endpoint } from './endpoint.ts';
import { IdSchema } from './ids.ts';
import type { PullEntryState } from './states.ts';

export const PULL_VALUE_COUNT_MAX = 10_000; // a research cohort; more come as another pull

export const NewPullSchema = Type.Object(
  {
    peer: Type.String({ minLength: 1, maxLength: 16, description: 'AE title of a configured peer' }),
    method: Type.Union([Type.Literal('move'), Type.Literal('get')], {
      description: 'move: the peer sends to us over an association of its own (C-MOVE); get: over ours (C-GET)',
    }),
    by: Type.Union([Type.Literal('accession-number'), Type.Literal('study-instance-uid'), Type.Literal('patient-id')]),
    values: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 1, maxItems: PULL_VALUE_COUNT_MAX }),
    aeTitle: Type.Optional(
      Type.String({ minLength: 1, maxLength: 16, description: 'title of ours to ask as; the first when absent' }),
    ),
  },
  { additionalProperties: false },
);
export type NewPull = Static<typeof NewPullSchema>;

const count = Type.Integer({ minimum: 0 });

const PullSchema = Type.Object(
  {
    pullId: IdSchema('PullId'),
    peer: Type.String(),
    method: NewPullSchema.properties.method,
    by: NewPullSchema.properties.by,
    aeTitle: Type.String(),
    createdBy: Type.String(),
    createdAt: Type.String({ format: 'date-time' }),
    counts: Type.Unsafe<Record<PullEntryState, number>>(
      Type.Record(Type.String(), count, { description: 'number of entries by state' }),
    ),
  },
  { additionalProperties: false },
);
export type Pull = Static<typeof PullSchema>;

/** A study; or what was listed, where it is not looked up yet or names none. */
const PullEntrySchema = Type.Object(
  {
    entryKey: Type.Integer({ minimum: 1 }),
    value: Type.String({ description: 'as it was listed' }),
    state: Type.Unsafe<PullEntryState>(Type.String()),
    studyInstanceUid: Type.Optional(Type.String()),
    expectedCount: Type.Optional(Type.Integer({ minimum: 0, description: 'instances, as the peer says' })),
    arrivedCount: Type.Optional(Type.Integer({ minimum: 0, description: 'instances of the study that are here' })),
    reason: Type.Optional(Type.String({ description: 'why it failed, or is tried again' })),
    changedAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type PullEntry = Static<typeof PullEntrySchema>;

const pullParams = Type.Object({ pullId: IdSchema('PullId') });

export const STUDY_PULL_API = {
  createPull: endpoint({
    method: 'POST',
    path: '/api/v1/study-pulls',
    summary: 'Fetch the studies of a list from a peer of the hospital',
    body: NewPullSchema,
    response: PullSchema,
  }),
  listPulls: endpoint({
    method: 'GET',
    path: '/api/v1/study-pulls',
    summary: 'Pulls of studies, newest first',
    response: Type.Object({ pulls: Type.Array(PullSchema) }, { additionalProperties: false }),
  }),
  readPull: endpoint({
    method: 'GET',
    path: '/api/v1/study-pulls/:pullId',
    summary: 'A pull, and what became of each entry of its list',
    params: pullParams,
    query: Type.Object({
      after: Type.Optional(Type.Integer({ minimum: 0, description: 'entryKey of the last entry that was read' })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    }),
    response: Type.Object({ pull: PullSchema, entries: Type.Array(PullEntrySchema) }, { additionalProperties: false }),
  }),
  retryPull: endpoint({
    method: 'POST',
    path: '/api/v1/study-pulls/:pullId/retry',
    summary: 'Try the entries again that failed or were not found',
    params: pullParams,
    response: PullSchema,
  }),
} as const;
