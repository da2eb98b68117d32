/**
 * From the rows that were gathered from a CDM to sets of patients. Whoever opted out is in no set: every query here reads the view
 * of `record-patients.ts`.
 *
 * Invariant: the statements are the same whoever is in a cohort, nobody or nine.
 */
import {
  type CohortQuestionPlan,
  createPatientSetBuilder,
  type DescriptionTable,
  LIST_CANDIDATE_COUNT_MAX,
  LOCAL_CONCEPT_ID_MIN,
  type PatientSet,
  type PatientTable,
  quoteIdentifier,
  type TablePlan,
} from '@lantern/omop';
import type { Cdm } from '../cdm/cdm.ts';
import type { DuckDbSession } from '../cdm/duckdb-session.ts';
import { sqlText } from '../datasets/table-engine.ts';
import { COUNTED_PATIENTS } from './record-patients.ts';

export type CohortSets = {
  readonly total: PatientSet;
  readonly stages: readonly PatientSet[];
  readonly tables: readonly DescriptionTable[];
};

/** View of the session: the gathered rows with `number` instead of the person. */
const ROWS = 'lantern_rows';
const ENTRY = 'lantern_entry';

/** `patientCountMin`: concepts of fewer patients are no candidates of a list. */
export async function readCohortSets(
  session: DuckDbSession,
  { plan, patientCountMin }: { plan: CohortQuestionPlan; patientCountMin: number },
): Promise<CohortSets> {
  await makeRows(session);
  await session.run(
    `CREATE TEMP VIEW ${ENTRY} AS SELECT number, code AS sex, year(day) AS year, year(day) - birth_year AS age
     FROM ${ROWS} WHERE part = 'entry'`,
  );
  const total = await readSet(session, `SELECT number FROM ${ENTRY}`);
  const stages: PatientSet[] = [];
  for (let index = 0; index < plan.rules.length; index += 1) {
    const mask = 2n ** BigInt(index + 1) - 1n;
    stages.push(
      await readSet(session, `SELECT number FROM ${ROWS} WHERE part = 'stage' AND (code & ${mask}) = ${mask}`),
    );
  }
  const tables: DescriptionTable[] = [];
  for (const table of plan.tables) tables.push(await readTable(session, table, patientCountMin));
  return { total, stages, tables };
}

/** Of each concept of the gathered rows the patients, for those that may come into a list. */
export async function readConceptSets(session: DuckDbSession, patientCountMin: number): Promise<PatientTable> {
  await makeRows(session);
  return readCandidates(session, { column: 'concepts', part: 'concept', patientCountMin });
}

/** Names of these concepts in the vocabulary, of those that are not the site's own. */
export async function readConceptNames(cdm: Cdm, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (!cdm.tables.has('concept')) return new Map();
  const schema = cdm.schema === undefined ? '' : `${quoteIdentifier(cdm.schema)}.`;
  const rows = await cdm.rows(
    `SELECT concept_id, concept_name FROM ${schema}concept
     WHERE concept_id IN (${[0, ...ids].join(', ')}) AND concept_id < ${LOCAL_CONCEPT_ID_MIN}`,
  );
  return new Map(rows.flatMap(([id, name]) => (id == null || name == null ? [] : [[id, name] as const])));
}

/** A patient with several persons of one number cannot be: numbers and persons are one to one. */
async function makeRows(session: DuckDbSession): Promise<void> {
  await session.run(
    `CREATE TEMP VIEW ${ROWS} AS SELECT r.part, c.number, r.code, r.birth_year, r.day, r.amount
     FROM temp.result r JOIN ${COUNTED_PATIENTS} c ON c.person_id = r.person_id`,
  );
}

async function readTable(session: DuckDbSession, plan: TablePlan, patientCountMin: number): Promise<DescriptionTable> {
  const { column, part } = plan;
  if (plan.kind === 'largest') {
    const table = await readCandidates(session, { column, part, patientCountMin });
    return { kind: 'largest', table, limit: plan.limit };
  }
  const { kind, labels, expression } = plan;
  const from = part === 'entry' ? ENTRY : `(SELECT * FROM ${ROWS} WHERE part = ${sqlText(part)})`;
  const sets = await readCells(session, `SELECT ${expression} AS cell, number FROM ${from}`, labels.length);
  return { kind, table: tableOf(column, labels, sets) };
}

/** Concepts of at least so many patients, those of most patients first; equal ones by their ids. */
async function readCandidates(
  session: DuckDbSession,
  { column, part, patientCountMin }: { column: string; part: string; patientCountMin: number },
): Promise<PatientTable> {
  await session.run(
    `CREATE OR REPLACE TEMP TABLE candidate AS
     SELECT code, row_number() OVER (ORDER BY code) - 1 AS cell FROM (
       SELECT code FROM ${ROWS} WHERE part = ${sqlText(part)} GROUP BY code HAVING count(DISTINCT number) >= ${patientCountMin}
       ORDER BY count(DISTINCT number) DESC, code LIMIT ${LIST_CANDIDATE_COUNT_MAX})`,
  );
  const ids = (await session.rows('SELECT code FROM temp.candidate ORDER BY cell')).map(([id]) => id ?? '');
  const sets = await readCells(
    session,
    `SELECT k.cell, r.number FROM ${ROWS} r JOIN temp.candidate k ON k.code = r.code WHERE r.part = ${sqlText(part)}`,
    ids.length,
  );
  return tableOf(column, ids, sets);
}

function tableOf(column: string, labels: readonly string[], sets: readonly PatientSet[]): PatientTable {
  return {
    column,
    cells: labels.flatMap((label, cell) => {
      const patients = sets[cell];
      return patients === undefined ? [] : [{ label, patients }];
    }),
  };
}

async function readSet(session: DuckDbSession, sql: string): Promise<PatientSet> {
  const builder = createPatientSetBuilder();
  await session.numbers(`SELECT CAST(number AS DOUBLE) FROM (${sql})`, ([numbers = new Float64Array()]) => {
    for (const number of numbers) builder.add(number);
  });
  return builder.finish();
}

/** A row without a cell is in none. */
async function readCells(session: DuckDbSession, sql: string, cellCount: number): Promise<PatientSet[]> {
  const builders = Array.from({ length: cellCount }, createPatientSetBuilder);
  const numbers = `SELECT CAST(cell AS DOUBLE), CAST(number AS DOUBLE) FROM (${sql}) WHERE cell IS NOT NULL`;
  await session.numbers(numbers, ([cells = new Float64Array(), patients = new Float64Array()]) => {
    for (const [row, patient] of patients.entries()) builders[cells[row] ?? -1]?.add(patient);
  });
  return builders.map((builder) => builder.finish());
}
