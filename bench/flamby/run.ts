/**
 * FLamby's Fed-Heart-Disease table (du Terrail et al. 2022, arXiv:2210.04620) through the real hub and four real sites: six
 * strategies, five seeds, 15 rounds of 100 mini-batches of 4, per-centre standardisation, sites weighted by their rows.
 *
 * Where the settings come from, all in owkin/FLamby: learning rates, mu, tau and betas from flamby/config_heart_disease.json
 * (commit 88fbe60) and, the same, from the columns of the published flamby/results/results_benchmark_fed_heart_disease/
 * heart_seed42.csv ff.; batch size and rounds from fed_heart_disease/common.py: (486 // 4 // 4) * 50 // 100 = 15; one
 * torch.nn.Linear(13, 1), that is first weights and bias uniform in 1/sqrt(13), which are the first weights of our bundles too.
 * FLamby judges a centre's test rows with that centre's standardisation and the pooled test set with the pooled one, so the pooled
 * number is computed here from the final weights; the four centres' are the run's own federated evaluation.
 *
 * Not the same: a seed draws other first weights and another order of rows than it does in PyTorch (and the order is drawn anew in
 * each round, from a secret of each site besides the seed, where FLamby's goes on in the middle of an epoch). So five seeds are
 * compared as samples of the same quantity, not
 * seed by seed. FedAvg, FedProx and SCAFFOLD come out alike in FLamby's table, seed by seed, and nearly so here: at
 * these rates their weights end close to each other, but not equal (fact `distanceToFedAvg`). FedYogi's v grows by
 * 0.001 D^2 and its rate is 0.01, FedAdagrad's by D^2 and its rate is 0.01 sqrt(1000): the same step as long as v stays below D^2.
 *
 * The peer is what FLamby published: mean and standard deviation over the same five seeds.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { HUB_API, type ModelSpec, pathOf, type Run, type Strategy } from '@lantern/contract';
import { HOSPITALS, heartRows } from '@lantern/lantern';
import { decodeTensors, localMoments, standardisationOf } from '@lantern/learning';
import { type BuiltBundle, buildGraphBundle } from '@lantern/runner';
import { type HeartFederation, runToEnd, withHeartFederation } from '../heart-federation.ts';
import { report, summarise } from '../measurement.ts';

const SEEDS = [42, 43, 44, 45, 46];
const ROUNDS = 15;
const LOCAL_STEPS = 100;
const POOLED = 'Pooled Test'; // as FLamby's table calls it
const ADAPTIVE = { beta1: 0.9, beta2: 0.999, tau: 1e-8 };

type Method = {
  readonly published: string;
  readonly graph: 'plain' | 'proximal' | 'control';
  readonly learningRate: number;
  readonly strategy: Strategy;
};

const METHODS: readonly Method[] = [
  { published: 'FedAvg100', graph: 'plain', learningRate: 1e-3, strategy: { kind: 'fedavg' } },
  { published: 'FedProx100', graph: 'proximal', learningRate: 1e-3, strategy: { kind: 'fedprox', mu: 0.01 } },
  {
    published: 'Scaffold100',
    graph: 'control',
    learningRate: 1e-3,
    strategy: { kind: 'scaffold', serverLearningRate: 1 },
  },
  {
    published: 'FedAdam100',
    graph: 'plain',
    learningRate: 1e-2,
    strategy: { kind: 'fedadam', serverLearningRate: 1e-2, ...ADAPTIVE },
  },
  {
    published: 'FedYogi100',
    graph: 'plain',
    learningRate: 0.003162,
    strategy: { kind: 'fedyogi', serverLearningRate: 1e-2, ...ADAPTIVE },
  },
  {
    published: 'FedAdagrad100',
    graph: 'plain',
    learningRate: 0.003162,
    strategy: { kind: 'fedadagrad', serverLearningRate: 0.316228, ...ADAPTIVE },
  },
];

function bundleOf(graph: Method['graph'], seed: number): BuiltBundle {
  const model: ModelSpec = {
    featureCount: 13,
    layers: [{ kind: 'dense', units: 1, bias: true }],
    loss: 'sigmoid-cross-entropy',
    optimiser: { kind: 'sgd', momentum: 0 },
    batchSize: 4,
    proximal: graph === 'proximal',
    control: graph === 'control',
  };
  return buildGraphBundle({
    name: `flamby-${graph}`,
    version: '1.0.0',
    description: 'FLamby baseline: one linear layer',
    model,
    seed,
  });
}

type Published = ReadonlyMap<string, { readonly mean: number; readonly stdDev: number }>;

async function readPublished(): Promise<Published> {
  const file = path.resolve(import.meta.dirname, '../../fixtures/heart-disease/flamby-benchmark-results.csv');
  const [, ...lines] = (await readFile(file, 'utf8')).trim().split('\n');
  return new Map(
    lines.map((line) => {
      const [method = '', test = '', mean, stdDev] = line.split(',');
      return [`${method} ${test}`, { mean: Number(mean), stdDev: Number(stdDev) }];
    }),
  );
}

/** Accuracy on the pooled test set with pooled standardisation, from the final weights. */
async function pooledTestAccuracy([bias, weight]: FinalWeights): Promise<number> {
  const tables = await Promise.all(HOSPITALS.map(heartRows));
  const train = tables.flatMap((table) => table.train.x);
  const columns = Array.from({ length: 13 }, (_, feature) => train.map((row) => row[feature] ?? Number.NaN));
  const scale = standardisationOf(localMoments(columns));
  const test = { x: tables.flatMap((table) => table.test.x), y: tables.flatMap((table) => table.test.y) };
  const right = test.x.filter((row, index) => {
    const logit = row.reduce(
      (sum, value, feature) =>
        sum + ((value - (scale.mean[feature] ?? 0)) / (scale.stdDev[feature] ?? 1)) * (weight[feature] ?? 0),
      bias[0] ?? 0,
    );
    return (logit > 0 ? 1 : 0) === test.y[index];
  });
  return right.length / test.y.length;
}

async function finalWeights(federation: HeartFederation, run: Run): Promise<FinalWeights> {
  const digest = run.rounds.findLast((round) => round.step === 'train')?.weightsDigest;
  if (digest === undefined) throw new Error('the run has no weights');
  const { body } = await federation.researcher.http.download(pathOf(HUB_API.readBlob, { digest }));
  const tensors = [...decodeTensors(await buffer(body)).values()];
  const floats = tensors
    .flatMap((tensor) => (tensor.dtype === 'F32' ? [tensor.data] : []))
    .toSorted((a, b) => a.length - b.length);
  const [bias, weight] = floats;
  if (bias?.length !== 1 || weight?.length !== 13) throw new Error('these are not the weights of one linear layer');
  return [bias, weight];
}

type FinalWeights = readonly [Float32Array, Float32Array];

/** Final weights of FedAvg by seed, which the other methods are held against. */
const ofFedAvg = new Map<number, FinalWeights>();

/** Greatest difference of a final weight to FedAvg's of the same seed; 0 would mean that a strategy did nothing of its own. */
function distanceToFedAvg(seed: number, weights: FinalWeights): number {
  const reference = ofFedAvg.get(seed) ?? weights;
  ofFedAvg.set(seed, reference);
  const differences = weights.flatMap((tensor, place) =>
    [...tensor].map((value, index) => Math.abs(value - (reference[place]?.[index] ?? Number.NaN))),
  );
  return Math.max(...differences);
}

async function measureMethod(federation: HeartFederation, method: Method, published: Published): Promise<void> {
  const accuracies = new Map<string, number[]>();
  const add = (test: string, value: number | undefined): void =>
    void accuracies.set(test, [...(accuracies.get(test) ?? []), value ?? Number.NaN]);
  let distance = 0;
  for (const seed of SEEDS) {
    const run = await runToEnd(federation, {
      algorithm: `${method.graph}-${seed}`,
      rounds: ROUNDS,
      standardisation: 'per-site',
      strategy: method.strategy,
      local: { learningRate: method.learningRate, work: { kind: 'steps', count: LOCAL_STEPS } },
      seed,
    });
    const weights = await finalWeights(federation, run);
    distance = Math.max(distance, distanceToFedAvg(seed, weights));
    add(POOLED, await pooledTestAccuracy(weights));
    const bySite = new Map((run.evaluation?.sites ?? []).map(({ siteId, metrics }) => [siteId, metrics.accuracy]));
    for (const [index, site] of federation.sites.entries()) add(`client_test_${index}`, bySite.get(site.siteId));
    process.stderr.write(
      `${method.published} seed ${seed}: pooled test ${accuracies.get(POOLED)?.at(-1)?.toFixed(3) ?? '?'}\n`,
    );
  }
  reportMethod(method, { accuracies, distance, published });
}

/** One line for a method: the pooled test set as its number, the four centres among its facts; kept when all five are. */
function reportMethod(
  method: Method,
  result: { accuracies: ReadonlyMap<string, number[]>; distance: number; published: Published },
): void {
  const compared = [...result.accuracies].map(([test, values]) => {
    const peer = result.published.get(`${method.published} ${test}`);
    if (peer === undefined) throw new Error(`nothing published for ${method.published} on ${test}`);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return { test, values, mean, peer, kept: Math.abs(mean - peer.mean) <= peer.stdDev };
  });
  const pooled = compared.find(({ test }) => test === POOLED);
  if (pooled === undefined) throw new Error('the pooled test was not measured');
  const beside = compared.map(({ test, mean, peer }): [string, string] => [
    test,
    `${mean.toFixed(4)} beside ${peer.mean} ± ${peer.stdDev}`,
  ]);
  report({
    name: method.published,
    unit: 'accuracy',
    ...summarise(pooled.values),
    peer: {
      name: 'FLamby, published mean of five seeds on the pooled test set',
      median: pooled.peer.mean,
      ratio: pooled.mean / pooled.peer.mean,
    },
    target: {
      text: 'mean within the published mean ± standard deviation, on the pooled test set and in each of the four centres',
      kept: compared.every(({ kept }) => kept),
    },
    facts: {
      mean: pooled.mean,
      publishedStdDev: pooled.peer.stdDev,
      ...Object.fromEntries(beside),
      ...(method.published === 'FedAvg100' ? {} : { distanceToFedAvg: result.distance }),
      rounds: ROUNDS,
      localSteps: LOCAL_STEPS,
      learningRate: method.learningRate,
      seeds: SEEDS.join(' '),
    },
  });
}

const bundles = new Map(
  (['plain', 'proximal', 'control'] as const).flatMap((graph) =>
    SEEDS.map((seed) => [`${graph}-${seed}`, bundleOf(graph, seed)]),
  ),
);
const published = await readPublished();
await withHeartFederation(bundles, async (federation) => {
  for (const method of METHODS) await measureMethod(federation, method, published);
});
