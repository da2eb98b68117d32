import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { medianOf, summarise } from './measurement.ts';

describe('a summary of repetitions', () => {
  it('takes the middle value by size, not by place or by text', () => {
    assert.equal(medianOf([100, 9, 20]), 20);
    assert.equal(medianOf([4, 1, 3, 2]), 2);
    assert.ok(Number.isNaN(medianOf([])));
  });

  it('keeps smallest, largest and count, and leaves the values as they were', () => {
    const values = [7, 3, 12, 5];
    assert.deepEqual(summarise(values), { median: 5, spread: [3, 12], repetitionCount: 4 });
    assert.deepEqual(values, [7, 3, 12, 5]);
  });
});
