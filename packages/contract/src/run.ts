/**
 * A run: one federated execution of one algorithm of a project, as a list of rounds planned beforehand.
 *
 * Every run has the same shape, so hub and site need no special cases: `prepare` (each site materialises its rows and asks
 * its own gate), `standardise` (only when pooled), then the rounds of the algorithm, then `evaluate`.
 */
import { type Static, Type } from 'typebox';
import { DisclosureFindingSchema } from './disclosure.ts';
import { StandardisationKindSchema } from './features.ts';
import { DigestSchema, IdSchema } from './ids.ts';
import type { RoundState, RunState } from './states.ts';

export const STEP_KINDS = ['prepare', 'standardise', 'newton', 'train', 'evaluate'] as const;
export type StepKind = (typeof STEP_KINDS)[number];
export const StepKindSchema = Type.Unsafe<StepKind>(Type.Enum([...STEP_KINDS]));

const positive = Type.Number({ exclusiveMinimum: 0 });
const fraction = Type.Number({ minimum: 0, exclusiveMaximum: 1 });
const adaptive = { serverLearningRate: positive, beta1: fraction, beta2: fraction, tau: positive };

/** Server-side optimisation: FedAvg (McMahan 2017), FedProx (Li 2020), FedOpt (Reddi 2021), SCAFFOLD (Karimireddy 2020). */
export const StrategySchema = Type.Union([
  Type.Object({ kind: Type.Literal('fedavg') }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('fedprox'), mu: Type.Number({ minimum: 0 }) }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('fedadam'), ...adaptive }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('fedyogi'), ...adaptive }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('fedadagrad'), ...adaptive }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('scaffold'), serverLearningRate: positive }, { additionalProperties: false }),
]);
export type Strategy = Static<typeof StrategySchema>;
export type StrategyKind = Strategy['kind'];
export const STRATEGY_KINDS = [
  'fedavg',
  'fedprox',
  'fedadam',
  'fedyogi',
  'fedadagrad',
  'scaffold',
] as const satisfies readonly StrategyKind[];

export const STEP_COUNT_MAX = 1_000_000;
export const EPOCH_COUNT_MAX = 10_000;

/** Local training at a site in one round: exactly one of `steps` (mini-batches) or `epochs`. */
export const LocalTrainingSchema = Type.Object(
  {
    learningRate: positive,
    work: Type.Union([
      Type.Object(
        { kind: Type.Literal('steps'), count: Type.Integer({ minimum: 1, maximum: STEP_COUNT_MAX }) },
        { additionalProperties: false },
      ),
      Type.Object(
        { kind: Type.Literal('epochs'), count: Type.Integer({ minimum: 1, maximum: EPOCH_COUNT_MAX }) },
        { additionalProperties: false },
      ),
    ]),
  },
  { additionalProperties: false },
);
export type LocalTraining = Static<typeof LocalTrainingSchema>;

/** `quorum`: updates needed to close a round. `stragglerWaitMs`: how long to wait for the others once quorum is there. */
export const RunPlanSchema = Type.Object(
  {
    algorithm: Type.String({ minLength: 1, maxLength: 64, description: 'name of an algorithm of the project' }),
    rounds: Type.Integer({ minimum: 1, maximum: 10_000 }),
    standardisation: StandardisationKindSchema,
    strategy: Type.Optional(StrategySchema),
    local: Type.Optional(LocalTrainingSchema),
    seed: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
    sites: Type.Array(IdSchema('SiteId'), { minItems: 1, maxItems: 1000, uniqueItems: true }),
    quorum: Type.Integer({ minimum: 1, maximum: 1000 }),
    stragglerWaitMs: Type.Integer({ minimum: 0, maximum: 24 * 3600 * 1000 }),
    weightSitesBy: Type.Union([Type.Literal('rows'), Type.Literal('equal')]),
  },
  { additionalProperties: false },
);
export type RunPlan = Static<typeof RunPlanSchema>;

export const SiteRoundSchema = Type.Object(
  {
    siteId: IdSchema('SiteId'),
    state: Type.String(),
    rowCount: Type.Optional(Type.Integer({ minimum: 0 })),
    updateDigest: Type.Optional(DigestSchema),
    findings: Type.Optional(Type.Array(DisclosureFindingSchema)),
    message: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
export type SiteRound = Static<typeof SiteRoundSchema>;

export const RoundSchema = Type.Object(
  {
    number: Type.Integer({ minimum: 0 }),
    step: StepKindSchema,
    state: Type.Unsafe<RoundState>(Type.String()),
    openedAt: Type.String({ format: 'date-time' }),
    closedAt: Type.Optional(Type.String({ format: 'date-time' })),
    weightsDigest: Type.Optional(DigestSchema),
    metrics: Type.Optional(Type.Record(Type.String(), Type.Number())),
    sites: Type.Array(SiteRoundSchema),
  },
  { additionalProperties: false },
);
export type Round = Static<typeof RoundSchema>;

/** Per site and combined, made by merging score histograms. A metric that the site's gate withheld is absent. */
export const EvaluationMetricsSchema = Type.Object(
  {
    rowCount: Type.Integer({ minimum: 0 }),
    accuracy: Type.Optional(Type.Number()),
    precision: Type.Optional(Type.Number()),
    recall: Type.Optional(Type.Number()),
    auc: Type.Optional(Type.Number()),
    aucErrorMax: Type.Optional(Type.Number({ description: 'bound from the width of the histogram bins' })),
    brier: Type.Optional(Type.Number()),
    calibrationError: Type.Optional(Type.Number({ description: 'expected calibration error, 10 bins' })),
    withheld: Type.Optional(Type.Array(Type.String())),
  },
  { additionalProperties: false },
);
export type EvaluationMetrics = Static<typeof EvaluationMetricsSchema>;

export const RunSchema = Type.Object(
  {
    runId: IdSchema('RunId'),
    projectId: IdSchema('ProjectId'),
    state: Type.Unsafe<RunState>(Type.String()),
    plan: RunPlanSchema,
    message: Type.Optional(Type.String()),
    rounds: Type.Array(RoundSchema),
    evaluation: Type.Optional(
      Type.Object(
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
    ),
    createdBy: Type.String(),
    createdAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type Run = Static<typeof RunSchema>;
