/**
 * The rounds of a run at this site: policy, then the gate, then the computation; the answer, or why not.
 *
 * Invariant: no step is computed unless this site's signed decision allows its answer to leave, and none leaves unless the
 * gate has passed the rows behind it under the rules of that decision. Both are asked in every round anew, so a decision
 * that changed between two rounds holds from the next one on.
 */
import {
  type AnswerBody,
  AppError,
  type BlobRef,
  type DisclosureFinding,
  type ProjectId,
  type ProjectSpec,
  type RoundTask,
  RUN_STATISTICS_POLICY_DEFAULT,
  type Standardisation,
} from '@lantern/contract';
import { featureNames, standardisationOf, withholdClasses } from '@lantern/learning';
import { answerEvaluation, answerRunStatistics } from '@lantern/omop';
import { bundleDigest, type GraphExecutor } from '@lantern/runner';
import { type BlobStore, faultPoint } from '@lantern/service';
import { type Dataset, schemaDigestOf } from '../datasets/datasets.ts';
import type { TableEngine } from '../datasets/table-engine.ts';
import type { Performed } from '../exchange/performer.ts';
import { allowsRound, type Refusal, type RoundPermission, type Standing } from '../governance/policy.ts';
import type { Outbound } from '../hub-link/outbound.ts';
import { downloadBlob } from '../hub-link/transfer.ts';
import type { SiteContext } from '../site-context.ts';
import { type Bundles, parameterCountOf } from './bundles.ts';
import type { RunFolders } from './run-folder.ts';
import { ensureRows, makeSnapshot, readFacts } from './snapshot.ts';
import { evaluateTheta, evaluateWeights, newtonStatistics, type RunRows, trainGraph } from './steps.ts';
import * as store from './store.ts';

const IDLE_MS_MAX = 30 * 24 * 3600 * 1000; // a run that nothing was asked of for a month is over here

export type TrainingDeps = SiteContext & {
  readonly engine: TableEngine;
  readonly executor: GraphExecutor;
  readonly outbound: Outbound;
  readonly bundles: Bundles;
  readonly folders: RunFolders;
  readonly findDataset: (name: string) => Promise<Dataset | undefined>;
  readonly standingOf: (projectId: ProjectId, signal: AbortSignal) => Promise<Standing | undefined>;
};

export type Training = ReturnType<typeof createTraining>;

export function createTraining(deps: TrainingDeps) {
  return {
    async perform(task: RoundTask, signal: AbortSignal): Promise<Performed> {
      const permission = await permissionOf(deps, task, signal);
      if (!permission.allowed) return refused(permission.code, permission.message);
      const performed =
        task.step.kind === 'prepare'
          ? await prepare(deps, { task, permission, signal })
          : await compute(deps, { task, permission, signal });
      return { ...performed, decisionDigest: permission.decisionDigest };
    },

    /** May the stored answer still leave? */
    async recheck(task: RoundTask): Promise<Refusal | undefined> {
      const permission = await permissionOf(deps, task, new AbortController().signal);
      return permission.allowed ? undefined : permission;
    },

    /** What the gate says to each algorithm of a project under its defaults. */
    preview: (spec: ProjectSpec, signal: AbortSignal) => preview(deps, spec, signal),

    /** Forgets runs that nothing was asked of for a long time. */
    async sweep(): Promise<void> {
      const unusedSince = new Date(deps.clock.now().getTime() - IDLE_MS_MAX);
      for (const runId of await store.deleteIdleSnapshots(deps.db, unusedSince)) await deps.folders.remove(runId);
    },
  };
}

async function permissionOf(
  deps: TrainingDeps,
  task: RoundTask,
  signal: AbortSignal,
): Promise<RoundPermission | Refusal> {
  const standing = await deps.standingOf(task.projectId, signal);
  return allowsRound(standing, { task, manifestDigest: bundleDigest(task.manifest), now: deps.clock.now() });
}

type Step = { readonly task: RoundTask; readonly permission: RoundPermission; readonly signal: AbortSignal };

async function prepare(deps: TrainingDeps, { task, permission, signal }: Step): Promise<Performed> {
  const { features } = permission.algorithm;
  const dataset = await deps.findDataset(features.dataset);
  if (dataset === undefined) return refused('not-found', `This site offers no dataset "${features.dataset}".`);
  if (task.manifest.kind === 'graph') await deps.bundles.filesOf(task.manifest, signal);
  const { schema, contentDigest } = dataset;
  const dir = await deps.folders.dirOf(task.runId);
  const snapshot = await makeSnapshot(deps.engine, { schema, contentDigest, features }, { dir, signal });
  const parameterCount = parameterCountOf(task.manifest, featureNames(features).length);
  const policy = permission.conditions.runStatistics;
  const verdict = answerRunStatistics(policy, { ...snapshot.facts.train, parameterCount });
  if (verdict.kind === 'refused') {
    await deps.folders.remove(task.runId);
    return refused('disclosure.refused', refusalText(verdict.findings), verdict.findings);
  }
  const { trainRowCount, testRowCount } = snapshot;
  const testOpen = answerEvaluation(policy, snapshot.facts.test).kind === 'released';
  return {
    body: {
      kind: 'prepared',
      schemaDigest: schemaDigestOf(schema),
      trainRowCount,
      testRowCount: testOpen ? testRowCount : 0, // no rows and too few rows look alike
    },
    onStored: (tx) =>
      store.putSnapshot(tx, {
        ...snapshot,
        runId: task.runId,
        projectId: task.projectId,
        contentDigest,
        schema,
        features,
        at: deps.clock.now(),
      }),
  };
}

function refusalText(findings: readonly DisclosureFinding[]): string {
  const [first] = findings;
  const more = findings.length > 1 ? ` And ${findings.length - 1} more.` : '';
  return `The disclosure gate refuses: ${first?.message ?? 'a rule is broken.'}${more}`;
}

async function compute(deps: TrainingDeps, step: Step): Promise<Performed> {
  const { task, permission, signal } = step;
  const snapshot = await store.findSnapshot(deps.db, task.runId);
  if (snapshot === undefined || snapshot.project_id !== task.projectId) {
    return refused('policy.refused', 'This run was not prepared at this site.');
  }
  const parameterCount = parameterCountOf(task.manifest, featureNames(snapshot.features).length);
  const policy = permission.conditions.runStatistics;
  const verdict = answerRunStatistics(policy, { ...snapshot.facts.train, parameterCount });
  if (verdict.kind === 'refused') return refused('disclosure.refused', refusalText(verdict.findings), verdict.findings);
  const { schema, content_digest: contentDigest, features } = snapshot;
  const dir = await deps.folders.dirOf(task.runId);
  await ensureRows(deps.engine, { schema, contentDigest, features }, { dir, signal });
  const rows: RunRows = {
    dir,
    featureCount: featureNames(features).length,
    trainRowCount: snapshot.train_row_count,
    testRowCount: snapshot.test_row_count,
    standardisation: standardisationFor(task, snapshot),
  };
  const performed = await computeStep(deps, step, { rows, snapshot });
  return {
    ...performed,
    onStored: async (tx) => {
      await performed.onStored?.(tx);
      await store.markSnapshotUsed(tx, task.runId, deps.clock.now());
    },
  };
}

function standardisationFor(task: RoundTask, snapshot: store.SnapshotRow): Standardisation | undefined {
  const { standardisation } = task;
  switch (standardisation.kind) {
    case 'none':
      return undefined;
    case 'per-site':
      return standardisationOf(snapshot.moments);
    case 'pooled':
      return 'values' in standardisation ? standardisation.values : undefined;
  }
}

type Prepared = { readonly rows: RunRows; readonly snapshot: store.SnapshotRow };

async function computeStep(deps: TrainingDeps, step: Step, prepared: Prepared): Promise<Performed> {
  const { task } = step;
  switch (task.step.kind) {
    case 'prepare':
      throw new AppError('internal', 'prepare was taken for a computation.');
    case 'standardise':
      return { body: { kind: 'moments', moments: prepared.snapshot.moments } };
    case 'newton':
      return newton(task, task.step.theta, prepared.rows);
    case 'train':
      return train(deps, { ...step, train: task.step }, prepared.rows);
    case 'evaluate':
      return evaluate(deps, { ...step, evaluate: task.step }, prepared);
  }
}

async function newton(task: RoundTask, theta: readonly number[], rows: RunRows): Promise<Performed> {
  if (task.manifest.kind !== 'analysis' || task.manifest.analysis.kind !== 'logistic-regression') {
    throw new AppError('bundle.invalid', 'A newton step needs a bundle of logistic regression.');
  }
  const { rowCount, gradient, hessian, logLikelihood } = await newtonStatistics(rows, theta);
  return { body: { kind: 'newton', rowCount, gradient: [...gradient], hessian: [...hessian], logLikelihood } };
}

type TrainTask = Step & { readonly train: Extract<RoundTask['step'], { kind: 'train' }> };

async function train(
  deps: TrainingDeps,
  { task, permission, signal, train: step }: TrainTask,
  rows: RunRows,
): Promise<Performed> {
  if (task.manifest.kind !== 'graph') throw new AppError('bundle.invalid', 'A train step needs a bundle with a graph.');
  const { runId, round } = task;
  const files = await deps.folders.filesOf(runId);
  const controls = await deps.folders.controlsOf(runId);
  const bundle = await deps.bundles.filesOf(task.manifest, signal);
  const weightsFile = await fetchFile(deps, files, { ...step.weights, signal });
  const controlFile =
    step.control === undefined ? {} : { controlFile: await fetchFile(deps, files, { ...step.control, signal }) };
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
      // The same plan gives the same weights, whoever the sites are; their rows differ, so the shared shuffle tells nothing.
      seed: `${step.seed}/${round}`,
      oneClassAllowed: true,
    },
    { files, controls, name: task.taskId, signal },
  );
  await forgetInputs(files, [step.weights, step.control]);
  const { body, clientControl } = trained;
  return {
    body: { kind: 'update', ...body },
    files: [body.delta, ...(body.controlDelta === undefined ? [] : [body.controlDelta])],
    onStored: async (tx) => {
      if (clientControl !== undefined) await store.putControl(tx, { runId, round, digest: clientControl.digest });
    },
  };
}

async function fetchFile(
  deps: TrainingDeps,
  files: BlobStore,
  wanted: BlobRef & { signal: AbortSignal },
): Promise<string> {
  await downloadBlob(deps.outbound, files, wanted);
  return files.pathOf(wanted.digest);
}

/** The next round brings new weights; a step done again after a crash fetches them again. */
async function forgetInputs(files: BlobStore, inputs: readonly (BlobRef | undefined)[]): Promise<void> {
  for (const input of inputs) if (input !== undefined) await files.remove(input.digest);
}

type EvaluateTask = Step & { readonly evaluate: Extract<RoundTask['step'], { kind: 'evaluate' }> };

async function evaluate(deps: TrainingDeps, step: EvaluateTask, { rows, snapshot }: Prepared): Promise<Performed> {
  const verdict = answerEvaluation(step.permission.conditions.runStatistics, snapshot.facts.test);
  if (verdict.kind === 'refused') {
    return refused('disclosure.refused', refusalText(verdict.findings), verdict.findings);
  }
  const evaluation = await evaluateModel(deps, step, rows);
  const open = verdict.withheld.length === 0 ? evaluation : withholdClasses(evaluation, verdict.withheld);
  return { body: { kind: 'evaluation', evaluation: open } };
}

async function evaluateModel(deps: TrainingDeps, { task, signal, evaluate: step }: EvaluateTask, rows: RunRows) {
  if (step.theta !== undefined) return evaluateTheta(rows, step.theta);
  if (task.manifest.kind !== 'graph' || step.weights === undefined) {
    throw new AppError('bundle.invalid', 'An evaluate step needs theta, or weights and a bundle with a graph.');
  }
  const files = await deps.folders.filesOf(task.runId);
  const bundle = await deps.bundles.filesOf(task.manifest, signal);
  const weightsFile = await fetchFile(deps, files, { ...step.weights, signal });
  const evaluation = await evaluateWeights(
    deps.executor,
    rows,
    { manifest: task.manifest, files: bundle, weightsFile },
    signal,
  );
  await forgetInputs(files, [step.weights]);
  return evaluation;
}

async function preview(
  deps: TrainingDeps,
  spec: ProjectSpec,
  signal: AbortSignal,
): Promise<{ name: string; findings: DisclosureFinding[] }[]> {
  const previews: { name: string; findings: DisclosureFinding[] }[] = [];
  for (const { name, bundleDigest: digest, features } of spec.algorithms) {
    const dataset = await deps.findDataset(features.dataset);
    if (dataset === undefined) {
      throw new AppError(
        'not-found',
        `This site offers no dataset "${features.dataset}"; algorithm "${name}" cannot run.`,
      );
    }
    const manifest = await deps.bundles.manifestOf(digest, signal);
    const parameterCount = parameterCountOf(manifest, featureNames(features).length);
    const { train: facts } = await readFacts(deps.engine, { ...dataset, features }, signal);
    const verdict = answerRunStatistics(RUN_STATISTICS_POLICY_DEFAULT, { ...facts, parameterCount });
    previews.push({ name, findings: verdict.kind === 'refused' ? [...verdict.findings] : [] });
  }
  return previews;
}

function refused(
  code: Extract<AnswerBody, { kind: 'refused' }>['code'],
  message: string,
  findings: readonly DisclosureFinding[] = [],
): Performed {
  return { body: { kind: 'refused', code, message, findings: [...findings] } };
}
