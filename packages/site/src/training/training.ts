/**
 * The rounds of a run at this site: policy, then the gate, then the computation; the answer, or why not.
 *
 * Invariant: no step is computed unless this site's signed decision allows its answer to leave, and none leaves unless the
 * gate has passed the rows behind it under the rules of that decision. Both are asked in every round anew, so a decision
 * that changed between two rounds holds from the next one on.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  AppError,
  type Digest,
  type DisclosureFinding,
  type FeatureSpec,
  type ProjectId,
  type RoundTask,
  type Standardisation,
} from '@lantern/contract';
import { featureNames, standardisationOf } from '@lantern/learning';
import { answerEvaluation, answerRunStatistics } from '@lantern/omop';
import { bundleDigest } from '@lantern/runner';
import { LISTS_STALE } from '../cohort-datasets/remainder.ts';
import { type Dataset, schemaDigestOf } from '../datasets/datasets.ts';
import type { TableEngine } from '../datasets/table-engine.ts';
import type { Performed } from '../exchange/performer.ts';
import { allowsRound, type Refusal, type RoundPermission, type Standing } from '../governance/policy.ts';
import type { ResearchSeries } from '../research-images/research-series.ts';
import type { SiteContext } from '../site-context.ts';
import { holdsPairs, parameterCountOf } from './bundles.ts';
import { type ComputationDeps, computeStep, type Step } from './computation.ts';
import { refused, refusedByGate } from './refusal.ts';
import { letRunIn } from './release.ts';
import { assertImagesReadable, imagesIn, type RunImages } from './run-images.ts';
import { ensureRows, makeSnapshot } from './snapshot.ts';
import { type RunRows, rowCountBehindUpdate } from './steps.ts';
import * as store from './store.ts';

const USED_NOTED_EVERY_MS = 24 * 3600 * 1000; // fine enough for a limit of a month
const IDLE_MS_MAX = 30 * 24 * 3600 * 1000; // a run that nothing was asked of for a month is over here

export type TrainingDeps = SiteContext &
  ComputationDeps & {
    readonly engine: TableEngine;
    readonly findDataset: (name: string) => Promise<Dataset | undefined>;
    /** A version that a decision names, while the dataset is offered in whatever version. */
    readonly findVersion: (name: string, version: Digest) => Promise<Dataset | undefined>;
    /** With the content that may be used now: patients who opted out since have left it. */
    readonly withoutLeavers: (dataset: Dataset, signal: AbortSignal) => Promise<Dataset | 'lists-stale'>;
    readonly standingOf: (projectId: ProjectId, signal: AbortSignal) => Promise<Standing | undefined>;
    /** Research copies of images; `undefined` where the site has none. */
    readonly series: () => Pick<ResearchSeries, 'filesOf' | 'assertReadable'> | undefined;
  };

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

async function prepare(deps: TrainingDeps, { task, permission, signal }: Step): Promise<Performed> {
  const { features } = permission.algorithm;
  const dataset = await frozenDataset(deps, { permission, signal });
  if ('body' in dataset) return dataset;
  if (task.manifest.kind === 'graph') await deps.bundles.filesOf(task.manifest, signal);
  const { schema, contentDigest } = dataset;
  const dir = await deps.folders.dirOf(task.runId);
  const images = imagesFor(deps, { task, permission });
  const source = { schema, contentDigest, features, holdsPairs: holdsPairs(task.manifest), images };
  const snapshot = await makeSnapshot(deps.engine, source, { dir, signal });
  const parameterCount = parameterCountOf(task.manifest, featureNames(features).length);
  const policy = permission.conditions.runStatistics;
  const verdict = answerRunStatistics(policy, { ...snapshot.facts.train, parameterCount });
  const findings = [
    ...(verdict.kind === 'refused' ? verdict.findings : []),
    ...fewImages(features, { rowCount: snapshot.trainRowCount, patientCountMin: policy.patientCountMin }),
  ];
  if (findings.length > 0) {
    await deps.folders.remove(task.runId);
    return refusedByGate(findings);
  }
  const { trainRowCount, testRowCount, held } = snapshot;
  const testOpen = answerEvaluation(policy, snapshot.facts.test).kind === 'released';
  const notLetIn = await letRunIn(deps, {
    task,
    permission,
    dataset: schema.name,
    held: [{ rowSet: 'train', rows: held.train }, ...(testOpen ? [{ rowSet: 'test' as const, rows: held.test }] : [])],
  });
  if (notLetIn !== undefined) {
    await deps.folders.remove(task.runId);
    return notLetIn;
  }
  const facts = { train: snapshot.facts.train, test: { ...snapshot.facts.test, isHeld: testOpen } };
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
        facts,
        runId: task.runId,
        projectId: task.projectId,
        contentDigest,
        schema,
        features,
        at: deps.clock.now(),
      }),
  };
}

/** For this project, as the site's decision bounds it. */
function imagesFor(
  { series }: TrainingDeps,
  { task, permission }: Pick<Step, 'task' | 'permission'>,
): RunImages | undefined {
  const found = series();
  if (found === undefined) return undefined;
  const reader = { projectId: task.projectId, runId: task.runId };
  const { patientCountMin } = permission.conditions.runStatistics;
  return {
    patientCountMin,
    filesOf: (references) => found.filesOf(references, reader),
    assertReadable: (references) => found.assertReadable(references, task.projectId),
  };
}

/** Who differs from all others in a number of an image can be told only among twice as many. */
function fewImages(
  features: FeatureSpec,
  { rowCount, patientCountMin }: { rowCount: number; patientCountMin: number },
): DisclosureFinding[] {
  const limit = 2 * patientCountMin;
  if (imagesIn(features).length === 0 || rowCount >= limit) return [];
  const message = `Images need ${limit} training rows at least, twice the threshold.`;
  return [{ rule: 'patient-count', subject: 'rows with images', limit, message }];
}

/**
 * What the decision was made on, whatever was registered under the name since; less the patients who have opted out. Decisions from
 * before versions were written into them mean what is offered.
 */
async function frozenDataset(
  deps: TrainingDeps,
  { permission, signal }: Pick<Step, 'permission' | 'signal'>,
): Promise<Dataset | Performed> {
  const { dataset: name } = permission.algorithm.features;
  const offered = await deps.findDataset(name);
  if (offered === undefined) return refused('not-found', `This site offers no dataset "${name}".`);
  const { versions } = permission.conditions;
  const version = versions?.find(({ dataset }) => dataset === name)?.version;
  const decided = version === undefined ? undefined : await deps.findVersion(name, version);
  if (versions !== undefined && decided === undefined) {
    const message = `This site's decision names no version of dataset "${name}" that is here; it has to decide anew.`;
    return refused('policy.refused', message);
  }
  const usable = await deps.withoutLeavers(decided ?? offered, signal);
  return usable === 'lists-stale' ? refused('policy.refused', LISTS_STALE) : usable;
}

async function compute(deps: TrainingDeps, step: Step): Promise<Performed> {
  const { task, permission, signal } = step;
  const snapshot = await store.findSnapshot(deps.db, task.runId);
  if (snapshot === undefined || snapshot.project_id !== task.projectId) {
    return refused('policy.refused', 'This run was not prepared at this site.');
  }
  if (!isDeepStrictEqual(snapshot.features, permission.algorithm.features)) {
    return refused('policy.refused', 'This run was prepared for the features of another algorithm.');
  }
  if (holdsPairs(task.manifest) && snapshot.facts.train.pairs === undefined) {
    return refused('policy.refused', 'This run was prepared for an algorithm whose statistics hold less.');
  }
  const parameterCount = parameterCountOf(task.manifest, featureNames(snapshot.features).length);
  const policy = permission.conditions.runStatistics;
  const verdict = answerRunStatistics(policy, { ...snapshot.facts.train, parameterCount });
  if (verdict.kind === 'refused') return refusedByGate(verdict.findings);
  const narrow = narrowTraining(task, { rowCount: snapshot.train_row_count, patientCountMin: policy.patientCountMin });
  if (narrow !== undefined) return refusedByGate([narrow]);
  const { schema, content_digest: contentDigest, features } = snapshot;
  const dir = await deps.folders.dirOf(task.runId);
  const counts = { trainRowCount: snapshot.train_row_count, testRowCount: snapshot.test_row_count };
  const images = imagesFor(deps, { task, permission });
  await assertImagesReadable(deps.engine, { contentDigest, features, images }, signal);
  await ensureRows(deps.engine, { schema, contentDigest, features, images, ...counts }, { dir, signal });
  const rows: RunRows = {
    dir,
    featureCount: featureNames(features).length,
    trainRowCount: snapshot.train_row_count,
    testRowCount: snapshot.test_row_count,
    standardisation: standardisationFor(task, snapshot),
  };
  const performed = await computeStep(deps, step, { rows, snapshot });
  const now = deps.clock.now();
  if (now.getTime() - snapshot.used_at.getTime() < USED_NOTED_EVERY_MS) return performed;
  return {
    ...performed,
    onStored: async (tx) => {
      await performed.onStored?.(tx);
      await store.markSnapshotUsed(tx, task.runId, now);
    },
  };
}

/**
 * An update over fewer rows than the gate asks patients for is those rows: one step of one row is the row itself, times a
 * number. Rows are patients or fewer, so the rows behind an update bound the patients in it from above.
 */
function narrowTraining(
  { step, manifest }: RoundTask,
  limits: { rowCount: number; patientCountMin: number },
): DisclosureFinding | undefined {
  if (step.kind !== 'train' || manifest.kind !== 'graph') return undefined;
  const round = { rowCount: limits.rowCount, batchSize: manifest.model.batchSize, work: step.local.work };
  if (rowCountBehindUpdate(round) >= limits.patientCountMin) return undefined;
  return {
    rule: 'patient-count',
    subject: 'rows',
    limit: limits.patientCountMin,
    message: `The update of this round would rest on fewer than ${limits.patientCountMin} rows.`,
  };
}

function standardisationFor(task: RoundTask, snapshot: store.SnapshotRow): Standardisation | undefined {
  const { standardisation } = task;
  if (task.step.kind === 'standardise') return undefined; // the round that finds the pooled values works on rows as they are
  switch (standardisation.kind) {
    case 'none':
      return undefined;
    case 'per-site':
      return standardisationOf(snapshot.moments);
    case 'pooled':
      return 'values' in standardisation ? pooledValues(standardisation.values, snapshot) : refusePooled();
  }
}

function pooledValues(values: Standardisation, snapshot: store.SnapshotRow): Standardisation {
  const featureCount = featureNames(snapshot.features).length;
  return values.mean.length === featureCount && values.stdDev.length === featureCount ? values : refusePooled();
}

function refusePooled(): never {
  throw new AppError('input.invalid', 'The task lacks a pooled mean and standard deviation for each feature.');
}
