/** The executable cases of OHDSI circe-be (fixtures/omop-cohorts), on DuckDB: every cohort has to come out as Circe's own does. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { cdmTableStatements } from '../cdm/cdm-schema.ts';
import { readCirceValue } from './circe-reader.ts';
import { type CohortPlan, censoredSql, cohortSql, inclusionSql, planCohort } from './cohort-plan.ts';

const CASES = path.resolve(import.meta.dirname, '../../../../fixtures/omop-cohorts');

type Row = Readonly<Record<string, string | number>>;
type Case = {
  readonly tables: Readonly<Record<string, readonly Row[]>>;
  readonly cohorts: Readonly<Record<string, unknown>>;
  readonly expected: Readonly<
    Record<'cohort' | 'cohort_inclusion_result' | 'cohort_censor_stats', readonly Row[] | undefined>
  >;
};

/** The rows of a case, in tables of CDM 5.4; what a case leaves out is missing. */
async function databaseOf({ tables }: Case): Promise<DuckDBConnection> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  for (const statement of cdmTableStatements()) await connection.run(statement.replaceAll(/ not null/g, ''));
  for (const [table, rows] of Object.entries(tables)) {
    for (const row of rows) {
      const names = Object.keys(row);
      const values = names.map((name) => (typeof row[name] === 'number' ? row[name] : `'${row[name]}'`));
      await connection.run(`INSERT INTO ${table} (${names.join(', ')}) VALUES (${values.join(', ')})`);
    }
  }
  return connection;
}

async function rowsOf(connection: DuckDBConnection, sql: string): Promise<string[]> {
  const rows = (await connection.runAndReadAll(sql)).getRows();
  return rows.map((row) => row.map(String).join(' ')).sort();
}

function expectedOf(rows: readonly Row[] | undefined, id: string, names: readonly string[]): string[] {
  const own = (rows ?? []).filter((row) => String(row['cohort_definition_id']) === id);
  return own.map((row) => names.map((name) => String(row[name])).join(' ')).sort();
}

const OPTIONS = { dialect: 'duckdb' } as const;

async function check(
  connection: DuckDBConnection,
  id: string,
  { plan, expected }: { plan: CohortPlan } & Pick<Case, 'expected'>,
) {
  const names = ['subject_id', 'cohort_start_date', 'cohort_end_date'];
  assert.deepEqual(
    await rowsOf(connection, cohortSql(plan, OPTIONS)),
    expectedOf(expected.cohort, id, names),
    `cohort ${id}`,
  );
  if (expected.cohort_inclusion_result !== undefined) {
    const masks = ['mode_id', 'inclusion_rule_mask', 'person_count'];
    const wanted = expectedOf(expected.cohort_inclusion_result, id, masks);
    assert.deepEqual(await rowsOf(connection, inclusionSql(plan, OPTIONS)), wanted, `inclusion of ${id}`);
  }
  if (expected.cohort_censor_stats !== undefined) {
    const wanted = expectedOf(expected.cohort_censor_stats, id, ['lost_count']);
    assert.deepEqual(await rowsOf(connection, censoredSql(plan, OPTIONS)), wanted, `censored of ${id}`);
  }
}

describe("Circe's own cases", () => {
  for (const file of readdirSync(CASES).filter((name) => name.endsWith('.json'))) {
    it(`${file} gives the cohorts that Circe gives`, async () => {
      const one = JSON.parse(readFileSync(path.join(CASES, file), 'utf8')) as Case;
      const connection = await databaseOf(one);
      for (const [id, definition] of Object.entries(one.cohorts)) {
        await check(connection, id, { plan: planCohort(readCirceValue(definition)), expected: one.expected });
      }
      connection.closeSync();
    });
  }
});
