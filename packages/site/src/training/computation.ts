/**
 * The computation of one step of a run: fetches what the hub sends along, computes on the rows that were prepared, and gives
 * the answer with the files that belong to it.
 */
import { createHmac } from 'node:crypto';
import { AppError, type DisclosureFinding, type RoundTask } from '@lantern/contract';
import { withholdClasses } from '@lantern/learning';
import { answerEvaluation } from '@lantern/omop';
import type { GraphExecutor } from '@lantern/runner';
import { faultPoint } from '@lantern/service';
import type { Performed } from '../exchange/performer.ts';
import type { RoundPermission } from '../governance/policy.ts';
import type { Outbound } from '../hub-link/outbound.ts';
import type { SiteDb } from '../tables.ts';
import type { Bundles } from './bundles.ts';
import { refused, refusedByGate } from './refusal.ts';
import type { RunFolders } from './run-folder.ts';
import {
  effectiveRowCount,
  evaluateTheta,
  evaluateWeights,
  newtonStatistics,
  type RunRows,
  trainGraph,
} from './steps.ts';
import * as store from './store.ts';
import { fetchTensors, forgetInputs, storeFile, takeTensors } from './tensor-transfer.ts';

export type ComputationDeps = {
  readonly db: SiteDb;
  readonly executor: GraphExecutor;
  readonly outbound: Outbound;
  readonly bundles: Bundles;
  readonly folders: RunFolders;
  /** Made at this site, never leaves. */
  readonly noiseSecret: string;
};

export type Step = { readonly task: RoundTask; readonly permission: RoundPermission; readonly signal: AbortSignal };

type Prepared = { readonly rows: RunRows; readonly snapshot: store.SnapshotRow };

/** Computes one step whose answer the policy and the gate let leave. */
export async function computeStep(deps: ComputationDeps, step: Step, prepared: Prepared): Promise<Performed> {
  const { task } = step;
  switch (task.step.kind) {
    case 'prepare':
      throw new AppError('internal', 'prepare was taken for a computation.');
    case 'standardise':
      return { body: { kind: 'moments', moments: prepared.snapshot.moments } };
    case 'newton':
      return newton(step, task.step.theta, prepared.rows);
    case 'train':
      return train(deps, { ...step, train: task.step }, prepared.rows);
    case 'evaluate':
      return evaluate(deps, { ...step, evaluate: task.step }, prepared);
  }
}

async function newton({ task, permission }: Step, theta: readonly number[], rows: RunRows): Promise<Performed> {
  if (task.manifest.kind !== 'analysis' || task.manifest.analysis.kind !== 'logistic-regression') {
    throw new AppError('bundle.invalid', 'A newton step needs a bundle of logistic regression.');
  }
  const { rowCount, gradient, hessian, logLikelihood } = await newtonStatistics(rows, theta);
  const { patientCountMin } = permission.conditions.runStatistics;
  if ((await effectiveRowCount(rows, theta)) < patientCountMin) return refusedByGate([narrowTheta(patientCountMin)]);
  return { body: { kind: 'newton', rowCount, gradient: [...gradient], hessian: [...hessian], logLikelihood } };
}

/** The hub chooses theta, and could choose one that singles somebody out. */
function narrowTheta(limit: number): DisclosureFinding {
  const message = `At these coefficients the sums rest on fewer than ${limit} rows.`;
  return { rule: 'patient-count', subject: 'rows', limit, message };
}

type TrainTask = Step & { readonly train: Extract<RoundTask['step'], { kind: 'train' }> };

async function train(
  deps: ComputationDeps,
  { task, permission, signal, train: step }: TrainTask,
  rows: RunRows,
): Promise<Performed> {
  if (task.manifest.kind !== 'graph') throw new AppError('bundle.invalid', 'A train step needs a bundle with a graph.');
  const { runId, round } = task;
  const files = await deps.folders.filesOf(runId);
  const controls = await deps.folders.controlsOf(runId);
  const bundle = await deps.bundles.filesOf(task.manifest, signal);
  const arriving = { dir: rows.dir, name: task.taskId, files, signal };
  const weightsFile = await fetchTensors(deps, step.weights, { ...arriving, part: 'weights' });
  const controlFile =
    step.control === undefined
      ? {}
      : { controlFile: await fetchTensors(deps, step.control, { ...arriving, part: 'control' }) };
  faultPoint('site.weights.downloaded');
  const before = step.strategy.kind === 'scaffold' ? await store.findControlBefore(deps.db, runId, round) : undefined;
  const { updateNormMax } = permission.spec.privacy;
  const trained = await trainGraph(
    deps.executor,
    rows,
    {
      manifest: task.manifest,
      files: bundle,
      weightsFile,
      ...controlFile,
      ...(before === undefined ? {} : { clientControlFile: controls.pathOf(before) }),
      ...(updateNormMax === undefined ? {} : { updateNormMax }),
      strategy: step.strategy,
      local: step.local,
      seed: orderSeed(deps.noiseSecret, { seed: step.seed, round }),
      oneClassAllowed: true,
    },
    { name: task.taskId, signal },
  );
  forgetInputs([weightsFile, controlFile.controlFile]);
  const { deltaFile, scaffold, ...counts } = trained;
  const delta = await takeTensors(files, deltaFile);
  const controlDelta = scaffold === undefined ? undefined : await takeTensors(files, scaffold.controlDeltaFile);
  const clientControl = scaffold === undefined ? undefined : await storeFile(controls, scaffold.clientControlFile);
  return {
    body: { kind: 'update', ...counts, delta, ...(controlDelta === undefined ? {} : { controlDelta }) },
    files: [delta, controlDelta].flatMap((ref) => (ref === undefined || ref.bytes !== undefined ? [] : [ref])),
    ...(clientControl === undefined
      ? {}
      : { onStored: (tx) => store.putControl(tx, { runId, round, digest: clientControl.digest }) }),
  };
}

/**
 * The seed of the order in which rows form batches: the same for the same plan at this site, so that a repeated round gives the
 * same bytes, and unknown outside. Whoever knew which rows stand in which batch could ask for one step at the same weights
 * under many seeds: each update is the sum over a known part of the rows, and as many of them as there are rows give the
 * gradient of every single one, which for a linear model is the row.
 */
function orderSeed(secret: string, { seed, round }: { seed: number; round: number }): string {
  return createHmac('sha256', secret).update(`batch-order\0${seed}/${round}`).digest('hex');
}

type EvaluateTask = Step & { readonly evaluate: Extract<RoundTask['step'], { kind: 'evaluate' }> };

async function evaluate(deps: ComputationDeps, step: EvaluateTask, { rows, snapshot }: Prepared): Promise<Performed> {
  const verdict = answerEvaluation(step.permission.conditions.runStatistics, snapshot.facts.test);
  if (verdict.kind === 'refused') {
    return refusedByGate(verdict.findings);
  }
  if (snapshot.facts.test.isHeld === false) {
    return refused('policy.refused', 'This run was prepared when no evaluation of its test rows was to leave.');
  }
  const evaluation = await evaluateModel(deps, step, rows);
  const open = verdict.withheld.length === 0 ? evaluation : withholdClasses(evaluation, verdict.withheld);
  return { body: { kind: 'evaluation', evaluation: open } };
}

async function evaluateModel(deps: ComputationDeps, { task, signal, evaluate: step }: EvaluateTask, rows: RunRows) {
  if (step.theta !== undefined) return evaluateTheta(rows, step.theta);
  if (task.manifest.kind !== 'graph' || step.weights === undefined) {
    throw new AppError('bundle.invalid', 'An evaluate step needs theta, or weights and a bundle with a graph.');
  }
  const files = await deps.folders.filesOf(task.runId);
  const bundle = await deps.bundles.filesOf(task.manifest, signal);
  const arriving = { dir: rows.dir, name: task.taskId, files, signal };
  const weightsFile = await fetchTensors(deps, step.weights, { ...arriving, part: 'weights' });
  const evaluation = await evaluateWeights(
    deps.executor,
    rows,
    { manifest: task.manifest, files: bundle, weightsFile },
    signal,
  );
  forgetInputs([weightsFile]);
  return evaluation;
}
