/**
 * The beginning of a dataset's schema, from the table itself, for a person to complete.
 *
 * A schema leaves the hospital, so nothing of a single row may slip into it by itself: ranges are left open, since the
 * smallest and largest value belong to somebody, and only categories held by enough rows are listed. What a person must
 * decide is left empty, and an empty text or an open range is refused at registration: a draft is never offered by mistake.
 */
import { DuckDBInstance } from '@duckdb/node-api';
import { AppError, CATEGORY_COUNT_MAX, PATIENT_COUNT_MIN_FLOOR } from '@lantern/contract';
import { quoteIdentifier } from '@lantern/omop';
import { readCsvHeader } from './csv-header.ts';
import { sqlText } from './table-engine.ts';

const MISSING_MARKS = ['', '?', 'NA'];
const CATEGORY_COUNT_LIKELY_MAX = 12; // a number with few values is usually a code

const NUMERIC = /^(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT|FLOAT|DOUBLE|DECIMAL.*|U[A-Z]*INT[A-Z]*)$/;

type DraftColumn =
  | { kind: 'number'; unit: ''; range: { min: null; max: null }; missingAllowed: boolean }
  | { kind: 'category'; categories: { value: string; meaning: '' }[]; missingAllowed: boolean }
  | { kind: 'patient-key' };

type SchemaDraft = {
  readonly name: string;
  readonly title: '';
  readonly description: '';
  readonly missingMarks: readonly string[];
  readonly columns: readonly (DraftColumn & { readonly name: string; readonly description: '' })[];
};

/** Throws `dataset.invalid` for a file that is not a table of this format. */
export async function draftSchema(
  file: string,
  options: { readonly name: string; readonly format: 'csv' | 'parquet' },
): Promise<SchemaDraft> {
  if (options.format === 'csv') await readCsvHeader(file); // says what is wrong with it, where DuckDB would guess
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  const rows = async (sql: string) => (await connection.runAndReadAll(sql)).getRowObjectsJS();
  try {
    await connection.run(`CREATE TEMP VIEW source AS SELECT * FROM ${readerOf(file, options.format)}`);
    const columns: SchemaDraft['columns'][number][] = [];
    for (const column of await rows('DESCRIBE source')) {
      const name = String(column['column_name']);
      columns.push({ ...(await draftColumn(rows, name, String(column['column_type']))), name, description: '' });
    }
    return { name: options.name, title: '', description: '', missingMarks: MISSING_MARKS, columns };
  } catch (cause) {
    // What DuckDB says may quote rows; its cause is for a debugger, not for the message.
    throw new AppError('dataset.invalid', `The file is not a ${options.format} table with a header.`, { cause });
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

function readerOf(file: string, format: 'csv' | 'parquet'): string {
  if (format === 'parquet') return `read_parquet(${sqlText(file)})`;
  return `read_csv(${sqlText(file)}, header = true, delim = ',', nullstr = [${MISSING_MARKS.map(sqlText).join(', ')}])`;
}

type Query = (sql: string) => Promise<Record<string, unknown>[]>;

async function draftColumn(rows: Query, name: string, type: string): Promise<DraftColumn> {
  const column = quoteIdentifier(name);
  const [facts] = await rows(
    `SELECT CAST(count(DISTINCT ${column}) AS DOUBLE) AS "distinct", count(${column}) < count(*) AS gaps FROM source`,
  );
  const distinct = Number(facts?.['distinct']);
  const missingAllowed = facts?.['gaps'] === true;
  const isNumeric = NUMERIC.test(type);
  if (isNumeric && distinct > CATEGORY_COUNT_LIKELY_MAX)
    return { kind: 'number', unit: '', range: { min: null, max: null }, missingAllowed };
  if (distinct > CATEGORY_COUNT_MAX) return { kind: 'patient-key' };
  const values = await rows(
    `SELECT CAST(${column} AS VARCHAR) AS value FROM source WHERE ${column} IS NOT NULL
     GROUP BY ${column} HAVING count(*) >= ${PATIENT_COUNT_MIN_FLOOR} ORDER BY ${column}`,
  );
  const categories = values.map(({ value }) => ({ value: plain(String(value)), meaning: '' as const }));
  return { kind: 'category', categories, missingAllowed };
}

/** "1.0" and "1" are the same category; the shorter spelling is the one to declare. */
function plain(value: string): string {
  return /^-?\d+\.0+$/.test(value) ? value.replace(/\.0+$/, '') : value;
}
