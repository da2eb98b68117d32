import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makePrivateFolder } from './private-folder.ts';

const modeOf = async (folder: string) => ((await stat(folder)).mode & 0o777).toString(8);

describe('a private folder', () => {
  let dir: string;

  before(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lantern-private-'));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  it('belongs to its owner alone, and the folders above it get the usual mode', async () => {
    await mkdir(path.join(dir, 'usual'));
    await makePrivateFolder(path.join(dir, 'above', 'private'));
    assert.equal(await modeOf(path.join(dir, 'above', 'private')), '700');
    assert.equal(await modeOf(path.join(dir, 'above')), await modeOf(path.join(dir, 'usual')));
  });

  it('is closed when it was open before', async () => {
    const open = path.join(dir, 'open');
    await mkdir(open, { mode: 0o755 });
    await makePrivateFolder(open);
    assert.equal(await modeOf(open), '700');
  });
});
