/** Sets of patients read out of the table engine, chunk by chunk into bitmaps: a row is a bit at once, never an object. */
import { createPatientSetBuilder, PATIENT_COLUMN, type PatientSet, type SqlQuery } from '@lantern/omop';
import type { TableSession } from './table-engine.ts';

/** The patients of a query that yields `_patient`, as often as it likes. */
export async function readPatients(session: TableSession, query: SqlQuery): Promise<PatientSet> {
  const builder = createPatientSetBuilder();
  const sql = `SELECT CAST(${PATIENT_COLUMN} AS DOUBLE) FROM (${query.sql})`;
  await session.numbers({ ...query, sql }, ([patients = new Float64Array()]) => {
    for (const patient of patients) builder.add(patient);
  });
  return builder.finish();
}

/** The patients in each of `cellCount` cells, of a query that yields (`cell`, `_patient`). */
export async function readPatientCells(
  session: TableSession,
  query: SqlQuery,
  cellCount: number,
): Promise<readonly PatientSet[]> {
  const builders = Array.from({ length: cellCount }, createPatientSetBuilder);
  const sql = `SELECT CAST(cell AS DOUBLE), CAST(${PATIENT_COLUMN} AS DOUBLE) FROM (${query.sql})`;
  await session.numbers({ ...query, sql }, ([cells = new Float64Array(), patients = new Float64Array()]) => {
    for (const [row, patient] of patients.entries()) builders[cells[row] ?? -1]?.add(patient);
  });
  return builders.map((builder) => builder.finish());
}
