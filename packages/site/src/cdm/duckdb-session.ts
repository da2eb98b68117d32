/**
 * One connection to a DuckDB of our own in memory, to which files of a CDM are attached. It loads no extension, spills into a folder
 * that is removed at the end, and stops when it is told to.
 *
 * DuckDB's error texts quote rows of files; of an error only its class leaves this module.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { AppError } from '@lantern/contract';
import type { TextRow } from '@lantern/service';
import { doubles, interruptOnAbort } from '../datasets/table-engine.ts';

export type DuckDbSession = {
  /** Stops what the session does. */
  readonly signal: AbortSignal;
  run(sql: string): Promise<void>;
  /** Every value as text, so that numbers of 64 bits survive; for results that are small. */
  rows(sql: string): Promise<TextRow[]>;
  /** Columns of DOUBLE, chunk by chunk, in no order; for results that may be large. */
  numbers(sql: string, onChunk: (columns: readonly Float64Array[]) => void): Promise<void>;
  /** Appends texts to a table whose columns are all VARCHAR. */
  append(table: string, rows: readonly TextRow[]): Promise<void>;
  close(): Promise<void>;
};

/** What a session may use of the machine; without it, all. `scratchDir`: folder for what does not fit into memory. */
export type SessionBounds = { readonly memoryMiB: number; readonly threads: number; readonly scratchDir: string };

export async function openDuckDbSession(signal: AbortSignal, bounds?: SessionBounds): Promise<DuckDbSession> {
  signal.throwIfAborted();
  const scratch = await mkdtemp(path.join(bounds?.scratchDir ?? tmpdir(), 'lantern-cdm-'));
  const instance = await DuckDBInstance.create(':memory:', {
    temp_directory: scratch,
    ...(bounds === undefined ? {} : { memory_limit: `${bounds.memoryMiB}MiB`, threads: String(bounds.threads) }),
    preserve_insertion_order: 'false',
    autoload_known_extensions: 'false',
    autoinstall_known_extensions: 'false',
    allow_community_extensions: 'false',
  });
  const connection = await instance.connect();
  const stopInterrupting = interruptOnAbort(connection, signal);
  return {
    ...statementsOf(connection, signal),
    async close() {
      stopInterrupting();
      connection.closeSync();
      instance.closeSync();
      await rm(scratch, { recursive: true, force: true });
    },
  };
}

function statementsOf(connection: DuckDBConnection, signal: AbortSignal): Omit<DuckDbSession, 'close'> {
  return {
    signal,
    async run(sql) {
      signal.throwIfAborted();
      await translated(connection.run(sql), signal);
    },
    async rows(sql) {
      signal.throwIfAborted();
      const texts = `SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (${sql})`;
      const reader = await translated(connection.runAndReadAll(texts), signal);
      return reader.getRows().map((row) => row.map((value) => (value === null ? null : String(value))));
    },
    async numbers(sql, onChunk) {
      signal.throwIfAborted();
      const result = await translated(connection.stream(sql), signal);
      for (;;) {
        const chunk = await translated(result.fetchChunk(), signal);
        if (chunk === null || chunk.rowCount === 0) return;
        const { rowCount, columnCount } = chunk;
        onChunk(Array.from({ length: columnCount }, (_, index) => doubles(chunk.getColumnVector(index), rowCount)));
      }
    },
    async append(table, rows) {
      const appender = await translated(connection.createAppender(table), signal);
      for (const row of rows) {
        for (const value of row) {
          if (value === null) appender.appendNull();
          else appender.appendVarchar(value);
        }
        appender.endRow();
      }
      appender.closeSync();
    },
  };
}

async function translated<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work;
  } catch (caught) {
    signal.throwIfAborted();
    throw sessionError(caught);
  }
}

function sessionError(caught: unknown): AppError {
  const message = caught instanceof Error ? caught.message : '';
  if (/No space left on device/.test(message)) return new AppError('storage.full', 'The disk is full.');
  const errorClass = /^([A-Za-z -]{1,40}) Error/.exec(message)?.[1] ?? 'Other';
  if (errorClass === 'Out of Memory') {
    return new AppError('executor.failed', 'The work does not fit into the memory of this machine.');
  }
  return new AppError('dataset.invalid', `DuckDB cannot read or work this out (class of the error: ${errorClass}).`);
}
