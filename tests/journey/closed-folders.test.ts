/**
 * Other users of a hospital's machine see nothing of a data folder that was used. Started as root, the folder itself has to let
 * the database's user pass (0711), so that everything in it must be closed by itself.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SITE_API } from '@lantern/contract';
import { followRun } from '@lantern/lantern';
import { TestFederation, type TestSite } from './test-federation.ts';

const OTHERS_READ = 0o004;
const OTHERS_PASS = 0o001;
/** In no passwd file; processes of root become it without a group. */
const ANOTHER_USER = { uid: 54_321, gid: 54_321 };
/** The programs of PostgreSQL, copied there where its user cannot reach the installed ones. */
const PROGRAMS = /^postgres\/programs-|^programs-/;

const isRoot = process.getuid?.() === 0;

/** Everything below a folder, each with whether others may read it by its mode and that of every folder above it. */
async function walk(
  folder: string,
  { root, isPassable }: { root: string; isPassable: boolean },
): Promise<{ name: string; isOpen: boolean }[]> {
  const found: { name: string; isOpen: boolean }[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isDirectory() && !entry.isFile()) continue;
    const file = path.join(folder, entry.name);
    const status = await stat(file).catch(() => undefined);
    if (status === undefined) continue; // the database removed it meanwhile
    found.push({ name: path.relative(root, file), isOpen: isPassable && (status.mode & OTHERS_READ) !== 0 });
    const next = { root, isPassable: isPassable && (status.mode & OTHERS_PASS) !== 0 };
    if (entry.isDirectory()) found.push(...(await walk(file, next)));
  }
  return found;
}

const walkAll = (dataDir: string) => walk(dataDir, { root: dataDir, isPassable: true });

async function openByMode(dataDir: string): Promise<string[]> {
  const found = await walkAll(dataDir);
  return found.filter(({ name, isOpen }) => isOpen && !PROGRAMS.test(name)).map(({ name }) => name);
}

/** What another user of this machine, who knows every name, can really read: the kernel's word. */
async function readByAnotherUser(dataDir: string): Promise<string[]> {
  const names = (await walkAll(dataDir)).map(({ name }) => name).filter((name) => !PROGRAMS.test(name));
  const script = 'while IFS= read -r file; do if [ -r "$file" ]; then echo "$file"; fi; done';
  const input = names.map((name) => `${path.join(dataDir, name)}\n`).join('');
  const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', script], {
    ...{ input, cwd: '/', encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
    ...ANOTHER_USER,
  });
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter((line) => line !== '');
}

describe('a data folder that was used', () => {
  let federation: TestFederation;
  let site: TestSite;
  const dataDirs = () => [site.process.dataDir, federation.hub.dataDir];

  before(async () => {
    federation = await TestFederation.start(1);
    const [first] = federation.sites;
    assert.ok(first !== undefined && federation.projectId !== undefined);
    site = first;
    const run = await followRun(federation.admin, { runId: (await federation.createRun('graph', 500)).runId });
    assert.equal(run.state, 'completed', run.message);
    const body = { projectId: federation.projectId, plan: federation.plan('exact', 501) };
    await site.admin.api.call(SITE_API.runLocally, { body });
  });
  after(() => federation.stop());

  it('holds the rows of the run, and no file or folder that others may read but the programs of PostgreSQL', async () => {
    const names = (await walkAll(site.process.dataDir)).map(({ name }) => name);
    assert.ok(names.some((name) => /^work\/runs\/run_[^/]+\/train\.safetensors$/.test(name)));
    for (const dir of ['blobs', 'imports', 'work/tables', 'work/local-runs']) assert.ok(names.includes(dir), dir);
    for (const dataDir of dataDirs()) assert.deepEqual(await openByMode(dataDir), []);
  });

  const skip = isRoot ? false : 'only root can become another user; the modes were looked at above';
  it('gives nothing to another user of the machine', { skip }, async () => {
    for (const dataDir of dataDirs()) assert.deepEqual(await readByAnotherUser(dataDir), []);
  });

  it('is closed at the next start where an earlier one had left it open', async () => {
    const { dataDir } = site.process;
    for (const dir of ['work', 'work/runs', 'work/local-runs', 'work/tables', 'blobs', 'imports']) {
      await chmod(path.join(dataDir, dir), 0o755);
    }
    assert.ok((await openByMode(dataDir)).length > 0);
    await federation.restartSite(site);
    assert.deepEqual(await openByMode(dataDir), []);
  });
});
