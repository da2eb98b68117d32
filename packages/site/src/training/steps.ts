/**
 * What a site computes in each step of a run, on rows that are already there. The same functions serve a run of the hub and
 * a run of this site alone; neither policy nor network is known here.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import {
  type AnswerBody,
  AppError,
  type EvaluationMessage,
  type GraphManifest,
  type LocalTraining,
  type Standardisation,
  type Strategy,
} from '@lantern/contract';
import {
  evaluateScores,
  localNewtonStatistics,
  logisticProbabilities,
  mergeNewtonStatistics,
  type NewtonStatistics,
} from '@lantern/learning';
import type { RowSet } from '@lantern/omop';
import { evaluateGraph, type GraphExecutor } from '@lantern/runner';
import { documentDigest } from '@lantern/service';
import type { GraphFiles } from './bundles.ts';
import { rowBlocks, standardiseBlock, writeStandardised } from './row-file.ts';
import { rowsFileOf } from './snapshot.ts';

/** The rows of a run: where they lie, how many, and how they are scaled; `undefined`: as they are. */
export type RunRows = {
  readonly dir: string;
  readonly featureCount: number;
  readonly trainRowCount: number;
  readonly testRowCount: number;
  readonly standardisation: Standardisation | undefined;
};

/** Gradient, Hessian and log-likelihood of the training rows at theta. */
export async function newtonStatistics(rows: RunRows, theta: readonly number[]): Promise<NewtonStatistics> {
  assertTheta(rows, theta);
  const parts: NewtonStatistics[] = [];
  for await (const block of rowBlocks(rowsFileOf(rows.dir, 'train'))) {
    parts.push(localNewtonStatistics(standardiseBlock(block, rows.standardisation), theta));
  }
  return mergeNewtonStatistics(parts);
}

/**
 * On how many rows the statistics at theta really rest, for gradient and Hessian the smaller: (sum of weights)^2 / sum of
 * squared weights (Kish 1965), where a row weighs |y - p| in the gradient and p (1 - p) in the Hessian. It is the number of rows
 * when all weigh alike, and near 1 when theta makes one row outweigh all others, whose values then stand in the sums.
 */
export async function effectiveRowCount(rows: RunRows, theta: readonly number[]): Promise<number> {
  const residual = { sum: 0, squares: 0 };
  const curvature = { sum: 0, squares: 0 };
  const add = (to: { sum: number; squares: number }, weight: number) => {
    to.sum += weight;
    to.squares += weight * weight;
  };
  for await (const block of rowBlocks(rowsFileOf(rows.dir, 'train'))) {
    const probabilities = logisticProbabilities(standardiseBlock(block, rows.standardisation), theta);
    for (const [index, probability] of probabilities.entries()) {
      add(residual, Math.abs((block.labels[index] ?? 0) - probability));
      add(curvature, probability * (1 - probability));
    }
  }
  const counts = [residual, curvature].map(({ sum, squares }) => (squares === 0 ? 0 : sum ** 2 / squares));
  return Math.min(...counts);
}

/**
 * On how many rows the update of a round rests, counted the same way. A step takes the mean over its batch, so that a row
 * weighs one over the rows of its batch: one row left over in a batch of its own, beside a hundred in theirs, outweighs them
 * all, and its gradient could be taken out of the update. Counted as if steps added up, which they do at small learning rates,
 * and over the first epoch: whole further ones cannot lower it (Cauchy-Schwarz).
 */
export function rowCountBehindUpdate(round: {
  readonly rowCount: number;
  readonly batchSize: number;
  readonly work: LocalTraining['work'];
}): number {
  const { rowCount, batchSize, work } = round;
  const fullCount = Math.floor(rowCount / batchSize);
  const shortSize = rowCount % batchSize;
  const steps = work.kind === 'steps' ? work.count : Number.POSITIVE_INFINITY;
  if (shortSize === 0 || steps <= fullCount) return Math.min(steps, fullCount) * batchSize;
  return (fullCount + 1) ** 2 / (fullCount / batchSize + 1 / shortSize);
}

/** How well theta predicts the test rows. */
export async function evaluateTheta(rows: RunRows, theta: readonly number[]): Promise<EvaluationMessage> {
  assertTheta(rows, theta);
  const scores: number[] = [];
  const labels: number[] = [];
  for await (const block of rowBlocks(rowsFileOf(rows.dir, 'test'))) {
    scores.push(...logisticProbabilities(standardiseBlock(block, rows.standardisation), theta));
    labels.push(...block.labels);
  }
  return evaluateScores(scores, labels);
}

function assertTheta(rows: RunRows, theta: readonly number[]): void {
  if (theta.length !== rows.featureCount + 1) {
    throw new AppError('input.invalid', `theta has ${theta.length} coefficients; ${rows.featureCount + 1} are needed.`);
  }
}

export type GraphStep = {
  readonly manifest: GraphManifest;
  readonly files: GraphFiles;
  readonly weightsFile: string;
};

export type TrainStep = GraphStep & {
  readonly strategy: Strategy;
  readonly local: LocalTraining;
  readonly seed: string;
  readonly controlFile?: string;
  readonly clientControlFile?: string;
  readonly updateNormMax?: number;
  readonly oneClassAllowed: boolean;
};

/** What a round of training leaves: the counts, and files that the caller takes over. */
export type TrainedStep = Pick<Extract<AnswerBody, { kind: 'update' }>, 'rowCount' | 'stepCount' | 'meanLoss'> & {
  readonly deltaFile: string;
  /** Of SCAFFOLD: what is sent, and the new control variate of this site, which stays here. */
  readonly scaffold?: { readonly controlDeltaFile: string; readonly clientControlFile: string };
};

/** One round of local training; its files lie beside the rows and begin with `name`. */
export async function trainGraph(
  executor: GraphExecutor,
  rows: RunRows,
  step: TrainStep,
  { name, signal }: { name: string; signal: AbortSignal },
): Promise<TrainedStep> {
  assertFeatureCount(rows, step.manifest);
  const out = (part: string) => path.join(rows.dir, `${name}.${part}.safetensors`);
  const deltaFile = out('delta');
  const scaffold =
    step.strategy.kind === 'scaffold'
      ? { controlDeltaFile: out('control-delta'), clientControlFile: out('client-control') }
      : undefined;
  const { files: bundle, ...rest } = step;
  const { stepCount, meanLoss } = await executor.train(
    {
      ...rest,
      trainModelFile: bundle.train,
      rowsFile: await scaledRowsFile(rows, 'train'),
      deltaOutFile: deltaFile,
      ...(scaffold === undefined
        ? {}
        : { controlDeltaOutFile: scaffold.controlDeltaFile, clientControlOutFile: scaffold.clientControlFile }),
    },
    signal,
  );
  return {
    rowCount: rows.trainRowCount,
    stepCount,
    meanLoss,
    deltaFile,
    ...(scaffold === undefined ? {} : { scaffold }),
  };
}

/** How well a graph's weights predict the test rows. */
export async function evaluateWeights(
  executor: GraphExecutor,
  rows: RunRows,
  step: GraphStep,
  signal: AbortSignal,
): Promise<EvaluationMessage> {
  assertFeatureCount(rows, step.manifest);
  const { manifest, weightsFile, files } = step;
  const rowsFile = await scaledRowsFile(rows, 'test');
  return evaluateGraph(executor, { manifest, weightsFile, predictModelFile: files.predict, rowsFile }, signal);
}

function assertFeatureCount(rows: RunRows, manifest: GraphManifest): void {
  const { featureCount } = manifest.model;
  if (featureCount !== rows.featureCount) {
    throw new AppError(
      'bundle.invalid',
      `The model takes ${featureCount} features; the project describes ${rows.featureCount}.`,
    );
  }
}

/** The float32 file of a set under this standardisation: made once, named by it, there only when it is whole. */
async function scaledRowsFile(rows: RunRows, rowSet: RowSet): Promise<string> {
  const scale = documentDigest(rows.standardisation ?? 'none').slice(0, 16);
  const file = path.join(rows.dir, `${rowSet}.${scale}.safetensors`);
  const rowCount = rowSet === 'train' ? rows.trainRowCount : rows.testRowCount;
  const shape = { rowCount, featureCount: rows.featureCount };
  if (existsSync(file)) return file;
  const temporary = `${file}.${randomUUID()}.new`;
  await writeStandardised(rowsFileOf(rows.dir, rowSet), { file: temporary, shape, by: rows.standardisation });
  await rename(temporary, file);
  return file;
}
