import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { bigintArray, booleanArray, doubleArray, integerArray, textArray, timeArray } from './binary-array.ts';
import type { Database } from './database.ts';
import { openTestDatabase } from './test-database.ts';

let database: Database;
before(async () => {
  database = await openTestDatabase('binary-array');
});
after(() => database.close());

/** What the server makes of a parameter, each element as it writes it itself. */
async function seen(parameter: Buffer, type: string): Promise<(string | null)[]> {
  const text = `select value::text from unnest($1::${type}[]) with ordinality as list (value, place) order by place`;
  const { rows } = await database.pool.query<{ value: string | null }>(text, [parameter]);
  return rows.map(({ value }) => value);
}

describe('lists in binary form', () => {
  it('carry texts with quotes, commas, braces and characters of every length, empty ones and nulls', async () => {
    const values = ['a"b\\c', '{x,y}', '', null, 'NULL', 'Grüße', '検査', '\u{1f600}\n', 'x'.repeat(70_000)];
    assert.deepEqual(await seen(textArray(values), 'text'), values);
  });

  it('carry integers to their limits', async () => {
    assert.deepEqual(await seen(integerArray([7, null, -2_147_483_648, 2_147_483_647]), 'int'), [
      '7',
      null,
      '-2147483648',
      '2147483647',
    ]);
    assert.deepEqual(await seen(bigintArray([9_007_199_254_740_993n, -5n]), 'bigint'), ['9007199254740993', '-5']);
  });

  it('carry doubles and booleans', async () => {
    assert.deepEqual(await seen(doubleArray([0.1, -1e300, null, 37.25]), 'float8'), ['0.1', '-1e+300', null, '37.25']);
    assert.deepEqual(await seen(booleanArray([true, false, true]), 'boolean'), ['true', 'false', 'true']);
  });

  it('carry times to the millisecond, before 1970 and beyond the year 9999, and those without end', async () => {
    const times = ['2026-03-29T01:30:00.123Z', '1899-12-31T23:59:59.999Z', '0001-01-01T00:00:00.000Z'].map(Date.parse);
    const far = Date.parse('+010000-01-01T00:00:00Z');
    assert.deepEqual(
      await seen(timeArray([...times, far, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]), 'timestamptz'),
      [
        '2026-03-29 01:30:00.123+00',
        '1899-12-31 23:59:59.999+00',
        '0001-01-01 00:00:00+00',
        '10000-01-01 00:00:00+00',
        '-infinity',
        'infinity',
      ],
    );
  });

  it('may be empty', async () => {
    assert.deepEqual(await seen(textArray([]), 'text'), []);
    assert.deepEqual(await seen(timeArray([]), 'timestamptz'), []);
  });
});
