import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalQuantity } from './units.ts';

/** Pairs that are the same amount, by UCUM. */
const SAME: readonly (readonly [number, string, number, string])[] = [
  [80, 'mg/dL', 0.8, 'g/L'],
  [1, 'kg', 1000, 'g'],
  [120, 'mm[Hg]', 15.99864, 'kPa'],
  [5, 'mmol/L', 5000, 'umol/L'],
  [7, '10*3/uL', 7e9, '/L'],
  [60, '/min', 1, '/s'],
  [25, 'kg/m2', 25, 'kg/m2{bmi}'],
  [37, 'Cel', 98.6, '[degF]'],
  [40, 'U/L', 666.6666667, 'nkat/L'],
  [50, '%', 0.5, '1'],
  [72, '[in_i]', 1.8288, 'm'],
];

test('the same amount in two units is the same in base units', () => {
  for (const [one, unit, other, otherUnit] of SAME) {
    const [a, b] = [canonicalQuantity(one, unit), canonicalQuantity(other, otherUnit)];
    assert.ok(a !== undefined && b !== undefined, unit);
    assert.equal(a.unit, b.unit, `${unit} and ${otherUnit}`);
    assert.ok(
      Math.abs(a.value / b.value - 1) < 1e-8,
      `${one} ${unit} is ${a.value}, ${other} ${otherUnit} is ${b.value}`,
    );
  }
});

test('different kinds of amount have different base units, and nonsense none', () => {
  assert.notEqual(canonicalQuantity(1, 'mol/L')?.unit, canonicalQuantity(1, 'g/L')?.unit);
  for (const unit of ['', 'furlong', 'mg//', '__proto__', 'constructor', 'm999', 'x'.repeat(200), '{']) {
    const found = canonicalQuantity(1, unit);
    assert.ok(found === undefined || found.unit === '1' || unit === 'mg//', unit);
  }
});
