/**
 * What hub and site say to each other once a site is enrolled: tasks down (signed by the hub), answers up (signed by the
 * site). Tensors are safetensors files named by digest: large ones travel beside the messages as blobs, small ones inside.
 */
import { type Static, Type } from 'typebox';
import { BundleManifestSchema } from './bundle.ts';
import { ColumnNameSchema, DatasetNameSchema } from './dataset.ts';
import { DisclosureFindingSchema, ReleasedCountSchema, ReleasedTableSchema } from './disclosure.ts';
import { CohortAnswerSchema, CohortSchema, ConceptsAnswerSchema, ConceptsSchema } from './discovery.ts';
import { FEATURE_COUNT_MAX, StandardisationKindSchema, StandardisationSchema } from './features.ts';
import { FilterSchema } from './filter.ts';
import { DigestSchema, IdSchema } from './ids.ts';
import { LocalTrainingSchema, StrategySchema } from './run.ts';

/** A blob by name. */
export const BlobRefSchema = Type.Object(
  { digest: DigestSchema, sizeBytes: Type.Integer({ minimum: 0 }) },
  { additionalProperties: false },
);
export type BlobRef = Static<typeof BlobRefSchema>;

/** Up to here a transfer of its own costs more than the bytes do: base64 adds a third, and both ends keep the message. */
export const INLINE_TENSOR_BYTES_MAX = 16 * 1024;

/** A tensor file by name; with `bytes` (base64) it is here, without it is a blob to be fetched or already uploaded. */
export const TensorRefSchema = Type.Object(
  {
    digest: DigestSchema,
    sizeBytes: Type.Integer({ minimum: 0 }),
    bytes: Type.Optional(
      Type.String({ maxLength: 4 * Math.ceil(INLINE_TENSOR_BYTES_MAX / 3), pattern: '^[A-Za-z0-9+/]*={0,2}$' }),
    ),
  },
  { additionalProperties: false },
);
export type TensorRef = Static<typeof TensorRefSchema>;

/**
 * Coefficients that a Newton step fits at most, the intercept among them. Its Hessian is their square, up to 25 bytes each in
 * JSON, and must fit into the 3 MiB of a signed envelope; wider models are graphs.
 */
export const COEFFICIENT_COUNT_MAX = 350;
const coefficients = Type.Array(Type.Number(), { maxItems: COEFFICIENT_COUNT_MAX });

const taskHead = {
  schema: Type.Literal('lantern.task/1'),
  taskId: IdSchema('TaskId'),
  siteId: IdSchema('SiteId'),
  projectId: IdSchema('ProjectId'),
  createdAt: Type.String({ format: 'date-time' }),
};

export const CountTaskSchema = Type.Object(
  { ...taskHead, kind: Type.Literal('count'), dataset: DatasetNameSchema, filter: FilterSchema },
  { additionalProperties: false },
);

export const SummaryTaskSchema = Type.Object(
  {
    ...taskHead,
    kind: Type.Literal('summary'),
    dataset: DatasetNameSchema,
    filter: FilterSchema,
    columns: Type.Array(ColumnNameSchema, { minItems: 1, maxItems: 50, uniqueItems: true }),
  },
  { additionalProperties: false },
);

const CohortTaskSchema = Type.Object(
  { ...taskHead, kind: Type.Literal('cohort'), dataset: DatasetNameSchema, cohort: CohortSchema },
  { additionalProperties: false },
);
export type CohortTask = Static<typeof CohortTaskSchema>;

const ConceptsTaskSchema = Type.Object(
  { ...taskHead, kind: Type.Literal('concepts'), dataset: DatasetNameSchema, concepts: ConceptsSchema },
  { additionalProperties: false },
);
export type ConceptsTask = Static<typeof ConceptsTaskSchema>;

/** Each step of a run, with what it needs. `weights` are the global parameters; `theta` fits in the message itself. */
export const StepSchema = Type.Union([
  Type.Object({ kind: Type.Literal('prepare') }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('standardise') }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('newton'), theta: coefficients }, { additionalProperties: false }),
  Type.Object(
    {
      kind: Type.Literal('train'),
      weights: TensorRefSchema,
      control: Type.Optional(TensorRefSchema),
      strategy: StrategySchema,
      local: LocalTrainingSchema,
      seed: Type.Integer({ minimum: 0 }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('evaluate'),
      weights: Type.Optional(TensorRefSchema),
      theta: Type.Optional(coefficients),
    },
    { additionalProperties: false },
  ),
]);
export type Step = Static<typeof StepSchema>;

export const RoundTaskSchema = Type.Object(
  {
    ...taskHead,
    kind: Type.Literal('round'),
    projectDigest: DigestSchema,
    runId: IdSchema('RunId'),
    round: Type.Integer({ minimum: 0 }),
    algorithm: Type.String({ minLength: 1, maxLength: 64 }),
    manifest: BundleManifestSchema,
    bundleDigest: DigestSchema,
    standardisation: Type.Union([
      Type.Object({ kind: StandardisationKindSchema }, { additionalProperties: false }),
      Type.Object({ kind: Type.Literal('pooled'), values: StandardisationSchema }, { additionalProperties: false }),
    ]),
    step: StepSchema,
  },
  { additionalProperties: false },
);
export type RoundTask = Static<typeof RoundTaskSchema>;

export const SiteTaskSchema = Type.Union([
  CountTaskSchema,
  SummaryTaskSchema,
  CohortTaskSchema,
  ConceptsTaskSchema,
  RoundTaskSchema,
]);
export type SiteTask = Static<typeof SiteTaskSchema>;

/** Feature-wise count, mean and sum of squared deviations (Chan et al. 1983): merges exactly. */
export const MomentsSchema = Type.Object(
  {
    rowCount: Type.Integer({ minimum: 0 }),
    mean: Type.Array(Type.Number(), { maxItems: FEATURE_COUNT_MAX }),
    m2: Type.Array(Type.Number({ minimum: 0 }), { maxItems: FEATURE_COUNT_MAX }),
  },
  { additionalProperties: false },
);
export type MomentsMessage = Static<typeof MomentsSchema>;

/** Score histogram by true class over equal-width bins of [0, 1], and the sums that need exact scores. */
export const EvaluationMessageSchema = Type.Object(
  {
    rowCount: Type.Integer({ minimum: 0 }),
    positives: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 1000 }),
    negatives: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 1000 }),
    squaredErrorSum: Type.Number({ minimum: 0 }),
    logLossSum: Type.Number({ minimum: 0 }),
    withheld: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 16 }),
  },
  { additionalProperties: false },
);
export type EvaluationMessage = Static<typeof EvaluationMessageSchema>;

export const AnswerBodySchema = Type.Union([
  Type.Object(
    { kind: Type.Literal('count'), count: ReleasedCountSchema, questionsLeft: Type.Integer({ minimum: 0 }) },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('summary'),
      total: ReleasedCountSchema,
      tables: Type.Array(ReleasedTableSchema, { maxItems: 50 }),
      questionsLeft: Type.Integer({ minimum: 0 }),
    },
    { additionalProperties: false },
  ),
  CohortAnswerSchema,
  ConceptsAnswerSchema,
  Type.Object(
    {
      kind: Type.Literal('prepared'),
      schemaDigest: DigestSchema,
      trainRowCount: Type.Integer({ minimum: 0 }),
      testRowCount: Type.Integer({ minimum: 0 }),
    },
    { additionalProperties: false },
  ),
  Type.Object({ kind: Type.Literal('moments'), moments: MomentsSchema }, { additionalProperties: false }),
  Type.Object(
    {
      kind: Type.Literal('newton'),
      rowCount: Type.Integer({ minimum: 1 }),
      gradient: coefficients,
      hessian: Type.Array(Type.Number(), {
        maxItems: COEFFICIENT_COUNT_MAX ** 2,
        description: 'row-major, symmetric',
      }),
      logLikelihood: Type.Number(),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('update'),
      rowCount: Type.Integer({ minimum: 1 }),
      stepCount: Type.Integer({ minimum: 1 }),
      delta: TensorRefSchema,
      controlDelta: Type.Optional(TensorRefSchema),
      meanLoss: Type.Number(),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    { kind: Type.Literal('evaluation'), evaluation: EvaluationMessageSchema },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('refused'),
      code: Type.Union([
        Type.Literal('policy.not-approved'),
        Type.Literal('policy.refused'),
        Type.Literal('envelope.rejected'),
        Type.Literal('disclosure.refused'),
        Type.Literal('disclosure.budget-spent'),
        Type.Literal('training.refused'),
        Type.Literal('not-found'),
      ]),
      message: Type.String({ maxLength: 1000 }),
      findings: Type.Array(DisclosureFindingSchema, { maxItems: 200 }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    { kind: Type.Literal('failed'), code: Type.String({ maxLength: 64 }), message: Type.String({ maxLength: 1000 }) },
    { additionalProperties: false },
  ),
]);
export type AnswerBody = Static<typeof AnswerBodySchema>;

export const AnswerSchema = Type.Object(
  {
    schema: Type.Literal('lantern.answer/1'),
    taskId: IdSchema('TaskId'),
    siteId: IdSchema('SiteId'),
    decisionDigest: Type.Optional(DigestSchema),
    answeredAt: Type.String({ format: 'date-time' }),
    body: AnswerBodySchema,
  },
  { additionalProperties: false },
);
export type Answer = Static<typeof AnswerSchema>;
