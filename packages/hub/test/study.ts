/** What most tests of runs start from: sites that offer one dataset, a bundle, and a submitted project over both. */
import {
  type BundleManifest,
  type DatasetSchema,
  type Digest,
  EVERYTHING,
  type FeatureSpec,
  HUB_API,
  isFinal,
  type ModelSpec,
  type Project,
  type ProjectSpec,
  pathOf,
  RUN_STATES,
  type Run,
  type RunId,
  type RunPlan,
  STRATEGY_KINDS,
  type TrainingBounds,
} from '@lantern/contract';
import { buildAnalysisBundle, buildGraphBundle } from '@lantern/runner';
import { sha256 } from '@lantern/service';
import { HEART_COLUMNS } from './heart-disease.ts';
import type { TestPerson } from './running-hub.ts';
import type { ScriptedSite } from './scripted-site.ts';

/** A dataset of numeric columns. */
export function schemaOf(columns: readonly string[] = HEART_COLUMNS): DatasetSchema {
  return {
    name: 'heart',
    title: 'Heart disease',
    description: 'for tests',
    missingMarks: ['?'],
    columns: columns.map((name) => ({
      kind: 'number',
      name,
      description: `column ${name}`,
      missingAllowed: true,
      unit: '1',
      range: { min: -10_000, max: 10_000 },
    })),
  };
}

export function featuresOf(columns: readonly string[] = HEART_COLUMNS): FeatureSpec {
  return {
    dataset: 'heart',
    features: columns.map((column) => ({ kind: 'numeric', column })),
    label: { name: 'disease', positiveWhen: EVERYTHING, columns: [columns[0] ?? 'age'] },
    trainWhere: EVERYTHING,
    testWhere: EVERYTHING,
    missing: 'drop-row',
  };
}

export function specOf(
  sites: readonly ScriptedSite[],
  algorithms: ProjectSpec['algorithms'],
  change: Partial<ProjectSpec> = {},
): ProjectSpec {
  return {
    title: 'Heart disease in four hospitals',
    purpose: 'To test the hub.',
    sites: sites.map((site) => site.siteId),
    datasets: ['heart'],
    algorithms,
    egress: ['counts', 'cohort-size', 'moments', 'newton-statistics', 'weight-update', 'evaluation'],
    privacy: {},
    expiresAt: new Date(Date.now() + 30 * 24 * 3600 * 1000).toISOString(),
    ...change,
  };
}

/** Registers logistic regression (ridge 1, damping 1) or moments. */
export async function registerAnalysis(
  person: TestPerson,
  analysis: { kind: 'moments' } | { kind: 'logistic-regression'; ridge: number; damping: number },
): Promise<Digest> {
  const { manifest } = buildAnalysisBundle({ name: 'analysis', version: '1.0.0', description: 'for tests', analysis });
  return (await person.api.call(HUB_API.createBundle, { body: manifest })).bundleDigest;
}

async function uploadAs(person: TestPerson, bytes: Uint8Array): Promise<Digest> {
  const digest = sha256(bytes);
  const path = `${pathOf(HUB_API.appendUpload, { digest })}?offset=0&sizeBytes=${bytes.byteLength}`;
  const schema = HUB_API.appendUpload.response;
  await person.http.upload(path, { body: bytes, sizeBytes: bytes.byteLength, digest, schema });
  return digest;
}

/** Builds, uploads and registers a small neural network. */
export async function registerGraph(
  person: TestPerson,
  model: ModelSpec,
): Promise<{ bundleDigest: Digest; manifest: BundleManifest }> {
  const built = buildGraphBundle({ name: 'graph', version: '1.0.0', description: 'for tests', model, seed: 7 });
  for (const bytes of built.files.values()) await uploadAs(person, bytes);
  const { bundleDigest } = await person.api.call(HUB_API.createBundle, { body: built.manifest });
  return { bundleDigest, manifest: built.manifest };
}

/** Wide enough for every plan of these tests, and no wider. */
export const GRAPH_BOUNDS: TrainingBounds = {
  strategies: [...STRATEGY_KINDS],
  learningRateMax: 0.1,
  stepsMax: 5,
  proximalMax: 0.1,
};

/** Drafts and submits a project of one algorithm over these sites, which offer its dataset. */
export async function submitStudy(
  person: TestPerson,
  study: {
    sites: readonly ScriptedSite[];
    bundleDigest: Digest;
    columns?: readonly string[];
    roundsMax?: number;
  },
): Promise<Project> {
  for (const site of study.sites) await site.offer(schemaOf(study.columns));
  const { bundles } = await person.api.call(HUB_API.listBundles, {});
  const isGraph = bundles.some(
    ({ bundleDigest, manifest }) => bundleDigest === study.bundleDigest && manifest.kind === 'graph',
  );
  const algorithm = {
    name: 'fit',
    bundleDigest: study.bundleDigest,
    features: featuresOf(study.columns),
    roundsMax: study.roundsMax ?? 50,
    ...(isGraph ? { training: GRAPH_BOUNDS } : {}),
  };
  const { projectId } = await person.api.call(HUB_API.createProject, { body: specOf(study.sites, [algorithm]) });
  return person.api.call(HUB_API.submitProject, { params: { projectId } });
}

export function planOf(sites: readonly ScriptedSite[], change: Partial<RunPlan> = {}): RunPlan {
  return {
    algorithm: 'fit',
    rounds: 3,
    standardisation: 'none',
    seed: 11,
    sites: sites.map((site) => site.siteId),
    quorum: sites.length,
    stragglerWaitMs: 60_000,
    weightSitesBy: 'rows',
    ...change,
  };
}

const LONG_POLL_MS = 20_000;

/** Waits until a run has ended; a run that stands still is given back as it is after some long polls. */
export async function endOfRun(person: TestPerson, runId: RunId): Promise<Run> {
  let run = await person.api.call(HUB_API.readRun, { params: { runId }, query: { waitMs: LONG_POLL_MS } });
  for (let look = 0; look < 4 && !isFinal(RUN_STATES, run.state); look += 1) {
    run = await person.api.call(HUB_API.readRun, { params: { runId }, query: { waitMs: LONG_POLL_MS } });
  }
  return run;
}

/** Two features, one sigmoid: three parameters. */
export function tinyModel(change: Partial<ModelSpec> = {}): ModelSpec {
  return {
    featureCount: 2,
    layers: [{ kind: 'dense', units: 1, bias: true }],
    loss: 'sigmoid-cross-entropy',
    optimiser: { kind: 'sgd', momentum: 0 },
    batchSize: 4,
    proximal: false,
    control: false,
    ...change,
  };
}
