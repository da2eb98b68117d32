/**
 * A folder of a CDM's files, loaded for good into one DuckDB file with the tables of CDM 5.4.
 *
 * The file appears under its name only when everything is in it and on the disk; a load that fails or is stopped leaves nothing.
 * Rows lie there in the order in which questions pick them. Nothing is overwritten. Every row that was read is loaded or refused by a rule that is named, and the sum is what was read.
 */
import { randomBytes } from 'node:crypto';
import { link, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { cdmRowOrder, cdmTableNames, cdmTableStatements, quoteIdentifier } from '@lantern/omop';
import { sqlText } from '../datasets/table-engine.ts';
import { type DuckDbSession, openDuckDbSession } from './duckdb-session.ts';
import { findTableFiles, type TableFile } from './table-files.ts';
import { importTable, openTable, type TableAccount } from './table-import.ts';

export type CdmLoad = {
  readonly tables: readonly TableAccount[];
  /** Tables of CDM 5.4 of which the folder has no file; they are there, and empty. */
  readonly absentTables: readonly string[];
  /** Files that are no table of the CDM; nothing was read from them. */
  readonly otherFiles: readonly string[];
  /** What cdm_source says of itself; undefined where it says nothing. */
  readonly cdmVersion: string | undefined;
};

export type CdmLoadOptions = {
  readonly folder: string;
  /** Where the DuckDB file is to be; nothing may be there. */
  readonly file: string;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number, detail: string) => void;
};

/** Throws `input.invalid`, `dataset.invalid`, or `storage.full`. */
export async function loadCdm({ folder, file, signal, onProgress }: CdmLoadOptions): Promise<CdmLoad> {
  const { tables: files, otherFiles } = await findTableFiles(folder);
  if (!files.some(({ table }) => table === 'person')) {
    throw new AppError(
      'dataset.invalid',
      `${folder} holds no file of the table "person", as person.csv or person.parquet.`,
    );
  }
  const partFile = `${file}.${randomBytes(6).toString('hex')}.part`;
  const reserved = await open(file, 'wx'); // says so at once when the file is there or the folder is not
  await reserved.close();
  await rm(file);
  try {
    const loaded = await loadInto({ partFile, files, signal, onProgress });
    await syncFile(partFile);
    await link(partFile, file); // fails where somebody else made a file of that name meanwhile
    await syncFile(path.dirname(file));
    const present = new Set(files.map(({ table }) => table));
    return { ...loaded, absentTables: cdmTableNames().filter((table) => !present.has(table)), otherFiles };
  } finally {
    for (const left of [partFile, `${partFile}.wal`]) await rm(left, { force: true });
  }
}

type Loading = Pick<CdmLoadOptions, 'signal' | 'onProgress'> & { partFile: string; files: readonly TableFile[] };

async function loadInto({
  partFile,
  files,
  signal,
  onProgress,
}: Loading): Promise<Pick<CdmLoad, 'tables' | 'cdmVersion'>> {
  const session = await openDuckDbSession(signal);
  try {
    await session.run(`ATTACH ${sqlText(partFile)} AS cdm`);
    await session.run('USE cdm');
    for (const statement of cdmTableStatements()) await session.run(statement);
    const tables: TableAccount[] = [];
    for (const [index, file] of files.entries()) {
      onProgress(index, files.length, file.table);
      const opened = await openTable(session, file);
      tables.push(await importTable(session, opened, quoteIdentifier(file.table), cdmRowOrder(file.table)));
    }
    onProgress(1, 1, '');
    assertPersons(tables);
    const cdmVersion = await versionOf(session);
    await session.run('USE memory');
    await session.run('DETACH cdm'); // which writes what is still in its log
    return { tables, cdmVersion };
  } finally {
    await session.close();
  }
}

function assertPersons(tables: readonly TableAccount[]): void {
  const persons = tables.find(({ table }) => table === 'person');
  if (persons === undefined || persons.readCount === 0) throw new AppError('dataset.invalid', 'There are no persons.');
  if (persons.loadedCount > 0) return;
  const rules = persons.refused.map(({ rule, rowCount }) => `${rule} (${rowCount} rows)`);
  throw new AppError('dataset.invalid', `Of ${persons.file} every row is refused: ${rules.join('; ')}.`);
}

async function versionOf(session: DuckDbSession): Promise<string | undefined> {
  const [row] = await session.rows('SELECT cdm_version FROM cdm_source ORDER BY cdm_release_date DESC LIMIT 1');
  return row?.[0] ?? undefined;
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
