import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patientSet, patientSetBytes, patientSetFromBytes, separation } from './patient-set.ts';

test('order and repeats of the numbers do not matter, and bytes bring the set back', () => {
  const set = patientSet([70, 3, 31, 32, 3, 999_999]);
  const same = patientSet([999_999, 32, 31, 3, 70]);
  assert.equal(set.count, 5);
  assert.deepEqual(patientSetBytes(set), patientSetBytes(same));
  assert.deepEqual(patientSetFromBytes(patientSetBytes(set)), set);
});

test('trailing zero bytes change nothing, so equal sets have equal bytes', () => {
  const bytes = patientSetBytes(patientSet([1, 40]));
  assert.deepEqual(patientSetBytes(patientSetFromBytes(Uint8Array.of(...bytes, 0, 0, 0, 0, 0))), bytes);
  assert.equal(patientSetBytes(patientSet([])).length, 0);
});

test('separation counts the patients in one set but not in the other', () => {
  const a = patientSet([1, 2, 3, 64, 5000]);
  const b = patientSet([2, 3, 4, 64]);
  assert.equal(separation(a, b, 100), 3);
  assert.equal(separation(b, a, 100), 3);
  assert.equal(separation(a, a, 100), 0);
  assert.ok(separation(a, b, 2) >= 2);
});

test('a patient number that is negative, broken or absurdly large is refused', () => {
  for (const number of [-1, 1.5, Number.NaN, 100_000_000]) {
    assert.throws(() => patientSet([number]), { code: 'input.invalid' });
  }
});
