/**
 * The files of a CDM in a folder: one per table, by the table's name in any case, as CSV, compressed CSV or Parquet. Files of OHDSI's
 * vocabulary download are CSV too: with tabs between values and no quotes.
 */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { AppError } from '@lantern/contract';
import { cdmTableNames, type SourceColumn } from '@lantern/omop';
import { HEADER_BYTES_MAX, parseCsvHeader } from '../datasets/csv-header.ts';
import { sqlText } from '../datasets/table-engine.ts';
import type { DuckDbSession } from './duckdb-session.ts';

const FILE_NAME = /^(.+?)\.(csv|csv\.gz|parquet)$/i;

/** A text no file holds: what is missing is decided by column, not by the reader. */
const NO_VALUE_IS_NULL = '\u0001';
/** Broken lines are counted, not kept one by one without end. */
const BROKEN_LINES_MAX = 1_000_000;

export type TableFile = { readonly table: string; readonly file: string; readonly format: 'csv' | 'parquet' };

export type TableSource = {
  /** What stands after FROM. */
  readonly sql: string;
  readonly columns: readonly SourceColumn[];
  /** Whether lines that are no record were left out, and lie in `reject_errors`. */
  readonly hasRejects: boolean;
};

/** The table files of a folder, in the order of the CDM, and the names of all other files. */
export async function findTableFiles(folder: string): Promise<{ tables: TableFile[]; otherFiles: string[] }> {
  const names = (await readdir(folder)).toSorted();
  const known = cdmTableNames();
  const tables = new Map<string, TableFile>();
  const otherFiles: string[] = [];
  for (const name of names) {
    const [, stem = '', ending = ''] = FILE_NAME.exec(name) ?? [];
    const table = stem.toLowerCase();
    if (!known.includes(table)) {
      otherFiles.push(name);
      continue;
    }
    const other = tables.get(table);
    if (other !== undefined) {
      const rule = `is there twice, as ${path.basename(other.file)} and as ${name}`;
      throw new AppError('dataset.invalid', `The table ${table} ${rule}; leave one.`);
    }
    const format = ending.toLowerCase() === 'parquet' ? 'parquet' : 'csv';
    tables.set(table, { table, file: path.join(folder, name), format });
  }
  return { tables: known.flatMap((table) => tables.get(table) ?? []), otherFiles };
}

/** Throws `dataset.invalid` naming the file. */
export async function openTableFile(session: DuckDbSession, { file, format }: TableFile): Promise<TableSource> {
  const name = path.basename(file);
  try {
    return format === 'csv' ? await csvSource(file) : await parquetSource(session, file);
  } catch (cause) {
    if (!(cause instanceof AppError) || cause.code !== 'dataset.invalid') throw cause;
    throw new AppError('dataset.invalid', `${name}: ${cause.message}`, { cause });
  }
}

async function csvSource(file: string): Promise<TableSource> {
  const bytes = await headOf(file);
  const firstLine = bytes.toString('latin1').split(/\r?\n/, 1)[0] ?? '';
  const isTabbed = firstLine.includes('\t') && !firstLine.includes(',');
  const names = isTabbed ? firstLine.split('\t') : parseCsvHeader(bytes);
  assertDifferent(names);
  const columns = names.map((column) => `${sqlText(column)}: 'VARCHAR'`).join(', ');
  const form = isTabbed ? `delim = '\t', quote = '', escape = ''` : `delim = ',', quote = '"', escape = '"'`;
  const sql = [
    `read_csv(${sqlText(file)}, auto_detect = false, columns = {${columns}}, header = true, ${form},`,
    `encoding = 'utf-8', strict_mode = true, null_padding = false, nullstr = ${sqlText(NO_VALUE_IS_NULL)},`,
    `store_rejects = true, rejects_limit = ${BROKEN_LINES_MAX})`,
  ].join(' ');
  return { sql, columns: names.map((column) => ({ name: column, type: 'VARCHAR' })), hasRejects: true };
}

/** The beginning of a file, unpacked. */
async function headOf(file: string): Promise<Buffer> {
  const raw = createReadStream(file);
  const isPacked = file.toLowerCase().endsWith('.gz');
  const unpacked: Readable = isPacked ? raw.pipe(createGunzip()) : raw;
  raw.on('error', (error) => unpacked.destroy(error));
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of unpacked) {
      chunks.push(chunk as Buffer); // no encoding is set
      size += (chunk as Buffer).byteLength;
      if (size >= HEADER_BYTES_MAX) break;
    }
  } catch (cause) {
    if (cause instanceof Error && 'path' in cause) throw cause; // of the file system, told of with its name
    throw new AppError('dataset.invalid', 'The file is no gzip file, or broken.', { cause });
  } finally {
    raw.destroy();
  }
  return Buffer.concat(chunks).subarray(0, HEADER_BYTES_MAX);
}

/** Throws `dataset.invalid` for a packed file that is broken or ends too early: DuckDB would read its beginning and say nothing. */
export async function assertWhole({ file }: TableFile, signal: AbortSignal): Promise<void> {
  if (!file.toLowerCase().endsWith('.gz')) return;
  try {
    const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
    await pipeline(createReadStream(file), createGunzip(), nowhere, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof Error && 'path' in cause) throw cause; // of the file system, told of with its name
    throw new AppError('dataset.invalid', `${path.basename(file)} is a broken gzip file, or ends too early.`, {
      cause,
    });
  }
}

async function parquetSource(session: DuckDbSession, file: string): Promise<TableSource> {
  const sql = `read_parquet(${sqlText(file)})`;
  const rows = await session.rows(`SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM ${sql})`);
  const columns = rows.map(([column, type]) => ({ name: column ?? '', type: type ?? '' }));
  assertDifferent(columns.map(({ name }) => name));
  return { sql, columns, hasRejects: false };
}

function assertDifferent(names: readonly string[]): void {
  if (new Set(names.map((name) => name.toLowerCase())).size === names.length) return;
  throw new AppError('dataset.invalid', 'The file has two columns of one name.');
}
