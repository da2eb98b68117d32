/** Senders that stop within an image, and connections that never say anything, beside one that is in a hurry. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, it } from 'node:test';
import { type Instance, openAssociation, STATUS, storingContexts } from '@lantern/dicom';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { syntheticInstance } from '../../test/synthetic-images.ts';
import { verifyArchive } from '../archive/verify.ts';

const SLOW_COUNT = 30;
const SILENT_COUNT = 40;
const HURRIED_COUNT = 25;
/** For one image, on a machine that runs other tests beside; without starvation it is some tens of milliseconds. */
const ANSWER_MS_MAX = 5000;
const PIXEL_BYTES = 300_000;

let node: TestImaging;
const silent: Socket[] = [];

before(async () => {
  node = await startTestImaging({ name: 'slow-senders' });
});

after(async () => {
  for (const socket of silent) socket.destroy();
  await node?.close();
});

const imageOf = (study: number, number: number) =>
  syntheticInstance({ study, series: 1, number, pixelBytes: PIXEL_BYTES });

/** Half of it at once, the rest when the gate opens. */
function stopping(image: ReturnType<typeof imageOf>, gate: Promise<void>, begun: () => void): Instance {
  const half = Math.floor(image.content.byteLength / 2);
  return {
    ...image,
    async *open() {
      yield image.content.subarray(0, half);
      begun();
      await gate;
      yield image.content.subarray(half);
    },
  };
}

async function association(images: readonly Instance[]) {
  const to = { host: '127.0.0.1', port: node.port, calledAe: OWN_AE, callingAe: PEER_AE };
  return openAssociation({ ...to, contexts: storingContexts(images) });
}

it('thirty senders that stop within an image, and forty silent connections, hold nobody up, and end well themselves', async (t) => {
  for (let count = 0; count < SILENT_COUNT; count += 1) {
    const socket = connect(node.port, '127.0.0.1');
    silent.push(socket);
    await once(socket, 'connect');
  }
  const gate = Promise.withResolvers<void>();
  const slow = Array.from({ length: SLOW_COUNT }, async (_, number) => {
    const begun = Promise.withResolvers<void>();
    const image = stopping(imageOf(1, number), gate.promise, begun.resolve);
    const client = await association([image]);
    const stored = client.store(image);
    await begun.promise;
    return { client, stored };
  });
  const stopped = await Promise.all(slow);

  const images = Array.from({ length: HURRIED_COUNT }, (_, number) => imageOf(2, number));
  const tookMs: number[] = [];
  const startMs = performance.now();
  const client = await association(images);
  tookMs.push(performance.now() - startMs);
  for (const image of images) {
    const sentMs = performance.now();
    assert.equal((await client.store(image)).status, STATUS.success);
    tookMs.push(performance.now() - sentMs);
  }
  await client.release();
  t.diagnostic(`the slowest of ${HURRIED_COUNT} took ${Math.round(Math.max(...tookMs))} ms`);
  assert.ok(Math.max(...tookMs) < ANSWER_MS_MAX, `${tookMs.map(Math.round).join(' ')} ms`);

  gate.resolve();
  for (const { client: late, stored } of stopped) {
    assert.equal((await stored).status, STATUS.success);
    await late.release();
  }
  const { files } = node.imaging.archive;
  const { instanceCount, problems } = await verifyArchive({ database: node.database, files, hashes: true });
  assert.deepEqual({ instanceCount, problems }, { instanceCount: SLOW_COUNT + HURRIED_COUNT, problems: [] });
});
