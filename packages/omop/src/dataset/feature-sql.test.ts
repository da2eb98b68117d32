import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EVERYTHING, type FeatureSpec } from '@lantern/contract';
import { openTestDuckDb, type TestDuckDb } from '../../test/duckdb.ts';
import { KEYED } from '../../test/schemas.ts';
import { planFeatures } from './feature-sql.ts';

const SPEC: FeatureSpec = {
  dataset: 'small',
  features: [
    { kind: 'numeric', column: 'value' },
    { kind: 'one-hot', column: 'text', categories: ['none', "at o'clock"], dropFirst: true },
    { kind: 'numeric', column: 'f0' },
  ],
  label: { name: 'male', positiveWhen: { kind: 'in', column: 'label', values: ['1'] }, columns: ['label'] },
  trainWhere: { kind: 'compare', column: 'f0', operator: '<', value: 70 },
  testWhere: { kind: 'compare', column: 'f0', operator: '>=', value: 70 },
  missing: 'drop-row',
};

let db: TestDuckDb;
before(async () => {
  db = await openTestDuckDb();
  await db.run(`CREATE TABLE typed AS SELECT * FROM (VALUES
    (1, 10, 100.0, 50.0, '1', 'none'), (2, 11, NULL, 51.0, '1', 'none'), (3, 12, 120.0, 52.0, NULL, 'none'),
    (4, 13, 130.0, 53.0, '0', 'at o''clock'), (5, 14, 140.0, 54.0, '0', '3'), (6, 15, 150.0, 55.0, '0', NULL),
    (7, 10, 100.0, 56.0, '1', 'at o''clock'), (8, 16, 170.0, 75.0, '1', 'none')) AS t(_row, _patient, value, f0, label, text)`);
});
after(() => db.close());

const plan = (spec: FeatureSpec, rowSet: 'train' | 'test' = 'train') =>
  planFeatures({ schema: KEYED, table: 'typed', spec, rowSet });

test('complete rows become numbers in the order of the features; incomplete and unlisted ones are left out', async () => {
  const { featureNames, rows } = plan(SPEC);
  assert.deepEqual(featureNames, ['value', "text=at o'clock", 'f0']);
  const table = await db.rows(rows);
  assert.deepEqual(
    table.map((row) => [row['_row'], row['_patient'], row['f0'], row['f1'], row['f2'], row['label']]),
    [
      [1, 10, 100, 0, 50, 1],
      [4, 13, 130, 1, 53, 0],
      [7, 10, 100, 1, 56, 1],
    ],
  );
  assert.deepEqual(
    (await db.rows(plan(SPEC, 'test').rows)).map((row) => row['_row']),
    [8],
  );
});

test('without a dropped category each listed one has a column', async () => {
  const spec: FeatureSpec = {
    ...SPEC,
    features: [{ kind: 'one-hot', column: 'text', categories: ['3', 'none'], dropFirst: false }],
    trainWhere: EVERYTHING,
  };
  const { featureNames, rows } = plan(spec);
  assert.deepEqual(featureNames, ['text=3', 'text=none']);
  assert.deepEqual(
    (await db.rows(rows)).map((row) => [row['_row'], row['f0'], row['f1']]),
    [
      [1, 0, 1],
      [2, 0, 1],
      [5, 1, 0],
      [8, 0, 1],
    ],
  );
});

test('the facts for the gate count patients behind each category, each side of the label and the rarer values', async () => {
  const { facts, readFacts } = plan(SPEC);
  const [row] = await db.rows(facts);
  assert.deepEqual(readFacts(row).facts, {
    patientCount: 2,
    categories: [
      { subject: 'value', patientCount: 1 },
      { subject: 'text=none', patientCount: 1 },
      { subject: "text=at o'clock", patientCount: 2 },
      { subject: 'f0', patientCount: 2 },
    ],
    labelStrata: [
      { subject: 'male: yes', patientCount: 1 },
      { subject: 'male: no', patientCount: 1 },
    ],
  });
});

test('a set without rows has facts of zero', async () => {
  const { facts, readFacts } = plan({ ...SPEC, trainWhere: { kind: 'any', of: [] } });
  const [row] = await db.rows(facts);
  const read = readFacts(row).facts;
  assert.equal(read.patientCount, 0);
  assert.ok([...read.categories, ...read.labelStrata].every(({ patientCount }) => patientCount === 0));
});

test('a description that does not fit the schema is refused with the name of the column', () => {
  const wrong: [Partial<FeatureSpec>, RegExp][] = [
    [{ features: [{ kind: 'numeric', column: 'nowhere' }] }, /nowhere is not a column/],
    [{ features: [{ kind: 'numeric', column: 'text' }] }, /text does not hold numbers/],
    [
      { features: [{ kind: 'one-hot', column: 'f0', categories: ['1', '2'], dropFirst: true }] },
      /f0 does not hold categories/,
    ],
    [{ features: [{ kind: 'numeric', column: 'cell' }] }, /cell does not hold numbers/],
    [
      { features: [{ kind: 'one-hot', column: 'text', categories: ['none', 'x'], dropFirst: true }] },
      /does not declare/,
    ],
    [{ features: [{ kind: 'one-hot', column: 'text', categories: ['none', 'none'], dropFirst: true }] }, /twice/],
    [{ label: { ...SPEC.label, columns: ['f0'] } }, /label is used by the label/],
    [{ label: { ...SPEC.label, columns: ['label', 'f0'] } }, /f0 is both label and feature/],
    [{ label: { ...SPEC.label, columns: ['label', 'cell'] } }, /patient key/],
  ];
  for (const [change, message] of wrong) {
    assert.throws(() => plan({ ...SPEC, ...change }), { code: 'input.invalid', message }, String(message));
  }
});

test('an image is its number in the table of those that can be read; a row whose image is not there is left out', async () => {
  const reference = (digit: string) => `icol_1/2.25.${digit}/${digit.repeat(64)}`;
  await db.run(`CREATE TABLE scanned AS SELECT * FROM (VALUES
    (1, 10, '${reference('7')}', '1'), (2, 11, NULL, '0'), (3, 12, '${reference('8')}', '0'), (4, 13, '${reference('9')}', '1'))
    AS t(_row, _patient, scan, label)`);
  await db.run(
    `CREATE TABLE readable AS SELECT * FROM (VALUES ('${reference('9')}', 0.0), ('${reference('7')}', 1.0)) AS t(reference, number)`,
  );
  const label = KEYED.columns.find(({ name }) => name === 'label') ?? assert.fail();
  const scan = { kind: 'image', name: 'scan', description: 'a scan', missingAllowed: true } as const;
  const schema = { ...KEYED, columns: [label, scan] };
  const image: FeatureSpec['features'][number] = { kind: 'image', column: 'scan', shape: [1, 2, 2], fit: 'crop' };
  const spec: FeatureSpec = { ...SPEC, features: [image], trainWhere: EVERYTHING };
  const of = (change: object = {}) =>
    planFeatures({
      schema,
      table: 'scanned',
      spec,
      rowSet: 'train',
      images: new Map([[image, 'readable']]),
      ...change,
    });
  const { rows, facts, readFacts, pairs } = of();
  assert.deepEqual(
    (await db.rows(rows)).map((row) => [row['_row'], row['f0'], row['label']]),
    [
      [1, 1, 1],
      [4, 0, 1],
    ],
  );
  const [counted] = await db.rows(facts);
  assert.deepEqual(readFacts(counted).facts.categories, [{ subject: 'scan', patientCount: 2 }]);
  assert.equal(pairs, undefined, 'an analysis that holds tables of two columns takes none');
  assert.throws(() => of({ images: undefined }), { field: 'features/scan' });
  assert.throws(() => of({ spec: { ...spec, features: [{ kind: 'numeric', column: 'scan' }] } }), {
    field: 'features/scan',
  });
  const wide: FeatureSpec['features'][number] = { ...image, shape: [101, 10, 10] };
  assert.throws(() => of({ spec: { ...spec, features: [wide] }, images: new Map([[wide, 'readable']]) }), {
    code: 'input.invalid',
  });
  const asked = (filter: FeatureSpec['trainWhere']) => () => of({ spec: { ...spec, trainWhere: filter } });
  assert.throws(asked({ kind: 'in', column: 'scan', values: [reference('7')] }), { field: 'filter/scan' });
  assert.throws(asked({ kind: 'compare', column: 'scan', operator: '<', value: 1 }), { field: 'filter/scan' });
  asked({ kind: 'missing', column: 'scan' })();
});
