/**
 * An OMOP CDM that is only read, wherever it lies: a DuckDB file, a folder of CSV or Parquet files, or a PostgreSQL of the
 * hospital's. Whoever asks prints SQL in its dialect; small answers come as texts, large ones are gathered in a DuckDB of our own.
 */
import { stat } from 'node:fs/promises';
import { AppError } from '@lantern/contract';
import type { CdmNeeds, PrintOptions } from '@lantern/omop';
import type { TextRow } from '@lantern/service';
import { openDuckDbFileCdm } from './duckdb-file-cdm.ts';
import type { DuckDbSession, SessionBounds } from './duckdb-session.ts';
import { openFolderCdm } from './folder-cdm.ts';
import { openPostgresCdm } from './postgres-cdm.ts';
import type { TableAccount } from './table-import.ts';

export type Cdm = {
  readonly dialect: PrintOptions['dialect'];
  readonly schema: string | undefined;
  /** Columns by table, as lower-case names. */
  readonly tables: CdmNeeds;
  /** Makes these columns ready to be asked for, and gives an account where rows of files had to be refused. */
  prepare(needs: CdmNeeds): Promise<readonly TableAccount[]>;
  rows(sql: string): Promise<TextRow[]>;
  /** Runs `sql` and keeps its rows as the table `result` of `results`; `columns`: their types by name, in its order. */
  gather(sql: string, columns: Readonly<Record<string, string>>): Promise<void>;
  readonly results: DuckDbSession;
  close(): Promise<void>;
};

export type CdmOptions = {
  /** Path of a DuckDB file or of a folder, or the URL of a PostgreSQL; may hold a password. */
  readonly where: string;
  /** Schema of the tables; without it, "main" of DuckDB, and what the search path of PostgreSQL finds. */
  readonly schema: string | undefined;
  readonly signal: AbortSignal;
  /** Of the DuckDB of our own. */
  readonly bounds?: SessionBounds;
  /** Told what is being done, for long work. */
  readonly onProgress: (done: number, total: number, detail: string) => void;
};

/** Throws `input.invalid` where nothing is there, `dataset.invalid` where it holds no CDM. */
export async function openCdm(options: CdmOptions): Promise<Cdm> {
  if (/^postgres(ql)?:\/\//.test(options.where)) return openPostgresCdm(options);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(options.where)) {
    throw new AppError('input.invalid', 'Of addresses only postgres:// is known; else name a DuckDB file or a folder.');
  }
  // A path that cannot be read is told of at the end of the command, with its name.
  const found = await stat(options.where);
  return found.isDirectory() ? openFolderCdm(options) : openDuckDbFileCdm(options);
}
