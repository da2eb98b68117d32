/**
 * From the file a data engineer brings to the Parquet file that questions and runs read: read strictly, checked against the
 * schema, typed, patients numbered.
 *
 *   CSV or Parquet ──► raw Parquet (every value a text) ──► checks ──► typed Parquet (zstd, rows in the file's order)
 *
 * Strictly: every column by its name, nothing guessed, no row skipped. What is wrong is said by line, column and rule, never
 * by value.
 *
 * A patient keeps the number it had in the dataset's previous version (by the patient key, or by the whole row where there
 * is none), and a new patient gets a number never used before. The history of answered questions is kept in these numbers,
 * so two versions that differ by one patient do not give that patient away.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { AppError, type DatasetSchema, type Digest, type NewDataset, parse } from '@lantern/contract';
import {
  PATIENT_COLUMN,
  patientKeyOf,
  patientKeySql,
  planTableCheck,
  quoteIdentifier,
  ROW_COLUMN,
  readTableCheck,
  type TableFinding,
  typedTableSql,
} from '@lantern/omop';
import { Type } from 'typebox';
import { readCsvHeader } from './csv-header.ts';
import { sqlText, type TableEngine, type TableSession } from './table-engine.ts';

const REJECTED_ROWS_SHOWN_MAX = 5;
const FINDINGS_SHOWN_MAX = 8;
const SOURCE = 'source_table';
const NO_VALUE_IS_NULL = '\u0001'; // a text no file holds: missing marks are the schema's business, not the reader's

/** Patient numbers from `nextPatientNumber` on have never been used in this dataset. */
export type TypedTable = {
  readonly file: string;
  readonly rowCount: number;
  readonly patientCount: number;
  readonly nextPatientNumber: number;
};

type PreviousVersion = {
  readonly schema: DatasetSchema;
  readonly contentDigest: Digest;
  readonly nextPatientNumber: number;
};

export type TableFileOptions = {
  readonly schema: DatasetSchema;
  readonly format: NewDataset['source']['format'];
  readonly sourceFile: string;
  readonly previous: PreviousVersion | undefined;
};

/**
 * Makes the typed table and hands its file to `use`; the file is gone afterwards.
 * Throws `dataset.invalid` naming lines, columns and rules.
 */
export async function withTypedTable<T>(
  engine: TableEngine,
  options: TableFileOptions,
  use: { signal: AbortSignal; take: (table: TypedTable) => Promise<T> },
): Promise<T> {
  const dir = await mkdtemp(path.join(engine.scratchDir, 'import-'));
  try {
    const table = await engine.session(use.signal, async (session) => {
      const columns = await readSource(session, options, path.join(dir, 'raw.parquet'));
      await checkTable(session, options, columns);
      return writeTyped(engine, session, { ...options, file: path.join(dir, 'typed.parquet') });
    });
    return await use.take(table);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Makes the source a view of texts; returns its columns. */
async function readSource(session: TableSession, options: TableFileOptions, rawFile: string): Promise<string[]> {
  if (options.format === 'csv') {
    const names = await readCsvHeader(options.sourceFile);
    assertColumns(options.schema, names);
    await readCsv(session, { ...options, names, rawFile });
    return names;
  }
  const source = `read_parquet(${sqlText(options.sourceFile)})`;
  const names = await columnNames(session, source);
  assertColumns(options.schema, names);
  const texts = names.map((name) => `CAST(${quoteIdentifier(name)} AS VARCHAR) AS ${quoteIdentifier(name)}`);
  await session.run(`COPY (SELECT ${texts.join(', ')} FROM ${source}) TO ${sqlText(rawFile)} (FORMAT parquet)`);
  await viewOf(session, rawFile);
  return names;
}

async function columnNames(session: TableSession, source: string): Promise<string[]> {
  try {
    const rows = await session.rows({ sql: `DESCRIBE SELECT * FROM ${source}`, parameters: [] });
    return rows.map(({ column_name: name }) => String(name));
  } catch (caught) {
    if (caught instanceof AppError && caught.code === 'stopped') throw caught;
    throw new AppError('dataset.invalid', 'The file is not a Parquet file that can be read.');
  }
}

/** Columns of the file that the schema does not name are refused by position: their names may be a row of a file without header. */
function assertColumns(schema: DatasetSchema, names: readonly string[]): void {
  const declared = new Set(schema.columns.map(({ name }) => name.toLowerCase()));
  const present = names.map((name) => name.toLowerCase());
  const absent = schema.columns.filter(({ name }) => !present.includes(name.toLowerCase()));
  if (absent.length > 0) {
    const names = absent.map(({ name }) => name);
    const more = names.length > FINDINGS_SHOWN_MAX ? ` and ${names.length - FINDINGS_SHOWN_MAX} more` : '';
    const list = `${names.slice(0, FINDINGS_SHOWN_MAX).join(', ')}${more}`;
    throw new AppError('dataset.invalid', `The file lacks ${counted(names.length, 'declared column')}: ${list}.`);
  }
  const foreign = present.flatMap((name, index) => (declared.has(name) ? [] : [index + 1]));
  if (foreign.length > 0) {
    const list = foreign.slice(0, FINDINGS_SHOWN_MAX).join(', ');
    throw new AppError(
      'dataset.invalid',
      `The schema does not declare the columns at position ${list}; leave them out.`,
    );
  }
  if (new Set(present).size !== present.length)
    throw new AppError('dataset.invalid', 'The file has two columns of one name.');
}

async function readCsv(
  session: TableSession,
  source: { sourceFile: string; names: readonly string[]; rawFile: string },
): Promise<void> {
  const columns = source.names.map((name) => `${sqlText(name)}: 'VARCHAR'`).join(', ');
  const reader = [
    `read_csv(${sqlText(source.sourceFile)}, auto_detect = false, columns = {${columns}}, all_varchar = true, header = true,`,
    `delim = ',', quote = '"', escape = '"', encoding = 'utf-8', strict_mode = true, null_padding = false,`,
    `nullstr = ${sqlText(NO_VALUE_IS_NULL)}, store_rejects = true, rejects_limit = 1000)`,
  ].join(' ');
  await session.run(`COPY (SELECT * FROM ${reader}) TO ${sqlText(source.rawFile)} (FORMAT parquet)`);
  const rejected = await session.rows({
    sql: 'SELECT DISTINCT CAST(line AS DOUBLE) AS line, error_type FROM reject_errors ORDER BY line',
    parameters: [],
  });
  if (rejected.length > 0) throw brokenLines(parse(RejectedSchema, rejected, { what: 'Rejected lines' }));
  await viewOf(session, source.rawFile);
}

const RejectedSchema = Type.Array(Type.Object({ line: Type.Number(), error_type: Type.String() }));

const BROKEN_LINE: Readonly<Record<string, string>> = {
  'TOO MANY COLUMNS': 'more fields than the header',
  'MISSING COLUMNS': 'fewer fields than the header',
  'UNQUOTED VALUE': 'a quotation mark that is not closed or not doubled',
  'INVALID ENCODING': 'a character that is not UTF-8',
  'LINE SIZE OVER MAXIMUM': 'longer than a line may be',
};

function brokenLines(rejected: { line: number; error_type: string }[]): AppError {
  const shown = rejected
    .slice(0, REJECTED_ROWS_SHOWN_MAX)
    .map(({ line, error_type: type }) => `line ${line} of the file: ${BROKEN_LINE[type] ?? 'not a CSV record'}`);
  const more = rejected.length > shown.length ? `; ${rejected.length - shown.length} more` : '';
  return new AppError('dataset.invalid', `The CSV file is broken: ${shown.join('; ')}${more}.`);
}

async function viewOf(session: TableSession, rawFile: string): Promise<void> {
  await session.run(`CREATE TEMP VIEW ${SOURCE} AS SELECT * FROM read_parquet(${sqlText(rawFile)})`);
}

async function checkTable(
  session: TableSession,
  { schema, format }: Pick<TableFileOptions, 'schema' | 'format'>,
  presentColumns: readonly string[],
): Promise<void> {
  const { checks, findings: absent } = planTableCheck({ schema, source: SOURCE, presentColumns });
  const findings: TableFinding[] = [...absent];
  for (const check of checks) {
    const [row] = await session.rows({ sql: check.sql, parameters: [] });
    findings.push(...readTableCheck(check, row));
  }
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw notAsDeclared(errors, format);
}

function notAsDeclared(errors: readonly TableFinding[], format: TableFileOptions['format']): AppError {
  const shown = errors.slice(0, FINDINGS_SHOWN_MAX).map(({ message, count, firstRows }) => {
    if (firstRows.length === 0) return message;
    const which = count > firstRows.length ? `${counted(count, 'row')}, first` : counted(count, 'row');
    return `${message.replace(/\.$/, '')} (${which}: ${firstRows.join(', ')}).`;
  });
  const more = errors.length > shown.length ? ` And ${errors.length - shown.length} more.` : '';
  const namesRows = format === 'csv' && errors.some(({ firstRows }) => firstRows.length > 0);
  const counting = namesRows ? ' Row 1 is the first below the header.' : '';
  return new AppError('dataset.invalid', `${shown.join(' ')}${more}${counting}`, { field: errors[0]?.column ?? '' });
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

const SizesSchema = Type.Array(
  Type.Object({ rows: Type.Number(), patients: Type.Number(), highest: Type.Union([Type.Number(), Type.Null()]) }),
);

async function writeTyped(
  engine: TableEngine,
  session: TableSession,
  options: TableFileOptions & { file: string },
): Promise<TypedTable> {
  const { schema, previous, file } = options;
  await session.run(`CREATE TEMP VIEW typed_table AS ${typedTableSql({ schema, source: SOURCE })}`);
  const select =
    previous === undefined
      ? 'SELECT * FROM typed_table'
      : renumbered(schema, { ...previous, table: await engine.tableOf(previous.contentDigest) });
  await session.run(`COPY (${select} ORDER BY ${ROW_COLUMN}) TO ${sqlText(file)} (FORMAT parquet, COMPRESSION zstd)`);
  const patients = `CAST(count(DISTINCT ${PATIENT_COLUMN}) AS DOUBLE) AS patients`;
  const sizes = await session.rows({
    sql: [
      `SELECT CAST(count(*) AS DOUBLE) AS rows, ${patients}, CAST(max(${PATIENT_COLUMN}) AS DOUBLE) AS highest`,
      `FROM read_parquet(${sqlText(file)})`,
    ].join(' '),
    parameters: [],
  });
  const [size] = parse(SizesSchema, sizes, { what: 'Size of the table' });
  if (size === undefined || size.rows === 0) throw new AppError('dataset.invalid', 'The file has no rows.');
  const nextPatientNumber = Math.max(previous?.nextPatientNumber ?? 0, (size.highest ?? -1) + 1);
  return { file, rowCount: size.rows, patientCount: size.patients, nextPatientNumber };
}

/** The typed table with the patient numbers of the previous version, and unused ones for new patients. */
function renumbered(schema: DatasetSchema, previous: PreviousVersion & { table: string }): string {
  const table = quoteIdentifier(previous.table);
  const key = patientKeyOf(schema);
  const sameKey = key !== undefined && patientKeyOf(previous.schema) === key;
  const identity = sameKey
    ? patientKeySql(`CAST(${quoteIdentifier(key)} AS VARCHAR)`)
    : rowIdentity(schema, previous.schema);
  // A version from before keys were compared as they are now may know one patient by two numbers.
  const known = `SELECT _identity, min(_number) AS _known FROM (SELECT ${identity} AS _identity, ${PATIENT_COLUMN} AS _number FROM ${table}) GROUP BY _identity`;
  return [
    `SELECT * EXCLUDE (_identity, _known) REPLACE (CAST(coalesce(_known,`,
    `${previous.nextPatientNumber} - 1 + dense_rank() OVER (ORDER BY _known IS NOT NULL, ${PATIENT_COLUMN}))`,
    `AS UINTEGER) AS ${PATIENT_COLUMN})`,
    `FROM (SELECT *, ${identity} AS _identity FROM typed_table) LEFT JOIN (${known}) USING (_identity)`,
  ].join(' ');
}

/**
 * Without a common patient key: the text of the whole row, and which of its equals it is. Where a patient key came or went,
 * or the columns changed, no patient is known, and all get new numbers.
 */
function rowIdentity(schema: DatasetSchema, previous: DatasetSchema): string {
  const names = schema.columns.map(({ name }) => name);
  const comparable =
    patientKeyOf(schema) === undefined &&
    patientKeyOf(previous) === undefined &&
    names.join() === previous.columns.map(({ name }) => name).join();
  if (!comparable) return 'CAST(NULL AS VARCHAR)';
  const row = `CAST(ROW(${names.map(quoteIdentifier).join(', ')}) AS VARCHAR)`;
  return `md5(${row}) || ':' || CAST(row_number() OVER (PARTITION BY ${row} ORDER BY ${ROW_COLUMN}) AS VARCHAR)`;
}
