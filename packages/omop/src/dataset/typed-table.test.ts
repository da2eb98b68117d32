import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openTestDuckDb, type TestDuckDb } from '../../test/duckdb.ts';
import { AGE, KEYED, SCHEMA, SEX } from '../../test/schemas.ts';
import { assertPrintable, declaredCategory, typedTableSql } from './typed-table.ts';

let db: TestDuckDb;
before(async () => {
  db = await openTestDuckDb();
});
after(() => db.close());

test('texts become numbers, declared categories and NULLs, in the order of the file', async () => {
  await db.run(`CREATE TABLE raw AS SELECT * FROM (VALUES
    (' 120.5 ', '60', '1.0', ' none '), ('?', '61', '0', 'at o''clock'), ('nan', '1e2', '1', '3.0'),
    ('', '62', '1.5', '?'), (NULL, 'x', '01', 'n/a')) AS t(value, f0, label, text)`);
  const rows = await db.rows(typedTableSql({ schema: SCHEMA, source: 'raw' }));
  assert.deepEqual(
    rows.map((row) => [Number(row['_row']), row['_patient'], row['value'], row['f0'], row['label'], row['text']]),
    [
      [1, 0, 120.5, 60, '1', 'none'],
      [2, 1, null, 61, '0', "at o'clock"],
      [3, 2, null, 100, '1', '3'],
      [4, 3, null, 62, null, null],
      [5, 4, null, null, null, null],
    ],
  );
});

test('rows with the same patient key are the same patient, numbered from 0', async () => {
  await db.run(`CREATE TABLE visits AS SELECT * FROM (VALUES
    ('1', '50', '0', 'none', 'p9'), ('2', '50', '0', 'none', 'p1'), ('3', '51', '0', 'none', 'p9')) AS t(value, f0, label, text, cell)`);
  const rows = await db.rows(typedTableSql({ schema: KEYED, source: 'visits' }));
  assert.deepEqual(
    rows.map((row) => row['_patient']),
    [1, 0, 1],
  );
});

test('a number is written in digits with a point, and nothing else is taken for one', async () => {
  const good = { '-1.50': -1.5, '+2': 2, '.5': 0.5, '3.': 3, '1e2': 100, '1.5E-1': 0.15, '007': 7 };
  const bad = ['1_0', '1,5', '0x10', '1 0', '1e', '--1', 'inf', 'nan', 'true', '1d', '1e999', '٣'];
  const values = [...Object.keys(good), ...bad].map((text) => `('${text}', '50', '0', 'none')`);
  await db.run(`CREATE TABLE spelt AS SELECT * FROM (VALUES ${values.join(', ')}) AS t(value, f0, label, text)`);
  const rows = await db.rows(typedTableSql({ schema: SCHEMA, source: 'spelt' }));
  assert.deepEqual(
    rows.map((row) => row['value']),
    [...Object.values(good), ...bad.map(() => null)],
  );
});

test('a patient key is its text: a whole number written as a decimal is that number, a leading zero counts', async () => {
  const keys = [
    '7',
    '7.0',
    ' 7.00',
    '07',
    '7.10',
    '7.1',
    '007',
    'A7',
    'a7',
    '12345678901234567890',
    '12345678901234567891',
  ];
  const values = keys.map((key) => `('1', '50', '0', 'none', '${key}')`);
  await db.run(`CREATE TABLE keys AS SELECT * FROM (VALUES ${values.join(', ')}) AS t(value, f0, label, text, cell)`);
  const rows = await db.rows(typedTableSql({ schema: KEYED, source: 'keys' }));
  assert.deepEqual(
    rows.map((row) => row['cell']),
    ['7', '7', '7', '07', '7.10', '7.1', '007', 'A7', 'a7', '12345678901234567890', '12345678901234567891'],
  );
  assert.equal(new Set(rows.map((row) => row['_patient'])).size, 9);
});

test('a declared integer also matches its decimal spelling, and nothing else does', () => {
  const categories = [{ value: '1' }, { value: '2.0' }, { value: 'x.0' }];
  const spellings = {
    '1': '1',
    '1.0': '1',
    ' 1.000 ': '1',
    '2.0': '2.0',
    '2': undefined,
    '1.5': undefined,
    '10': undefined,
    'x.0': 'x.0',
  };
  for (const [value, declared] of Object.entries(spellings))
    assert.equal(declaredCategory(categories, value), declared, value);
});

test('a schema that SQL could not tell apart, or that contradicts itself, is refused by name of the column', () => {
  const broken = [
    [AGE, { ...AGE, name: 'F0' }],
    [{ ...AGE, range: { min: 5, max: 5 } }],
    [{ ...AGE, binEdges: [0, 10, 10] }],
    [{ ...AGE, medianRange: { min: 9, max: 3 } }],
    [
      {
        ...SEX,
        categories: [
          { value: 'a', meaning: 'a' },
          { value: 'a ', meaning: 'b' },
        ],
      },
    ],
  ];
  for (const columns of broken) {
    assert.throws(() => assertPrintable({ ...SCHEMA, columns }), { code: 'dataset.invalid', message: /f0|label/i });
  }
  const keys = ['a', 'b'].map((name) => ({ kind: 'patient-key', name, description: 'key' }) as const);
  assert.throws(() => assertPrintable({ ...SCHEMA, columns: keys }), { code: 'dataset.invalid' });
  assert.doesNotThrow(() => assertPrintable(KEYED));
});
