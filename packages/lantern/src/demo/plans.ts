/** The project, its two algorithms and their run plans. */
import type { Digest, ModelSpec, ProjectSpec, RunPlan, SiteId } from '@lantern/contract';
import { DATASET, FEATURES } from './heart-disease.ts';

export const FEATURE_COUNT = 13;
const EXACT = 'logistic-regression';
const NETWORK = 'network';

/** NVFLARE's hello-lr: Newton-Raphson with + 1.0 I, per-centre standardisation. */
export const EXACT_ANALYSIS = { kind: 'logistic-regression', ridge: 1, damping: 1 } as const;
const EXACT_ROUNDS = 4;

/** More rows than all four hospitals train on: every step uses all of them, so that their order has no part in the result. */
const BATCH_SIZE = 512;

/** One linear layer and a sigmoid, FLamby's model, as an ONNX training graph. It begins at zeros, where nothing is drawn. */
export const NETWORK_MODEL: ModelSpec = {
  featureCount: FEATURE_COUNT,
  layers: [{ kind: 'dense', units: 1, bias: true }],
  loss: 'sigmoid-cross-entropy',
  optimiser: { kind: 'sgd', momentum: 0 },
  batchSize: BATCH_SIZE,
  proximal: false,
  control: false,
};

/**
 * Chosen on the training rows alone: of 42 pairs of rate and rounds, with two local epochs, the one of the least log loss in
 * five-fold cross-validation (`npm run bench -- heart-plan` repeats the choice and judges it). The test rows were looked at, but
 * not to choose: each pair whose loss is within 0.005 of the least is right for 202 to 205 of the 254.
 */
export const NETWORK_LOCAL = { learningRate: 0.3, work: { kind: 'epochs', count: 2 } } as const;
export const NETWORK_ROUNDS = 10;

const PROJECT_DAYS = 90;

export function projectSpec(options: {
  sites: readonly SiteId[];
  bundles: { exact: Digest; network: Digest };
  now: Date;
}): ProjectSpec {
  return {
    title: 'Coronary disease before angiography',
    purpose:
      'Learn to predict coronary narrowing from findings at referral, over four hospitals, without moving a row.',
    sites: [...options.sites],
    datasets: [DATASET.name],
    algorithms: [
      { name: EXACT, bundleDigest: options.bundles.exact, features: FEATURES, roundsMax: 20 },
      {
        name: NETWORK,
        bundleDigest: options.bundles.network,
        features: FEATURES,
        roundsMax: 60,
        training: {
          strategies: ['fedavg'],
          learningRateMax: NETWORK_LOCAL.learningRate,
          epochsMax: NETWORK_LOCAL.work.count,
        },
      },
    ],
    egress: ['counts', 'cohort-size', 'moments', 'newton-statistics', 'weight-update', 'evaluation'],
    privacy: { updateNormMax: 10 },
    expiresAt: new Date(options.now.getTime() + PROJECT_DAYS * 86_400_000).toISOString(),
  };
}

const together = { quorum: 4, stragglerWaitMs: 5000, seed: 42, weightSitesBy: 'rows' } as const;

export function exactPlan(sites: readonly SiteId[]): RunPlan {
  return { algorithm: EXACT, rounds: EXACT_ROUNDS, standardisation: 'per-site', sites: [...sites], ...together };
}

export function networkPlan(sites: readonly SiteId[]): RunPlan {
  return {
    algorithm: NETWORK,
    rounds: NETWORK_ROUNDS,
    standardisation: 'pooled',
    strategy: { kind: 'fedavg' },
    local: NETWORK_LOCAL,
    sites: [...sites],
    ...together,
    quorum: Math.min(together.quorum, sites.length),
  };
}
