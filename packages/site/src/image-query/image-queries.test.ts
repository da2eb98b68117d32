import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '@lantern/service';
import fc from 'fast-check';
import { sql } from 'kysely';
import { fillIndex } from '../../test/filled-index.ts';
import { startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { nameKey } from '../archive/name-key.ts';
import { conditionSql } from './conditions.ts';
import { createImageQueries, type ImageQueries } from './image-queries.ts';
import { imageQuery } from './query.ts';
import { queryAttributes } from './query-attributes.ts';

const STUDY_COUNT = 1201; // more than two pages
const ASKED = { actor: 'user:test', retrieveAe: 'LANTERN', webUrl: undefined };
let node: TestImaging;
let queries: ImageQueries;

before(async () => {
  node = await startTestImaging({ name: 'image-queries' });
  queries = createImageQueries({ database: node.database, clock: systemClock });
  await fillIndex(node.database, STUDY_COUNT);
});

after(async () => {
  await node?.close();
});

const tagOf = (keyword: string) =>
  [...queryAttributes().values()].find((attribute) => attribute.keyword === keyword)?.tag ?? '';
const shown = new Set(['StudyInstanceUID', 'SeriesInstanceUID', 'PatientID'].map(tagOf));

describe('all matches of a query', () => {
  for (const [level, keyword, count] of [
    ['PATIENT', 'PatientID', 481],
    ['STUDY', 'StudyInstanceUID', STUDY_COUNT],
    ['SERIES', 'SeriesInstanceUID', 2 * STUDY_COUNT],
  ] as const) {
    it(`come page by page, each ${level.toLowerCase()} once, in the order of the pages of QIDO-RS`, async () => {
      const query = imageQuery({ level, keys: [], shown, combinesDateTime: false });
      const found: unknown[] = [];
      const { signal } = new AbortController();
      for await (const match of queries.matches(query, { ...ASKED, signal }))
        found.push(match[tagOf(keyword)]?.Value?.[0]);
      assert.equal(new Set(found).size, count);
      assert.equal(found.length, count);
      const page = await queries.page(query, { ...ASKED, limit: 7, offset: 100 });
      assert.deepEqual(
        page.matches.map((match) => match[tagOf(keyword)]?.Value?.[0]),
        found.slice(100, 107),
      );
      assert.deepEqual(page.remaining, { count: count - 107, isAtLeast: false });
    });
  }

  it('come no further than they are asked for', async () => {
    const query = imageQuery({ level: 'STUDY', keys: [], shown, combinesDateTime: false });
    const stop = new AbortController();
    let count = 0;
    for await (const _match of queries.matches(query, { ...ASKED, signal: stop.signal })) {
      count += 1;
      if (count === 10) stop.abort();
    }
    assert.equal(count, 10);
  });
});

/** Matching as PS3.4 C.2.2.2.4 says it, letter by letter. */
function matchesWildcard(pattern: string, value: string): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return value === '';
  const tail = rest.join('');
  const [first, ...others] = value;
  if (head === '*')
    return matchesWildcard(tail, value) || (first !== undefined && matchesWildcard(pattern, others.join('')));
  return first !== undefined && (head === '?' || head === first) && matchesWildcard(tail, others.join(''));
}

/** Whether the database finds `stored` by `key`. */
async function isFound(keyword: 'PatientID' | 'PatientName', key: string, stored: string): Promise<boolean> {
  const query = imageQuery({
    level: 'STUDY',
    keys: [{ tag: tagOf(keyword), values: [key] }],
    shown: new Set(),
    combinesDateTime: false,
  });
  const [condition] = query.conditions;
  if (condition === undefined) return true;
  const [row] = await node.database.ask(sql<{ met: boolean }>`select ${conditionSql(condition)} as met
    from (select ${stored}::text collate "C" as patient_id, ${nameKey(stored)}::text collate "C" as patient_name_key) as st`);
  return row?.met === true;
}

describe('a key with wildcards', () => {
  const letters = fc.constantFrom('a', 'A', 'b', '%', '_', "'", '"', ';', '-', ' b', 'é', '山', '😀');
  const texts = fc.array(letters, { maxLength: 5 }).map((parts) => parts.join('').trim());
  const patterns = fc
    .array(fc.oneof(letters, fc.constantFrom('*', '?')), { minLength: 1, maxLength: 6 })
    .map((parts) => parts.join('').trim())
    .filter((text) => text !== '');

  it('finds in the database what it finds letter by letter', async () => {
    await fc.assert(
      fc.asyncProperty(patterns, texts, async (key, stored) => {
        assert.equal(
          await isFound('PatientID', key, stored),
          matchesWildcard(key, stored),
          JSON.stringify({ key, stored }),
        );
      }),
      { numRuns: 500 },
    );
  });

  it('finds a name in any case by any name that differs in case and empty components alone', async () => {
    await fc.assert(
      fc.asyncProperty(patterns, texts, async (key, stored) => {
        const changed = key.toUpperCase();
        const expected = matchesWildcard(key.toUpperCase().toLowerCase(), stored.toUpperCase().toLowerCase());
        assert.equal(await isFound('PatientName', `${changed}^^`, stored), expected, JSON.stringify({ key, stored }));
      }),
      { numRuns: 500 },
    );
  });

  it('is either read or refused, whatever it is, and never breaks a statement', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 40 }), async (key) => {
        for (const keyword of ['PatientID', 'PatientName'] as const) {
          await isFound(keyword, key, 'Doe^Jane').catch((caught: unknown) => {
            assert.equal(Object(caught).code, 'input.invalid');
          });
        }
      }),
      { numRuns: 300 },
    );
  });
});
