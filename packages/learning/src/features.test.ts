import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError, type Feature } from '@lantern/contract';
import { encodeRow, featureNames, standardise } from './features.ts';

const features: Feature[] = [
  { kind: 'numeric', column: 'age' },
  { kind: 'one-hot', column: 'cp', categories: ['1', '2', '3'], dropFirst: true },
  { kind: 'one-hot', column: 'sex', categories: ['male', 'female'], dropFirst: false },
];

test('features are named by column and category, in the order of the description', () => {
  assert.deepEqual(featureNames({ features }), ['age', 'cp=2', 'cp=3', 'sex=male', 'sex=female']);
});

test('an image makes as many features as its shape has numbers, within a bound, and no row at a bedside', () => {
  const image = (shape: number[]): Feature => ({ kind: 'image', column: 'scan', shape, fit: 'crop' });
  const names = featureNames({ features: [{ kind: 'numeric', column: 'age' }, image([1, 2, 3])] });
  assert.deepEqual(names, ['age', 'scan[0]', 'scan[1]', 'scan[2]', 'scan[3]', 'scan[4]', 'scan[5]']);
  assert.throws(() => featureNames({ features: [image([101, 10, 10])] }), { code: 'input.invalid' });
  assert.throws(() => featureNames({ features: [image([60, 10, 10]), image([60, 10, 10])] }), {
    code: 'input.invalid',
  });
  assert.deepEqual(encodeRow({ features: [image([1, 2, 3])] }, { scan: 'x' }), { kind: 'invalid', columns: ['scan'] });
});

test('a complete row becomes numbers in that order; the first category is all zeros when dropped', () => {
  const row = { age: 63.5, cp: '3', sex: 'female', unused: 'x' };
  assert.deepEqual(encodeRow({ features }, row), { kind: 'complete', values: [63.5, 0, 1, 0, 1] });
  const reference = encodeRow({ features }, { age: 40, cp: '1', sex: 'male' });
  assert.deepEqual(reference, { kind: 'complete', values: [40, 0, 0, 1, 0] });
});

test('a category may be an integer, or an integer spelled with zero decimals', () => {
  for (const cp of [2, '2', '2.0', '2.00']) {
    assert.deepEqual(encodeRow({ features }, { age: 1, cp, sex: 'male' }), {
      kind: 'complete',
      values: [1, 1, 0, 1, 0],
    });
  }
});

test('missing values are named and never filled in, also when another column is wrong', () => {
  assert.deepEqual(encodeRow({ features }, { cp: null, sex: 'unheard of' }), {
    kind: 'missing',
    columns: ['age', 'cp'],
  });
  assert.deepEqual(encodeRow({ features }, { age: 0, cp: '1', sex: undefined }), { kind: 'missing', columns: ['sex'] });
});

test('an unknown category is not taken for the reference, and a text or infinity not for a number', () => {
  const invalid = (row: Record<string, string | number>, columns: string[]) =>
    assert.deepEqual(encodeRow({ features }, { age: 50, cp: '1', sex: 'male', ...row }), { kind: 'invalid', columns });
  invalid({ cp: '4' }, ['cp']);
  invalid({ cp: '2.5' }, ['cp']);
  invalid({ cp: '' }, ['cp']);
  invalid({ age: '50' }, ['age']);
  invalid({ age: Number.POSITIVE_INFINITY, sex: 'Male' }, ['age', 'sex']);
});

test('a column named like a method of every object is missing unless the row has it', () => {
  const odd: Feature[] = [{ kind: 'numeric', column: 'constructor' }];
  assert.deepEqual(encodeRow({ features: odd }, {}), { kind: 'missing', columns: ['constructor'] });
});

test('standardisation is per feature, row by row; a feature without spread becomes 0', () => {
  const scaled = standardise([10, 7, 5, 16, 7, -1], { mean: [12, 7, 1], stdDev: [4, 0, 2] });
  assert.deepEqual([...scaled], [-0.5, 0, 2, 1, 0, -1]);
  assert.throws(() => standardise([1, 2, 3], { mean: [0, 0], stdDev: [1, 1] }), AppError);
  assert.throws(() => standardise([1, 2], { mean: [0, 0], stdDev: [1] }), AppError);
});
