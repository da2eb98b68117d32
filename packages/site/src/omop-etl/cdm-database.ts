/**
 * A CDM in a DuckDB file of this site's own, open for writing: one process at a time. Work runs in one transaction, so what is
 * killed half-way leaves the CDM as it was.
 *
 * DuckDB's error texts may quote rows; they do not leave this module, only their class does.
 */
import { access } from 'node:fs/promises';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { AppError } from '@lantern/contract';
import { cdmTableStatements, incomingColumns, type StagedTable, stagingStatements } from '@lantern/omop';

export type CdmDatabase = {
  /** Runs `work` in one transaction: all of it is kept, or nothing. */
  transaction<T>(work: (session: CdmSession) => Promise<T>): Promise<T>;
  /** Writes all that was committed into the file, so that nothing is left in a log beside it. */
  checkpoint(): Promise<void>;
  close(): void;
};

export type CdmSession = {
  run(sql: string): Promise<void>;
  /** Small results, every column as text. */
  rows(sql: string): Promise<readonly Readonly<Record<string, string | null>>[]>;
  /** Opens a fast way in for rows of one table; `finish` must be called before the table is read. */
  appender(table: string, columns: Readonly<Record<string, string>>): Promise<RowAppender>;
};

export type RowAppender = {
  /** `last`: value of the last column, where the row lacks it. */
  append(row: Readonly<Record<string, string | number | bigint | boolean | undefined>>, last?: bigint): void;
  finish(): void;
};

export type CdmDatabaseOptions = {
  readonly file: string;
  readonly memoryMiB: number;
  readonly threads: number;
  /** An error when nothing is there. */
  readonly mustExist?: boolean;
  /** Where the file is new: the number of its first resource. */
  readonly firstNumber?: bigint;
};

/** Opens the file, or makes an empty CDM of it. */
export async function openCdmDatabase(options: CdmDatabaseOptions): Promise<CdmDatabase> {
  if (options.mustExist === true) await access(options.file); // a missing file is told of by its name
  const instance = await translated(
    DuckDBInstance.create(options.file, {
      threads: String(options.threads),
      memory_limit: `${options.memoryMiB}MiB`,
      preserve_insertion_order: 'false',
      autoload_known_extensions: 'false',
      autoinstall_known_extensions: 'false',
      allow_community_extensions: 'false',
    }),
  );
  const connection = await instance.connect();
  const session = sessionOf(connection);
  const database: CdmDatabase = {
    async transaction(work) {
      await session.run('BEGIN TRANSACTION');
      try {
        const result = await work(session);
        await session.run('COMMIT');
        return result;
      } catch (caught) {
        await connection.run('ROLLBACK').catch(() => undefined); // The transaction may have ended with the failure itself.
        throw caught;
      }
    },
    checkpoint: () => session.run('FORCE CHECKPOINT'),
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
  await database.transaction((opened) => makeTables(opened, options.firstNumber));
  return database;
}

async function makeTables(session: CdmSession, firstNumber: bigint | undefined): Promise<void> {
  const [found] = await session.rows(
    "SELECT count(*)::varchar AS tables FROM information_schema.tables WHERE table_schema = 'main' AND table_name = 'person'",
  );
  if (found?.['tables'] === '0') for (const statement of cdmTableStatements()) await session.run(statement);
  for (const statement of stagingStatements(firstNumber)) await session.run(statement);
}

function sessionOf(connection: DuckDBConnection): CdmSession {
  return {
    async run(sql) {
      await translated(connection.run(sql));
    },
    async rows(sql) {
      const reader = await translated(connection.runAndReadAll(sql));
      return reader
        .getRowObjects()
        .map((row) =>
          Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value === null ? null : String(value)])),
        );
    },
    async appender(table, columns) {
      const [schema = '', name = ''] = table.split('.');
      const appender = await translated(connection.createAppender(name, schema));
      const types = Object.entries(columns);
      const lastColumn = types.at(-1)?.[0];
      return {
        append(row, last) {
          for (const [column, type] of types) {
            const value = row[column] ?? (column === lastColumn ? last : undefined);
            if (value === undefined) appender.appendNull();
            else if (typeof value === 'string') appender.appendVarchar(value);
            else if (typeof value === 'boolean') appender.appendBoolean(value);
            else if (typeof value === 'bigint') appender.appendBigInt(value);
            else if (type === 'integer') appender.appendInteger(value);
            else appender.appendDouble(value);
          }
          appender.endRow();
        },
        finish: () => appender.closeSync(),
      };
    },
  };
}

/** Appends rows to the incoming table of each staged table, opening an appender for those that have rows. */
export type StagedWriter = {
  append<Table extends StagedTable>(
    table: Table,
    row: Readonly<Record<string, string | number | boolean | undefined>>,
    position: bigint,
  ): Promise<void>;
  finish(): void;
};

export function stagedWriter(session: CdmSession, incoming: (table: string) => string): StagedWriter {
  const appenders = new Map<StagedTable, RowAppender>();
  return {
    async append(table, row, position) {
      let appender = appenders.get(table);
      if (appender === undefined) {
        appender = await session.appender(incoming(table), incomingColumns(table));
        appenders.set(table, appender);
      }
      appender.append(row, position);
    },
    finish() {
      for (const appender of appenders.values()) appender.finish();
    },
  };
}

async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (caught) {
    throw databaseError(caught);
  }
}

function databaseError(caught: unknown): AppError {
  const message = caught instanceof Error ? caught.message : '';
  if (/No space left on device/.test(message)) return new AppError('storage.full', 'The disk is full.');
  if (/Could not set lock on file/.test(message)) {
    return new AppError('conflict', 'Another process has this CDM open; a CDM has one writer at a time.');
  }
  const errorClass = /^([A-Za-z -]{1,40}) Error/.exec(message)?.[1] ?? 'Other';
  if (errorClass === 'IO') return new AppError('input.invalid', 'The file of the CDM cannot be read or written.');
  if (errorClass === 'Out of Memory')
    return new AppError('executor.failed', 'The CDM needs more memory than it was given.');
  return new AppError('internal', `The CDM's engine failed (${errorClass}).`, { cause: caught });
}
