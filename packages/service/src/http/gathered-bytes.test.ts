import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gatheredBytes } from './gathered-bytes.ts';

/** Bytes 0, 1, 2 ... 250, 0 ... from `begin` on, in memory of their own. */
function piece(begin: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => (begin + index) % 251);
}

async function* pieces(...sizes: number[]): AsyncGenerator<Uint8Array> {
  let begin = 0;
  for (const size of sizes) {
    yield piece(begin, size);
    begin += size;
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<{ sizes: number[]; bytes: Buffer }> {
  const copies: Buffer[] = [];
  for await (const bytes of gatheredBytes(source)) copies.push(Buffer.from(bytes));
  return { sizes: copies.map((copy) => copy.byteLength), bytes: Buffer.concat(copies) };
}

test('many small pieces come as few larger ones, the same bytes in the same order', async () => {
  const sizes = Array.from({ length: 3000 }, (_, index) => 1 + ((index * 7919) % 2000));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const gathered = await collect(pieces(...sizes));
  assert.deepEqual(gathered.bytes, Buffer.from(piece(0, total)));
  assert.ok(gathered.sizes.length < 10, `${gathered.sizes.length} pieces`);
  assert.ok(Math.max(...gathered.sizes) <= 1024 * 1024);
});

test('a piece larger than the buffer, empty pieces and an empty source pass through', async () => {
  const gathered = await collect(pieces(0, 5_000_000, 0, 3));
  assert.deepEqual(gathered.bytes, Buffer.from(piece(0, 5_000_003)));
  assert.deepEqual(await collect(pieces()), { sizes: [], bytes: Buffer.alloc(0) });
  assert.deepEqual((await collect(pieces(0))).sizes, []);
});

test('what arrived before the source breaks is handed on before the error', async () => {
  async function* cut(): AsyncGenerator<Uint8Array> {
    yield* pieces(10, 20);
    throw new Error('the line was cut');
  }
  const got: Buffer[] = [];
  const reading = async () => {
    for await (const bytes of gatheredBytes(cut())) got.push(Buffer.from(bytes));
  };
  await assert.rejects(reading(), /the line was cut/);
  assert.deepEqual(Buffer.concat(got), Buffer.from(piece(0, 30)));
});

test('the memory of a piece is freed as soon as it was copied, that of a view is left alone', async () => {
  const whole = piece(0, 100);
  const view = piece(0, 300).subarray(100, 200);
  async function* two(): AsyncGenerator<Uint8Array> {
    yield whole;
    yield view;
  }
  assert.deepEqual((await collect(two())).bytes, Buffer.concat([piece(0, 100), piece(100, 100)]));
  assert.equal(whole.byteLength, 0);
  assert.deepEqual(view, piece(100, 100));
});

test('a consumer that stops early ends the source', async () => {
  let ended = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield piece(0, 50_000);
    } finally {
      ended = true;
    }
  }
  for await (const _ of gatheredBytes(endless())) break;
  assert.ok(ended);
});
