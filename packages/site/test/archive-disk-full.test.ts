/** A disk that fills while images arrive: the sender is told to come back, what was acknowledged stays, and it goes on by itself. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type Instance, openAssociation, STATUS, storingContexts } from '@lantern/dicom';
import { verifyArchive } from '../src/archive/verify.ts';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from './imaging-harness.ts';
import { syntheticInstance } from './synthetic-images.ts';

const PIXEL_BYTES = 400_000;
const ANSWER_MS_MAX = 5000;

async function sendOne(node: TestImaging, image: Instance): Promise<number> {
  const to = { host: '127.0.0.1', port: node.port, calledAe: OWN_AE, callingAe: PEER_AE };
  const client = await openAssociation({ ...to, contexts: storingContexts([image]) });
  const { status } = await client.store(image);
  await client.release();
  return status;
}

const imageOf = (number: number) => syntheticInstance({ study: 1, series: 1, number, pixelBytes: PIXEL_BYTES });

describe('an archive whose disk is full', () => {
  it('says out of resources within seconds, deletes nothing, and goes on once there is room', async (t) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'lantern-full-'));
    const images = path.join(folder, 'images');
    await mkdir(images);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', images], { stdio: 'pipe' });
    } catch {
      await rm(folder, { recursive: true, force: true });
      return t.skip('a small file system cannot be mounted here');
    }
    const node = await startTestImaging({ name: 'archive-disk-full', folder });
    try {
      const stored = await fillUp(node);
      assert.ok(stored > 2, `only ${stored} fitted`);
      await assertHolds(node, stored);
      execFileSync('mount', ['-o', 'remount,size=64m', images]);
      assert.equal(await sendOne(node, imageOf(stored)), STATUS.success);
      await assertHolds(node, stored + 1);
    } finally {
      execFileSync('umount', ['--lazy', images]);
      await node.close();
    }
  });
});

/** Gives how many fitted. */
async function fillUp(node: TestImaging): Promise<number> {
  for (let stored = 0; stored < 20; stored += 1) {
    const start = performance.now();
    const status = await sendOne(node, imageOf(stored));
    if (status === STATUS.success) continue;
    assert.equal(status, STATUS.outOfResources);
    assert.ok(performance.now() - start < ANSWER_MS_MAX);
    return stored;
  }
  return assert.fail('The disk never became full.');
}

async function assertHolds({ database, imaging }: TestImaging, count: number): Promise<void> {
  const { files } = imaging.archive;
  const { instanceCount, problems } = await verifyArchive({ database, files, hashes: true });
  assert.deepEqual({ instanceCount, problems }, { instanceCount: count, problems: [] });
  const onDisk = readdirSync(files.dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.dcm'));
  assert.equal(onDisk.length, count);
}
