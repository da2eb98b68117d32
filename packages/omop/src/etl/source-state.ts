/**
 * What a CDM says of its own source: how far it was read, and by which vocabulary. It stands in the CDM and changes in the
 * transaction of a pass, so that a pass is either in the CDM and in its state, or in neither.
 */
import { quoteLiteral } from '../dataset/sql-text.ts';
import { STAGING_SCHEMA } from './staging-tables.ts';

/** Query: name, value. Expects the table. */
export function sourceStateSql(): string {
  return `SELECT name, value FROM ${STAGING_SCHEMA}.source_state`;
}

export function writeSourceStateStatements(state: ReadonlyMap<string, string>): string[] {
  return [
    `DELETE FROM ${STAGING_SCHEMA}.source_state`,
    ...[...state].map(
      ([name, value]) =>
        `INSERT INTO ${STAGING_SCHEMA}.source_state VALUES (${quoteLiteral(name)}, ${quoteLiteral(value)})`,
    ),
  ];
}

/** Query: the number above all that were ever given in this CDM, as a text. */
export function nextNumberSql(): string {
  return `SELECT coalesce(last_value + increment_by, start_value)::varchar AS next_number FROM duckdb_sequences()
 WHERE schema_name = '${STAGING_SCHEMA}' AND sequence_name = 'resource_numbers'`;
}
