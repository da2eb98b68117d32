import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { AppError, type BlobRef, type GraphManifest, type RunId } from '@lantern/contract';
import { createFolder, encodeHeader } from '@lantern/learning';
import { type BlobStore, openBlobStore } from '@lantern/service';
import { foldRound } from './folding.ts';

const COUNT = 300_001; // more than one block of the fold
const TENSORS = [{ name: 'w', shape: [COUNT], dtype: 'F32' as const }];

let dir: string;
let blobs: BlobStore;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-folding-'));
  blobs = await openBlobStore({ dir });
});
after(() => rm(dir, { recursive: true }));

function put(values: Float32Array): Promise<BlobRef> {
  return blobs.put([encodeHeader(TENSORS), new Uint8Array(values.buffer)]);
}

function fold(weights: BlobRef, deltas: readonly [BlobRef, number][]) {
  const manifest = { parameters: [{ name: 'w', shape: [COUNT] }] } as Partial<GraphManifest> as GraphManifest;
  return foldRound(
    { blobs, folder: createFolder() },
    {
      runId: 'run' as RunId,
      round: 1,
      manifest,
      strategy: { kind: 'fedavg' },
      weights,
      serverState: {},
      updates: deltas.map(([delta, weight]) => ({ weight, rowCount: weight, meanLoss: 0.5, delta })),
      participation: 1,
      signal: new AbortController().signal,
    },
  );
}

test('FedAvg over more than one block adds the weighted mean of the updates to every element', async () => {
  const weights = await put(Float32Array.from({ length: COUNT }, (_, index) => index / 8));
  const one = await put(Float32Array.from({ length: COUNT }, (_, index) => index % 7));
  const three = await put(Float32Array.from({ length: COUNT }, (_, index) => -(index % 5)));
  const closing = await fold(weights, [
    [one, 1],
    [three, 3],
  ]);
  assert.ok(closing.weightsDigest !== undefined);
  const bytes = Buffer.from(await blobs.readAll(closing.weightsDigest, 2_000_000));
  const first = bytes.byteLength - 4 * COUNT;
  for (const index of [0, 1, 6, 249_999, 250_000, COUNT - 1]) {
    const wanted = index / 8 + 0.25 * (index % 7) - 0.75 * (index % 5);
    assert.equal(bytes.readFloatLE(first + 4 * index), wanted, `element ${index}`);
  }
});

for (const place of [0, 250_000, COUNT - 1]) {
  test(`finite updates that push weight ${place} out of the finite numbers end the fold and leave nothing`, async () => {
    const weights = await put(new Float32Array(COUNT).fill(3e38));
    const delta = new Float32Array(COUNT);
    delta[place] = 1e38;
    await assert.rejects(
      fold(weights, [[await put(delta), 2]]),
      (error) => error instanceof AppError && error.code === 'training.diverged' && /Tensor w/.test(error.message),
    );
    assert.deepEqual(await readdir(path.join(dir, 'incoming')), []);
  });
}
