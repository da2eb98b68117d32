import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createLogger } from '@lantern/service';
import type { PixelTask } from './pixel-work.ts';
import { createPixelWorkers, type PixelWorkers } from './pixel-workers.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
const log = createLogger({ name: 'pixels', level: 'silent' });
const EXPLICIT = '1.2.840.10008.1.2.1';
const METADATA: PixelTask = { kind: 'metadata', format: 'json', bulkDataRoot: '' };

let workers: PixelWorkers;

before(() => {
  workers = createPixelWorkers({ log });
});
after(() => workers.close());

async function all(name: string, task: PixelTask): Promise<Buffer> {
  const blocks: Uint8Array[] = [];
  for await (const block of workers.perform({ path: path.join(FIXTURES, name), task })) blocks.push(block);
  return Buffer.concat(blocks);
}

describe('work on pixels in threads', () => {
  it('goes on for many at once, each with its own result', async () => {
    const names = ['MR_small_RLE.dcm', 'MR_small_bigendian.dcm', 'chrGreek.dcm', 'reportsi.dcm', 'rtplan.dcm'];
    const together = await Promise.all(Array.from({ length: 40 }, (_, index) => all(names[index % 5] ?? '', METADATA)));
    for (const [index, json] of together.entries()) assert.deepEqual(json, together[index % 5]);
    assert.equal(new Set(together.map(String)).size, 5);
    const more = Array.from({ length: 200 }, () =>
      all('MR_small_RLE.dcm', { kind: 'data-set', transferSyntaxUid: EXPLICIT }),
    );
    const sizes = new Set((await Promise.all(more)).map(({ byteLength }) => byteLength));
    assert.equal(sizes.size, 1);
  });

  it('fails as it would fail here, and the thread goes on', async () => {
    await assert.rejects(all('reportsi.dcm', { kind: 'rendered', frameIndex: 0, rendering: { format: 'png' } }), {
      name: 'DicomError',
    });
    await assert.rejects(all('MR_small.dcm', { kind: 'frames', transferSyntaxUid: EXPLICIT, indices: [1] }), {
      code: 'value',
    });
    await assert.rejects(all('nowhere.dcm', METADATA), { code: 'internal' });
    assert.equal(
      (await all('MR_small.dcm', { kind: 'frames', transferSyntaxUid: EXPLICIT, indices: [0, 0] })).byteLength,
      16_384,
    );
  });

  it('that nobody wants to the end is given up, and its place is free', async () => {
    for (let count = 0; count < 200; count += 1) {
      for await (const block of workers.perform({ path: path.join(FIXTURES, 'MR_small.dcm'), task: METADATA })) {
        assert.ok(block.byteLength > 0);
        break;
      }
    }
  });

  it('ends with its threads', async () => {
    const closing = createPixelWorkers({ log });
    const job = { path: path.join(FIXTURES, 'MR_small.dcm'), task: METADATA };
    const work = closing.perform(job);
    await work.next();
    await closing.close();
    await assert.rejects(work.next(), { code: 'executor.failed' });
    await assert.rejects(closing.perform(job).next(), { code: 'stopped' });
  });
});
