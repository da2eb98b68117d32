/** The executable cases of OHDSI circe-be (fixtures/omop-cohorts): every cohort has to come out as Circe's own, on both engines. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readCirce } from '@lantern/omop';
import { ENGINES, makeCdm } from '../../test/cdm-engines.ts';
import { type Cdm, openCdm } from '../cdm/cdm.ts';
import { type CohortRun, runCohort } from './cohort-run.ts';

const CASES = path.resolve(import.meta.dirname, '../../../../fixtures/omop-cohorts');

type Row = Readonly<Record<string, string | number>>;
type Case = {
  readonly tables: Readonly<Record<string, readonly Row[]>>;
  readonly cohorts: Readonly<Record<string, unknown>>;
  readonly expected: Readonly<
    Record<'cohort' | 'cohort_inclusion_result' | 'cohort_censor_stats', readonly Row[] | undefined>
  >;
};

/** What a case leaves out is missing. */
function insertsOf({ tables }: Case): string[] {
  return Object.entries(tables).flatMap(([table, rows]) =>
    rows.map((row) => {
      const names = Object.keys(row);
      const values = names.map((name) => (typeof row[name] === 'number' ? row[name] : `'${row[name]}'`));
      return `INSERT INTO ${table} (${names.join(', ')}) VALUES (${values.join(', ')})`;
    }),
  );
}

function expectedOf(rows: readonly Row[], id: string, names: readonly string[]): string[] {
  const own = rows.filter((row) => String(row['cohort_definition_id']) === id);
  return own.map((row) => names.map((name) => String(row[name])).join(' ')).sort();
}

async function check(cdm: Cdm, run: CohortRun, { id, expected }: { id: string } & Pick<Case, 'expected'>) {
  const rows = await cdm.results.rows(
    `SELECT number, cohort_start_date, cohort_end_date FROM temp.result WHERE part = 'cohort'`,
  );
  const names = ['subject_id', 'cohort_start_date', 'cohort_end_date'];
  const wanted = expectedOf(expected.cohort ?? [], id, names);
  assert.deepEqual(rows.map((row) => row.join(' ')).sort(), wanted, `cohort ${id}`);
  assert.equal(run.entryCount, wanted.length);
  assert.equal(run.subjectCount, new Set(wanted.map((row) => row.split(' ')[0])).size);
  if (expected.cohort_inclusion_result !== undefined) {
    const masks = run.masks.map(({ of, mask, count }) => `${of === 'events' ? 0 : 1} ${mask} ${count}`).sort();
    const columns = ['mode_id', 'inclusion_rule_mask', 'person_count'];
    assert.deepEqual(masks, expectedOf(expected.cohort_inclusion_result, id, columns), `inclusion of ${id}`);
  }
  if (expected.cohort_censor_stats !== undefined) {
    const lost = expectedOf(expected.cohort_censor_stats, id, ['lost_count']);
    assert.deepEqual([String(run.censoredCount)], lost, `censored of ${id}`);
  }
}

for (const engine of ENGINES) {
  describe(`Circe's own cases on ${engine}`, () => {
    for (const file of readdirSync(CASES).filter((name) => name.endsWith('.json'))) {
      it(`${file} gives the cohorts that Circe gives`, async () => {
        const one = JSON.parse(readFileSync(path.join(CASES, file), 'utf8')) as Case;
        const made = await makeCdm(engine, insertsOf(one), { isStrict: false });
        const { signal } = new AbortController();
        const cdm = await openCdm({ where: made.where, schema: undefined, signal, onProgress: () => undefined });
        for (const [id, definition] of Object.entries(one.cohorts)) {
          const run = await runCohort(cdm, readCirce(JSON.stringify(definition)));
          await check(cdm, run, { id, expected: one.expected });
        }
        await cdm.close();
        await made.close();
      });
    }
  });
}
