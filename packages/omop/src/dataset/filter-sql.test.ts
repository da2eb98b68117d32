import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FILTER_DEPTH_MAX, FILTER_NODE_COUNT_MAX, type Filter } from '@lantern/contract';
import { openTestDuckDb, type TestDuckDb } from '../../test/duckdb.ts';
import { KEYED } from '../../test/schemas.ts';
import { columnsOf, planFilter, printFilter } from './filter-sql.ts';
import type { SqlValue } from './sql-text.ts';

const compare = (operator: '<' | '<=' | '>' | '>=' | '=' | '!=', value: number, column = 'value'): Filter => ({
  kind: 'compare',
  column,
  operator,
  value,
});
const sex = (...values: string[]): Filter => ({ kind: 'in', column: 'label', values });
const not = (of: Filter): Filter => ({ kind: 'not', of });

let db: TestDuckDb;
before(async () => {
  db = await openTestDuckDb();
  await db.run(`CREATE TABLE typed AS SELECT * FROM (VALUES
    (1, 100.0, '0', 'none'), (2, 120.0, '1', '3'), (3, NULL, '1', NULL), (4, 140.5, '0', 'at o''clock'))
    AS t(_row, value, label, text)`);
});
after(() => db.close());

async function matching(filter: Filter): Promise<unknown[]> {
  const parameters: SqlValue[] = [];
  const where = printFilter(planFilter(KEYED, filter), parameters);
  const rows = await db.rows({ sql: `SELECT _row FROM typed WHERE ${where} ORDER BY _row`, parameters });
  return rows.map((row) => row['_row']);
}

test('each condition finds its rows', async () => {
  const cases: [Filter, number[]][] = [
    [compare('<', 120), [1]],
    [compare('<=', 120), [1, 2]],
    [compare('>', 120), [4]],
    [compare('>=', 120), [2, 4]],
    [compare('=', 140.5), [4]],
    [compare('!=', 120), [1, 4]],
    [sex('1.0'), [2, 3]],
    [{ kind: 'in', column: 'text', values: ["at o'clock", 'none'] }, [1, 4]],
    [{ kind: 'missing', column: 'value' }, [3]],
    [{ kind: 'all', of: [] }, [1, 2, 3, 4]],
    [{ kind: 'any', of: [] }, []],
    [{ kind: 'all', of: [compare('>', 110), sex('1')] }, [2]],
    [{ kind: 'any', of: [compare('>', 130), sex('1')] }, [2, 3, 4]],
  ];
  for (const [filter, rows] of cases) assert.deepEqual(await matching(filter), rows, JSON.stringify(filter));
});

test('an unknown value is matched neither by a comparison nor by its negation', async () => {
  assert.deepEqual(await matching(compare('>', 110)), [2, 4]);
  assert.deepEqual(await matching(not(compare('>', 110))), [1]);
  assert.deepEqual(await matching(not({ kind: 'missing', column: 'value' })), [1, 2, 4]);
  assert.deepEqual(await matching(not({ kind: 'all', of: [compare('>', 110), sex('1')] })), [1, 4]);
});

test('values travel as parameters, never in the text', () => {
  const parameters: SqlValue[] = [];
  const hostile: Filter = { kind: 'in', column: 'text', values: ["at o'clock"] };
  const sql = printFilter(planFilter(KEYED, { kind: 'all', of: [hostile, compare('>', 77)] }), parameters);
  assert.ok(!sql.includes('clock') && !sql.includes('77'));
  assert.deepEqual(new Set(parameters), new Set([77, "at o'clock"]));
});

test('wordings of one condition have one plan', () => {
  const plain: Filter = { kind: 'all', of: [compare('>', 110), sex('0', '1')] };
  const wordings: Filter[] = [
    { kind: 'all', of: [sex('1', '0', '1.0'), compare('>', 110), compare('>', 110)] },
    {
      kind: 'all',
      of: [
        { kind: 'all', of: [compare('>', 110)] },
        { kind: 'any', of: [sex('1', '0')] },
      ],
    },
    not(not(plain)),
  ];
  for (const wording of wordings) assert.deepEqual(planFilter(KEYED, wording), planFilter(KEYED, plain));
  assert.notDeepEqual(planFilter(KEYED, not(plain)), planFilter(KEYED, plain));
  assert.deepEqual(planFilter(KEYED, compare('=', -0)), planFilter(KEYED, compare('=', 0)));
  assert.deepEqual(columnsOf(planFilter(KEYED, plain)).toSorted(), ['label', 'value']);
});

test('a filter that does not fit the schema is refused with the name of the column', () => {
  const wrong: [Filter, RegExp][] = [
    [compare('>', 1, 'nowhere'), /nowhere is not a column/],
    [compare('=', 1, 'cell'), /cell is the patient key/],
    [{ kind: 'missing', column: 'cell' }, /cell is the patient key/],
    [compare('=', 1, 'label'), /label holds categories/],
    [{ kind: 'in', column: 'value', values: ['1'] }, /value holds numbers/],
    [sex('2'), /label is asked for a category it does not declare/],
    [compare('<', Number.NaN), /finite/],
    [compare('<', 1, 'VALUE'), /is not a column/],
  ];
  for (const [filter, message] of wrong)
    assert.throws(() => planFilter(KEYED, filter), { code: 'input.invalid', message });
});

test('depth and size are bounded', () => {
  const deep = (levels: number): Filter => (levels === 1 ? compare('>', 1) : not(deep(levels - 1)));
  assert.doesNotThrow(() => planFilter(KEYED, deep(FILTER_DEPTH_MAX)));
  assert.throws(() => planFilter(KEYED, deep(FILTER_DEPTH_MAX + 1)), /levels deep/);
  const wide = (count: number): Filter => ({
    kind: 'any',
    of: Array.from({ length: count - 1 }, (_, index) => compare('=', index)),
  });
  assert.doesNotThrow(() => planFilter(KEYED, wide(FILTER_NODE_COUNT_MAX)));
  assert.throws(() => planFilter(KEYED, wide(FILTER_NODE_COUNT_MAX + 1)), /at most 100 conditions/);
});
