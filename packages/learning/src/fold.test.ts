import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AppError } from '@lantern/contract';
import wabt from 'wabt';
import { createFolder, type FoldSource } from './fold.ts';
import { kernelBytes } from './fold-kernel.ts';

const KERNELS = ['wasm-simd', 'javascript'] as const;

/** Numbers of very different size, so that every rounding and every order of summing shows in the bits. */
function awkward(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state / 2 ** 31) * 10 ** ((state >>> 7) % 9);
  });
}

function sourceOf(values: Float32Array, weight: number, name?: string): FoldSource {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return {
    weight,
    ...(name === undefined ? {} : { name }),
    readInto(target, byteOffset) {
      const part = bytes.subarray(byteOffset, byteOffset + target.byteLength);
      target.set(part);
      return part.byteLength;
    },
  };
}

function foldAll(
  sources: readonly FoldSource[],
  count: number,
  options: { blockElements?: number; kernel?: (typeof KERNELS)[number] } = {},
): Float32Array {
  const sum = new Uint8Array(4 * count);
  let at = 0;
  createFolder(options).fold(sources, { byteOffset: 0, byteLength: 4 * count }, (block) => {
    sum.set(block, at);
    at += block.byteLength;
  });
  assert.equal(at, 4 * count);
  return new Float32Array(sum.buffer);
}

/** The definition, written out: one rounding after the product, one after the sum. */
function foldByDefinition(updates: readonly Float32Array[], weights: readonly number[]): Float32Array {
  return Float32Array.from(updates[0] ?? [], (_, index) =>
    updates.reduce((sum, update, k) => {
      const product = Math.fround(Math.fround(weights[k] ?? 0) * (update[index] ?? 0));
      return k === 0 ? product : Math.fround(sum + product);
    }, 0),
  );
}

const COUNT = 5003; // no multiple of a lane or a block
const updates = [1, 2, 3, 4, 5].map((seed) => awkward(COUNT, seed * 7919));
const weights = [0.1, 0.25, 0.05, 0.4, 0.2];
const sources = updates.map((update, k) => sourceOf(update, weights[k] ?? 0));

test('the kernel in the source is its WAT file, assembled', async () => {
  const text = readFileSync(new URL('fold-kernel.wat', import.meta.url), 'utf8');
  const module = (await wabt()).parseWat('fold-kernel.wat', text, { simd: true });
  const { buffer } = module.toBinary({});
  module.destroy();
  assert.deepEqual(Buffer.from(kernelBytes()), Buffer.from(buffer));
});

test('this machine folds by WebAssembly, and JavaScript can be asked for', () => {
  assert.equal(createFolder().kernel, 'wasm-simd');
  assert.equal(createFolder({ kernel: 'javascript' }).kernel, 'javascript');
});

for (const kernel of KERNELS) {
  test(`${kernel}: every element has the bits of the definition, whatever the size of a block`, () => {
    const wanted = new Uint8Array(foldByDefinition(updates, weights).buffer);
    for (const blockElements of [16, 160, 1008, 4096, 16_384]) {
      const folded = foldAll(sources, COUNT, { blockElements, kernel });
      assert.deepEqual(new Uint8Array(folded.buffer), wanted, `block of ${blockElements}`);
    }
  });

  test(`${kernel}: a block of many slices, its sites in three groups, folds to the same bits in one, two or three ranges`, () => {
    const count = 70_003; // five slices, the last of them short
    const long = Array.from({ length: 9 }, (_, k) => awkward(count, (k + 1) * 104_729));
    const shares = long.map((_, k) => (k + 1) / 45);
    const wanted = new Uint8Array(foldByDefinition(long, shares).buffer);
    for (const rangeCount of [1, 2, 3]) {
      const folder = createFolder({ kernel });
      const sum = new Uint8Array(4 * count);
      const step = 4 * Math.ceil(count / rangeCount);
      for (let at = 0; at < sum.byteLength; at += step) {
        const range = { byteOffset: at, byteLength: Math.min(step, sum.byteLength - at) };
        const parts = long.map((update, k) => sourceOf(update, shares[k] ?? 0));
        folder.fold(parts, range, (block) => sum.set(block, range.byteOffset));
      }
      assert.deepEqual(sum, wanted, `${rangeCount} ranges`);
    }
  });

  test(`${kernel}: a number that is not finite is found in any slice of a block`, () => {
    for (const place of [15_999, 16_000, 31_999, 40_002]) {
      const poisoned = new Float32Array(40_003);
      poisoned[place] = Number.NaN;
      assert.throws(
        () =>
          foldAll([sourceOf(new Float32Array(40_003), 1, 'first'), sourceOf(poisoned, 1, 'second')], 40_003, {
            kernel,
          }),
        (error) => error instanceof AppError && error.message === `Update second is not finite at byte ${4 * place}.`,
      );
    }
  });

  test(`${kernel}: another order of the same updates gives other bits, which is why the order is fixed`, () => {
    const reversed = foldAll([...sources].reverse(), COUNT, { kernel });
    const forward = foldAll(sources, COUNT, { kernel });
    assert.ok(forward.some((value, index) => value !== reversed[index]));
    const largest = forward.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    assert.ok(forward.every((value, index) => Math.abs(value - (reversed[index] ?? 0)) <= 1e-6 * largest));
  });

  test(`${kernel}: a source that gives a few bytes at a time folds the same`, () => {
    const slow = sources.map((source) => ({
      weight: source.weight,
      readInto: (target: Uint8Array, byteOffset: number) => source.readInto(target.subarray(0, 37), byteOffset),
    }));
    assert.deepEqual(foldAll(slow, COUNT, { kernel }), foldAll(sources, COUNT, { kernel }));
  });

  test(`${kernel}: only the range asked for is read, from where it starts`, () => {
    const folder = createFolder({ kernel, blockElements: 16 });
    const blocks: Float32Array[] = [];
    folder.fold([sourceOf(updates[0] ?? new Float32Array(), 1)], { byteOffset: 40, byteLength: 4 * 20 }, (block) => {
      blocks.push(new Float32Array(block.slice().buffer));
    });
    assert.deepEqual(
      blocks.map((block) => block.length),
      [16, 4],
    );
    assert.deepEqual([...(blocks[0] ?? []), ...(blocks[1] ?? [])], [...(updates[0]?.subarray(10, 30) ?? [])]);
  });

  test(`${kernel}: an update with NaN or an infinity is refused by name and place, wherever it hides`, () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const place of [0, 17, 1023, 1024, COUNT - 1]) {
        const poisoned = Float32Array.from(updates[2] ?? []);
        poisoned[place] = bad;
        const all = [sourceOf(updates[0] ?? poisoned, 0.5, 'first'), sourceOf(poisoned, 0.5, 'second')];
        assert.throws(
          () => foldAll(all, COUNT, { kernel, blockElements: 1024 }),
          (error) =>
            error instanceof AppError &&
            error.code === 'update.invalid' &&
            error.message === `Update second is not finite at byte ${4 * place}.`,
        );
        const [first, second] = all.map((source) =>
          createFolder({ kernel, blockElements: 1024 }).findNonFinite(source, { byteOffset: 0, byteLength: 4 * COUNT }),
        );
        assert.deepEqual([first, second], [-1, 4 * place]);
      }
    }
  });

  test(`${kernel}: finite updates whose sum is not are no site's fault`, () => {
    const huge = Float32Array.of(3e38, 1);
    assert.throws(
      () => foldAll([sourceOf(huge, 1), sourceOf(huge, 1)], 2, { kernel }),
      (error) => error instanceof AppError && error.code === 'training.diverged',
    );
  });

  test(`${kernel}: what an earlier fold left behind does not reach a later, shorter one`, () => {
    const folder = createFolder({ kernel, blockElements: 64 });
    const poisoned = sourceOf(new Float32Array(64).fill(Number.NaN), 1);
    assert.throws(() => folder.fold([poisoned], { byteOffset: 0, byteLength: 256 }, () => undefined));
    const good = sourceOf(Float32Array.of(1.5, -2, 3), 2);
    folder.fold([good], { byteOffset: 0, byteLength: 12 }, (block) => {
      assert.deepEqual([...new Float32Array(block.slice().buffer)], [3, -4, 6]);
    });
  });
}

test('a source that ends early, no source, odd ranges and infinite weights are refused', () => {
  const short = sourceOf(Float32Array.of(1, 2), 1, 'site a');
  assert.throws(() => foldAll([short], 3), /site a ends early/);
  assert.throws(() => foldAll([], 1), /no update/);
  assert.throws(() => foldAll([sourceOf(Float32Array.of(1), Number.NaN)], 1), /weight of 0 is not finite/);
  const folder = createFolder();
  assert.throws(() => folder.fold([short], { byteOffset: 0, byteLength: 3 }, () => undefined), /whole float32/);
  assert.throws(() => folder.findNonFinite(short, { byteOffset: -4, byteLength: 4 }), /whole float32/);
});

test('an empty range calls no sink', () => {
  assert.deepEqual(foldAll(sources, 0), new Float32Array());
});
