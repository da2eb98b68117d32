import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FAULT_POINTS, type FaultPoint, HUB_API, type Project, type Run } from '@lantern/contract';
import { openTestDatabase } from '@lantern/service';
import { graphScript } from '../../test/learning-site.ts';
import { personAt, type TestPerson } from '../../test/running-hub.ts';
import { joinSite, type ScriptedSite, siteAt } from '../../test/scripted-site.ts';
import { endOfRun, planOf, registerGraph, submitStudy, tinyModel } from '../../test/study.ts';

const COLUMNS = ['age', 'chol'];
const ROWS = [30, 70, 20];
/** 1.2 MB of parameters: large enough to be folded outside a transaction, which is where a crash could hurt. */
const LARGE = tinyModel({
  layers: [
    { kind: 'dense', units: 600, bias: true },
    { kind: 'relu' },
    { kind: 'dense', units: 500, bias: true },
    { kind: 'dense', units: 1, bias: true },
  ],
});
const PROGRAM = fileURLToPath(new URL('../../test/hub-process.ts', import.meta.url));

/** Where each process dies: which of the crossings of its point. Chosen to lie in different rounds. */
const CROSSINGS: readonly [FaultPoint, number][] = [
  ['hub.run.planned', 1],
  ['hub.round.opened', 2],
  ['hub.task.delivered', 3],
  ['hub.upload.chunk-written', 2],
  ['hub.answer.received', 5],
  ['hub.answer.committed', 6],
  ['hub.round.folding', 2],
  ['hub.round.folded', 3],
  ['hub.round.closed', 2],
];

type HubProcess = { readonly child: ChildProcess; readonly url: string; readonly admin: TestPerson };
type World = { readonly start: (faultPoint?: string) => Promise<HubProcess> };

async function world(t: TestContext): Promise<World> {
  const database = await openTestDatabase('hub-crash');
  const dataDir = await mkdtemp(join(tmpdir(), 'lantern-hub-'));
  let current: ChildProcess | undefined;
  t.after(async () => {
    if (current !== undefined && current.exitCode === null && current.signalCode === null) {
      current.kill('SIGKILL');
      await once(current, 'exit');
    }
    await database.close();
    await rm(dataDir, { recursive: true, force: true });
  });
  const settings = { dataDir, httpHost: '127.0.0.1', httpPort: 0, hubName: 'Crash hub', databaseUrl: database.url };
  return {
    async start(faultPoint) {
      const configuration = { ...settings, logLevel: 'silent', ...(faultPoint === undefined ? {} : { faultPoint }) };
      const child = spawn(process.execPath, [PROGRAM, JSON.stringify(configuration)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      current = child;
      const [line] = await once(createInterface(child.stdout), 'line');
      const { url } = JSON.parse(String(line));
      const token = (await readFile(join(dataDir, 'admin.token'), 'utf8')).trim();
      return { child, url, admin: personAt(url, token) };
    },
  };
}

async function endOf({ child, admin }: HubProcess): Promise<NodeJS.Signals | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  admin.http.close();
  return child.signalCode;
}

type Members = { readonly sites: readonly ScriptedSite[]; readonly project: Project; readonly hubKey: string };

/** Enrols three sites and submits a project, on a hub that does not die. */
async function setUp({ start }: World): Promise<Members> {
  const hub = await start();
  const sites: ScriptedSite[] = [];
  for (const [index] of ROWS.entries()) sites.push(await joinSite(hub, `Site ${index}`));
  const { bundleDigest } = await registerGraph(hub.admin, LARGE);
  const project = await submitStudy(hub.admin, { sites, bundleDigest, columns: COLUMNS });
  const [first] = sites;
  assert.ok(first !== undefined);
  const hubKey = first.hubPublicKeyPem;
  for (const site of sites) site.close();
  hub.child.kill('SIGTERM');
  assert.equal(await endOf(hub), null, 'it ends by itself when told');
  return { sites, project, hubKey };
}

/** The sites at work on a hub until the returned function is called. */
function serveAll(hub: HubProcess, { sites, hubKey }: Members): () => Promise<void> {
  const ends = sites.map((known, index) => {
    const site = siteAt(hub.url, known, hubKey);
    const stop = site.serve(graphScript(site, { rowCount: ROWS[index] ?? 0, salt: index, columns: COLUMNS }));
    return async () => {
      await stop();
      site.close();
    };
  });
  return async () => {
    for (const end of ends) await end();
  };
}

function createRun(hub: HubProcess, { sites, project }: Members): Promise<Run> {
  return hub.admin.api.call(HUB_API.createRun, {
    params: { projectId: project.projectId },
    body: planOf(sites, {
      rounds: 3,
      strategy: { kind: 'fedyogi', serverLearningRate: 0.05, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
      local: { learningRate: 0.1, work: { kind: 'steps', count: 5 } },
    }),
  });
}

const trajectory = (run: Run) => run.rounds.map((round) => [round.step, round.state, round.weightsDigest]);

test('a hub killed at any of its fault points goes on where it was, to the same weights byte for byte', async (t) => {
  const its = await world(t);
  const members = await setUp(its);
  for (const [point, crossing] of CROSSINGS) {
    const hub = await its.start(`${point}:${crossing}`);
    // Before the sites work: the runs begun earlier go on at once, and could reach the point before this one is begun.
    await createRun(hub, members).catch(() => 'the hub died before it could answer');
    const stop = serveAll(hub, members);
    assert.equal(await endOf(hub), 'SIGKILL', point);
    await stop();
  }

  const hub = await its.start('hub.model.signed');
  const stop = serveAll(hub, members);
  const undisturbed = await createRun(hub, members);
  const params = { projectId: members.project.projectId };
  const { runs: started } = await hub.admin.api.call(HUB_API.listRuns, { params });
  assert.equal(started.length, CROSSINGS.length + 1, 'every run that was begun is there');
  const reference = await endOfRun(hub.admin, undisturbed.runId);
  assert.equal(reference.state, 'completed', reference.message);
  for (const { runId } of started) {
    const run = await endOfRun(hub.admin, runId);
    assert.equal(run.state, 'completed', run.message);
    assert.deepEqual(trajectory(run), trajectory(reference));
    for (const round of run.rounds) {
      assert.deepEqual(
        round.sites.map((site) => site.state),
        ROWS.map(() => 'answered'),
        'each site answered each round once',
      );
    }
  }

  const body = {
    runId: reference.runId,
    model: 'heart-risk',
    inputs: COLUMNS.map((column) => ({ kind: 'patient-age' as const, column })),
    card: { title: 'x', intendedUse: 'x', notFor: 'x', limits: ['x'], outcome: 'x', contact: 'x' },
  };
  await assert.rejects(hub.admin.api.call(HUB_API.releaseModelVersion, { body }));
  assert.equal(await endOf(hub), 'SIGKILL');
  await stop();
  const last = await its.start();
  const again = await last.admin.api.call(HUB_API.releaseModelVersion, { body });
  const { modelVersions } = await last.admin.api.call(HUB_API.listModelVersions, {});
  assert.deepEqual(modelVersions, [again], 'the release whose answer was lost was not made twice');
  last.child.kill('SIGTERM');
  await endOf(last);
});

test('every fault point of the hub is among those that are crossed', () => {
  const crossed = new Set<string>([...CROSSINGS.map(([point]) => point), 'hub.model.signed']);
  assert.deepEqual(
    FAULT_POINTS.filter((point) => point.startsWith('hub.') && !crossed.has(point)),
    [],
  );
});
