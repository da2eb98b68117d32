/**
 * Connections to PostgreSQL: one set of limits and one reading of types for every pool and every single connection.
 */
import pg from 'pg';
import type { Logger } from '../log.ts';

/** A connection that is not there within this time is reported, so that a request fails before its client gives up. */
const CONNECT_TIMEOUT_MS = 10_000;

/** The longest statement we have is a migration of a large table; anything longer is a mistake. */
const STATEMENT_TIMEOUT_MS = 10 * 60_000;

/** Two transactions that want the same row take milliseconds. Whoever waits longer than this is told to try again. */
const LOCK_TIMEOUT_MS = 60_000;

/** A transaction that waits for something outside the database holds its rows; after this it is a leak. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 5 * 60_000;

/** Idle connections above the first few are given back, as each one costs the server some megabytes. */
const IDLE_TIMEOUT_MS = 30_000;

/** Detects a peer that vanished without a word, e.g. behind a firewall. */
const KEEP_ALIVE_DELAY_MS = 30_000;

/** PostgreSQL type ids, from its catalogue pg_type. */
const INT8_OID = 20;
const DATE_OID = 1082;

/** int8 as a number; beyond 2^53 the query fails rather than answers with a rounded number. */
function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError('An int8 value is too large for a number; cast it to text.');
  return value;
}

/** int8 becomes a number, date stays "2026-03-01" (a day has no time zone), timestamptz becomes a Date, numeric stays text. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid, format) {
    if (format !== 'binary' && oid === INT8_OID) return safeInteger;
    if (format !== 'binary' && oid === DATE_OID) return (text: string) => text;
    return pg.types.getTypeParser(oid, format);
  },
};

/** Settings of every connection. `applicationName` is what `pg_stat_activity` shows. */
export function connectionSettings(options: { url: string; applicationName: string }): pg.ClientConfig {
  return {
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    types,
  };
}

type PoolOptions = {
  readonly url: string;
  readonly applicationName: string;
  readonly connectionCountMax: number;
  readonly log: Logger;
};

/** A pool of which no broken connection, idle or in use, can bring the process down; the next query opens a new one. */
export function createPool(options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    ...connectionSettings(options),
    max: options.connectionCountMax,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
  });
  pool.on('error', (err) => options.log.warn({ err }, 'An idle database connection broke'));
  pool.on('connect', (client) => {
    // A connection in use reports its end through the query as well; without a listener the event would end the process.
    client.on('error', (err) => options.log.debug({ err }, 'A database connection broke'));
  });
  return pool;
}
