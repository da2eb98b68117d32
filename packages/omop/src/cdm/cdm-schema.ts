/** The tables of OMOP CDM 5.4 as statements that make them, empty. */
import { quoteIdentifier } from '../dataset/sql-text.ts';
import { CDM_TABLES } from './cdm-tables.ts';

/** Types that DuckDB and PostgreSQL share. Keys have 64 bits: 2 billion rows are expected, and sites number as they like. */
export function cdmTableStatements(): string[] {
  return Object.entries(CDM_TABLES).map(([table, fields]) => {
    const columns = Object.entries(fields).map(([field, type]) => `${quoteIdentifier(field)} ${typeOf(field, type)}`);
    return `CREATE TABLE ${quoteIdentifier(table)} (${columns.join(', ')})`;
  });
}

function typeOf(field: string, type: string): string {
  const isKey = field.endsWith('_id') && type.startsWith('integer');
  return type
    .replace(/^integer/, isKey ? 'bigint' : 'integer')
    .replace(/^datetime/, 'timestamp')
    .replace(/^float/, 'double precision');
}
