/**
 * The database of one process: PostgreSQL by url, or embedded in a folder when no url is given.
 *
 * Typed queries are kysely's. State changes, jobs and audit records that belong together take the same transaction: whoever
 * writes on behalf of a caller (`enqueue`, the audit log) takes an `AnyTx`, which only a transaction satisfies.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@lantern/contract';
import { Kysely, PostgresDialect, type QueryExecutorProvider, type RawBuilder, Transaction } from 'kysely';
import type pg from 'pg';
import type { Logger } from '../log.ts';
import { fromDatabaseError } from './database-error.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts';
import { createPool } from './pool.ts';
import { openSession } from './session.ts';

/** Enough for the handlers of one process on two cores; the embedded server allows 50 in all. */
const CONNECTION_COUNT_MAX = 12;

/** More texts than we write by far; lists of varying length make a few each. A prepared one costs the server some kilobytes. */
const PREPARED_COUNT_MAX = 500;

/** A database that starts together with us (a container beside ours) is waited for this long. */
const OPEN_WAIT_MS_MAX = 30_000;
const OPEN_RETRY_DELAY_MS = 250;

/** The oldest version whose SQL we use; PostgreSQL's own support for it ends in November 2026. */
const SERVER_VERSION_MIN = 140_000;

/** A transaction over the tables `S`. */
export type Tx<S = unknown> = Transaction<S>;

/** Any transaction, whatever its tables. A plain connection or pool is refused by the compiler. */
export type AnyTx = QueryExecutorProvider & { readonly isTransaction: true };

export type Database = {
  /** Holds a password; must not be logged. */
  readonly url: string;
  readonly log: Logger;
  /** For drivers and special statements; errors come as the driver reports them. */
  readonly pool: pg.Pool;
  /** Typed queries, each on its own. Connection trouble is `database.unavailable`. */
  kysely<S>(): Kysely<S>;
  /**
   * One statement whose text varies with what a person asks: planned for the values it has, where a prepared one may come to be
   * planned for values in general. Connection trouble is `database.unavailable`.
   */
  ask<R>(statement: RawBuilder<R>): Promise<R[]>;
  /**
   * Runs `fn` in one transaction (read committed): committed when it resolves, rolled back when it rejects.
   * Name the tables at the parameter: `db.transaction(async (tx: Tx<HubTables>) => ...)`.
   */
  transaction<S, R>(fn: (tx: Tx<S>) => Promise<R>): Promise<R>;
  /**
   * Calls `onNotify` for each NOTIFY on `channel`, and once after a broken connection was opened again, as notifications
   * may have been missed. Returns the function that stops it. Own connection.
   */
  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>>;
  /** Process id of the embedded server; undefined for a server by url or while it is being started again. */
  embeddedPid(): number | undefined;
  /** Waits for running queries, then stops the embedded server. May be called twice. */
  close(): Promise<void>;
};

/** The transaction of a caller, seen with one's own tables `S`. */
export function transactionOf<S>(tx: AnyTx): Tx<S> {
  if (!(tx instanceof Transaction)) throw new TypeError('Not a transaction of this database.');
  return tx as Tx<S>;
}

async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (caught) {
    throw fromDatabaseError(caught);
  }
}

/**
 * The driver's pool as kysely wants it, with connection trouble translated at its source. Statements are prepared by name, so
 * that the server parses and plans each once per connection and not once per call.
 */
function translatingDialect(pool: pg.Pool): PostgresDialect {
  const names = new Map<string, string>();
  const nameOf = (text: string): { name?: string } => {
    const known = names.get(text);
    if (known !== undefined) return { name: known };
    if (names.size >= PREPARED_COUNT_MAX) return {};
    const name = `lantern-${names.size}`;
    names.set(text, name);
    return { name };
  };
  const wrapped = new WeakMap<pg.PoolClient, pg.PoolClient>();
  const wrap = (client: pg.PoolClient): pg.PoolClient => {
    const query = client.query.bind(client);
    return Object.assign(Object.create(client), {
      query: (text: string, values: unknown[]) => translated(query({ text, values, ...nameOf(text) })),
      release: (destroy?: boolean) => client.release(destroy),
    });
  };
  return new PostgresDialect({
    pool: {
      options: pool.options,
      end: async () => undefined, // The pool belongs to the Database, which ends it.
      connect: async () => {
        const client = await translated(pool.connect());
        const known = wrapped.get(client) ?? wrap(client);
        wrapped.set(client, known);
        return known;
      },
    },
  });
}

async function serverVersion(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ version: number }>(
    "select current_setting('server_version_num')::int as version",
  );
  return rows[0]?.version ?? 0;
}

async function waitUntilReachable(pool: pg.Pool, log: Logger): Promise<void> {
  const deadlineMs = performance.now() + OPEN_WAIT_MS_MAX;
  for (;;) {
    try {
      const version = await translated(serverVersion(pool));
      if (version >= SERVER_VERSION_MIN) return;
      throw new AppError('set-up.failed', `PostgreSQL ${SERVER_VERSION_MIN / 10_000} or newer is needed.`);
    } catch (caught) {
      const isRetryable = caught instanceof AppError && caught.code === 'database.unavailable';
      if (!isRetryable || performance.now() > deadlineMs) throw caught;
      log.warn({ err: caught }, 'The database is not reachable yet');
      await delay(OPEN_RETRY_DELAY_MS);
    }
  }
}

function quotedIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

type DatabaseOptions = {
  /** A PostgreSQL of the operator's own; wins over `dataDir`. */
  readonly url?: string | undefined;
  /** Folder for the embedded PostgreSQL. */
  readonly dataDir?: string | undefined;
  readonly log: Logger;
  readonly applicationName: string;
};

async function startServer(options: DatabaseOptions): Promise<{ url: string; embedded?: EmbeddedPostgres }> {
  if (options.url !== undefined) return { url: options.url };
  if (options.dataDir === undefined) {
    throw new AppError('config.invalid', 'Either a database url or a data folder is needed.', { field: 'databaseUrl' });
  }
  const embedded = await startEmbeddedPostgres({ dataDir: options.dataDir, log: options.log });
  return { url: embedded.url, embedded };
}

/**
 * Opens the database and waits until it answers.
 * Throws `database.unavailable` after 30 s, `set-up.failed` for a version that is too old or a folder that cannot be used.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { log, applicationName } = options;
  const { url, embedded } = await startServer(options);
  const pool = createPool({ url, applicationName, connectionCountMax: CONNECTION_COUNT_MAX, log });
  const close = async () => {
    await pool.end();
    await embedded?.close();
  };
  try {
    await waitUntilReachable(pool, log);
  } catch (caught) {
    await close();
    throw caught;
  }
  const kysely = new Kysely<unknown>({ dialect: translatingDialect(pool) });
  let closed: Promise<void> | undefined;
  return {
    url,
    log,
    pool,
    // One object for all: tables exist for the compiler alone, and making another costs as much as a query.
    kysely: <S>() => kysely as Kysely<S>,
    ask: async <R>(statement: RawBuilder<R>) => {
      const { sql: text, parameters } = statement.compile(kysely);
      const { rows } = await translated(pool.query(text, [...parameters]));
      return rows as R[]; // as kysely's own `sql`: the caller names what the statement gives
    },
    transaction: <S, R>(fn: (tx: Tx<S>) => Promise<R>) => translated((kysely as Kysely<S>).transaction().execute(fn)),
    async listen(channel, onNotify) {
      const session = await openSession({
        url,
        applicationName: `${applicationName}-listen`,
        log,
        async onConnect(client, isFirst) {
          client.on('notification', (message) => onNotify(message.payload ?? ''));
          await client.query(`listen ${quotedIdentifier(channel)}`);
          if (!isFirst) onNotify('');
        },
      });
      return () => session.close();
    },
    embeddedPid: () => embedded?.pid(),
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}
