import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EVERYTHING } from '@lantern/contract';
import { openTestDuckDb, type TestDuckDb } from '../../test/duckdb.ts';
import { AGE, KEYED, SCHEMA, SEX } from '../../test/schemas.ts';
import { patientSet } from '../disclosure/patient-set.ts';
import { planQuestion } from './summary-plan.ts';

let db: TestDuckDb;
before(async () => {
  db = await openTestDuckDb();
  await db.run(`CREATE TABLE typed AS SELECT * FROM (VALUES
    (0, 79.9, 30.0, '0', 'none'), (1, 80.0, 40.0, '1', '3'), (2, 119.99, 50.0, '1', NULL), (3, 120.0, 60.0, '0', 'none'),
    (4, 160.0, 70.0, '0', 'none'), (5, 160.1, 80.0, '1', 'none'), (6, NULL, 90.0, '1', 'none'), (6, 100.0, 90.0, '1', '3'))
    AS t(_patient, value, f0, label, text)`);
});
after(() => db.close());

const base = { schema: SCHEMA, table: 'typed', dataVersion: 'v1', filter: EVERYTHING };

async function cells(options: Parameters<typeof planQuestion>[0]): Promise<Record<string, unknown[]>[]> {
  const plan = planQuestion(options);
  return await Promise.all(
    plan.partitions.map(async ({ labels, query }) => {
      const result: Record<string, unknown[]> = Object.fromEntries(labels.map((label) => [label, []]));
      for (const row of await db.rows(query)) result[labels[Number(row['cell'])] ?? '?']?.push(row['_patient']);
      return result;
    }),
  );
}

test('a number divides by its declared bins, what lies beyond them, and missing', async () => {
  const [table] = await cells({ ...base, columns: ['value'] });
  assert.deepEqual(table, {
    '< 80': [0],
    '80 to below 120': [1, 2, 6],
    '120 to 160': [3, 4],
    '> 160': [5],
    missing: [6],
  });
});

test('a category divides by its declared categories and missing, under the filter of the question', async () => {
  const [table] = await cells({ ...base, filter: { kind: 'in', column: 'label', values: ['1'] }, columns: ['text'] });
  assert.deepEqual(table, { none: [5, 6], "at o'clock": [], 3: [1, 6], missing: [2] });
});

test('a column that allows no missing value has no cell for it, which would hide a real one', () => {
  const labelsOf = (name: string) => planQuestion({ ...base, columns: [name] }).partitions[0]?.labels;
  assert.deepEqual(labelsOf(SEX.name), ['0', '1']);
  assert.equal(labelsOf(AGE.name)?.includes('missing'), false);
  assert.equal(labelsOf('text')?.at(-1), 'missing');
});

test('a number without declared bins divides by ten equal parts of its declared range, never by the data', () => {
  const [partition] = planQuestion({ ...base, columns: [AGE.name] }).partitions;
  assert.deepEqual(partition?.labels.slice(0, 2), ['0 to below 11', '11 to below 22']);
  assert.equal(partition?.labels.length, 10);
  assert.equal(partition?.labels.at(-1), '99 to 110');
});

test('the total counts patients, not rows', async () => {
  const plan = planQuestion({ ...base, filter: { kind: 'compare', column: 'f0', operator: '>=', value: 80 } });
  assert.equal(patientSet((await db.rows(plan.total)).map((row) => Number(row['_patient']))).count, 2);
  assert.equal(plan.price.cost, 1);
});

test('a summary costs its total and two for each column, or a set for each cell where patients may stand in several', () => {
  assert.equal(planQuestion({ ...base, columns: ['value', 'text'] }).price.cost, 5);
  assert.equal(planQuestion({ ...base, schema: KEYED, columns: ['value', 'text'] }).price.cost, 1 + 5 + 4);
});

test('the key of a question follows its meaning and the version of the data, not its spelling', () => {
  const key = (change: Partial<Parameters<typeof planQuestion>[0]>) => planQuestion({ ...base, ...change }).price.key;
  assert.equal(key({ columns: ['text', 'value'] }), key({ columns: ['value', 'text', 'value'] }));
  assert.equal(key({ filter: { kind: 'all', of: [EVERYTHING] } }), key({}));
  assert.notEqual(key({ dataVersion: 'v2' }), key({}));
  assert.notEqual(key({ columns: ['text'] }), key({}));
});

test('the patient key and unknown columns have no summary', () => {
  assert.throws(() => planQuestion({ ...base, schema: KEYED, columns: ['cell'] }), {
    code: 'input.invalid',
    message: /patient key/,
  });
  assert.throws(() => planQuestion({ ...base, columns: ['nowhere'] }), { code: 'input.invalid', message: /nowhere/ });
});
