import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeDataFolder, makeNamedFolder } from './data-folder.ts';

describe('a data folder', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(path.join(os.tmpdir(), 'lantern-data-folder-'));
  });
  after(() => rm(root, { recursive: true, force: true }));

  it('is made with what is missing above it, and the topmost new one is named', async () => {
    const dir = path.join(root, 'a', 'b', 'c');
    assert.equal(await makeDataFolder(dir, { mode: 0o700 }), path.join(root, 'a'));
    assert.equal((await stat(dir)).mode & 0o777, 0o700);
    await mkdir(path.join(root, 'usual'));
    const usual = (await stat(path.join(root, 'usual'))).mode;
    assert.equal((await stat(path.join(root, 'a', 'b'))).mode, usual, 'the user of the database has to pass it');
    assert.equal(await makeDataFolder(dir), undefined);
  });

  it('is made once by two who begin at the same time', async () => {
    const dir = path.join(root, 'd', 'e');
    await Promise.all([makeDataFolder(dir), makeDataFolder(dir)]);
    assert.deepEqual(await readdir(path.join(root, 'd')), ['e']);
  });

  it('is refused where a file is in the way', async () => {
    const file = path.join(root, 'file');
    await writeFile(file, '');
    for (const dir of [file, path.join(file, 'below')])
      await assert.rejects(makeDataFolder(dir), { code: 'config.invalid', field: 'dataDir', message: /is a file/ });
  });

  it('is refused behind a link that leads nowhere', async () => {
    const dir = path.join(root, 'link');
    await symlink(path.join(root, 'nowhere', 'at', 'all'), dir);
    await assert.rejects(makeDataFolder(dir), { code: 'config.invalid' });
  });

  it('is refused at once in /proc, where a recursive mkdir would try for ever', {
    skip: process.platform !== 'linux' && 'only Linux has /proc',
  }, async () => {
    await assert.rejects(makeDataFolder('/proc/foo/bar'), { code: 'config.invalid', message: /\/proc\/foo\/bar/ });
    await assert.rejects(makeNamedFolder('/proc/foo/bar'), {
      code: 'input.invalid',
      message: /^The folder \/proc\/foo\/bar/,
    });
  });

  it('is told from one that a command writes to, where it cannot be made', async () => {
    const dir = path.join(root, 'out', 'below');
    await makeNamedFolder(dir);
    await writeFile(path.join(dir, 'file'), '');
    await assert.rejects(makeNamedFolder(path.join(dir, 'file')), { code: 'input.invalid', message: /is a file/ });
  });
});
