/**
 * The patients of a CDM as the disclosure gate knows them: by a small number that stays with a person for good, since the history of
 * answers hangs on it. Kept in a DuckDB file of this site, beside who is left out because of an opt-out.
 *
 *   made (file_id)                tells this file from any other
 *   patient (person_id, number)   only ever grows; a person who is new gets the next number
 *   left_out (number)             opted out, or not identified while there are lists: made anew whole
 *   made_of (state)               the persons, their identifiers and the lists of which `left_out` was made
 *
 * Invariant: all three change in one transaction, so `left_out` is never older than what `made_of` says. Identifiers are read, checked
 * against the lists and forgotten.
 */
import { hash } from 'node:crypto';
import { quoteIdentifier } from '@lantern/omop';
import type { Cdm } from '../cdm/cdm.ts';
import { sqlText } from '../datasets/table-engine.ts';
import type { OptOutEvidence, OptOuts } from '../opt-outs/opt-outs.ts';
import type { Numbering } from './store.ts';

/** Name under which the file is attached to the session of a question. */
const PATIENTS = 'lantern_patients';
/** View of the session: person_id, number; of whoever may be counted. */
export const COUNTED_PATIENTS = 'lantern_counted';
/** Looked up at once: some megabytes, and short enough between two turns of the event loop. */
const PERSONS_AT_ONCE = 5_000;

export type RecordPatients = {
  /** Brings numbers and opt-outs up to date with the CDM and the lists, and makes the view of whoever may be counted. */
  prepare(cdm: Cdm, evidence: OptOutEvidence): Promise<Numbering>;
};

/** `file`: of this site alone; one question at a time. */
export function createRecordPatients(file: string, optOuts: Pick<OptOuts, 'verdictsOn'>): RecordPatients {
  return {
    async prepare(cdm, evidence) {
      const session = cdm.results;
      await session.run(`ATTACH ${sqlText(file)} AS ${PATIENTS}`);
      for (const statement of TABLES) await session.run(statement);
      const identifiers = await identifierSource(cdm);
      const state = hash('sha256', `${await stateOf(cdm, identifiers)}\n${evidence.state}`);
      const [made] = await session.rows(`SELECT state FROM ${PATIENTS}.made_of`);
      if (made?.[0] !== state) await update(cdm, { identifiers, state, optOuts });
      await session.run(
        `CREATE TEMP VIEW ${COUNTED_PATIENTS} AS SELECT person_id, number FROM ${PATIENTS}.patient
         WHERE number NOT IN (SELECT number FROM ${PATIENTS}.left_out)`,
      );
      const [numbering] = await session.rows(
        `SELECT file_id, (SELECT count(*) FROM ${PATIENTS}.patient) FROM ${PATIENTS}.made`,
      );
      return { fileId: numbering?.[0] ?? '', patientCount: Number(numbering?.[1]) };
    },
  };
}

const TABLES = [
  `CREATE TABLE IF NOT EXISTS ${PATIENTS}.patient (person_id BIGINT PRIMARY KEY, number INTEGER NOT NULL UNIQUE)`,
  `CREATE TABLE IF NOT EXISTS ${PATIENTS}.made (file_id VARCHAR NOT NULL)`,
  `INSERT INTO ${PATIENTS}.made SELECT CAST(uuid() AS VARCHAR) WHERE NOT EXISTS (SELECT 1 FROM ${PATIENTS}.made)`,
  `CREATE TABLE IF NOT EXISTS ${PATIENTS}.left_out (number INTEGER NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS ${PATIENTS}.made_of (state VARCHAR NOT NULL)`,
];

/** SQL that gives person_id and one identifier of the person in each row; null where there is none. */
export async function identifierSource(cdm: Cdm): Promise<string> {
  const person = personTable(cdm);
  const own = await ownTables(cdm);
  // In a CDM of our own the source value is the name of a resource, which no list knows.
  if (!own.has('person_identifier')) return `SELECT person_id, person_source_value AS identifier FROM ${person}`;
  const ofResource = 'SELECT resource_key, value FROM cdm.etl.person_identifier';
  const ofMerged = `SELECT s.survivor_key, i.value FROM cdm.etl.person_identifier i
    JOIN cdm.etl.person_survivor s ON s.person_key = i.resource_key`;
  const all = own.has('person_survivor') ? `${ofResource} UNION ALL ${ofMerged}` : ofResource; // an older CDM has none
  return `SELECT p.person_id, i.value AS identifier FROM ${person} p
    LEFT JOIN cdm.etl.resource r ON r.resource_number = p.person_id
    LEFT JOIN (${all}) i ON i.resource_key = r.resource_key`;
}

/** SQL that gives person_id and what resources of FHIR may call the person: his own, and who was merged into him. */
export async function patientResourceSource(cdm: Cdm): Promise<string> {
  const person = personTable(cdm);
  const current = `SELECT person_id, person_source_value AS source FROM ${person}`;
  if (!(await ownTables(cdm)).has('person_survivor')) return current;
  return `${current} UNION ALL SELECT p.person_id, s.person_key FROM ${person} p
    JOIN cdm.etl.resource r ON r.resource_number = p.person_id
    JOIN cdm.etl.person_survivor s ON s.survivor_key = r.resource_key`;
}

function personTable({ schema }: Cdm): string {
  return `${schema === undefined ? '' : `${quoteIdentifier(schema)}.`}person`;
}

/** What a CDM that was made of resources has beside its tables. */
async function ownTables({ dialect, results }: Cdm): Promise<ReadonlySet<string | null>> {
  if (dialect !== 'duckdb') return new Set();
  const own = await results.rows(
    `SELECT table_name FROM duckdb_tables() WHERE database_name = 'cdm' AND schema_name = 'etl'`,
  );
  return new Set(own.flat());
}

/** Changes with every person and identifier that comes, goes or is another, in whatever order they lie. */
async function stateOf({ dialect, rows }: Cdm, identifiers: string): Promise<string> {
  const sum =
    dialect === 'duckdb'
      ? `sum(CAST(hash(person_id, coalesce(identifier, '')) AS HUGEINT))`
      : `sum(CAST(hashtextextended(CAST(person_id AS TEXT) || ' ' || coalesce(identifier, ''), 0) AS NUMERIC))`;
  const [row] = await rows(`SELECT count(*) AS row_count, ${sum} AS row_sum FROM (${identifiers}) i`);
  return (row ?? []).join(' ');
}

type Update = { readonly identifiers: string; readonly state: string; readonly optOuts: Pick<OptOuts, 'verdictsOn'> };

async function update(cdm: Cdm, { identifiers, state, optOuts }: Update): Promise<void> {
  const session = cdm.results;
  await cdm.gather(identifiers, { person_id: 'BIGINT', identifier: 'VARCHAR' });
  await session.run('BEGIN TRANSACTION');
  try {
    await session.run(
      `INSERT INTO ${PATIENTS}.patient
       SELECT person_id, (SELECT coalesce(max(number) + 1, 0) FROM ${PATIENTS}.patient) + row_number() OVER (ORDER BY person_id) - 1
       FROM (SELECT DISTINCT CAST(person_id AS BIGINT) AS person_id FROM temp.result)
       WHERE person_id NOT IN (SELECT person_id FROM ${PATIENTS}.patient)`,
    );
    await session.run(`DELETE FROM ${PATIENTS}.left_out`);
    await leaveOut(cdm, optOuts);
    await session.run(`DELETE FROM ${PATIENTS}.made_of`);
    await session.run(`INSERT INTO ${PATIENTS}.made_of VALUES (${sqlText(state)})`);
    await session.run('COMMIT');
  } catch (caught) {
    await session.run('ROLLBACK').catch(() => undefined); // what failed may have ended the transaction, or the session is stopped
    throw caught;
  }
}

/** Numbers are dense: some thousands of persons at a time. */
async function leaveOut({ results: session }: Cdm, optOuts: Pick<OptOuts, 'verdictsOn'>): Promise<void> {
  const [most] = await session.rows(`SELECT coalesce(max(number), -1) FROM ${PATIENTS}.patient`);
  for (let first = 0; first <= Number(most?.[0]); first += PERSONS_AT_ONCE) {
    const rows = await session.rows(
      `SELECT p.number, r.identifier FROM ${PATIENTS}.patient p JOIN temp.result r ON r.person_id = p.person_id
       WHERE p.number >= ${first} AND p.number < ${first + PERSONS_AT_ONCE}`,
    );
    const identifiers = new Map<number, string[]>();
    for (const [number, identifier] of rows) {
      const known = identifiers.get(Number(number)) ?? [];
      identifiers.set(Number(number), identifier == null ? known : [...known, identifier]);
    }
    const verdicts = await optOuts.verdictsOn([...identifiers.values()]);
    const left = [...identifiers.keys()].filter((_, index) => verdicts[index] !== 'may-be-used');
    if (left.length === 0) continue;
    await session.run(`INSERT INTO ${PATIENTS}.left_out VALUES ${left.map((number) => `(${number})`).join(', ')}`);
  }
}
