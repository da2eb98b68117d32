/**
 * One exchange of a 100 MB model: weights down to every site, updates up, folded into new weights. The hub is the real process;
 * the sites are processes that do everything but train (site-child.ts). The peer is the same bytes over bare HTTP (bare.ts).
 *
 * Physical bound: every byte of every update crosses the loopback twice, is hashed at both ends, written and synced at the hub,
 * and read once more to be folded. Also measured: the greatest memory of the hub with 2 and with 8 sites, which must not grow.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { HUB_API, type ModelSpec, type Project, type Run, type SiteId } from '@lantern/contract';
import { startServer } from '@lantern/lantern';
import { personAt, type TestPerson } from '../../packages/hub/test/running-hub.ts';
import { endOfRun, featuresOf, registerGraph } from '../../packages/hub/test/study.ts';
import { medianOf, report, summarise } from '../measurement.ts';
import { measureBare } from './bare.ts';

const ROUNDS = 6;
const WARM_UP_ROUNDS = 1;
const RATIO_MAX = 2.5;
const MEMORY_FACTOR_MAX = 3;
const MODEL: ModelSpec = {
  featureCount: 8,
  layers: [
    { kind: 'dense', units: 3100, bias: true },
    { kind: 'relu' },
    { kind: 'dense', units: 8000, bias: true },
    { kind: 'relu' },
    { kind: 'dense', units: 1, bias: true },
  ],
  loss: 'sigmoid-cross-entropy',
  optimiser: { kind: 'sgd', momentum: 0 },
  batchSize: 4,
  proximal: false,
  control: false,
};

type Child = { readonly process: ChildProcess; readonly siteId: SiteId };

function said<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (value) => resolve(value as T));
    child.once('exit', (code) => reject(new Error(`a site process ended with ${code ?? 'a signal'}`)));
  });
}

async function startSites(url: string, token: string, count: number): Promise<Child[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const child = fork(path.join(import.meta.dirname, 'site-child.ts'), [
        url,
        token,
        `site-${count}-${String.fromCharCode(97 + index)}`,
      ]);
      return { process: child, siteId: (await said<{ siteId: SiteId }>(child)).siteId };
    }),
  );
}

async function stopSites(sites: readonly Child[]): Promise<void> {
  await Promise.all(
    sites.map((site) => {
      const ended = new Promise((resolve) => site.process.once('exit', resolve));
      site.process.disconnect();
      return ended;
    }),
  );
}

async function approvedProject(
  person: TestPerson,
  sites: readonly Child[],
  bundleDigest: Project['projectDigest'],
): Promise<Project> {
  const body = {
    title: 'Exchange',
    purpose: 'Measuring.',
    sites: sites.map((site) => site.siteId),
    datasets: ['heart'],
    algorithms: [{ name: 'fit', bundleDigest, features: featuresOf(), roundsMax: 100 }],
    egress: ['cohort-size' as const, 'weight-update' as const, 'evaluation' as const],
    privacy: {},
    expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
  };
  const { projectId } = await person.api.call(HUB_API.createProject, { body });
  const project = await person.api.call(HUB_API.submitProject, { params: { projectId } });
  for (const site of sites) {
    site.process.send({ project });
    await said(site.process);
  }
  return project;
}

/** From the opening of one training round to the opening of the next [ms]. */
function roundMs(run: Run): number[] {
  const opened = run.rounds.filter((round) => round.step !== 'prepare').map((round) => Date.parse(round.openedAt));
  return opened
    .slice(1)
    .map((at, index) => at - (opened[index] ?? at))
    .slice(WARM_UP_ROUNDS);
}

/** Greatest resident memory of a process so far [bytes]; Linux only. */
async function peakMemoryBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024;
}

type Exchange = { readonly times: number[]; readonly peakBytes: number; readonly modelBytes: number };

async function measureExchange(siteCount: number): Promise<Exchange> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'lantern-exchange-hub-'));
  await chmod(root, 0o711);
  const hub = await startServer({ env: process.env, root }, { name: 'hub', folder: 'hub', args: ['hub'] });
  try {
    const token = (await readFile(path.join(hub.dataDir, 'admin.token'), 'utf8')).trim();
    const person = personAt(hub.url, token);
    const { bundleDigest, manifest } = await registerGraph(person, MODEL);
    const sites = await startSites(hub.url, token, siteCount);
    const project = await approvedProject(person, sites, bundleDigest);
    const plan = {
      algorithm: 'fit',
      rounds: ROUNDS,
      standardisation: 'none' as const,
      strategy: { kind: 'fedavg' as const },
      local: { learningRate: 0.1, work: { kind: 'steps' as const, count: 1 } },
      seed: 1,
      sites: sites.map((site) => site.siteId),
      quorum: siteCount,
      stragglerWaitMs: 600_000,
      weightSitesBy: 'rows' as const,
    };
    const { runId } = await person.api.call(HUB_API.createRun, {
      params: { projectId: project.projectId },
      body: plan,
    });
    let run = await endOfRun(person, runId);
    while (run.rounds.at(-1)?.step !== 'evaluate')
      run = await person.api.call(HUB_API.readRun, {
        params: { runId },
        query: { waitMs: 5000, afterRounds: run.rounds.length },
      });
    const peakBytes = await peakMemoryBytes(hub.pid);
    await person.api.call(HUB_API.stopRun, { params: { runId } });
    await stopSites(sites);
    person.http.close();
    const modelBytes =
      manifest.kind === 'graph'
        ? (manifest.files.find((file) => file.path === 'initial-weights.safetensors')?.sizeBytes ?? 0)
        : 0;
    return { times: roundMs(run), peakBytes, modelBytes };
  } finally {
    await hub.stop();
    await rm(root, { recursive: true, force: true });
  }
}

const two = await measureExchange(2);
const bare = await measureBare({ clients: 2, sizeBytes: two.modelBytes, repetitions: ROUNDS });
const ratio = medianOf(two.times) / medianOf(bare);
report({
  name: 'exchange of 100 MB with 2 sites',
  unit: 'ms',
  ...summarise(two.times),
  peer: { name: 'bare HTTP, the same bytes', median: medianOf(bare), ratio },
  bound: { why: 'the bare exchange itself', value: medianOf(bare) },
  target: { text: `at most ${RATIO_MAX} times bare HTTP`, kept: ratio <= RATIO_MAX },
  facts: { modelBytes: two.modelBytes, sites: 2 },
});
const eight = await measureExchange(8);
for (const [siteCount, { peakBytes, modelBytes }] of [
  [2, two],
  [8, eight],
] as const) {
  const factor = peakBytes / modelBytes;
  report({
    name: `peak memory of the hub with ${siteCount} sites`,
    unit: 'models',
    ...summarise([factor]),
    target: { text: `at most ${MEMORY_FACTOR_MAX} times the model`, kept: factor <= MEMORY_FACTOR_MAX },
    facts: { peakBytes, modelBytes, sites: siteCount },
  });
}
