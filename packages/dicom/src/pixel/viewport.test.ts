import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RenderedImage } from './render.ts';
import { fitted } from './viewport.ts';

const gray = (rows: readonly (readonly number[])[]): RenderedImage => ({
  rows: rows.length,
  columns: rows[0]?.length ?? 0,
  samplesPerPixel: 1,
  bytes: Buffer.from(rows.flat()),
});

const rowsOf = ({ rows, columns, samplesPerPixel, bytes }: RenderedImage): number[][] =>
  Array.from({ length: rows }, (_, row) => [
    ...bytes.subarray(row * columns * samplesPerPixel, (row + 1) * columns * samplesPerPixel),
  ]);

const RAMP = gray([
  [10, 20, 30, 40],
  [50, 60, 70, 80],
]);

describe('an image in a viewport', () => {
  test('is as large as fits, in its own proportions', () => {
    const { rows, columns } = fitted(RAMP, { columns: 100, rows: 30 });
    assert.deepEqual([columns, rows], [60, 30]);
    const narrow = fitted(RAMP, { columns: 3, rows: 100 });
    assert.deepEqual([narrow.columns, narrow.rows], [3, 2]);
    assert.equal(fitted(RAMP, { columns: 4, rows: 9 }), RAMP);
  });

  test('is averaged where it gets smaller', () => {
    assert.deepEqual(rowsOf(fitted(RAMP, { columns: 2, rows: 2 })), [[35, 55]]);
    const thirds = fitted(gray([[0, 30, 90]]), { columns: 2, rows: 1 });
    assert.deepEqual(rowsOf(thirds), [[10, 70]]); // (0 + 30 / 2) / 1.5, (30 / 2 + 90) / 1.5
  });

  test('is interpolated where it gets larger, and keeps its ends', () => {
    assert.deepEqual(rowsOf(fitted(gray([[0, 100]]), { columns: 4, rows: 2 })), [
      [0, 25, 75, 100],
      [0, 25, 75, 100],
    ]);
  });

  test('keeps its colours apart', () => {
    const colour: RenderedImage = {
      rows: 1,
      columns: 2,
      samplesPerPixel: 3,
      bytes: Buffer.from([0, 10, 200, 100, 30, 0]),
    };
    assert.deepEqual(rowsOf(fitted(colour, { columns: 1, rows: 1 })), [[50, 20, 100]]);
  });

  test('is cut to a region, and mirrored where its size is negative', () => {
    const shown = (region: { x: number; y: number; columns: number; rows: number }) =>
      rowsOf(fitted(RAMP, { columns: Math.abs(region.columns), rows: Math.abs(region.rows), region }));
    assert.deepEqual(shown({ x: 1, y: 0, columns: 2, rows: 2 }), [
      [20, 30],
      [60, 70],
    ]);
    assert.deepEqual(shown({ x: 1, y: 0, columns: -2, rows: 2 }), [
      [30, 20],
      [70, 60],
    ]);
    assert.deepEqual(shown({ x: 1, y: 0, columns: 2, rows: -2 }), [
      [60, 70],
      [20, 30],
    ]);
    assert.throws(() => shown({ x: 4, y: 0, columns: 2, rows: 2 }), { code: 'value' });
  });
});
