/**
 * Training on this site's rows alone, by its own staff: what federation is compared with. It is the same code as in a run of
 * the hub, without the hub; nothing leaves, so neither decision nor gate is asked.
 *
 * Rows with one label only are refused: inside a federation other sites have the other label, alone there is nothing to learn.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  AppError,
  type BundleManifest,
  type EvaluationMessage,
  type GraphManifest,
  type LocalRun,
  type NewLocalRun,
  type ProjectId,
  type ProjectSpec,
} from '@lantern/contract';
import {
  decodeTensors,
  encodeTensors,
  evaluationMetrics,
  featureNames,
  newtonStep,
  standardisationOf,
  type Tensor,
} from '@lantern/learning';
import { assertTwoClasses, type GraphExecutor } from '@lantern/runner';
import { makePrivateFolder } from '@lantern/service';
import type { Dataset } from '../datasets/datasets.ts';
import type { TableEngine } from '../datasets/table-engine.ts';
import type { Bundles } from '../training/bundles.ts';
import { rowBlocks } from '../training/row-file.ts';
import { makeSnapshot, rowsFileOf } from '../training/snapshot.ts';
import { evaluateTheta, evaluateWeights, newtonStatistics, type RunRows, trainGraph } from '../training/steps.ts';

export type LocalRunsDeps = {
  readonly dataDir: string;
  readonly engine: TableEngine;
  readonly executor: GraphExecutor;
  readonly bundles: Bundles;
  readonly findDataset: (name: string, signal: AbortSignal) => Promise<Dataset | undefined>;
  readonly readProject: (projectId: ProjectId, signal: AbortSignal) => Promise<ProjectSpec>;
};

type Plan = NewLocalRun['plan'];

/** Throws `training.refused` with the reason when these rows alone cannot train the model. */
export async function runLocally(deps: LocalRunsDeps, asked: NewLocalRun, signal: AbortSignal): Promise<LocalRun> {
  const { plan } = asked;
  const spec = await deps.readProject(asked.projectId, signal);
  const algorithm = spec.algorithms.find(({ name }) => name === plan.algorithm);
  if (algorithm === undefined) throw new AppError('not-found', `The project has no algorithm "${plan.algorithm}".`);
  const { features } = algorithm;
  const dataset = await deps.findDataset(features.dataset, signal);
  if (dataset === undefined) throw new AppError('not-found', `This site offers no dataset "${features.dataset}".`);
  const manifest = await deps.bundles.manifestOf(algorithm.bundleDigest, signal);
  const parent = path.join(deps.dataDir, 'work', 'local-runs');
  await makePrivateFolder(parent);
  const dir = await mkdtemp(path.join(parent, 'run-'));
  try {
    const snapshot = await makeSnapshot(deps.engine, { ...dataset, features, holdsPairs: false }, { dir, signal });
    const rows: RunRows = {
      dir,
      featureCount: featureNames(features).length,
      trainRowCount: snapshot.trainRowCount,
      testRowCount: snapshot.testRowCount,
      standardisation: plan.standardisation === 'none' ? undefined : standardisationOf(snapshot.moments),
    };
    assertTwoClasses(await labelsOf(rows));
    const evaluation = await trainAndEvaluate(deps, { manifest, plan, rows, signal });
    return { metrics: evaluationMetrics(evaluation), trainRowCount: snapshot.trainRowCount };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function labelsOf(rows: RunRows): Promise<number[]> {
  const labels: number[] = [];
  for await (const block of rowBlocks(rowsFileOf(rows.dir, 'train'))) labels.push(...block.labels);
  return labels;
}

type Local<M extends BundleManifest = BundleManifest> = {
  readonly manifest: M;
  readonly plan: Plan;
  readonly rows: RunRows;
  readonly signal: AbortSignal;
};

async function trainAndEvaluate(deps: LocalRunsDeps, local: Local): Promise<EvaluationMessage> {
  const { manifest } = local;
  if (manifest.kind === 'graph') return trainGraphLocally(deps, { ...local, manifest });
  const { analysis } = manifest;
  if (analysis.kind === 'moments')
    throw new AppError('training.refused', 'Mean and variance are not a model to train.');
  const { rows, plan, signal } = local;
  let theta = new Array<number>(rows.featureCount + 1).fill(0);
  for (let round = 0; round < plan.rounds; round += 1) {
    signal.throwIfAborted();
    const { gradient, hessian } = await newtonStatistics(rows, theta);
    ({ theta } = newtonStep({ theta, gradient, hessian, ridge: analysis.ridge, damping: analysis.damping }));
  }
  return evaluateTheta(rows, theta);
}

async function trainGraphLocally(deps: LocalRunsDeps, local: Local<GraphManifest>): Promise<EvaluationMessage> {
  const { manifest, plan, rows, signal } = local;
  if (plan.local === undefined) throw new AppError('input.invalid', 'Field /plan/local is needed to train a graph.');
  const bundle = await deps.bundles.filesOf(manifest, signal);
  let weightsFile = bundle.initialWeights;
  for (let round = 1; round <= plan.rounds; round += 1) {
    const step = {
      manifest,
      files: bundle,
      weightsFile,
      strategy: { kind: 'fedavg' },
      local: plan.local,
      seed: `${plan.seed}/${round}`,
      oneClassAllowed: false,
    } as const;
    const { deltaFile } = await trainGraph(deps.executor, rows, step, { name: 'local', signal });
    const next = path.join(rows.dir, `weights-${round}.safetensors`);
    await writeFile(next, addDelta(await readFile(weightsFile), await readFile(deltaFile)));
    if (weightsFile !== bundle.initialWeights) await rm(weightsFile);
    await rm(deltaFile);
    weightsFile = next;
  }
  return evaluateWeights(deps.executor, rows, { manifest, files: bundle, weightsFile }, signal);
}

/** Weights after a round of one site: before plus delta, which is FedAvg over that site alone. */
function addDelta(weights: Uint8Array, delta: Uint8Array): Uint8Array {
  const deltas = decodeTensors(delta);
  const sums: Record<string, Tensor> = {};
  for (const [name, before] of decodeTensors(weights)) {
    const change = deltas.get(name);
    if (before.dtype !== 'F32' || change?.dtype !== 'F32') {
      throw new AppError('update.invalid', `Tensor ${name} of the update is missing or not F32.`);
    }
    sums[name] = { ...before, data: before.data.map((value, index) => value + (change.data[index] ?? 0)) };
  }
  return encodeTensors(sums);
}
