/**
 * The analytical engine over this site's tables: one DuckDB in memory, reading Parquet files. It may touch the site's own
 * folder and nothing else, loads no extension, and its settings are locked, so a statement cannot reach out.
 *
 * Invariant: every statement is printed by our own printers. DuckDB's error texts quote rows of the file; they never leave
 * this module, only the class of the error does.
 */
import path from 'node:path';
import { DOUBLE, type DuckDBConnection, DuckDBDoubleVector, DuckDBInstance, VARCHAR } from '@duckdb/node-api';
import { AppError, type Digest } from '@lantern/contract';
import { quoteIdentifier, type SqlQuery } from '@lantern/omop';
import { type BlobStore, makePrivateFolder } from '@lantern/service';

const INTERRUPT_EVERY_MS = 50;

export type TableEngine = {
  /** Runs statements on one connection, which is closed at the end; temporary tables last that long. */
  session<T>(signal: AbortSignal, work: (session: TableSession) => Promise<T>): Promise<T>;
  /** Name of a view over the Parquet file with this content. */
  tableOf(contentDigest: Digest): Promise<string>;
  /** A folder of its own for files between steps, under the one this engine may touch. */
  readonly scratchDir: string;
  close(): void;
};

export type TableSession = {
  run(sql: string): Promise<void>;
  /** Rows as plain objects; for results that are small. */
  rows(query: SqlQuery): Promise<Record<string, unknown>[]>;
  /** Columns of DOUBLE, chunk by chunk, in the order of the rows. */
  numbers(query: SqlQuery, onChunk: (columns: readonly Float64Array[]) => Promise<void> | void): Promise<void>;
};

export type TableEngineOptions = {
  readonly dataDir: string;
  readonly blobs: BlobStore;
  readonly memoryMiB: number;
  readonly threads: number;
};

export async function openTableEngine(options: TableEngineOptions): Promise<TableEngine> {
  const dataDir = path.resolve(options.dataDir);
  const scratchDir = path.join(dataDir, 'work', 'tables');
  await makePrivateFolder(scratchDir);
  const instance = await DuckDBInstance.create(':memory:', {
    threads: String(options.threads),
    memory_limit: `${options.memoryMiB}MiB`,
    temp_directory: path.join(scratchDir, 'spill'),
    preserve_insertion_order: 'true',
    autoload_known_extensions: 'false',
    autoinstall_known_extensions: 'false',
    allow_community_extensions: 'false',
  });
  const admin = await instance.connect();
  await admin.run(`SET allowed_directories = [${sqlText(`${dataDir}${path.sep}`)}]`);
  // Else parts of a file in which nothing can match are not read, and the time of a question says that nothing does.
  await admin.run("SET GLOBAL disabled_optimizers = 'filter_pushdown,statistics_propagation'");
  await admin.run('SET enable_external_access = false');
  await admin.run('SET lock_configuration = true');
  return {
    scratchDir,
    async session(signal, work) {
      signal.throwIfAborted();
      const connection = await instance.connect();
      const stopInterrupting = interruptOnAbort(connection, signal);
      try {
        return await work(sessionOf(connection, signal));
      } finally {
        stopInterrupting();
        connection.closeSync();
      }
    },
    async tableOf(contentDigest) {
      const table = `t_${contentDigest}`;
      const source = `read_parquet(${sqlText(path.resolve(options.blobs.pathOf(contentDigest)))})`;
      const create = `CREATE VIEW IF NOT EXISTS ${quoteIdentifier(table)} AS SELECT * FROM ${source}`;
      await translated(admin.run(create), new AbortController().signal);
      return table;
    },
    close() {
      admin.closeSync();
      instance.closeSync();
    },
  };
}

/** Interrupts until the session has ended: an interrupt that comes just before a statement starts does not stop it. */
export function interruptOnAbort(connection: DuckDBConnection, signal: AbortSignal): () => void {
  let timer: NodeJS.Timeout | undefined;
  const begin = () => {
    connection.interrupt();
    timer = setInterval(() => connection.interrupt(), INTERRUPT_EVERY_MS);
  };
  if (signal.aborted) begin();
  else signal.addEventListener('abort', begin, { once: true });
  return () => {
    signal.removeEventListener('abort', begin);
    clearInterval(timer);
  };
}

/** A text as SQL writes it; for paths of our own making. */
export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function sessionOf(connection: DuckDBConnection, signal: AbortSignal): TableSession {
  return {
    async run(sql) {
      await translated(connection.run(sql), signal);
    },
    async rows({ sql, parameters }) {
      const reader = await translated(connection.runAndReadAll(sql, [...parameters], typesOf(parameters)), signal);
      return reader.getRowObjectsJS();
    },
    async numbers({ sql, parameters }, onChunk) {
      const result = await translated(connection.stream(sql, [...parameters], typesOf(parameters)), signal);
      for (;;) {
        const chunk = await translated(result.fetchChunk(), signal);
        if (chunk === null || chunk.rowCount === 0) return;
        const indexes = Array.from({ length: chunk.columnCount }, (_, index) => index);
        await onChunk(indexes.map((index) => doubles(chunk.getColumnVector(index), chunk.rowCount)));
      }
    },
  };
}

/** The driver would bind a whole number as an integer of 64 bits, and fail above 9.2e18. */
function typesOf(parameters: SqlQuery['parameters']) {
  return parameters.map((value) => (typeof value === 'number' ? DOUBLE : VARCHAR));
}

/** The values of a column of DOUBLE; missing ones as NaN. */
export function doubles(vector: unknown, rowCount: number): Float64Array {
  if (!(vector instanceof DuckDBDoubleVector)) throw new AppError('internal', 'A query of numbers gave another type.');
  return Float64Array.from({ length: rowCount }, (_, row) => vector.getItem(row) ?? Number.NaN);
}

async function translated<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work;
  } catch (caught) {
    signal.throwIfAborted();
    throw engineError(caught);
  }
}

/** Keeps the class of the error ("Out of Memory", "Invalid Input") and drops its text, which may quote rows. */
function engineError(caught: unknown): AppError {
  const errorClass =
    caught instanceof Error ? (/^([A-Za-z -]{1,40}) Error/.exec(caught.message)?.[1] ?? 'Other') : 'Other';
  if (errorClass === 'Out of Memory') {
    return new AppError(
      'executor.failed',
      'The table does not fit into the memory set aside for it (duckdbMemoryMiB).',
    );
  }
  if (/No space left on device/.test(caught instanceof Error ? caught.message : '')) {
    return new AppError('storage.full', 'The disk is full.');
  }
  if (errorClass === 'Invalid Input' || errorClass === 'Conversion') {
    return new AppError('dataset.invalid', `The table cannot be read (${errorClass}).`);
  }
  return new AppError('internal', `The table engine failed (${errorClass}).`);
}
