/**
 * From the file as it came (every value a text, or whatever Parquet holds) to the table that questions are asked of: numbers
 * as DOUBLE, categories in their declared spelling, missing as NULL, rows and patients numbered.
 *
 * What does not fit its column becomes NULL here; `table-check.ts` has reported it before and the table is not offered then.
 */
import { AppError, type Column, type DatasetSchema, IMAGE_REFERENCE_PATTERN } from '@lantern/contract';
import { numberLiteral, PATIENT_COLUMN, quoteIdentifier, quoteLiteral, ROW_COLUMN } from './sql-text.ts';

/** RFC 8259's numbers, and the signs and points that tables have besides; DuckDB alone would take "1_0" for ten. */
const NUMBER_PATTERN = '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?';

/**
 * A SELECT over `source` (name of a table or view with the declared columns) that yields `_row`, `_patient` and the declared
 * columns, typed. It has no parameters, so it may stand in a view. `source` must keep the file's order.
 *
 * Patient numbers are dense from 0, in the order of the patient key, or the row's order where the schema declares none.
 */
export function typedTableSql(options: { schema: DatasetSchema; source: string }): string {
  const { schema, source } = options;
  const columns = schema.columns.map((column) => `${typedValueSql(schema, column)} AS ${quoteIdentifier(column.name)}`);
  const key = patientKeyOf(schema);
  const patient =
    key === undefined ? `${ROW_COLUMN} - 1` : `dense_rank() OVER (ORDER BY ${patientKeySql(textSql(schema, key))}) - 1`;
  return [
    `SELECT ${ROW_COLUMN}, CAST(${patient} AS UINTEGER) AS ${PATIENT_COLUMN}, ${columns.join(', ')}`,
    `FROM (SELECT CAST(row_number() OVER () AS BIGINT) AS ${ROW_COLUMN}, * FROM ${quoteIdentifier(source)})`,
    `ORDER BY ${ROW_COLUMN}`,
  ].join('\n');
}

/**
 * The key of a patient as it is compared: its text. A whole number that another program wrote as a decimal ("7.0") is that
 * number, or every patient would be a new one in the next version. A leading zero counts ("07" is not "7"), for hospitals give
 * both out; what is taken for one patient too few is a threshold that is kept, and too many is one that is not.
 */
export function patientKeySql(text: string): string {
  return wholeSql(text);
}

function wholeSql(text: string): string {
  return `regexp_replace(${text}, '^([+-]?[0-9]+)[.]0*$', '\\1')`;
}

/** Name of the column that says which rows are the same patient; `undefined`: each row is a patient. */
export function patientKeyOf(schema: DatasetSchema): string | undefined {
  return schema.columns.find((column) => column.kind === 'patient-key')?.name;
}

/** The trimmed text of a raw value; NULL where it is empty or one of the schema's marks for "missing". */
export function textSql(schema: DatasetSchema, columnName: string): string {
  const text = `trim(CAST(${quoteIdentifier(columnName)} AS VARCHAR))`;
  const marks = ['', ...schema.missingMarks.map((mark) => mark.trim())].map(quoteLiteral);
  return `CASE WHEN ${text} IN (${[...new Set(marks)].join(', ')}) THEN NULL ELSE ${text} END`;
}

/** The typed value of a raw value; NULL where it is missing or does not fit. */
export function typedValueSql(schema: DatasetSchema, column: Column): string {
  const text = textSql(schema, column.name);
  switch (column.kind) {
    case 'number': {
      const number = `TRY_CAST(${text} AS DOUBLE)`;
      return `CASE WHEN regexp_full_match(${text}, '${NUMBER_PATTERN}') AND isfinite(${number}) THEN ${number} END`;
    }
    case 'category': {
      const declared = column.categories.map(({ value }) => quoteLiteral(value)).join(', ');
      const whole = wholeSql(text);
      return `CASE WHEN ${text} IN (${declared}) THEN ${text} WHEN ${whole} IN (${declared}) THEN ${whole} END`;
    }
    case 'image':
      return `CASE WHEN regexp_full_match(${text}, ${quoteLiteral(IMAGE_REFERENCE_PATTERN)}) THEN ${text} END`;
    case 'patient-key':
      return `CASE WHEN NOT regexp_matches(${text}, '[\\x00-\\x1f\\x7f]') THEN ${patientKeySql(text)} END`;
  }
}

/** `value` in the spelling that the column declares ("1" for "1.0"); `undefined` when the column does not declare it. */
export function declaredCategory(categories: readonly { value: string }[], value: string): string | undefined {
  const trimmed = value.trim();
  const whole = trimmed.replace(/^([+-]?[0-9]+)[.]0*$/, '$1');
  return (
    categories.find((category) => category.value === trimmed)?.value ??
    categories.find((category) => category.value === whole)?.value
  );
}

/** Throws `dataset.invalid` when two columns cannot be told apart in SQL, a column repeats a category, or ranges are upside down. */
export function assertPrintable(schema: DatasetSchema): void {
  const names = schema.columns.map((column) => column.name.toLowerCase());
  const twice = schema.columns.find((column, index) => names.indexOf(column.name.toLowerCase()) !== index);
  if (twice !== undefined) {
    throw new AppError(
      'dataset.invalid',
      `Column ${twice.name} is declared twice (upper and lower case count as the same).`,
    );
  }
  if (schema.columns.filter((column) => column.kind === 'patient-key').length > 1) {
    throw new AppError('dataset.invalid', 'A schema declares at most one patient key.');
  }
  for (const column of schema.columns) assertColumn(column);
}

function assertColumn(column: Column): void {
  const fail = (rule: string): never => {
    throw new AppError('dataset.invalid', `Column ${column.name}: ${rule}.`, { field: column.name });
  };
  if (column.kind === 'category') {
    const values = column.categories.map(({ value }) => value.trim());
    if (values.some((value) => value === '')) fail('a category is empty');
    if (new Set(values).size !== values.length) fail('a category is declared twice');
  }
  if (column.kind === 'number') {
    if (column.range.min >= column.range.max) fail('the range is empty');
    if (column.medianRange !== undefined && column.medianRange.min > column.medianRange.max)
      fail('the median range is empty');
    const edges = column.binEdges ?? [];
    if (edges.some((edge, index) => index > 0 && edge <= (edges[index - 1] ?? edge))) fail('bin edges must rise');
    for (const bound of [column.range.min, column.range.max, ...edges]) numberLiteral(bound);
  }
}
