import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BatchPlan, batches, stepCountOf } from './batches.ts';

const PLAN: BatchPlan = { rowCount: 11, batchSize: 4, work: { kind: 'epochs', count: 3 }, seed: 'a' };

function drawn(plan: BatchPlan): number[][] {
  return Array.from(batches(plan), (rows) => [...rows]);
}

test('an epoch goes through every row once and ends with the short batch', () => {
  const all = drawn(PLAN);
  assert.deepEqual(
    all.map((rows) => rows.length),
    [4, 4, 3, 4, 4, 3, 4, 4, 3],
  );
  for (const epoch of [0, 1, 2]) {
    const rows = all.slice(epoch * 3, epoch * 3 + 3).flat();
    assert.deepEqual(
      rows.toSorted((a, b) => a - b),
      Array.from({ length: 11 }, (_, row) => row),
    );
  }
  assert.equal(stepCountOf(PLAN), 9);
});

test('each epoch has an order of its own, fixed by the seed', () => {
  const all = drawn(PLAN).flat();
  assert.notDeepEqual(all.slice(0, 11), all.slice(11, 22));
  assert.deepEqual(drawn(PLAN).flat(), all);
  assert.notDeepEqual(drawn({ ...PLAN, seed: 'b' }).flat(), all);
});

test('steps cycle through reshuffled epochs, past the last row', () => {
  const steps = drawn({ ...PLAN, work: { kind: 'steps', count: 7 } });
  assert.deepEqual(steps, drawn(PLAN).slice(0, 7));
});

test('rounds that count the steps before them see the batches of one uninterrupted run', () => {
  const round = (stepsBefore: number) => drawn({ ...PLAN, work: { kind: 'steps', count: 4 }, stepsBefore });
  assert.deepEqual([...round(0), ...round(4)], drawn(PLAN).slice(0, 8));
});

test('fewer rows than a batch make one short batch', () => {
  assert.deepEqual(
    drawn({ ...PLAN, rowCount: 2, work: { kind: 'steps', count: 2 } }).map((rows) => rows.length),
    [2, 2],
  );
});

test('a batch of all rows takes them in the order of the table, whatever the seed', () => {
  const whole = { rowCount: 5, batchSize: 5, work: { kind: 'epochs', count: 2 } } as const;
  for (const seed of ['a', 'b', 'c'])
    assert.deepEqual(drawn({ ...whole, seed }), [
      [0, 1, 2, 3, 4],
      [0, 1, 2, 3, 4],
    ]);
  assert.notDeepEqual(
    drawn({ ...whole, batchSize: 4, seed: 'a' })
      .flat()
      .slice(0, 5),
    [0, 1, 2, 3, 4],
  );
});
