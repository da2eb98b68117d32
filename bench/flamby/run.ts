/**
 * FLamby's Fed-Heart-Disease table (du Terrail et al. 2022, arXiv:2210.04620) through the real hub and four real sites: six
 * strategies, five seeds, 15 rounds of 100 mini-batches of 4, per-centre standardisation. FLamby judges its pooled test set
 * with pooled standardisation, so that one number is computed here from the final weights; the four centres' are the run's own
 * federated evaluation.
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
async function pooledTestAccuracy(federation: HeartFederation, run: Run): Promise<number> {
  const tables = await Promise.all(HOSPITALS.map(heartRows));
  const train = tables.flatMap((table) => table.train.x);
  const columns = Array.from({ length: 13 }, (_, feature) => train.map((row) => row[feature] ?? Number.NaN));
  const scale = standardisationOf(localMoments(columns));
  const [bias, weight] = await finalWeights(federation, run);
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

async function finalWeights(federation: HeartFederation, run: Run): Promise<[Float32Array, Float32Array]> {
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

async function measureMethod(federation: HeartFederation, method: Method, published: Published): Promise<void> {
  const accuracies = new Map<string, number[]>();
  const add = (test: string, value: number | undefined): void =>
    void accuracies.set(test, [...(accuracies.get(test) ?? []), value ?? Number.NaN]);
  for (const seed of SEEDS) {
    const run = await runToEnd(federation, {
      algorithm: `${method.graph}-${seed}`,
      rounds: ROUNDS,
      standardisation: 'per-site',
      strategy: method.strategy,
      local: { learningRate: method.learningRate, work: { kind: 'steps', count: LOCAL_STEPS } },
      seed,
    });
    add('Pooled Test', await pooledTestAccuracy(federation, run));
    const bySite = new Map((run.evaluation?.sites ?? []).map(({ siteId, metrics }) => [siteId, metrics.accuracy]));
    for (const [index, site] of federation.sites.entries()) add(`client_test_${index}`, bySite.get(site.siteId));
    process.stderr.write(
      `${method.published} seed ${seed}: pooled test ${accuracies.get('Pooled Test')?.at(-1)?.toFixed(3) ?? '?'}\n`,
    );
  }
  for (const [test, values] of accuracies) reportTest(method, { test, values, published });
}

function reportTest(method: Method, result: { test: string; values: number[]; published: Published }): void {
  const peer = result.published.get(`${method.published} ${result.test}`);
  if (peer === undefined) throw new Error(`nothing published for ${method.published} on ${result.test}`);
  const mean = result.values.reduce((sum, value) => sum + value, 0) / result.values.length;
  report({
    name: `${method.published} ${result.test}`,
    unit: 'accuracy',
    ...summarise(result.values),
    peer: { name: 'FLamby, published mean of five seeds', median: peer.mean, ratio: mean / peer.mean },
    target: {
      text: `mean within the published ${peer.mean} ± ${peer.stdDev}`,
      kept: Math.abs(mean - peer.mean) <= peer.stdDev,
    },
    facts: { mean, publishedStdDev: peer.stdDev, rounds: ROUNDS, localSteps: LOCAL_STEPS },
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
