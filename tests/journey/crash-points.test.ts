/**
 * `kill -9` at every named instant of a run: of the process that reaches it, and of the database under that process. A process
 * that dies is started again by this test, a database by its process; the run must then complete by itself with the
 * same bytes as a run that nobody disturbed, and no site may have performed a task twice after having delivered it.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AppError,
  COMMON_API,
  FAULT_POINTS,
  type FaultPoint,
  HUB_API,
  isFinal,
  type ModelVersion,
  ModelVersionSchema,
  PAYLOAD_TYPES,
  type RegisteredModelVersion,
  RUN_STATES,
  type Run,
} from '@lantern/contract';
import { followRun, type ServerProcess } from '@lantern/lantern';
import { loadOrCreateKeyPair, openEnvelope } from '@lantern/service';
import { assertAsUndisturbed, followThroughOutages, unlessOutage } from './run-end.ts';
import { newModelVersion, TestFederation, type TestSite, TRAIN_ROW_COUNT } from './test-federation.ts';

/** Releasing a model version is one request of a person and no part of a run: it has a test of its own below. */
const RUN_POINTS = FAULT_POINTS.filter(
  (point) => point !== 'hub.model.signed' && !/^(feed|cdm|dataset-build)\./.test(point),
);

describe('a run', () => {
  let federation: TestFederation;

  before(async () => {
    federation = await TestFederation.start(2);
  });
  after(() => federation.stop());

  for (const [index, point] of RUN_POINTS.entries()) {
    it(`goes on to the same bytes after kill -9 at ${point}`, async () => {
      const seed = 100 + index; // a seed of its own: bytes that the hub knows already are not sent again
      const disturbed = await runWithCrash(federation, { point, seed });
      await assertAsUndisturbed(federation, disturbed);
    });
  }

  for (const [index, point] of RUN_POINTS.entries()) {
    const whose = isOfHub(point) ? "the hub's" : "a site's";
    it(`goes on to the same bytes after kill -9 of ${whose} database at ${point}`, async () => {
      const disturbed = await runWithDatabaseCrash(federation, { point, seed: 300 + index });
      await assertAsUndisturbed(federation, disturbed);
    });
  }

  it('waits for a hub that went away and finishes when it is back', async () => {
    const run = await federation.createRun('graph', 202);
    await federation.hub.stop();
    await federation.restartHub();
    await assertAsUndisturbed(federation, await followThroughOutages(federation, run));
  });
});

describe('a model version', () => {
  let federation: TestFederation;

  before(async () => {
    federation = await TestFederation.start(2);
  });
  after(() => federation.stop());

  it('is there exactly once, with its whole lineage, after kill -9 at hub.model.signed', async () => {
    const { runId } = await federation.createRun('graph', 203);
    const run = await followRun(federation.admin, { runId });
    assert.equal(run.state, 'completed', run.message);
    await federation.restartHub('hub.model.signed');
    const release = () => federation.admin.api.call(HUB_API.releaseModelVersion, { body: newModelVersion(run) });
    await assert.rejects(release(), (error) => error instanceof AppError && error.failureClass !== 'permanent');
    assert.equal(await federation.hub.ended, 'SIGKILL');
    await federation.restartHub();
    const [kept] = await modelVersions(federation);
    assert.deepEqual(await release(), kept, 'asking again gives the version that the killed hub had signed');
    assert.equal((await modelVersions(federation)).length, 1);
    assertWholeLineage(federation, run, await signedDocument(federation, kept));
    const { records } = await federation.admin.api.call(COMMON_API.listAudit, { query: { limit: 1000 } });
    assert.equal(records.filter((record) => record.action === 'model-version.release').length, 1);
  });
});

async function modelVersions(federation: TestFederation): Promise<RegisteredModelVersion[]> {
  return (await federation.admin.api.call(HUB_API.listModelVersions, {})).modelVersions;
}

/** The document of a version, opened with the key that the hub's folder has held all along. */
async function signedDocument(
  federation: TestFederation,
  version: RegisteredModelVersion | undefined,
): Promise<ModelVersion> {
  assert.ok(version !== undefined, 'no model version survived');
  const signer = await loadOrCreateKeyPair(path.join(federation.hub.dataDir, 'hub.key'));
  const trusted = { payloadType: PAYLOAD_TYPES.modelVersion, schema: ModelVersionSchema, signer };
  return openEnvelope(version.envelope, trusted);
}

function assertWholeLineage(federation: TestFederation, run: Run, { version, weights, lineage }: ModelVersion): void {
  const siteIds = federation.sites.map((site) => site.siteId).sort();
  assert.equal(version, 1);
  assert.equal(weights.digest, run.rounds.findLast((round) => round.step === 'train')?.weightsDigest);
  assert.deepEqual([lineage.runId, lineage.projectId, lineage.plan], [run.runId, run.projectId, run.plan]);
  assert.deepEqual(
    lineage.rounds.map((round) => [round.number, round.step, round.weightsDigest, round.sites]),
    run.rounds.map((round) => [round.number, round.step, round.weightsDigest, siteIds]),
  );
  assert.ok(lineage.rounds.every((round) => new Set(round.answerDigests).size === siteIds.length));
  assert.deepEqual(
    lineage.sites.map((site) => [site.siteId, site.decisionDigests.length, site.trainRowCount]),
    siteIds.map((siteId) => [siteId, 1, TRAIN_ROW_COUNT]),
  );
}

function firstSite(federation: TestFederation): TestSite {
  const [site] = federation.sites;
  assert.ok(site !== undefined);
  return site;
}

/** Arms the point, starts a run, waits for the death, starts the process again without it, follows the run to its end. */
async function runWithCrash(
  federation: TestFederation,
  { point, seed }: { point: FaultPoint; seed: number },
): Promise<Run> {
  const known = new Set((await federation.runs()).map((run) => run.runId));
  const site = firstSite(federation);
  const atHub = isOfHub(point);
  if (atHub) await federation.restartHub(point);
  else await federation.restartSite(site, point);
  const victim = atHub ? federation.hub : site.process;
  await federation.createRun('graph', seed).catch(unlessOutage);
  await assertKilled(federation, victim, point);
  if (atHub) await federation.restartHub();
  else await federation.restartSite(site);
  const started = (await federation.runs()).find((run) => !known.has(run.runId));
  return followThroughOutages(federation, started ?? (await federation.createRun('graph', seed)));
}

function isOfHub(point: FaultPoint): boolean {
  return point.startsWith('hub.');
}

/** As above, but the process stays: its database dies under it at that instant, and the process starts it again. */
async function runWithDatabaseCrash(
  federation: TestFederation,
  { point, seed }: { point: FaultPoint; seed: number },
): Promise<Run> {
  const known = new Set((await federation.runs()).map((run) => run.runId));
  const site = firstSite(federation);
  const spec = `database@${point}`;
  if (isOfHub(point)) await federation.restartHub(spec);
  else await federation.restartSite(site, spec);
  const { dataDir } = isOfHub(point) ? federation.hub : site.process;
  const before = await postmasterPid(dataDir);
  await federation.createRun('graph', seed).catch(unlessOutage);
  const started = (await runsDuringOutage(federation)).find((run) => !known.has(run.runId));
  const run = await followThroughOutages(federation, started ?? (await federation.createRun('graph', seed)));
  assert.notEqual(await postmasterPid(dataDir), before, `${point} was never reached: the database still runs`);
  return run;
}

async function runsDuringOutage(federation: TestFederation): Promise<Run[]> {
  for (;;) {
    const runs = await federation.runs().catch(unlessOutage);
    if (runs !== undefined) return runs;
    await delay(100);
  }
}

/** The process dies by its own fault point; a run that ends first says that the point was never reached. */
async function assertKilled(federation: TestFederation, victim: ServerProcess, point: FaultPoint): Promise<void> {
  const stop = new AbortController();
  const allEnded = (async () => {
    for (;;) {
      const runs = await federation.runs().catch(unlessOutage);
      if (runs?.every((run) => isFinal(RUN_STATES, run.state))) return 'every run ended';
      await delay(100, undefined, { signal: stop.signal });
    }
  })().catch(() => 'gave up watching');
  const how = await Promise.race([victim.ended, allEnded]);
  stop.abort();
  assert.equal(how, 'SIGKILL', `${point} was never reached`);
}

/** The first line of a postmaster.pid below a data folder is the process id of its database. */
async function postmasterPid(dataDir: string): Promise<number> {
  const files = await readdir(dataDir, { recursive: true });
  const file = files.find((name) => path.basename(name) === 'postmaster.pid');
  assert.ok(file !== undefined, `no postmaster.pid below ${dataDir}`);
  return Number((await readFile(path.join(dataDir, file), 'utf8')).split('\n')[0]);
}
