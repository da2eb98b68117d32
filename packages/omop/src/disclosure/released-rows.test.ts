import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DisclosureFindingSchema, matches, RUN_STATISTICS_POLICY_DEFAULT } from '@lantern/contract';
import { range } from '../../test/keyed-hash.ts';
import { compareRows, createReleasedRowsBuilder, nearRowsFinding, type ReleasedRows } from './released-rows.ts';

type Row = { readonly patient: number; readonly age: number; readonly pressure: number };

const row = (patient: number): Row => ({ patient, age: 40 + (patient % 30), pressure: 100.5 + (patient % 50) });
const rows = (first: number, end: number) => range(first, end).map(row);

function released(
  of: readonly Row[],
  columns: readonly (keyof Row)[] = ['age', 'pressure'],
  chunkRows = 7,
): ReleasedRows {
  const builder = createReleasedRowsBuilder(columns);
  for (let first = 0; first < of.length; first += chunkRows) {
    const chunk = of.slice(first, first + chunkRows);
    const values = columns.map((name) => Float64Array.from(chunk, (one) => one[name]));
    builder.add(
      Float64Array.from(chunk, ({ patient }) => patient),
      values,
    );
  }
  return builder.finish();
}

const earlier = released(rows(0, 200));
const compare = (now: ReleasedRows, patientCountMin = 10) => compareRows(now, earlier, patientCountMin);

test('the same rows pass, in any order and any chunks, also with fewer columns', () => {
  assert.equal(compare(released(rows(0, 200).toReversed(), ['age', 'pressure'], 200)), 'covered');
  assert.equal(compare(released(rows(0, 200), ['age'])), 'covered');
});

test('one to nine patients more, fewer or exchanged are near, ten are apart', () => {
  const cases: [readonly Row[], string][] = [
    [rows(0, 201), 'near'],
    [rows(0, 199), 'near'],
    [rows(4, 205), 'near'],
    [rows(0, 209), 'near'],
    [rows(0, 210), 'apart'],
    [rows(5, 205), 'apart'],
    [rows(500, 700), 'apart'],
  ];
  for (const [now, verdict] of cases) assert.equal(compare(released(now)), verdict, `${now.length}`);
  const other = released(rows(0, 201).map((one) => ({ ...one, age: one.age + 1 })));
  assert.equal(compare(other), 'near', 'whatever the values are');
});

test('the same patients with a value of a few corrected are near, with values of many apart', () => {
  const corrected = (count: number) =>
    rows(0, 200).map((one) => (one.patient < count ? { ...one, pressure: one.pressure + 0.5 } : one));
  for (const count of [1, 9]) assert.equal(compare(released(corrected(count))), 'near');
  for (const count of [10, 60, 200]) assert.equal(compare(released(corrected(count))), 'apart');
  assert.equal(compare(released(corrected(1), ['age'])), 'covered', 'the column is not among those used');
});

test('one visit of a patient with several is near, and so are two patients who exchanged their values', () => {
  const visits = [...rows(0, 200), { patient: 7, age: 61, pressure: 140 }];
  assert.equal(compare(released(visits)), 'near');
  const exchanged = rows(0, 200).map((one) =>
    one.patient > 1 ? one : { ...row(1 - one.patient), patient: one.patient },
  );
  assert.equal(compare(released(exchanged)), 'near');
});

test('another column over the same rows is remembered, and then nearly its values are near', () => {
  const wider = released(
    rows(0, 200).map((one) => one),
    ['age'],
  );
  const pressure = released(rows(0, 200), ['pressure']);
  assert.equal(compareRows(pressure, wider, 10), 'apart');
});

test('a site that asks one patient alone behind a statistic has switched the rule off', () => {
  assert.equal(compare(released(rows(0, 201)), 1), 'apart');
  assert.equal(compare(released(rows(0, 215)), 20), 'near');
});

test('the finding names the rows and the limit, and is one that may leave', () => {
  const finding = nearRowsFinding('test', RUN_STATISTICS_POLICY_DEFAULT);
  assert.ok(matches(DisclosureFindingSchema, finding));
  assert.deepEqual([finding.rule, finding.subject, finding.limit], ['near-duplicate-rows', 'test rows', 10]);
});
