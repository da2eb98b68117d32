/**
 * The leaves of every query we print, in DuckDB's dialect. Names and words of a dataset's schema are quoted; values that come
 * from a question never appear in the text, they travel as parameters $1, $2, ...
 */
import { AppError } from '@lantern/contract';

/** Row of the registered file, from 1, header not counted; and number of the patient. No declared column can have these names. */
export const ROW_COLUMN = '_row';
export const PATIENT_COLUMN = '_patient';

export type SqlValue = string | number;

/** A query and the values of its parameters $1, $2, ... in order. */
export type SqlQuery = { readonly sql: string; readonly parameters: readonly SqlValue[] };

export function quoteIdentifier(name: string): string {
  if (name.includes('\0')) throw new AppError('input.invalid', 'A name must not hold a NUL character.');
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new AppError('input.invalid', 'A text must not hold a NUL character.');
  return `'${text.replaceAll("'", "''")}'`;
}

/** A finite number as a DOUBLE literal; DuckDB would read "0.1" as a decimal and "5" as an integer. */
export function numberLiteral(value: number): string {
  if (!Number.isFinite(value)) throw new AppError('input.invalid', 'A number must be finite.');
  return `CAST(${value} AS DOUBLE)`;
}

/** Adds a value to the parameters of the query being printed and returns its place-holder. */
export function addParameter(parameters: SqlValue[], value: SqlValue): string {
  parameters.push(value);
  return typeof value === 'number' ? `CAST($${parameters.length} AS DOUBLE)` : `CAST($${parameters.length} AS VARCHAR)`;
}
