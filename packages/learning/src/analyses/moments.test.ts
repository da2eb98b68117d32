import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError, MomentsSchema, matches } from '@lantern/contract';
import { localMoments, mergeMoments, standardisationOf } from './moments.ts';

/** A small generator with a printed seed (mulberry32), so that every run tests the same numbers. */
function uniforms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Sample variance in exact integer arithmetic, for data that are integers over `scale`. */
function exactVariance(integers: readonly bigint[], scale: number): number {
  const count = BigInt(integers.length);
  const sum = integers.reduce((total, value) => total + value, 0n);
  const numerator = integers.reduce((total, value) => total + (value * count - sum) ** 2n, 0n); // n^2 x M2
  const scaled = (numerator * 10n ** 30n) / (count * count * (count - 1n));
  return Number(scaled) / 1e30 / scale ** 2;
}

const relative = (actual: number | undefined, expected: number) => Math.abs((actual ?? Number.NaN) / expected - 1);

test('merged moments of uneven sites equal mean and n-1 deviation of all rows, computed exactly', () => {
  const random = uniforms(7);
  const sites = [199, 172, 30, 1, 85].map((count, site) =>
    Array.from({ length: count }, () => BigInt(Math.floor(random() * 5000) + 700 * site)),
  );
  const parts = sites.map((rows) => localMoments([rows.map((value) => Number(value) / 16)]));
  const merged = standardisationOf(mergeMoments(parts));
  const all = sites.flat();
  assert.equal(mergeMoments(parts).rowCount, 487);
  assert.ok(relative(merged.mean[0], Number(all.reduce((sum, value) => sum + value, 0n)) / 16 / all.length) < 1e-13);
  assert.ok(relative(merged.stdDev[0], Math.sqrt(exactVariance(all, 16))) < 1e-13);
});

test('with a common shift the variance is exact to 1e-9 even for mean 1e9 and deviation 1e-3', () => {
  const random = uniforms(11);
  const scale = 2 ** 20; // a grid of 1e-6 that doubles near 1e9 hold exactly
  const sites = [400, 250, 37].map((count, site) =>
    Array.from({ length: count }, () => BigInt(Math.round(((random() + random() - 1) * 2.4e-3 + site * 5e-4) * scale))),
  );
  const columns = sites.map((rows) => rows.map((value) => 1e9 + Number(value) / scale));
  const exact = exactVariance(sites.flat(), scale);
  assert.ok(Math.sqrt(exact) > 9e-4 && Math.sqrt(exact) < 1.1e-3);
  const shift = [1e9];
  const shifted = mergeMoments(columns.map((column) => localMoments([column], { shift })));
  assert.ok(relative(shifted.m2[0], exact * 686) < 1e-9, `relative error ${relative(shifted.m2[0], exact * 686)}`);
  const { mean, stdDev } = standardisationOf(shifted, { shift });
  assert.ok(relative(stdDev[0], Math.sqrt(exact)) < 1e-9);
  const grid = sites.flat().reduce((sum, value) => sum + value, 0n);
  assert.equal(mean[0], 1e9 + Number(grid) / scale / 687);
});

test('without a shift the loss stays within the stated bound, where the sum of squares would lose everything', () => {
  const random = uniforms(12);
  const scale = 2 ** 20;
  const sites = [300, 300].map(() =>
    Array.from({ length: 300 }, () => BigInt(Math.round((random() - 0.5) * 4e-3 * scale))),
  );
  const columns = sites.map((rows) => rows.map((value) => 1e9 + Number(value) / scale));
  const exact = exactVariance(sites.flat(), scale);
  const merged = standardisationOf(mergeMoments(columns.map((column) => localMoments([column]))));
  assert.ok(relative(merged.stdDev[0], Math.sqrt(exact)) < 1.2e-4); // (1e9 / 1.15e-3) x 1.1e-16
  const all = columns.flat();
  const sum = all.reduce((total, value) => total + value, 0);
  const squares = all.reduce((total, value) => total + value * value, 0);
  const naive = (squares - (sum * sum) / 600) / 599;
  assert.ok(relative(naive, exact) > 1, 'the control: the textbook formula fails on these numbers');
});

test('a site without rows changes nothing, and a feature without spread has deviation 0', () => {
  const part = localMoments([
    [3, 5, 10],
    [2, 2, 2],
  ]);
  const empty = localMoments([[], []]);
  assert.deepEqual(mergeMoments([empty, part, empty]), part);
  const { mean, stdDev } = standardisationOf(part);
  assert.deepEqual(mean, [6, 2]);
  assert.ok(relative(stdDev[0], Math.sqrt(13)) < 1e-15); // (9 + 1 + 16) / 2
  assert.equal(stdDev[1], 0);
  assert.deepEqual(standardisationOf(localMoments([[4]])).stdDev, [0]);
});

test('the message fits its contract, and repeated merges in the same order have the same bits', () => {
  const parts = [localMoments([[0.1, 0.7]]), localMoments([[0.3, 0.9, 11.3]])];
  assert.ok(parts.every((part) => matches(MomentsSchema, part)));
  assert.deepEqual(mergeMoments(parts), mergeMoments(structuredClone(parts)));
});

test('columns of different length, missing numbers and moments of another width are refused', () => {
  const refuses = (code: string, run: () => unknown) =>
    assert.throws(run, (error) => error instanceof AppError && error.code === code);
  refuses('dataset.invalid', () => localMoments([[1, 2], [1]]));
  refuses('dataset.invalid', () => localMoments([[1, Number.NaN]]));
  refuses('dataset.invalid', () => localMoments([[1, Number.POSITIVE_INFINITY]]));
  const one = localMoments([[1, 2]]);
  refuses('update.invalid', () => mergeMoments([one, localMoments([[1], [2]])]));
  refuses('update.invalid', () => mergeMoments([one, { rowCount: 2, mean: [Number.NaN], m2: [0] }]));
  refuses('update.invalid', () => mergeMoments([one, { rowCount: 2, mean: [1], m2: [-1e-9] }]));
});
