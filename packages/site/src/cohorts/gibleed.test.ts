/**
 * OHDSI's synthetic database "GiBleed" through the whole way: loaded from its files, copied to PostgreSQL, and asked for the cohorts
 * whose answers are published and for the 60 phenotypes of the OHDSI library. Both engines have to agree row for row.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { readCirce } from '@lantern/omop';
import { copyToPostgres } from '../../test/cdm-engines.ts';
import { type Cdm, openCdm } from '../cdm/cdm.ts';
import { loadCdm } from '../cdm/cdm-load.ts';
import { runCohort } from './cohort-run.ts';

const DATA = process.env['LANTERN_DATA_DIR'];
const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/omop-gibleed');
/** Persons with such an event at any time, as published; and those with one within an observation period, as counted by SQL. */
const ANSWERS = {
  'celecoxib.json': 1844,
  'diclofenac.json': 850,
  'gi-bleed.json': 479,
  'celecoxib-observed.json': 1800,
  'diclofenac-observed.json': 830,
  'gi-bleed-observed.json': 479,
} as const;

const { signal } = new AbortController();

function open(where: string): Promise<Cdm> {
  return openCdm({ where, schema: undefined, signal, onProgress: () => undefined });
}

/** Everything that a run gives, to be compared. */
async function answerOf(cdm: Cdm, file: string) {
  const run = await runCohort(cdm, readCirce(readFileSync(file, 'utf8')));
  const rows = await cdm.results.rows(
    `SELECT number, cohort_start_date, cohort_end_date FROM temp.result WHERE part = 'cohort'`,
  );
  return { ...run, rows: rows.map((row) => row.join(' ')).sort() };
}

it('GiBleed gives the published answers, and both engines the same rows for every phenotype', async (t) => {
  if (DATA === undefined) return t.skip('LANTERN_DATA_DIR names no folder with omop-gibleed and omop-cohorts');
  const phenotypes = path.join(DATA, 'omop-cohorts', 'phenotypes');
  const folder = path.join(DATA, 'omop-gibleed');
  if (!existsSync(folder) || !existsSync(phenotypes)) return t.skip(`${folder} or ${phenotypes} is not there`);
  const scratch = await mkdtemp(path.join(tmpdir(), 'lantern-gibleed-'));
  t.after(() => rm(scratch, { recursive: true, force: true }));
  const file = path.join(scratch, 'gibleed.duckdb');
  const loaded = await loadCdm({ folder, file, signal, onProgress: () => undefined });
  for (const table of loaded.tables) assert.deepEqual(table.refused, [], table.table);
  assert.equal(loaded.tables.find(({ table }) => table === 'condition_occurrence')?.loadedCount, 65_332);
  const copied = await copyToPostgres(file);
  t.after(() => copied.close());
  const [duckdb, postgres, files] = [await open(file), await open(copied.where), await open(folder)];
  t.after(async () => {
    for (const one of [duckdb, postgres, files]) await one.close();
  });
  for (const [name, persons] of Object.entries(ANSWERS)) {
    const definition = path.join(FIXTURES, name);
    for (const cdm of [duckdb, postgres]) assert.equal((await answerOf(cdm, definition)).subjectCount, persons, name);
  }
  assert.equal((await answerOf(files, path.join(FIXTURES, 'gi-bleed.json'))).subjectCount, 479);
  const names = readdirSync(phenotypes);
  assert.equal(names.length, 60);
  let entryCount = 0;
  for (const name of names) {
    const definition = path.join(phenotypes, name);
    const answer = await answerOf(duckdb, definition);
    assert.deepEqual(await answerOf(postgres, definition), answer, name);
    entryCount += answer.entryCount;
  }
  assert.ok(entryCount > 0);
  t.diagnostic(`${entryCount} entries in the 60 phenotypes`);
});
