import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EVERYTHING, type FeatureSpec } from '@lantern/contract';
import { openTestDuckDb, type TestDuckDb } from '../../test/duckdb.ts';
import { KEYED } from '../../test/schemas.ts';
import { planFeatures } from './feature-sql.ts';
import type { PairSize } from './pair-counts.ts';

const SPEC: FeatureSpec = {
  dataset: 'small',
  features: [
    { kind: 'numeric', column: 'value' },
    { kind: 'one-hot', column: 'text', categories: ['none', "at o'clock", '3'], dropFirst: true },
    { kind: 'numeric', column: 'f0' },
  ],
  label: { name: 'male', positiveWhen: { kind: 'in', column: 'label', values: ['1'] }, columns: ['label'] },
  trainWhere: EVERYTHING,
  testWhere: EVERYTHING,
  missing: 'drop-row',
};

type Row = {
  readonly patient: number;
  readonly value: number;
  readonly f0: number;
  readonly label: string;
  readonly text: string;
};

/** 300 rows of 120 patients; `value` is 0 in four rows of five, `f0` has two values only. */
const ROWS = Array.from({ length: 300 }, (_, row): Row => {
  const patient = (row * 7) % 120;
  const text = ['none', "at o'clock", '3'][(row * row) % 11 < 6 ? 0 : (row >> 1) % 3] ?? '';
  return {
    patient,
    value: row % 5 === 0 ? row : 0,
    f0: row % 9 === 4 ? 2 : 1,
    label: (row * 3 + patient) % 4 === 0 ? '1' : '0',
    text,
  };
});

let db: TestDuckDb;
before(async () => {
  db = await openTestDuckDb();
  const values = ROWS.map(
    ({ patient, value, f0, label, text }, row) =>
      `(${row + 1}, ${patient}, ${value}.0, ${f0}.0, '${label}', '${text.replace("'", "''")}')`,
  );
  await db.run(
    `CREATE TABLE typed AS SELECT * FROM (VALUES ${values.join(', ')}) AS t(_row, _patient, value, f0, label, text)`,
  );
});
after(() => db.close());

async function pairsOf(spec: FeatureSpec, chunkRows: number): Promise<PairSize[]> {
  const plan = planFeatures({ schema: KEYED, table: 'typed', spec, rowSet: 'train' });
  assert.ok(plan.pairs !== undefined);
  const counter = plan.pairs.openCounter();
  const rows = await db.rows(plan.pairs.query);
  for (let first = 0; first < rows.length; first += chunkRows) {
    const chunk = rows.slice(first, first + chunkRows).map((row) => Object.values(row).map(Number));
    counter.add([0, 1, 2, 3, 4].map((column) => Float64Array.from(chunk, (row) => row[column] ?? Number.NaN)));
  }
  const [facts] = await db.rows(plan.facts);
  return counter.sizes(plan.readFacts(facts).twoValued);
}

/** The patients of the emptiest cell, counted by sets of this test's own. */
function emptiest(conditions: readonly (readonly ((row: Row) => boolean)[])[]): number {
  const [first = [], second = []] = conditions;
  const cells = first.flatMap((a) =>
    second.map((b) => new Set(ROWS.filter((row) => a(row) && b(row)).map(({ patient }) => patient)).size),
  );
  return Math.min(...cells);
}

const value = [(row: Row) => row.value !== 0];
const f0 = [(row: Row) => row.f0 === 2, (row: Row) => row.f0 === 1];
const text = ['none', "at o'clock", '3'].map((one) => (row: Row) => row.text === one);
const label = ['1', '0'].map((one) => (row: Row) => row.label === one);

test('each table of two columns has the patients of its emptiest cell, whatever the chunks', async () => {
  const wanted = [
    ['value', 'text', emptiest([value, text])],
    ['value', 'f0', emptiest([value, f0])],
    ['value', 'male', emptiest([value, label])],
    ['text', 'f0', emptiest([text, f0])],
    ['text', 'male', emptiest([text, label])],
    ['f0', 'male', emptiest([f0, label])],
  ];
  assert.ok(new Set(wanted.map(([, , count]) => count)).size > 3, 'the numbers tell the tables apart');
  for (const chunkRows of [1, 7, 300]) {
    const sizes = await pairsOf(SPEC, chunkRows);
    assert.deepEqual(
      sizes.map(({ columns, patientCount }) => [...columns, patientCount]),
      wanted,
    );
  }
});

test('a combination that nobody has counts as a cell of nobody', async () => {
  const nobody: FeatureSpec = {
    ...SPEC,
    trainWhere: {
      kind: 'not',
      of: {
        kind: 'all',
        of: [
          { kind: 'in', column: 'text', values: ['3'] },
          { kind: 'in', column: 'label', values: ['1'] },
        ],
      },
    },
  };
  const sizes = await pairsOf(nobody, 300);
  assert.equal(sizes.find(({ columns }) => columns.join() === 'text,male')?.patientCount, 0);
});

test('more columns than can be looked at in pairs are said to be too many', () => {
  const numbers = Array.from({ length: 100 }, (_, index) => ({
    ...(KEYED.columns[1] ?? assert.fail()),
    name: `n${index}`,
  }));
  const features = numbers.map(({ name }) => ({ kind: 'numeric' as const, column: name }));
  const schema = { ...KEYED, columns: [...KEYED.columns, ...numbers] };
  const plan = (count: number) =>
    planFeatures({ schema, table: 'typed', spec: { ...SPEC, features: features.slice(0, count) }, rowSet: 'train' });
  assert.equal(plan(100).pairs, undefined);
  assert.notEqual(plan(99).pairs, undefined);
});
