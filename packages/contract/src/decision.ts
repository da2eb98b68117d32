/**
 * A decision: one site's signed word on one project. The site keeps it, obeys it and can withdraw it; the hub keeps a copy
 * to show and cannot make, change or lengthen one.
 */
import { type Static, Type } from 'typebox';
import { DatasetNameSchema } from './dataset.ts';
import { CountPolicySchema, RunStatisticsPolicySchema } from './disclosure.ts';
import { DigestSchema, IdSchema } from './ids.ts';
import { EGRESS_KINDS, EgressKindSchema, ProjectSpecSchema } from './project.ts';
import { SignedEnvelopeSchema } from './signed-envelope.ts';
import type { DecisionState } from './states.ts';

/** Runs under one decision when it says nothing else: a study of many settings, and not a machine that asks without end. */
export const RUN_COUNT_MAX_DEFAULT = 100;
const RunCountMaxSchema = Type.Integer({
  minimum: 0,
  maximum: 100_000,
  description: 'runs that may be prepared under this decision',
});

const FreeTextSchema = Type.Union([Type.Literal('none'), Type.Literal('deidentified')], {
  description:
    'free text of records: none, or notes without what was found to tell who they are about, inside this site',
});
/** What a project may have of free text. */
export type FreeText = Static<typeof FreeTextSchema>;
export const FREE_TEXT_KINDS: readonly FreeText[] = ['none', 'deidentified'];
export const FREE_TEXT_DEFAULT: FreeText = 'none';

/**
 * The version of a dataset that runs may use: a keyed hash of its content, which says nothing outside the hospital. What is
 * registered under the name later needs a new decision.
 */
const DatasetVersionSchema = Type.Object(
  { dataset: DatasetNameSchema, version: DigestSchema },
  { additionalProperties: false },
);
export type DatasetVersion = Static<typeof DatasetVersionSchema>;

/**
 * What an approval allows. Never more than the project asked; may be less. `runCountMax` is absent in decisions from before
 * there was such a limit; the default holds for them. So is `freeText`: those allow none. `versions` is written by the site, and absent in decisions from before it
 * was, whose runs use what is offered; a dataset that was not offered when the site decided has none.
 */
export const ConditionsSchema = Type.Object(
  {
    datasets: Type.Array(DatasetNameSchema, { maxItems: 50, uniqueItems: true }),
    bundleDigests: Type.Array(DigestSchema, { maxItems: 50, uniqueItems: true }),
    egress: Type.Array(EgressKindSchema, { maxItems: EGRESS_KINDS.length, uniqueItems: true }),
    counts: CountPolicySchema,
    runStatistics: RunStatisticsPolicySchema,
    runCountMax: Type.Optional(RunCountMaxSchema),
    freeText: Type.Optional(FreeTextSchema),
    versions: Type.Optional(Type.Array(DatasetVersionSchema, { maxItems: 50 })),
  },
  { additionalProperties: false },
);
export type Conditions = Static<typeof ConditionsSchema>;

export const DecisionSchema = Type.Object(
  {
    schema: Type.Literal('lantern.decision/1'),
    decisionId: IdSchema('DecisionId'),
    siteId: IdSchema('SiteId'),
    projectId: IdSchema('ProjectId'),
    projectDigest: DigestSchema,
    verdict: Type.Union([Type.Literal('approved'), Type.Literal('refused'), Type.Literal('withdrawn')]),
    conditions: Type.Optional(ConditionsSchema),
    reason: Type.String({ minLength: 1, maxLength: 2000 }),
    decidedBy: Type.String({ minLength: 1, maxLength: 64 }),
    decidedAt: Type.String({ format: 'date-time' }),
    expiresAt: Type.Optional(Type.String({ format: 'date-time' })),
    sequence: Type.Integer({ minimum: 1, description: 'rises by one with each decision of this site on this project' }),
  },
  { additionalProperties: false },
);
export type Decision = Static<typeof DecisionSchema>;

/** What a governance lead types. The site completes, checks and signs it. */
export const NewDecisionSchema = Type.Object(
  {
    verdict: Type.Union([Type.Literal('approved'), Type.Literal('refused'), Type.Literal('withdrawn')]),
    reason: Type.String({ minLength: 1, maxLength: 2000 }),
    expiresAt: Type.Optional(Type.String({ format: 'date-time' })),
    egress: Type.Optional(Type.Array(EgressKindSchema, { maxItems: EGRESS_KINDS.length, uniqueItems: true })),
    bundleDigests: Type.Optional(Type.Array(DigestSchema, { maxItems: 50, uniqueItems: true })),
    counts: Type.Optional(Type.Partial(CountPolicySchema, { additionalProperties: false })),
    runStatistics: Type.Optional(Type.Partial(RunStatisticsPolicySchema, { additionalProperties: false })),
    runCountMax: Type.Optional(RunCountMaxSchema),
    freeText: Type.Optional(FreeTextSchema),
  },
  { additionalProperties: false },
);
export type NewDecision = Static<typeof NewDecisionSchema>;

/** A project as one site sees it: what is asked, and where its own decision stands. */
export const SiteProjectSchema = Type.Object(
  {
    projectId: IdSchema('ProjectId'),
    projectDigest: DigestSchema,
    spec: ProjectSpecSchema,
    state: Type.Unsafe<DecisionState>(Type.String()),
    decision: Type.Optional(DecisionSchema),
    envelope: Type.Optional(SignedEnvelopeSchema),
  },
  { additionalProperties: false },
);
export type SiteProject = Static<typeof SiteProjectSchema>;
