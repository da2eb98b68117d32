/**
 * A small federation of real processes for whole-journey tests: one hub, two sites, a seeded synthetic table of 400 patients
 * each, one approved project with an exact analysis and a graph. Each process can be restarted with a fault point armed.
 */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  type DatasetSchema,
  type FeatureSpec,
  HUB_API,
  type NewModelVersion,
  type ProjectId,
  type Run,
  type RunPlan,
  SITE_API,
  type SiteId,
} from '@lantern/contract';
import {
  type Connection,
  connect,
  pushBundle,
  runLantern,
  type ServerProcess,
  startServer,
  uploadFile,
} from '@lantern/lantern';
import { buildAnalysisBundle, buildGraphBundle } from '@lantern/runner';
import { seededRandom } from '../../packages/site/test/seeded-random.ts';

const EXACT = { kind: 'logistic-regression', ridge: 1, damping: 1 };
const FEATURE_NAMES = ['age', 'pressure', 'pulse', 'glucose'];
const ROW_COUNT = 400;
export const TRAIN_ROW_COUNT = 300; // three rows of four; the fourth is for the test
export const GRAPH_ROUNDS = 3;

const TEST_DATASET: DatasetSchema = {
  name: 'synthetic',
  title: 'Synthetic patients',
  description: 'Seeded random numbers; nobody.',
  missingMarks: [''],
  columns: [
    ...FEATURE_NAMES.map((name) => ({
      kind: 'number' as const,
      name,
      description: name,
      unit: '1',
      range: { min: -100, max: 100 },
      missingAllowed: false,
    })),
    category('outcome', ['0', '1']),
    category('split', ['train', 'test']),
  ],
};

function category(name: string, values: readonly string[]) {
  return {
    kind: 'category' as const,
    name,
    description: name,
    missingAllowed: false,
    categories: values.map((value) => ({ value, meaning: value })),
  };
}

const TEST_FEATURES: FeatureSpec = {
  dataset: 'synthetic',
  features: FEATURE_NAMES.map((column) => ({ kind: 'numeric', column })),
  label: { name: 'outcome', positiveWhen: { kind: 'in', column: 'outcome', values: ['1'] }, columns: ['outcome'] },
  trainWhere: { kind: 'in', column: 'split', values: ['train'] },
  testWhere: { kind: 'in', column: 'split', values: ['test'] },
  missing: 'drop-row',
};

/** What a person asks for to release a run of the test's features. */
export function newModelVersion({ runId }: Pick<Run, 'runId'>): NewModelVersion {
  return {
    runId,
    model: 'synthetic-risk',
    inputs: FEATURE_NAMES.map((column) => ({
      kind: 'observation-quantity',
      column,
      codings: [{ system: 'urn:lantern:test', code: column }],
      units: [{ unit: '1', factor: 1 }],
      range: { min: -100, max: 100 },
      ageMaxDays: 30,
    })),
    card: {
      title: 'Risk in synthetic patients',
      intendedUse: 'to test the whole journey',
      notFor: 'patients',
      limits: ['random numbers'],
      outcome: 'the outcome of a random number',
      contact: 'the authors',
    },
  };
}

function syntheticCsv(seed: number): string {
  const uniform = seededRandom(seed);
  const rows = Array.from({ length: ROW_COUNT }, (_, index) => {
    const x = FEATURE_NAMES.map(() => (uniform() - 0.5) * 4);
    const risk = 1 / (1 + Math.exp(-(1.5 * (x[0] ?? 0) - (x[1] ?? 0) + 0.3)));
    return [...x.map((value) => value.toFixed(4)), uniform() < risk ? 1 : 0, index % 4 === 3 ? 'test' : 'train'].join(
      ',',
    );
  });
  return `${[...FEATURE_NAMES, 'outcome', 'split'].join(',')}\n${rows.join('\n')}\n`;
}

export type TestSite = { readonly key: string; readonly siteId: SiteId; admin: Connection; process: ServerProcess };

export class TestFederation {
  readonly root: string;
  hub: ServerProcess;
  admin: Connection;
  readonly sites: TestSite[] = [];
  projectId: ProjectId | undefined;

  private constructor(root: string, hub: ServerProcess, admin: Connection) {
    this.root = root;
    this.hub = hub;
    this.admin = admin;
  }

  /** `elsewhere`: folders below the root, such as "hub/blobs", that really lie in another place (on a disk of their own). */
  static async start(siteCount: number, elsewhere: Readonly<Record<string, string>> = {}): Promise<TestFederation> {
    const root = await mkdtemp(path.join(os.tmpdir(), 'lantern-journey-'));
    await chmod(root, 0o711);
    for (const [folder, place] of Object.entries(elsewhere)) {
      await mkdir(path.dirname(path.join(root, folder)), { recursive: true, mode: 0o711 });
      await symlink(place, path.join(root, folder));
    }
    const hub = await startServer(settingsOf(root), { name: 'hub', folder: 'hub', args: ['hub'] });
    const federation = new TestFederation(root, hub, await connect({ data: hub.dataDir, url: hub.url }, {}));
    for (let index = 0; index < siteCount; index++) await federation.addSite(index);
    federation.projectId = await federation.approveProject();
    return federation;
  }

  private async addSite(index: number): Promise<void> {
    const key = `site-${index}`;
    const { code } = await this.admin.api.call(HUB_API.createEnrolmentCode, { body: { siteName: key } });
    const dataDir = path.join(this.root, key);
    const link = await runLantern(settingsOf(this.root), [
      'site',
      'join',
      '--hub',
      this.hub.url,
      '--code',
      code,
      '--name',
      key,
      '--data',
      dataDir,
    ]);
    const { siteId } = link as { siteId: SiteId };
    const process = await startServer(settingsOf(this.root), { name: key, folder: key, args: ['site'] });
    const admin = await connect({ data: process.dataDir, url: process.url }, {});
    const roles = ['admin', 'governance', 'data-engineer'];
    await admin.api.call(SITE_API.createUser, { body: { name: 'tester', password: 'a long enough password', roles } });
    const { token } = await admin.api.call(SITE_API.signIn, {
      body: { name: 'tester', password: 'a long enough password' },
    });
    const file = path.join(this.root, `${key}.csv`);
    await writeFile(file, syntheticCsv(index + 1));
    const tokenFile = path.join(this.root, `${key}.token`);
    await writeFile(tokenFile, token, { mode: 0o600 });
    const tester = await connect({ url: process.url, tokenFile }, {});
    const digest = await uploadFile(tester, { offset: SITE_API.importOffset, append: SITE_API.appendImport }, file);
    await tester.api.call(SITE_API.registerDataset, {
      body: { schema: TEST_DATASET, source: { digest, format: 'csv' }, feasibility: 'any-project' },
    });
    this.sites.push({ key, siteId, admin: tester, process });
  }

  private async approveProject(): Promise<ProjectId> {
    const exact = buildAnalysisBundle({
      name: 'exact',
      version: '1.0.0',
      description: 'Newton-Raphson',
      analysis: EXACT,
    });
    const graph = buildGraphBundle({
      name: 'graph',
      version: '1.0.0',
      description: 'one layer',
      seed: 7,
      model: {
        featureCount: FEATURE_NAMES.length,
        // Too large to travel inside task and answer, so that uploads and downloads are there to be interrupted.
        layers: [{ kind: 'dense', units: 1000, bias: true }, { kind: 'relu' }, { kind: 'dense', units: 1, bias: true }],
        loss: 'sigmoid-cross-entropy',
        optimiser: { kind: 'sgd', momentum: 0.9 },
        batchSize: 32,
        proximal: false,
        control: false,
      },
    });
    const project = await this.admin.api.call(HUB_API.createProject, {
      body: {
        title: 'Journey',
        purpose: 'A test of the whole journey.',
        sites: this.sites.map((site) => site.siteId),
        datasets: ['synthetic'],
        algorithms: [
          { name: 'exact', bundleDigest: await pushBundle(this.admin, exact), features: TEST_FEATURES, roundsMax: 50 },
          {
            name: 'graph',
            bundleDigest: await pushBundle(this.admin, graph),
            features: TEST_FEATURES,
            roundsMax: 50,
            training: { strategies: ['fedavg'], learningRateMax: 0.05, epochsMax: 1 },
          },
        ],
        egress: ['counts', 'cohort-size', 'moments', 'newton-statistics', 'weight-update', 'evaluation'],
        privacy: {},
        expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
      },
    });
    await this.admin.api.call(HUB_API.submitProject, { params: { projectId: project.projectId } });
    for (const site of this.sites) {
      await site.admin.api.call(SITE_API.decide, {
        params: { projectId: project.projectId },
        body: {
          verdict: 'approved',
          reason: 'Synthetic data.',
          runStatistics: { patientCountMin: 10, parameterRowRatioMax: 100, categoryPatientCountMin: 10 },
          runCountMax: 1000,
        },
      });
    }
    return project.projectId;
  }

  plan(algorithm: 'exact' | 'graph', seed: number): RunPlan {
    const { sites } = this;
    const head = {
      algorithm,
      seed,
      sites: sites.map((site) => site.siteId),
      quorum: sites.length,
      stragglerWaitMs: 1000,
      weightSitesBy: 'rows' as const,
    };
    if (algorithm === 'exact') return { ...head, rounds: 4, standardisation: 'per-site' };
    const local = { learningRate: 0.05, work: { kind: 'epochs' as const, count: 1 } };
    return { ...head, rounds: GRAPH_ROUNDS, standardisation: 'pooled', strategy: { kind: 'fedavg' }, local };
  }

  async createRun(algorithm: 'exact' | 'graph', seed: number): Promise<Run> {
    assert.ok(this.projectId !== undefined);
    return this.admin.api.call(HUB_API.createRun, {
      params: { projectId: this.projectId },
      body: this.plan(algorithm, seed),
    });
  }

  async runs(): Promise<Run[]> {
    if (this.projectId === undefined) return [];
    return (await this.admin.api.call(HUB_API.listRuns, { params: { projectId: this.projectId } })).runs;
  }

  /** Starts a stopped or killed hub again on its folder and port. */
  async restartHub(faultPoint?: string): Promise<void> {
    await this.hub.stop();
    const settings = faultPoint === undefined ? {} : { LANTERN_HUB_FAULT_POINT: faultPoint };
    this.hub = await startServer(settingsOf(this.root), {
      name: 'hub',
      folder: 'hub',
      args: ['hub'],
      port: portOf(this.hub),
      settings,
    });
  }

  async restartSite(site: TestSite, faultPoint?: string): Promise<void> {
    await site.process.stop();
    const settings = faultPoint === undefined ? {} : { LANTERN_SITE_FAULT_POINT: faultPoint };
    site.process = await startServer(settingsOf(this.root), {
      name: site.key,
      folder: site.key,
      args: ['site'],
      port: portOf(site.process),
      settings,
    });
  }

  async stop(): Promise<void> {
    this.admin.http.close();
    for (const site of this.sites) site.admin.http.close();
    await Promise.all([this.hub.stop(), ...this.sites.map((site) => site.process.stop())]);
    await rm(this.root, { recursive: true, force: true });
  }
}

function settingsOf(root: string) {
  return { env: process.env, root };
}

function portOf(server: ServerProcess): number {
  return Number(new URL(server.url).port);
}
