/**
 * Does a table keep what its schema says? Prints one query per column and reads its answer as findings for the data engineer
 * of the site. Findings name column, rule and row numbers, never values; they stay inside the site.
 *
 * Rules: missing where not allowed; not a number; outside the declared range; a category not declared; a median outside the
 * plausible range (a wrong unit moves every value, so the median shows it where single values may still be in range: one
 * finding for the column, and no rows); a patient key with a character that nobody can see; a patient key that repeats (only a warning: several rows of one patient are counted as one patient).
 */
import { type Column, type DatasetSchema, parse } from '@lantern/contract';
import { Type } from 'typebox';
import { numberLiteral, quoteIdentifier, ROW_COLUMN } from './sql-text.ts';
import { assertPrintable, textSql, typedValueSql } from './typed-table.ts';

const FIRST_ROWS_MAX = 5; // enough to find the fault in the file

export type TableRule = 'column-absent' | 'missing' | 'type' | 'range' | 'category' | 'unit' | 'duplicate-patient';

/** `firstRows`: rows of the file from 1, header not counted. `count`: rows that break the rule. */
export type TableFinding = {
  readonly severity: 'error' | 'warning';
  readonly column: string;
  readonly rule: TableRule;
  readonly count: number;
  readonly firstRows: readonly number[];
  readonly message: string;
};

/** A query without parameters that yields one row: `counts` (a list of DOUBLE) and `first_rows` (a list of lists of DOUBLE). */
export type TableCheck = { readonly column: string; readonly sql: string; readonly rules: readonly RowRule[] };

type RowRule = {
  readonly rule: TableRule;
  readonly severity: TableFinding['severity'];
  readonly message: string;
  /** SQL that is true for a row that breaks the rule, over columns `_row`, `text`, `value`. */
  readonly broken: string;
  /** The column breaks the rule as a whole: the finding counts once and names no row. */
  readonly ofColumn?: boolean;
};

/**
 * The queries for a table or view `source` that has the declared columns in the file's order.
 *
 * presentColumns  the columns the file has, in any spelling of case; a declared column that is not there is a finding
 *
 * Throws `dataset.invalid` when the schema itself cannot be used.
 */
export function planTableCheck(options: { schema: DatasetSchema; source: string; presentColumns: readonly string[] }): {
  readonly checks: readonly TableCheck[];
  readonly findings: readonly TableFinding[];
} {
  const { schema, source } = options;
  assertPrintable(schema);
  const present = new Set(options.presentColumns.map((name) => name.toLowerCase()));
  const absent = schema.columns.filter((column) => !present.has(column.name.toLowerCase()));
  const findings = absent.map(
    ({ name }): TableFinding => ({
      severity: 'error',
      column: name,
      rule: 'column-absent',
      count: 1,
      firstRows: [],
      message: `Column ${name} is declared but not in the file.`,
    }),
  );
  const checks = schema.columns
    .filter((column) => !absent.includes(column))
    .map((column) => ({ column: column.name, rules: rulesOf(column), sql: checkSql(schema, column, source) }));
  return { checks, findings };
}

const CheckRowSchema = Type.Object({
  counts: Type.Array(Type.Number()),
  first_rows: Type.Array(Type.Union([Type.Null(), Type.Array(Type.Number())])),
});

/** Reads the one row that a check's query gave. */
export function readTableCheck(check: TableCheck, row: unknown): readonly TableFinding[] {
  const { counts, first_rows: firstRows } = parse(CheckRowSchema, row, { what: 'Result of a table check' });
  return check.rules.flatMap(({ rule, severity, message, ofColumn = false }, index) => {
    const count = counts[index] ?? 0;
    if (count === 0) return [];
    const rows = ofColumn ? { count: 1, firstRows: [] } : { count, firstRows: firstRows[index] ?? [] };
    return [{ severity, column: check.column, rule, ...rows, message }];
  });
}

function checkSql(schema: DatasetSchema, column: Column, source: string): string {
  const rules = rulesOf(column);
  const counts = rules.map(({ broken }) => `CAST(count(*) FILTER (WHERE ${broken}) AS DOUBLE)`);
  const firstRows = rules.map(({ broken }) => `min(${ROW_COLUMN}, ${FIRST_ROWS_MAX}) FILTER (WHERE ${broken})`);
  return [
    `SELECT [${counts.join(', ')}] AS counts, [${firstRows.join(', ')}] AS first_rows FROM (`,
    `SELECT ${ROW_COLUMN}, text, value, ${column.kind === 'number' ? 'median(value) OVER ()' : 'NULL'} AS middle,`,
    `${column.kind === 'patient-key' ? `row_number() OVER (PARTITION BY value ORDER BY ${ROW_COLUMN})` : 'NULL'} AS nth`,
    `FROM (SELECT CAST(row_number() OVER () AS DOUBLE) AS ${ROW_COLUMN}, ${textSql(schema, column.name)} AS text,`,
    `${typedValueSql(schema, column)} AS value FROM ${quoteIdentifier(source)}))`,
  ].join(' ');
}

function rulesOf(column: Column): RowRule[] {
  const { name } = column;
  const error = (rule: TableRule, message: string, broken: string): RowRule => ({
    rule,
    severity: 'error',
    message,
    broken,
  });
  switch (column.kind) {
    case 'patient-key':
      return [
        error('missing', `Column ${name}: every row needs a patient key.`, 'text IS NULL'),
        error(
          'type',
          `Column ${name}: a character that nobody can see, such as a tab or NUL.`,
          'text IS NOT NULL AND value IS NULL',
        ),
        {
          rule: 'duplicate-patient',
          severity: 'warning',
          message: `Column ${name}: more than one row of the same patient; they count as one patient.`,
          broken: 'value IS NOT NULL AND nth > 1',
        },
      ];
    case 'image':
      return [
        ...missingRule(column),
        error('type', `Column ${name}: not a reference to an image.`, 'text IS NOT NULL AND value IS NULL'),
      ];
    case 'category':
      return [
        ...missingRule(column),
        error(
          'category',
          `Column ${name}: a category that the schema does not declare.`,
          'text IS NOT NULL AND value IS NULL',
        ),
      ];
    case 'number': {
      const { range, medianRange, unit } = column;
      const outside = (expression: string, { min, max }: { min: number; max: number }) =>
        `(${expression} < ${numberLiteral(min)} OR ${expression} > ${numberLiteral(max)})`;
      const rules = [
        ...missingRule(column),
        error('type', `Column ${name}: not a number.`, 'text IS NOT NULL AND value IS NULL'),
        error('range', `Column ${name}: outside the range ${rangeText(range, unit)}.`, outside('value', range)),
      ];
      if (medianRange !== undefined) {
        const message = `Column ${name}: the median is not in ${rangeText(medianRange, unit)}; wrong unit?`;
        rules.push({ ...error('unit', message, outside('middle', medianRange)), ofColumn: true });
      }
      return rules;
    }
  }
}

function rangeText({ min, max }: { min: number; max: number }, unit: string): string {
  return `${min} to ${max} (unit "${unit}")`;
}

function missingRule(column: Exclude<Column, { kind: 'patient-key' }>): RowRule[] {
  if (column.missingAllowed) return [];
  const message = `Column ${column.name}: a value is missing and the schema does not allow it.`;
  return [{ rule: 'missing', severity: 'error', message, broken: 'text IS NULL' }];
}
