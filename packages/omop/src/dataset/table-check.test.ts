import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openTestDuckDb, type TestDuckDb } from '../../test/duckdb.ts';
import { KEYED } from '../../test/schemas.ts';
import { planTableCheck, readTableCheck, type TableFinding } from './table-check.ts';

let db: TestDuckDb;
before(async () => {
  db = await openTestDuckDb();
});
after(() => db.close());

async function check(table: string): Promise<TableFinding[]> {
  const { checks, findings } = planTableCheck({
    schema: KEYED,
    source: table,
    presentColumns: await db.columns(table),
  });
  const found: TableFinding[] = [...findings];
  for (const one of checks) {
    const [row] = await db.rows(one.sql);
    found.push(...readTableCheck(one, row));
  }
  return found;
}

const short = (findings: TableFinding[]) =>
  findings.map(({ column, rule, count, firstRows }) => [column, rule, count, firstRows]);

test('a table that keeps its schema has no finding', async () => {
  await db.run(`CREATE TABLE good AS SELECT * FROM (VALUES
    ('120', '60', '1.0', 'none', 'a'), ('?', '61', '0', '', 'b'), ('130.5', '62', '1', '3', 'c')) AS t(value, f0, label, text, cell)`);
  assert.deepEqual(await check('good'), []);
});

test('each broken rule is found with its column, its rows and no value', async () => {
  await db.run(`CREATE TABLE bad AS SELECT * FROM (VALUES
    ('120', '60', '1', 'secret-a', 'p'), ('secret-b', '?', '0', 'none', 'q'), ('301', '-1', '2', 'none', 'p'),
    ('130', NULL, '', 'none', NULL), ('inf', '110.5', '1', 'NONE', 'p')) AS t(value, f0, label, text, cell)`);
  const findings = await check('bad');
  assert.deepEqual(short(findings), [
    ['value', 'type', 2, [2, 5]],
    ['value', 'range', 1, [3]],
    ['f0', 'missing', 2, [2, 4]],
    ['f0', 'range', 2, [3, 5]],
    ['label', 'missing', 1, [4]],
    ['label', 'category', 1, [3]],
    ['text', 'category', 2, [1, 5]],
    ['cell', 'missing', 1, [4]],
    ['cell', 'duplicate-patient', 2, [3, 5]],
  ]);
  assert.ok(!JSON.stringify(findings).includes('secret'));
  assert.deepEqual(
    findings.filter(({ severity }) => severity === 'warning').map(({ rule }) => rule),
    ['duplicate-patient'],
  );
});

test('a wrong unit shows in the median although every value is in range', async () => {
  await db.run(`CREATE TABLE kilopascal AS SELECT CAST(14 + i % 5 AS VARCHAR) AS value, '60' AS f0, '1' AS label, 'none' AS text,
    CAST(i AS VARCHAR) AS cell FROM range(100) AS t(i)`);
  const [finding, ...rest] = await check('kilopascal');
  assert.equal(finding?.rule, 'unit');
  assert.match(finding?.message ?? '', /90 to 180 \(unit "mm\[Hg\]"\); wrong unit\?$/);
  assert.deepEqual(finding?.firstRows, [], 'the whole column is wrong, no row more than another');
  assert.equal(finding?.count, 1);
  assert.deepEqual(rest, []);
});

test('a patient key with a character that nobody can see is found, and two spellings of one number are one patient', async () => {
  await db.run(`CREATE TABLE keys AS SELECT '120' AS value, '60' AS f0, '1' AS label, 'none' AS text, k AS cell
    FROM (VALUES ('a' || chr(0)), ('b' || chr(9) || 'c'), ('d'), ('e f'), ('é'), ('7'), ('7.0')) AS t(k)`);
  assert.deepEqual(short(await check('keys')), [
    ['cell', 'type', 2, [1, 2]],
    ['cell', 'duplicate-patient', 1, [7]],
  ]);
});

test('a declared column that the file lacks is a finding, and the others are still checked', async () => {
  await db.run(`CREATE TABLE narrow AS SELECT '1' AS F0, '5' AS label, 'none' AS text, 'k' AS cell`);
  assert.deepEqual(short(await check('narrow')), [
    ['value', 'column-absent', 1, []],
    ['label', 'category', 1, [1]],
  ]);
});

test('typed columns, as Parquet has them, are checked like texts', async () => {
  await db.run(`CREATE TABLE typed AS SELECT 120.0::DOUBLE AS value, 60::INTEGER AS f0, 1.0::DOUBLE AS label, 3::INTEGER AS text, 7 AS cell
    UNION ALL SELECT 'nan'::DOUBLE, 200, 0.5, NULL, 8`);
  assert.deepEqual(short(await check('typed')), [
    ['value', 'type', 1, [2]],
    ['f0', 'range', 1, [2]],
    ['label', 'category', 1, [2]],
  ]);
});
