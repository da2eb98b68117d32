/**
 * A connection to somebody else's PostgreSQL that can read and nothing else: one transaction, declared read-only, over one state of
 * the data (repeatable read), so that several questions fit together. Every value comes as the server's text: numbers of 64 bits
 * survive, days have no time zone.
 *
 * open ──► rows and batches, one after another ──► close, which rolls back
 */
import { AppError } from '@lantern/contract';
import pg from 'pg';
import { fromDatabaseError } from './database-error.ts';
import { connectionSettings } from './pool.ts';

/** A question over billions of rows may take a night; one that takes longer is forgotten by whoever asked. */
const STATEMENT_TIMEOUT_MS = 12 * 60 * 60_000;
/** What one fetch brings: some megabytes of text at most. */
const BATCH_ROW_COUNT = 20_000;

export type TextRow = readonly (string | null)[];

export type ReadOnlyConnection = {
  /** For results that are small. */
  rows(sql: string): Promise<TextRow[]>;
  /** The rows in batches, each after the promise of the one before. */
  batches(sql: string, onBatch: (rows: readonly TextRow[]) => void | Promise<void>): Promise<void>;
  close(): Promise<void>;
};

type ReadOnlyOptions = {
  /** Holds a password; must not be logged. */
  readonly url: string;
  readonly applicationName: string;
  /** Aborted, it cancels the running statement at the server. */
  readonly signal: AbortSignal;
};

const asText: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text };

/** Throws `database.unavailable`, or `peer.refused` where the server does not let us in. */
export async function openReadOnlyConnection(options: ReadOnlyOptions): Promise<ReadOnlyConnection> {
  const { url, applicationName, signal } = options;
  signal.throwIfAborted();
  const client = new pg.Client({ ...settingsOf(url, applicationName), types: asText });
  client.on('error', () => undefined); // the running query reports it
  let backend: string | null = null;
  const cancel = () => void cancelStatement(options, backend);
  const query = async (text: string): Promise<TextRow[]> => {
    signal.throwIfAborted();
    try {
      return (await client.query<(string | null)[]>({ text, rowMode: 'array' })).rows;
    } catch (caught) {
      signal.throwIfAborted();
      throw readError(caught);
    }
  };
  const close = async () => {
    signal.removeEventListener('abort', cancel);
    await client.end().catch(() => undefined); // the server rolls back what it has no end of
  };
  try {
    await client.connect();
    signal.addEventListener('abort', cancel, { once: true });
    await query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
    backend = (await query('SELECT pg_backend_pid()'))[0]?.[0] ?? null;
    await query(`SET LOCAL statement_timeout = ${STATEMENT_TIMEOUT_MS}`);
    await query('SET LOCAL idle_in_transaction_session_timeout = 0'); // whoever takes a batch may be slow
  } catch (caught) {
    await close();
    throw readError(caught);
  }
  return {
    rows: query,
    async batches(sql, onBatch) {
      await query(`DECLARE lantern_rows NO SCROLL CURSOR FOR ${sql}`);
      for (;;) {
        const rows = await query(`FETCH ${BATCH_ROW_COUNT} FROM lantern_rows`);
        if (rows.length === 0) break;
        await onBatch(rows);
      }
      await query('CLOSE lantern_rows');
    },
    close,
  };
}

function settingsOf(url: string, applicationName: string): pg.ClientConfig {
  try {
    return connectionSettings({ url: new URL(url).href, applicationName });
  } catch {
    throw new AppError('input.invalid', 'The address of the database is none; it reads postgres://user@host/name.');
  }
}

/** The protocol cancels by another connection; where that fails, closing this one ends the statement when it next writes. */
async function cancelStatement({ url, applicationName }: ReadOnlyOptions, backend: string | null): Promise<void> {
  const other = new pg.Client(settingsOf(url, applicationName));
  other.on('error', () => undefined);
  try {
    await other.connect();
    await other.query('SELECT pg_cancel_backend($1)', [backend]);
  } catch {
    // Nothing is lost but the server's time.
  } finally {
    await other.end().catch(() => undefined);
  }
}

/** SQLSTATE whose text names things of the schema, never values: not let in, no such database, table, column or right. */
const NAMING_CODES = /^(28...|3D000|3F000|42P01|42703|42883|42501)$/;

function readError(caught: unknown): unknown {
  const known = fromDatabaseError(caught);
  if (known instanceof AppError || !(known instanceof Error)) return known;
  const code = 'code' in known && typeof known.code === 'string' ? known.code : 'none';
  const why = NAMING_CODES.test(code) ? known.message : `SQLSTATE ${code}`;
  if (code === '57014') return new AppError('executor.failed', 'PostgreSQL cancelled the query.', { cause: caught });
  return new AppError('peer.refused', `PostgreSQL refuses: ${why}.`, { cause: caught });
}
