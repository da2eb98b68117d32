/**
 * A model version: weights, how to feed them, and where they come from, as one document signed by the hub. Weights and
 * bundle are named by digest, so the signature covers every byte that will run at a bedside.
 */
import { type Static, Type } from 'typebox';
import { BundleManifestSchema } from './bundle.ts';
import { DatasetSchemaSchema } from './dataset.ts';
import { BlobRefSchema } from './exchange.ts';
import { FeatureSpecSchema, InputSourceSchema, StandardisationSchema } from './features.ts';
import { DigestSchema, IdSchema } from './ids.ts';
import { EvaluationMetricsSchema, RunPlanSchema, StepKindSchema } from './run.ts';
import { SignedEnvelopeSchema } from './signed-envelope.ts';
import type { ModelVersionState } from './states.ts';

/** Model card (Mitchell et al. 2019), the parts a bedside needs. Written by a person; shown with every result. */
export const ModelCardSchema = Type.Object(
  {
    title: Type.String({ minLength: 1, maxLength: 200 }),
    intendedUse: Type.String({ minLength: 1, maxLength: 4000 }),
    notFor: Type.String({ minLength: 1, maxLength: 4000 }),
    limits: Type.Array(Type.String({ minLength: 1, maxLength: 1000 }), { minItems: 1, maxItems: 50 }),
    outcome: Type.String({ minLength: 1, maxLength: 500, description: 'what the probability is of' }),
    contact: Type.String({ minLength: 1, maxLength: 200 }),
  },
  { additionalProperties: false },
);
export type ModelCard = Static<typeof ModelCardSchema>;

export const LineageSchema = Type.Object(
  {
    projectId: IdSchema('ProjectId'),
    projectDigest: DigestSchema,
    runId: IdSchema('RunId'),
    plan: RunPlanSchema,
    rounds: Type.Array(
      Type.Object(
        {
          number: Type.Integer({ minimum: 0 }),
          step: StepKindSchema,
          sites: Type.Array(IdSchema('SiteId')),
          answerDigests: Type.Array(DigestSchema),
          weightsDigest: Type.Optional(DigestSchema),
        },
        { additionalProperties: false },
      ),
    ),
    sites: Type.Array(
      Type.Object(
        {
          siteId: IdSchema('SiteId'),
          name: Type.String(),
          decisionDigests: Type.Array(DigestSchema),
          trainRowCount: Type.Integer({ minimum: 0 }),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);
export type Lineage = Static<typeof LineageSchema>;

export const ModelVersionSchema = Type.Object(
  {
    schema: Type.Literal('lantern.model-version/1'),
    modelVersionId: IdSchema('ModelVersionId'),
    model: Type.String({ pattern: '^[a-z][a-z0-9-]{0,62}$' }),
    version: Type.Integer({ minimum: 1 }),
    weights: BlobRefSchema,
    manifest: BundleManifestSchema,
    bundleDigest: DigestSchema,
    features: FeatureSpecSchema,
    datasetSchema: DatasetSchemaSchema,
    featureNames: Type.Array(Type.String()),
    standardisation: StandardisationSchema,
    inputs: Type.Array(InputSourceSchema, { minItems: 1, maxItems: 500 }),
    lineage: LineageSchema,
    evaluation: Type.Object(
      {
        combined: EvaluationMetricsSchema,
        sites: Type.Array(
          Type.Object(
            { siteId: IdSchema('SiteId'), metrics: EvaluationMetricsSchema },
            { additionalProperties: false },
          ),
        ),
      },
      { additionalProperties: false },
    ),
    card: ModelCardSchema,
    createdBy: Type.String(),
    createdAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type ModelVersion = Static<typeof ModelVersionSchema>;

/** What a researcher asks for when a completed run becomes a model version. */
export const NewModelVersionSchema = Type.Object(
  {
    runId: IdSchema('RunId'),
    model: Type.String({ pattern: '^[a-z][a-z0-9-]{0,62}$' }),
    inputs: Type.Array(InputSourceSchema, { minItems: 1, maxItems: 500 }),
    card: ModelCardSchema,
  },
  { additionalProperties: false },
);
export type NewModelVersion = Static<typeof NewModelVersionSchema>;

/** The hub's word that a version should not be used any more. What it means at a bedside is decided there. */
export const RetirementSchema = Type.Object(
  {
    schema: Type.Literal('lantern.retirement/1'),
    modelVersionId: IdSchema('ModelVersionId'),
    retiredBy: Type.String(),
    retiredAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type Retirement = Static<typeof RetirementSchema>;

/** `retirement`: a signed `Retirement`, there when the state is `retired`. */
export const RegisteredModelVersionSchema = Type.Object(
  {
    modelVersionId: IdSchema('ModelVersionId'),
    model: Type.String(),
    version: Type.Integer(),
    state: Type.Unsafe<ModelVersionState>(Type.String()),
    envelope: SignedEnvelopeSchema,
    retirement: Type.Optional(SignedEnvelopeSchema),
  },
  { additionalProperties: false },
);
export type RegisteredModelVersion = Static<typeof RegisteredModelVersionSchema>;
