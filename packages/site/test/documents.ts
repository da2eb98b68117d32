/** Documents of a small project as tests need them: a dataset, its features, a project over it, a task of a run. */
import {
  COUNT_POLICY_DEFAULT,
  type Conditions,
  type DatasetSchema,
  type Decision,
  type Digest,
  type FeatureSpec,
  type ProjectId,
  type ProjectSpec,
  type RoundTask,
  RUN_STATISTICS_POLICY_DEFAULT,
  type SiteId,
  type Step,
  type TrainingBounds,
} from '@lantern/contract';
import { buildAnalysisBundle } from '@lantern/runner';
import { documentDigest, newId } from '@lantern/service';

export const SCHEMA: DatasetSchema = {
  name: 'clinic',
  title: 'Patients of a clinic',
  description: 'One row per patient.',
  missingMarks: ['?'],
  columns: [
    { kind: 'patient-key', name: 'patient', description: 'number of the patient' },
    {
      kind: 'number',
      name: 'age',
      description: 'age',
      unit: 'a',
      range: { min: 18, max: 110 },
      medianRange: { min: 30, max: 80 },
      binEdges: [18, 40, 60, 110],
      missingAllowed: false,
    },
    {
      kind: 'number',
      name: 'pressure',
      description: 'systolic blood pressure',
      unit: 'mm[Hg]',
      range: { min: 50, max: 300 },
      medianRange: { min: 90, max: 180 },
      missingAllowed: true,
    },
    {
      kind: 'category',
      name: 'sex',
      description: 'sex as recorded',
      missingAllowed: false,
      categories: [
        { value: '0', meaning: 'female' },
        { value: '1', meaning: 'male' },
      ],
    },
    {
      kind: 'category',
      name: 'outcome',
      description: 'disease found',
      missingAllowed: false,
      categories: [
        { value: '0', meaning: 'no' },
        { value: '1', meaning: 'yes' },
      ],
    },
    {
      kind: 'category',
      name: 'split',
      description: 'division of the patients',
      missingAllowed: false,
      categories: [
        { value: 'train', meaning: 'for training' },
        { value: 'test', meaning: 'held back' },
      ],
    },
  ],
};

export const FEATURES: FeatureSpec = {
  dataset: 'clinic',
  features: [
    { kind: 'numeric', column: 'age' },
    { kind: 'numeric', column: 'pressure' },
    { kind: 'one-hot', column: 'sex', categories: ['0', '1'], dropFirst: true },
  ],
  label: { name: 'disease', positiveWhen: { kind: 'in', column: 'outcome', values: ['1'] }, columns: ['outcome'] },
  trainWhere: { kind: 'in', column: 'split', values: ['train'] },
  testWhere: { kind: 'in', column: 'split', values: ['test'] },
  missing: 'drop-row',
};

export const REGRESSION = buildAnalysisBundle({
  name: 'regression',
  version: '1.0.0',
  description: 'Logistic regression by Newton-Raphson.',
  analysis: { kind: 'logistic-regression', ridge: 1, damping: 1 } as { kind: string },
});

/** A bundle digest of its own, for a second algorithm. */
export const MOMENTS = buildAnalysisBundle({
  name: 'moments',
  version: '1.0.0',
  description: 'Mean and variance.',
  analysis: { kind: 'moments' },
});

/** Wide enough for what these tests train, and no wider. */
export const TRAINING_BOUNDS: TrainingBounds = {
  strategies: ['fedavg', 'scaffold'],
  learningRateMax: 0.1,
  stepsMax: 20,
  epochsMax: 2,
};

export function projectSpec(siteId: SiteId, change: Partial<ProjectSpec> = {}): ProjectSpec {
  return {
    title: 'Disease in two clinics',
    purpose: 'To test.',
    sites: [siteId],
    datasets: ['clinic'],
    algorithms: [
      { name: 'regression', bundleDigest: REGRESSION.bundleDigest, features: FEATURES, roundsMax: 5 },
      { name: 'moments', bundleDigest: MOMENTS.bundleDigest, features: FEATURES, roundsMax: 1 },
    ],
    egress: ['counts', 'cohort-size', 'moments', 'newton-statistics', 'weight-update', 'evaluation'],
    privacy: {},
    expiresAt: '2099-01-01T00:00:00.000Z',
    ...change,
  };
}

export function conditionsOf(spec: ProjectSpec, change: Partial<Conditions> = {}): Conditions {
  return {
    datasets: spec.datasets,
    bundleDigests: spec.algorithms.map(({ bundleDigest }) => bundleDigest),
    egress: spec.egress,
    counts: COUNT_POLICY_DEFAULT,
    runStatistics: RUN_STATISTICS_POLICY_DEFAULT,
    ...change,
  };
}

export function approvalOf(
  spec: ProjectSpec,
  ids: { siteId: SiteId; projectId: ProjectId },
  change: Partial<Decision> = {},
): { document: Decision; digest: Digest } {
  const document: Decision = {
    schema: 'lantern.decision/1',
    decisionId: newId('DecisionId'),
    ...ids,
    projectDigest: documentDigest(spec),
    verdict: 'approved',
    conditions: conditionsOf(spec),
    reason: 'Approved by the committee.',
    decidedBy: 'grace',
    decidedAt: '2026-03-01T08:00:00.000Z',
    expiresAt: spec.expiresAt,
    sequence: 1,
    ...change,
  };
  return { document, digest: documentDigest(document) };
}

export function roundTask(
  spec: ProjectSpec,
  ids: { siteId: SiteId; projectId: ProjectId },
  task: { step: Step; round: number } & Partial<RoundTask>,
): RoundTask {
  return {
    schema: 'lantern.task/1',
    taskId: newId('TaskId'),
    ...ids,
    createdAt: '2026-03-01T09:00:00.000Z',
    kind: 'round',
    projectDigest: documentDigest(spec),
    runId: newId('RunId'),
    algorithm: 'regression',
    manifest: REGRESSION.manifest,
    bundleDigest: REGRESSION.bundleDigest,
    standardisation: { kind: 'per-site' },
    ...task,
  };
}

/** Rows of the clinic as CSV: `patients` of them, deterministic, with both outcomes and both sexes well filled. */
export function clinicCsv(patients: number, options: { from?: number; marker?: string } = {}): string {
  const { from = 0, marker = 'p' } = options;
  const lines = ['patient,age,pressure,sex,outcome,split'];
  for (let index = from; index < from + patients; index += 1) {
    const age = 35 + ((index * 7) % 41);
    const pressure = index % 17 === 3 ? '?' : String(105 + ((index * 13) % 61));
    const sex = index % 3 === 0 ? 0 : 1;
    const outcome = (index * 5 + age) % 7 < 3 ? 1 : 0;
    const split = index % 5 === 0 ? 'test' : 'train';
    lines.push(`${marker}${index},${age},${pressure},${sex},${outcome},${split}`);
  }
  return `${lines.join('\n')}\n`;
}
