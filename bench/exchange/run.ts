/**
 * One exchange of a 100 MB model: weights down to every site, updates up, folded into new weights. The hub is the real process;
 * the sites are processes that do everything but train (site-child.ts). The peer is the same bytes over bare HTTP (bare.ts).
 *
 * Physical bound: every byte of every update crosses the loopback twice, is hashed at both ends, written and synced at the hub,
 * and read once more to be folded. Bare HTTP is measured twice, since the one that keeps nothing does not promise what we promise:
 * once from and to memory, once from and to synced files; the ratio to either is reported.
 *
 * Also measured: the greatest memory of the hub's process (VmHWM, without its database) with 2, 4 and 8 sites, which must not grow.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  createApiClient,
  HUB_API,
  isFinal,
  type ModelSpec,
  type Project,
  RUN_STATES,
  type Run,
  type SiteId,
  type TrainingBounds,
} from '@lantern/contract';
import { pushBundle, startServer } from '@lantern/lantern';
import { buildGraphBundle } from '@lantern/runner';
import { createHttpClient, systemClock } from '@lantern/service';
import type { TestPerson } from '../../packages/hub/test/running-hub.ts';
import { featuresOf } from '../../packages/hub/test/study.ts';
import { medianOf, report, summarise } from '../measurement.ts';
import { type BareMode, measureBare } from './bare.ts';

const ROUNDS = 8;
const ROUNDS_FOR_MEMORY = 4;
const WARM_UP_ROUNDS = 1;
const RATIO_MAX = 2.5;
const MEMORY_FACTOR_MAX = 3;
const FLAT_FACTOR_MAX = 1.1; // what the collector's timing makes of one and the same load from run to run
const PEER_OF_MODE: Readonly<Record<BareMode, string>> = {
  memory: 'from and to memory, nothing kept',
  durable: 'from files and to files that are synced before the answer, as ours are',
};
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

/** Not `personAt` of the hub's tests: that file brings the test runner, which reports to our standard output. */
function personAt(url: string, token: string): TestPerson {
  const http = createHttpClient({ baseUrl: url, token, clock: systemClock });
  return { http, token, api: createApiClient(http.transport) };
}

function said<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (value) => resolve(value as T));
    child.once('exit', (code) => reject(new Error(`a site process ended with ${code ?? 'a signal'}`)));
  });
}

async function startSites(to: { url: string; token: string; count: number; rounds: number }): Promise<Child[]> {
  return Promise.all(
    Array.from({ length: to.count }, async (_, index) => {
      const name = `site-${String.fromCharCode(97 + index)}`;
      const child = fork(path.join(import.meta.dirname, 'site-child.ts'), [to.url, to.token, name, String(to.rounds)], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
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

const TRAINING: TrainingBounds = { strategies: ['fedavg'], learningRateMax: 0.1, stepsMax: 1 };

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
    algorithms: [{ name: 'fit', bundleDigest, features: featuresOf(), roundsMax: 100, training: TRAINING }],
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

async function measureExchange(siteCount: number, rounds: number): Promise<Exchange> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'lantern-exchange-hub-'));
  await chmod(root, 0o711);
  const hub = await startServer({ env: process.env, root }, { name: 'hub', folder: 'hub', args: ['hub'] });
  try {
    const token = (await readFile(path.join(hub.dataDir, 'admin.token'), 'utf8')).trim();
    const person = personAt(hub.url, token);
    const bundle = buildGraphBundle({ name: 'graph', version: '1.0.0', description: 'bench', model: MODEL, seed: 7 });
    const bundleDigest = await pushBundle({ ...person, url: hub.url }, bundle);
    const sites = await startSites({ url: hub.url, token, count: siteCount, rounds });
    const project = await approvedProject(person, sites, bundleDigest);
    const run = await trainedRun(person, project, rounds);
    const peakBytes = await peakMemoryBytes(hub.pid);
    await person.api.call(HUB_API.stopRun, { params: { runId: run.runId } });
    await stopSites(sites);
    person.http.close();
    const modelBytes = bundle.files.get('initial-weights.safetensors')?.byteLength ?? Number.NaN;
    return { times: roundMs(run), peakBytes, modelBytes };
  } finally {
    await hub.stop();
    await rm(root, { recursive: true, force: true });
  }
}

/** A run up to the opening of its evaluation, which closes the last training round. */
async function trainedRun(person: TestPerson, { projectId, spec }: Project, rounds: number): Promise<Run> {
  const plan = {
    algorithm: 'fit',
    rounds,
    standardisation: 'none' as const,
    strategy: { kind: 'fedavg' as const },
    local: { learningRate: 0.1, work: { kind: 'steps' as const, count: 1 } },
    seed: 1,
    sites: spec.sites,
    quorum: spec.sites.length,
    stragglerWaitMs: 600_000,
    weightSitesBy: 'rows' as const,
  };
  let run = await person.api.call(HUB_API.createRun, { params: { projectId }, body: plan });
  while (run.rounds.at(-1)?.step !== 'evaluate') {
    if (isFinal(RUN_STATES, run.state)) throw new Error(`the run is ${run.state}: ${run.message ?? ''}`);
    const closed = run.rounds.filter((round) => round.closedAt !== undefined).length;
    const query = { waitMs: 20_000, afterRounds: closed };
    run = await person.api.call(HUB_API.readRun, { params: { runId: run.runId }, query });
  }
  return run;
}

type Bare = { readonly mode: BareMode; readonly times: readonly number[] };

/** `bound`: median of the bare exchange from and to memory [ms], which nothing can beat that moves these bytes. */
function reportSpeed({ times, modelBytes }: Exchange, { mode, times: bare }: Bare, bound: number): void {
  const ratio = medianOf(times) / medianOf(bare);
  report({
    name: `exchange of 100 MB with 2 sites, beside bare HTTP (${mode})`,
    unit: 'ms',
    ...summarise(times),
    peer: { name: `bare HTTP, the same bytes, ${PEER_OF_MODE[mode]}`, median: medianOf(bare), ratio },
    bound: { why: 'the same bytes over the loopback, from and to memory', value: bound },
    target: { text: `at most ${RATIO_MAX} times bare HTTP`, kept: ratio <= RATIO_MAX },
    facts: { modelBytes, sites: 2, peerThroughBound: medianOf(bare) / bound },
  });
}

const exchanges = new Map<number, Exchange>();
for (const siteCount of [2, 4, 8]) {
  const exchange = await measureExchange(siteCount, siteCount === 2 ? ROUNDS : ROUNDS_FOR_MEMORY);
  exchanges.set(siteCount, exchange);
  const factor = exchange.peakBytes / exchange.modelBytes;
  const flatAgainst = (exchanges.get(2)?.peakBytes ?? Number.NaN) * FLAT_FACTOR_MAX;
  report({
    name: `peak memory of the hub process with ${siteCount} sites`,
    unit: 'models',
    ...summarise([factor]),
    target: {
      text: `at most ${MEMORY_FACTOR_MAX} times the model, and at most ${FLAT_FACTOR_MAX} times that with 2 sites`,
      kept: factor <= MEMORY_FACTOR_MAX && exchange.peakBytes <= flatAgainst,
    },
    facts: {
      peakBytes: exchange.peakBytes,
      modelBytes: exchange.modelBytes,
      sites: siteCount,
      roundMs: medianOf(exchange.times),
    },
  });
  if (siteCount !== 2) continue;
  // Right after the exchange itself, so that both meet the same machine.
  const options = { clients: 2, sizeBytes: exchange.modelBytes, repetitions: ROUNDS };
  const bares: Bare[] = [];
  for (const mode of ['memory', 'durable'] as const) {
    bares.push({ mode, times: (await measureBare({ ...options, mode })).slice(WARM_UP_ROUNDS) });
  }
  const bound = medianOf(bares[0]?.times ?? []);
  for (const bare of bares) reportSpeed(exchange, bare, bound);
}
