/**
 * A project: a research purpose and everything a site must know to decide. What a site signs is the digest of this document;
 * any change is another project.
 */
import { type Static, Type } from 'typebox';
import { DatasetNameSchema } from './dataset.ts';
import { FeatureSpecSchema } from './features.ts';
import { DigestSchema, IdSchema } from './ids.ts';
import type { ProjectState } from './states.ts';
import { TrainingBoundsSchema } from './training-bounds.ts';

/** The kinds of message that may leave a hospital for a project. Everything else is refused at the site. */
export const EGRESS_KINDS = [
  'counts',
  'cohort-size',
  'moments',
  'newton-statistics',
  'weight-update',
  'evaluation',
] as const;
export type EgressKind = (typeof EGRESS_KINDS)[number];
export const EgressKindSchema = Type.Unsafe<EgressKind>(Type.Enum([...EGRESS_KINDS]));

/**
 * One algorithm a project wants to run: which bundle, on which features, for how many rounds at most. `training` bounds what a
 * graph may be trained with: a graph needs it, an analysis has none.
 */
export const ProjectAlgorithmSchema = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z][a-z0-9-]{0,62}$' }),
    bundleDigest: DigestSchema,
    features: FeatureSpecSchema,
    roundsMax: Type.Integer({ minimum: 1, maximum: 10_000 }),
    training: Type.Optional(TrainingBoundsSchema),
  },
  { additionalProperties: false },
);
export type ProjectAlgorithm = Static<typeof ProjectAlgorithmSchema>;

export const ProjectSpecSchema = Type.Object(
  {
    title: Type.String({ minLength: 1, maxLength: 200 }),
    purpose: Type.String({ minLength: 1, maxLength: 8000 }),
    sites: Type.Array(IdSchema('SiteId'), { minItems: 1, maxItems: 1000, uniqueItems: true }),
    datasets: Type.Array(DatasetNameSchema, { minItems: 1, maxItems: 50, uniqueItems: true }),
    algorithms: Type.Array(ProjectAlgorithmSchema, { maxItems: 50 }),
    egress: Type.Array(EgressKindSchema, { maxItems: EGRESS_KINDS.length, uniqueItems: true }),
    privacy: Type.Object(
      {
        updateNormMax: Type.Optional(
          Type.Number({
            exclusiveMinimum: 0,
            description: 'L2 norm to which a weight update is clipped at the site [weight units]',
          }),
        ),
      },
      { additionalProperties: false },
    ),
    expiresAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type ProjectSpec = Static<typeof ProjectSpecSchema>;

export const ProjectSchema = Type.Object(
  {
    projectId: IdSchema('ProjectId'),
    state: Type.Unsafe<ProjectState>(Type.String()),
    spec: ProjectSpecSchema,
    projectDigest: DigestSchema,
    createdBy: Type.String(),
    createdAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type Project = Static<typeof ProjectSchema>;
