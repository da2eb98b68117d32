/** The tables of OMOP CDM 5.4 as statements that make them, empty. */
import { quoteIdentifier } from '../dataset/sql-text.ts';
import { CDM_TABLES } from './cdm-tables.ts';

export function cdmTableStatements(): string[] {
  return Object.entries(CDM_TABLES).map(([table, fields]) => {
    const columns = Object.entries(fields).map(([name, written]) => {
      const { type, isRequired } = fieldOf(name, written);
      return `${quoteIdentifier(name)} ${type}${isRequired ? ' not null' : ''}`;
    });
    return `CREATE TABLE ${quoteIdentifier(table)} (${columns.join(', ')})`;
  });
}

export type CdmFieldKind = 'key' | 'integer' | 'float' | 'date' | 'datetime' | 'text';

export type CdmField = {
  readonly name: string;
  readonly kind: CdmFieldKind;
  /** As DuckDB and PostgreSQL both write it. */
  readonly type: string;
  readonly isRequired: boolean;
};

/** Undefined where the CDM has no such table. */
export function cdmFields(table: string): readonly CdmField[] | undefined {
  const fields = Object.hasOwn(CDM_TABLES, table) ? CDM_TABLES[table] : undefined;
  return fields === undefined ? undefined : Object.entries(fields).map(([name, written]) => fieldOf(name, written));
}

export function cdmTableNames(): string[] {
  return Object.keys(CDM_TABLES);
}

/** Keys have 64 bits: 2 billion rows are expected, and sites number as they like. */
function fieldOf(name: string, written: string): CdmField {
  const isRequired = written.endsWith(' not null');
  const source = written.replace(/ not null$/, '');
  switch (source) {
    case 'integer':
      return /_id(_\d)?$/.test(name)
        ? { name, kind: 'key', type: 'bigint', isRequired }
        : { name, kind: 'integer', type: 'integer', isRequired };
    case 'float':
      return { name, kind: 'float', type: 'double precision', isRequired };
    case 'date':
      return { name, kind: 'date', type: 'date', isRequired };
    case 'datetime':
      return { name, kind: 'datetime', type: 'timestamp', isRequired };
    default:
      return { name, kind: 'text', type: source, isRequired };
  }
}
