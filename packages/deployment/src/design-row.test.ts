import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError, type FeatureSpec } from '@lantern/contract';
import { designNames, designRow } from './design-row.ts';

const SPEC: Pick<FeatureSpec, 'features'> = {
  features: [
    { kind: 'numeric', column: 'age' },
    { kind: 'one-hot', column: 'cp', categories: ['1', '2', '4'], dropFirst: true },
    { kind: 'one-hot', column: 'sex', categories: ['f', 'm'], dropFirst: false },
  ],
};
const BY = { mean: [50, 0.5, 0.25, 0.4, 0], stdDev: [10, 0.5, 2, 0.2, 0] };

function row(entries: Record<string, number | string>) {
  return designRow(SPEC, BY, new Map(Object.entries(entries)));
}

test('features are named and ordered by the description', () => {
  assert.deepEqual(designNames(SPEC), ['age', 'cp=2', 'cp=4', 'sex=f', 'sex=m']);
});

test('values are encoded, standardised, and 0 where training saw no spread', () => {
  const made = row({ age: 63, cp: '4', sex: 'm' });
  assert.ok(made.kind === 'row');
  assert.deepEqual(
    made.values.map((value) => Math.round(value * 1000) / 1000),
    [1.3, -1, 0.375, -2, 0],
  );
});

test('the reference category is all zeros, and a declared integer matches its decimal spelling', () => {
  assert.deepEqual(row({ age: 50, cp: '1', sex: 'f' }), row({ age: 50, cp: '1.0', sex: 'f' }));
  assert.deepEqual(row({ age: 50, cp: 1, sex: 'f' }), row({ age: 50, cp: '1', sex: 'f' }));
});

test('a missing column or an unknown category is named, never taken for the reference', () => {
  assert.deepEqual(row({ age: 50, cp: '3' }), { kind: 'unusable', columns: ['cp', 'sex'] });
  assert.deepEqual(row({ age: Number.NaN, cp: '1', sex: 'f' }), { kind: 'unusable', columns: ['age'] });
  assert.deepEqual(row({ age: '50', cp: '1', sex: 'f' }), { kind: 'unusable', columns: ['age'] });
});

test('a standardisation of other features is refused', () => {
  assert.throws(
    () => designRow(SPEC, { mean: [1], stdDev: [1] }, new Map(Object.entries({ age: 1, cp: '1', sex: 'f' }))),
    (error) => error instanceof AppError && error.code === 'input.invalid',
  );
});
