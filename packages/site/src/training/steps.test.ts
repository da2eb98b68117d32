import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LocalTraining } from '@lantern/contract';
import { rowCountBehindUpdate } from './steps.ts';

/** Kish's count from the weight of every single row: one over the rows of its batch, in each step that reads it. */
function countByRow(rowCount: number, batchSize: number, stepCount: number): number {
  const weights = new Array<number>(rowCount).fill(0);
  for (let step = 0; step < stepCount; step += 1) {
    const begin = (step * batchSize) % (Math.ceil(rowCount / batchSize) * batchSize);
    const end = Math.min(begin + batchSize, rowCount);
    for (let row = begin; row < end; row += 1) weights[row] = (weights[row] ?? 0) + 1 / (end - begin);
  }
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return sum ** 2 / weights.reduce((total, weight) => total + weight ** 2, 0);
}

describe('the rows behind an update', () => {
  const steps = (count: number): LocalTraining['work'] => ({ kind: 'steps', count });
  const cases: [rowCount: number, batchSize: number, LocalTraining['work'], stepCount: number][] = [
    [101, 100, steps(1), 1],
    [101, 100, steps(2), 2],
    [101, 100, { kind: 'epochs', count: 5 }, 2],
    [85, 16, { kind: 'epochs', count: 1 }, 6],
    [85, 16, steps(4), 4],
    [30, 1, steps(9), 9],
    [60, 20, { kind: 'epochs', count: 3 }, 3],
    [12, 64, steps(3), 1],
  ];
  for (const [rowCount, batchSize, work, stepCount] of cases) {
    it(`are ${rowCount} in batches of ${batchSize}, ${work.count} ${work.kind}, as their weights say`, () => {
      const counted = rowCountBehindUpdate({ rowCount, batchSize, work });
      assert.ok(Math.abs(counted - countByRow(rowCount, batchSize, stepCount)) < 1e-9, `${counted}`);
    });
  }

  it('are few where one row is left over in a batch of its own', () => {
    assert.ok(rowCountBehindUpdate({ rowCount: 101, batchSize: 100, work: steps(2) }) < 4);
  });
});
