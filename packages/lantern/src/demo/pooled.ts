/**
 * The comparison no hospital would allow: all four tables in one place, one training. It uses the same graph, learning rate
 * and number of epochs as the federated run, on rows read straight from the original files; only the encoding below is a
 * second, independent implementation of the features.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  AppError,
  BUNDLE_FILE_PATHS,
  type EvaluationMetrics,
  type RunPlan,
  type Standardisation,
} from '@lantern/contract';
import {
  decodeTensors,
  encodeTensors,
  evaluateScores,
  evaluationMetrics,
  localMoments,
  mergeEvaluations,
  standardisationOf,
} from '@lantern/learning';
import { type BuiltBundle, createGraphExecutor } from '@lantern/runner';
import { HOSPITALS, type Hospital } from './fixtures.ts';
import { heartRows, type Rows } from './heart-rows.ts';
import { FEATURE_COUNT } from './plans.ts';

export type PooledResult = {
  readonly combined: EvaluationMetrics;
  readonly byHospital: ReadonlyMap<Hospital['key'], EvaluationMetrics>;
};

export async function trainPooled(bundle: BuiltBundle, plan: RunPlan): Promise<PooledResult> {
  const tables = await Promise.all(HOSPITALS.map(async (hospital) => ({ hospital, ...(await heartRows(hospital)) })));
  const train: Rows = { x: tables.flatMap((one) => one.train.x), y: tables.flatMap((one) => one.train.y) };
  const scale = standardisationOf(localMoments(columnsOf(train)));
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-pooled-'));
  const executor = createGraphExecutor();
  try {
    const files = await writeInputs(folder, bundle, { train, scale });
    await executor.train({
      manifest: graphManifest(bundle),
      trainModelFile: files.trainModel,
      weightsFile: files.weights,
      rowsFile: files.rows,
      strategy: { kind: 'fedavg' },
      local: pooledWork(plan),
      seed: `pooled ${plan.seed}`,
      deltaOutFile: files.delta,
    });
    await addDelta(files);
    const evaluations = [];
    for (const { hospital, test } of tables) {
      const x = flatten(test, scale);
      const scores = await executor.predict({
        manifest: graphManifest(bundle),
        predictModelFile: files.predictModel,
        weightsFile: files.weights,
        x,
      });
      evaluations.push({ key: hospital.key, evaluation: evaluateScores(scores, test.y) });
    }
    return {
      combined: evaluationMetrics(mergeEvaluations(evaluations.map((one) => one.evaluation))),
      byHospital: new Map(evaluations.map(({ key, evaluation }) => [key, evaluationMetrics(evaluation)])),
    };
  } finally {
    await executor.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** As many epochs over all rows as the federated run makes over each site's. */
function pooledWork(plan: RunPlan): NonNullable<RunPlan['local']> {
  if (plan.local?.work.kind !== 'epochs')
    throw new AppError('internal', 'The pooled comparison needs a plan in epochs.');
  return {
    learningRate: plan.local.learningRate,
    work: { kind: 'epochs', count: plan.local.work.count * plan.rounds },
  };
}

function graphManifest(bundle: BuiltBundle) {
  if (bundle.manifest.kind !== 'graph') throw new AppError('internal', 'The pooled comparison needs a graph bundle.');
  return bundle.manifest;
}

function columnsOf(rows: Rows): number[][] {
  return Array.from({ length: FEATURE_COUNT }, (_, feature) => rows.x.map((row) => row[feature] ?? Number.NaN));
}

function flatten(rows: Rows, scale: Standardisation): Float32Array {
  return Float32Array.from(
    rows.x.flatMap((row) =>
      row.map((value, feature) => (value - (scale.mean[feature] ?? 0)) / (scale.stdDev[feature] ?? 1)),
    ),
  );
}

type Files = { trainModel: string; predictModel: string; weights: string; rows: string; delta: string };

async function writeInputs(
  folder: string,
  bundle: BuiltBundle,
  data: { train: Rows; scale: Standardisation },
): Promise<Files> {
  await mkdir(folder, { recursive: true });
  const files: Files = {
    trainModel: path.join(folder, BUNDLE_FILE_PATHS.train),
    predictModel: path.join(folder, BUNDLE_FILE_PATHS.predict),
    weights: path.join(folder, BUNDLE_FILE_PATHS.initialWeights),
    rows: path.join(folder, 'rows.safetensors'),
    delta: path.join(folder, 'delta.safetensors'),
  };
  for (const [name, bytes] of bundle.files) await writeFile(path.join(folder, name), bytes);
  const x = flatten(data.train, data.scale);
  const y = Float32Array.from(data.train.y);
  await writeFile(
    files.rows,
    encodeTensors({
      x: { dtype: 'F32', shape: [y.length, FEATURE_COUNT], data: x },
      y: { dtype: 'F32', shape: [y.length], data: y },
    }),
  );
  return files;
}

async function addDelta(files: Files): Promise<void> {
  const before = decodeTensors(await readFile(files.weights));
  const delta = decodeTensors(await readFile(files.delta));
  const after = Object.fromEntries(
    [...before].map(([name, tensor]) => {
      const change = delta.get(name);
      if (tensor.dtype !== 'F32' || change?.dtype !== 'F32')
        throw new AppError('tensor.invalid', `Tensor ${name} is missing or not F32.`);
      return [
        name,
        {
          dtype: tensor.dtype,
          shape: tensor.shape,
          data: tensor.data.map((value, index) => value + (change.data[index] ?? 0)),
        },
      ];
    }),
  );
  await writeFile(files.weights, encodeTensors(after));
}
