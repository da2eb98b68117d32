import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  EVERYTHING,
  type InputSource,
  idFromBytes,
  type ModelVersion,
  ModelVersionSchema,
  parse,
} from '@lantern/contract';
import { type DeploymentCandidate, deploymentFindings } from './deployment-rules.ts';

const DIGEST = 'ab'.repeat(32);
const SITE_ID = idFromBytes('SiteId', new Uint8Array(15).fill(3));
const CATEGORIES = [
  { value: '0', meaning: 'female' },
  { value: '1', meaning: 'male' },
];

const AGE: InputSource = { kind: 'patient-age', column: 'age' };
const SEX: InputSource = { kind: 'patient-gender', column: 'sex', categories: { female: '0', male: '1' } };

function versionWith(changes: Partial<ModelVersion> = {}): ModelVersion {
  const document: unknown = {
    schema: 'lantern.model-version/1',
    modelVersionId: idFromBytes('ModelVersionId', new Uint8Array(15).fill(1)),
    model: 'heart',
    version: 1,
    weights: { digest: DIGEST, sizeBytes: 24 },
    manifest: {
      schema: 'lantern.bundle/1',
      kind: 'analysis',
      name: 'lr',
      version: '1.0.0',
      description: 'Logistic regression',
      analysis: { kind: 'logistic-regression', ridge: 1, damping: 1 },
      files: [],
    },
    bundleDigest: DIGEST,
    features: {
      dataset: 'heart',
      features: [
        { kind: 'numeric', column: 'age' },
        { kind: 'one-hot', column: 'sex', categories: ['0', '1'], dropFirst: true },
      ],
      label: {
        name: 'disease',
        positiveWhen: { kind: 'compare', column: 'num', operator: '>', value: 0 },
        columns: ['num'],
      },
      trainWhere: EVERYTHING,
      testWhere: EVERYTHING,
      missing: 'drop-row',
    },
    datasetSchema: {
      name: 'heart',
      title: 'Heart',
      description: 'Test data',
      missingMarks: [],
      columns: [
        {
          kind: 'number',
          name: 'age',
          description: 'd',
          missingAllowed: false,
          unit: 'a',
          range: { min: 18, max: 110 },
        },
        { kind: 'category', name: 'sex', description: 'd', missingAllowed: false, categories: CATEGORIES },
        { kind: 'number', name: 'num', description: 'd', missingAllowed: false, unit: '1', range: { min: 0, max: 4 } },
      ],
    },
    featureNames: ['age', 'sex=1'],
    standardisation: { mean: [54, 0.7], stdDev: [9, 0.4] },
    inputs: [AGE, SEX],
    lineage: {
      projectId: idFromBytes('ProjectId', new Uint8Array(15).fill(2)),
      projectDigest: DIGEST,
      runId: idFromBytes('RunId', new Uint8Array(15).fill(4)),
      plan: {
        algorithm: 'lr',
        rounds: 4,
        standardisation: 'pooled',
        seed: 1,
        sites: [SITE_ID],
        quorum: 1,
        stragglerWaitMs: 0,
        weightSitesBy: 'rows',
      },
      rounds: [],
      sites: [{ siteId: SITE_ID, name: 'North', decisionDigests: [DIGEST], trainRowCount: 100 }],
    },
    evaluation: { combined: { rowCount: 50, auc: 0.81 }, sites: [] },
    card: { title: 't', intendedUse: 'u', notFor: 'n', limits: ['l'], outcome: 'o', contact: 'c' },
    createdBy: 'researcher',
    createdAt: '2026-03-01T00:00:00Z',
  };
  return { ...parse(ModelVersionSchema, document, { what: 'test version' }), ...changes };
}

function rules(changes: Partial<DeploymentCandidate> = {}): string[] {
  const candidate: DeploymentCandidate = {
    version: versionWith(),
    state: 'released',
    signatureVerified: true,
    policy: { aucMin: 0.8, siteCountMin: 1 },
    ...changes,
  };
  return deploymentFindings(candidate).map(({ rule }) => rule);
}

const base = versionWith();

test('a released, signed version with every input and good enough may be deployed', () => {
  assert.deepEqual(rules(), []);
});

test('each broken rule is named, and all of them at once', () => {
  assert.deepEqual(rules({ state: 'retired' }), ['state']);
  assert.deepEqual(rules({ signatureVerified: false }), ['signature']);
  assert.deepEqual(rules({ policy: { aucMin: 0.82, siteCountMin: 2 } }), ['evaluation', 'site-count']);
  assert.deepEqual(rules({ policy: { aucMin: 0.81, siteCountMin: 1 } }), []);
  assert.deepEqual(rules({ version: versionWith({ inputs: [AGE] }), state: 'retired', signatureVerified: false }), [
    'state',
    'signature',
    'inputs',
  ]);
});

test('a run standardised by each site for itself has nothing to carry to the bedside', () => {
  const lineage = { ...base.lineage, plan: { ...base.lineage.plan, standardisation: 'per-site' as const } };
  assert.deepEqual(rules({ version: versionWith({ lineage }) }), ['standardisation']);
});

test('a standardisation of another length is found', () => {
  assert.deepEqual(rules({ version: versionWith({ standardisation: { mean: [54], stdDev: [9] } }) }), [
    'standardisation',
  ]);
});

test('feature names in another order are found', () => {
  assert.deepEqual(rules({ version: versionWith({ featureNames: ['sex=1', 'age'] }) }), ['features']);
});

test('the outcome is not an input, and an input is a column of the dataset', () => {
  const label = { ...base.features.label, columns: ['age'] };
  assert.deepEqual(rules({ version: versionWith({ features: { ...base.features, label } }) }), ['features']);
  const datasetSchema = { ...base.datasetSchema, columns: base.datasetSchema.columns.slice(0, 1) };
  assert.deepEqual(rules({ version: versionWith({ datasetSchema }) }), ['features']);
});

test('every used column has exactly one source that gives what the feature takes', () => {
  const withInputs = (...inputs: InputSource[]) => rules({ version: versionWith({ inputs }) });
  assert.deepEqual(withInputs(AGE), ['inputs']);
  assert.deepEqual(withInputs(AGE, SEX, SEX), ['inputs']);
  assert.deepEqual(withInputs(AGE, { kind: 'patient-age', column: 'sex' }), ['inputs']);
  assert.deepEqual(withInputs({ ...SEX, column: 'age' }, SEX), ['inputs']);
  assert.deepEqual(withInputs(AGE, { ...SEX, categories: { female: '0', male: 'M' } }), ['inputs']);
  assert.deepEqual(withInputs(AGE, SEX, { kind: 'patient-age', column: 'unused' }), []);
});

test('a version that predicts nothing, or has no AUC, is not deployed', () => {
  const { manifest } = base;
  assert.ok(manifest.kind === 'analysis');
  assert.deepEqual(rules({ version: versionWith({ manifest: { ...manifest, analysis: { kind: 'moments' } } }) }), [
    'model',
  ]);
  const evaluation = { combined: { rowCount: 50 }, sites: [] };
  assert.deepEqual(rules({ version: versionWith({ evaluation }), policy: { aucMin: 0, siteCountMin: 0 } }), [
    'evaluation',
  ]);
});
