/**
 * How far a project may go when it trains a graph. The bounds stand in the project, so a site's decision signs them; the hub
 * checks a plan against them, and each site checks every task by itself, since the hub is the one they bind.
 *
 * They bound what a site computes: the client's part of the strategy, its learning rate, its work per round. Rates and
 * moments of the server's step only change the weights that come next, which the hub chooses anyway; nor is SCAFFOLD's control
 * variate bounded, which moves a step as other weights would.
 */
import { type Static, Type } from 'typebox';
import {
  EPOCH_COUNT_MAX,
  type LocalTraining,
  STEP_COUNT_MAX,
  STRATEGY_KINDS,
  type Strategy,
  type StrategyKind,
} from './run.ts';

const StrategyKindSchema = Type.Unsafe<StrategyKind>(Type.Enum([...STRATEGY_KINDS]));

/** What has no bound is not allowed: without `epochsMax` no round may ask for epochs. */
export const TrainingBoundsSchema = Type.Object(
  {
    strategies: Type.Array(StrategyKindSchema, { minItems: 1, maxItems: STRATEGY_KINDS.length, uniqueItems: true }),
    learningRateMax: Type.Number({ exclusiveMinimum: 0 }),
    stepsMax: Type.Optional(
      Type.Integer({ minimum: 1, maximum: STEP_COUNT_MAX, description: 'mini-batches per round and site' }),
    ),
    epochsMax: Type.Optional(Type.Integer({ minimum: 1, maximum: EPOCH_COUNT_MAX, description: 'per round and site' })),
    proximalMax: Type.Optional(Type.Number({ minimum: 0, description: 'weight mu of the term of FedProx' })),
  },
  { additionalProperties: false },
);
export type TrainingBounds = Static<typeof TrainingBoundsSchema>;

/** `field` of the plan, as a path without its first slash, and the bound in words. */
export type BrokenBound = { readonly field: string; readonly rule: string };

/** The first bound that this training breaks; `undefined` when it keeps them all. */
export function brokenBound(
  bounds: TrainingBounds,
  asked: { readonly strategy: Strategy; readonly local: LocalTraining },
): BrokenBound | undefined {
  const { strategy, local } = asked;
  if (!bounds.strategies.includes(strategy.kind)) {
    return { field: 'strategy/kind', rule: `the project allows ${bounds.strategies.join(', ')} only` };
  }
  const limits: [field: string, value: number, limit: number | undefined][] = [
    ['local/learningRate', local.learningRate, bounds.learningRateMax],
    local.work.kind === 'steps'
      ? ['local/work/steps', local.work.count, bounds.stepsMax]
      : ['local/work/epochs', local.work.count, bounds.epochsMax],
  ];
  if (strategy.kind === 'fedprox') limits.push(['strategy/mu', strategy.mu, bounds.proximalMax]);
  for (const [field, value, limit] of limits) {
    if (limit === undefined) return { field, rule: 'the project sets no bound for it, so it is not allowed' };
    if (!(value <= limit)) return { field, rule: `the project allows at most ${limit}` };
  }
  return undefined;
}
