import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instantRange } from './dates.ts';

const iso = (text: string) => {
  const range = instantRange(text);
  return range === undefined ? undefined : [new Date(range.low).toISOString(), new Date(range.high).toISOString()];
};

test('a date means the stretch of time that its precision leaves open', () => {
  assert.deepEqual(iso('2019'), ['2019-01-01T00:00:00.000Z', '2020-01-01T00:00:00.000Z']);
  assert.deepEqual(iso('2024-02'), ['2024-02-01T00:00:00.000Z', '2024-03-01T00:00:00.000Z']);
  assert.deepEqual(iso('2024-12-31'), ['2024-12-31T00:00:00.000Z', '2025-01-01T00:00:00.000Z']);
  assert.deepEqual(iso('2024-05-01T12:30+02:00'), ['2024-05-01T10:30:00.000Z', '2024-05-01T10:31:00.000Z']);
  assert.deepEqual(iso('2024-05-01T12:30:05.1Z'), ['2024-05-01T12:30:05.100Z', '2024-05-01T12:30:05.200Z']);
  assert.deepEqual(iso('0099'), ['0099-01-01T00:00:00.000Z', '0100-01-01T00:00:00.000Z']);
});

test('what the calendar does not have is no date', () => {
  for (const text of ['2023-02-29', '2023-13', '2023-00', '2023-04-31', '20230401', 'now', '2023-04-01T25:00Z', '']) {
    assert.equal(instantRange(text), undefined, text);
  }
});
