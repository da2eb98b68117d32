/**
 * `kill -9` at every named instant of a run. Whatever dies is started again; the run must then complete by itself with the
 * same bytes as a run that nobody disturbed, and no site may have performed a task twice after having delivered it.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError, FAULT_POINTS, type FaultPoint, isFinal, RUN_STATES, type Run, SITE_API } from '@lantern/contract';
import { followRun } from '@lantern/lantern';
import { GRAPH_ROUNDS, TestFederation, type TestSite } from './test-federation.ts';

const RUN_POINTS = FAULT_POINTS.filter((point) => point !== 'hub.model.signed');

describe('a run', () => {
  let federation: TestFederation;
  let undisturbed: string[];

  before(async () => {
    federation = await TestFederation.start(2);
    const run = await federation.createRun('graph');
    assert.ok(run !== undefined);
    undisturbed = weights(await followRun(federation.admin, { runId: run.runId }));
    assert.equal(undisturbed.length, GRAPH_ROUNDS);
  });
  after(() => federation.stop());

  for (const point of RUN_POINTS) {
    it(`goes on to the same bytes after kill -9 at ${point}`, async () => {
      const disturbed = await runWithCrash(federation, point);
      assert.equal(disturbed.state, 'completed', disturbed.message);
      assert.deepEqual(weights(disturbed), undisturbed);
      await assertNothingTwice(federation, disturbed);
    });
  }

  it("goes on to the same bytes after kill -9 of the hub's database", async () => {
    const run = await startRun(federation);
    process.kill(await postmasterPid(federation.hub.dataDir), 'SIGKILL');
    const ended = await followThroughOutages(federation, run);
    assert.equal(ended.state, 'completed', ended.message);
    assert.deepEqual(weights(ended), undisturbed);
  });

  it("goes on to the same bytes after kill -9 of a site's database", async () => {
    const [site] = federation.sites;
    assert.ok(site !== undefined);
    const run = await startRun(federation);
    process.kill(await postmasterPid(site.process.dataDir), 'SIGKILL');
    const ended = await followThroughOutages(federation, run);
    assert.equal(ended.state, 'completed', ended.message);
    assert.deepEqual(weights(ended), undisturbed);
  });

  it('waits for a hub that went away and finishes when it is back', async () => {
    const run = await startRun(federation);
    await federation.hub.stop();
    await federation.restartHub();
    const ended = await followThroughOutages(federation, run);
    assert.equal(ended.state, 'completed', ended.message);
    assert.deepEqual(weights(ended), undisturbed);
  });
});

async function startRun(federation: TestFederation): Promise<Run> {
  const run = await federation.createRun('graph');
  assert.ok(run !== undefined);
  return run;
}

/** Arms the point, starts a run, waits for the death, starts the process again without it, follows the run to its end. */
async function runWithCrash(federation: TestFederation, point: FaultPoint): Promise<Run> {
  const known = new Set((await federation.runs()).map((run) => run.runId));
  const [site] = federation.sites;
  assert.ok(site !== undefined);
  const atHub = point.startsWith('hub.');
  if (atHub) await federation.restartHub(point);
  else await federation.restartSite(site, point);
  const victim = atHub ? federation.hub : site.process;
  await federation.createRun('graph').catch(unlessOutage);
  assert.equal(await victim.ended, 'SIGKILL', `${point} was never reached`);
  if (atHub) await federation.restartHub();
  else await federation.restartSite(site);
  const started = (await federation.runs()).find((run) => !known.has(run.runId)) ?? (await startRun(federation));
  return followThroughOutages(federation, started);
}

/** Follows a run while parts of the federation come and go. */
async function followThroughOutages(federation: TestFederation, started: Run): Promise<Run> {
  for (;;) {
    try {
      const run = await followRun(federation.admin, { runId: started.runId });
      if (isFinal(RUN_STATES, run.state)) return run;
    } catch (error) {
      unlessOutage(error);
    }
  }
}

function unlessOutage(error: unknown): undefined {
  if (error instanceof AppError && error.failureClass !== 'permanent') return undefined;
  throw error;
}

function weights(run: Run): string[] {
  return run.rounds.filter((round) => round.step === 'train').map((round) => round.weightsDigest ?? 'none');
}

async function assertNothingTwice(federation: TestFederation, run: Run): Promise<void> {
  for (const round of run.rounds) {
    assert.deepEqual(
      round.sites.map((site) => site.state),
      round.sites.map(() => 'answered'),
      `round ${round.number} (${round.step})`,
    );
  }
  for (const site of federation.sites) await assertEachTaskOnce(site, run);
}

async function assertEachTaskOnce(site: TestSite, run: Run): Promise<void> {
  const { tasks } = await site.admin.api.call(SITE_API.listActivity, {});
  const rounds = tasks.filter((task) => task.runId === run.runId).map((task) => task.round);
  assert.deepEqual(
    rounds.toSorted((a, b) => (a ?? 0) - (b ?? 0)),
    run.rounds.map((round) => round.number),
  );
  assert.ok(tasks.filter((task) => task.runId === run.runId).every((task) => task.state === 'delivered'));
}

/** The first line of a postmaster.pid below a data folder is the process id of its database. */
async function postmasterPid(dataDir: string): Promise<number> {
  const files = await readdir(dataDir, { recursive: true });
  const file = files.find((name) => path.basename(name) === 'postmaster.pid');
  assert.ok(file !== undefined, `no postmaster.pid below ${dataDir}`);
  return Number((await readFile(path.join(dataDir, file), 'utf8')).split('\n')[0]);
}
