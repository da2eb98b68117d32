/**
 * A disk that runs full in the middle of a run: the work is refused with `storage.full`, nothing that was there is gone or
 * changed, and when somebody has made room the run goes on by itself to the bytes of an undisturbed one.
 *
 * The hub has only its blobs on the small disk, since its database holds every run and would be full of the same error; a
 * site has its whole data folder there, database included. PostgreSQL refuses to grow a table on a full disk and goes on
 * (SQLSTATE 53100); when no further segment of its log fits it panics, and cannot recover before there is room.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, HUB_API, type Run, SITE_API } from '@lantern/contract';
import { uploadFile } from '@lantern/lantern';
import { createLogger, openDatabase } from '@lantern/service';
import { assertAsUndisturbed, followThroughOutages } from './run-end.ts';
import { mountSmallDisk, type SmallDisk } from './small-disk.ts';
import { TestFederation, type TestSite } from './test-federation.ts';

const HUB_BLOBS_MIB = 288; // the reserve that a blob store keeps free, and some room
const SITE_FOLDER_MIB = 420; // the same, a database and its log
const WAIT_MS_MAX = 120_000; // a run takes two seconds; the rest is for a busy machine

describe('a full disk', () => {
  it('of the hub refuses updates and folds, loses nothing, and the run ends with the same bytes', async (t) => {
    const disk = await mountSmallDisk(HUB_BLOBS_MIB);
    if (typeof disk === 'string') return t.skip(disk);
    await inFederation({ 'hub/blobs': disk }, async (federation) => {
      await assertUpdatesWait(federation, disk);
      await assertFoldWaits(federation, disk);
    });
  });

  it('of a site refuses its tasks, first in its database, then in its files, and the run ends with the same bytes', async (t) => {
    const disk = await mountSmallDisk(SITE_FOLDER_MIB);
    if (typeof disk === 'string') return t.skip(disk);
    await inFederation({ 'site-0': disk }, async (federation) => {
      const log = new LogWatch(federation, 'site-0');
      const before = await contentOf(disk);
      disk.fill();
      const run = await federation.createRun('graph', 310);
      await log.says(/"rule":"storage.full"/);
      assert.deepEqual(await activityOf(firstSite(federation), run), [], 'a task that was not kept is not begun');
      await disk.leave(32 * 1024 * 1024); // enough for the database, less than the reserve below which no file is taken
      await log.says(/The disk has \d+ bytes free/);
      assert.notEqual((await read(federation, run)).state, 'failed');
      assert.deepEqual(await activityOf(firstSite(federation), run), ['open'], 'the bundle of the run has no room yet');
      assertNothingLost(before, await contentOf(disk));
      await disk.free();
      await assertAsUndisturbed(federation, await followThroughOutages(federation, run));
    });
  });

  it('of a site whose database panics for want of room for its log is survived as well', async (t) => {
    const disk = await mountSmallDisk(SITE_FOLDER_MIB);
    if (typeof disk === 'string') return t.skip(disk);
    await inFederation({ 'site-0': disk }, async (federation) => {
      const log = new LogWatch(federation, 'site-0');
      const database = await openSiteDatabase(disk);
      disk.fill();
      await database.pool.query('select pg_switch_wal()'); // the next record needs a segment that is not there
      await database.close();
      const run = await federation.createRun('graph', 320);
      await log.says(/PostgreSQL could not be started again; it is tried again/);
      await assert.rejects(activityOf(firstSite(federation), run), { code: 'database.unavailable' });
      assert.notEqual((await read(federation, run)).state, 'failed');
      await disk.free();
      await assertAsUndisturbed(federation, await followThroughOutages(federation, run));
    });
  });
});

/** The updates of a training round arrive at a hub that has no room for them. */
async function assertUpdatesWait(federation: TestFederation, disk: SmallDisk): Promise<void> {
  const log = new LogWatch(federation, 'hub');
  const before = await contentOf(disk);
  disk.fill();
  const run = await federation.createRun('graph', 300);
  await log.says(/"code":"storage.full"/);
  await assert.rejects(uploadSomething(federation), (error) => {
    assert.ok(error instanceof AppError && error.code === 'storage.full', String(error));
    return error.failureClass === 'transient' && /free space/.test(error.hint);
  });
  const waiting = await read(federation, run);
  assert.deepEqual(
    waiting.rounds.map((round) => [round.step, round.state, round.sites.map((site) => site.state)]),
    [
      ['prepare', 'closed', ['answered', 'answered']],
      ['standardise', 'closed', ['answered', 'answered']],
      ['train', 'open', ['delivered', 'delivered']],
    ],
    'no update is acknowledged that has no place on the disk',
  );
  assert.deepEqual(await contentOf(disk), before);
  await disk.free();
  await assertAsUndisturbed(federation, await followThroughOutages(federation, run));
}

/** The updates are there, and the hub has no room for the weights that it folds them to. */
async function assertFoldWaits(federation: TestFederation, disk: SmallDisk): Promise<void> {
  await federation.restartHub('hub.round.folding:3'); // after prepare and standardise, the first round of training
  const run = await federation.createRun('graph', 301);
  assert.equal(await federation.hub.ended, 'SIGKILL');
  const before = await contentOf(disk);
  disk.fill();
  const log = new LogWatch(federation, 'hub');
  await federation.restartHub();
  await log.says(/"rule":"storage.full".*A job failed and is tried again/);
  const waiting = await read(federation, run);
  assert.deepEqual([waiting.state, waiting.rounds.at(-1)?.step, waiting.rounds.length], ['running', 'train', 3]);
  assert.deepEqual(await contentOf(disk), before);
  await disk.free();
  await assertAsUndisturbed(federation, await followThroughOutages(federation, run));
}

async function inFederation(
  disks: Readonly<Record<string, SmallDisk>>,
  work: (federation: TestFederation) => Promise<void>,
): Promise<void> {
  const places = Object.entries(disks).map(([folder, disk]) => [folder, disk.dir]);
  try {
    const federation = await TestFederation.start(2, Object.fromEntries(places));
    try {
      await work(federation);
    } finally {
      for (const disk of Object.values(disks)) await disk.free(); // or a database could not stop
      await federation.stop();
    }
  } finally {
    for (const disk of Object.values(disks)) await disk.close();
  }
}

/** What a process writes to its log from now on. */
class LogWatch {
  readonly #file: string;
  #seen: Promise<number> | number;

  constructor(federation: TestFederation, name: string) {
    this.#file = path.join(federation.root, `${name}.log`);
    this.#seen = readFile(this.#file, 'utf8').then((text) => text.length);
  }

  async says(pattern: RegExp): Promise<void> {
    for (const start = performance.now(); performance.now() - start < WAIT_MS_MAX; await delay(50)) {
      const text = (await readFile(this.#file, 'utf8')).slice(await this.#seen);
      if (pattern.test(text)) return;
    }
    assert.fail(`${path.basename(this.#file)} never said ${pattern}`);
  }
}

/** Every object of the blob store on a disk with the digest of what is in it now. */
async function contentOf(disk: SmallDisk): Promise<Map<string, string>> {
  const files = (await readdir(disk.dir, { recursive: true })).filter((name) =>
    /(^|\/)objects\/.*\/[0-9a-f]{64}$/.test(name),
  );
  const digests = files.map(async (name) => {
    const bytes = await readFile(path.join(disk.dir, name));
    return [name, createHash('sha256').update(bytes).digest('hex')] as const;
  });
  return new Map(await Promise.all(digests));
}

function assertNothingLost(before: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): void {
  assert.ok(before.size > 0);
  for (const [name, digest] of before) assert.equal(now.get(name), digest, name);
  for (const [name, digest] of now) assert.equal(path.basename(name), digest, 'an object is what its name says');
}

async function uploadSomething(federation: TestFederation): Promise<void> {
  const file = path.join(federation.root, 'something');
  await writeFile(file, 'something');
  await uploadFile(federation.admin, { offset: HUB_API.uploadOffset, append: HUB_API.appendUpload }, file);
}

async function read(federation: TestFederation, { runId }: Run): Promise<Run> {
  return federation.admin.api.call(HUB_API.readRun, { params: { runId } });
}

/** The states of a site's tasks of a run, in the order they came; whatever is not yet answered is open. */
async function activityOf(site: TestSite, { runId }: Run): Promise<string[]> {
  const { tasks } = await site.admin.api.call(SITE_API.listActivity, {});
  const ofRun = tasks.filter((task) => task.runId === runId).toSorted((a, b) => (a.round ?? 0) - (b.round ?? 0));
  return ofRun.map((task) => (task.state === 'delivered' ? 'delivered' : 'open'));
}

function firstSite(federation: TestFederation): TestSite {
  const [site] = federation.sites;
  assert.ok(site !== undefined);
  return site;
}

async function openSiteDatabase(disk: SmallDisk) {
  const password = (await readFile(path.join(disk.dir, 'password'), 'utf8')).trim();
  const url = `postgres://lantern:${password}@localhost/lantern?host=${disk.dir}/run&port=5432`;
  const log = createLogger({ name: 'test', level: 'silent' });
  return openDatabase({ url, dataDir: disk.dir, log, applicationName: 'lantern-test' });
}
