/**
 * One connection that is kept: for LISTEN and for session locks, which live and die with a connection. When it breaks it is
 * opened again with back-off until closed, and whatever belongs to it is set up anew by `onConnect`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@lantern/contract';
import pg from 'pg';
import type { Logger } from '../log.ts';
import { fromDatabaseError } from './database-error.ts';
import { connectionSettings } from './pool.ts';

/** A server that restarts is back within a second; a server that is away for long is asked every second. */
const RECONNECT_DELAY_MS_MIN = 20;
const RECONNECT_DELAY_MS_MAX = 1_000;

export type Session = {
  /** Runs on the kept connection; rejects with `database.unavailable` while there is none. */
  query(text: string, values?: readonly unknown[]): Promise<pg.QueryResult>;
  /** Ends the connection and waits. May be called twice. */
  close(): Promise<void>;
};

type SessionOptions = {
  readonly url: string;
  readonly applicationName: string;
  readonly log: Logger;
  /** Sets up a new connection; `isFirst` is false after a break. When it throws, the connection is given up and retried. */
  onConnect(client: pg.Client, isFirst: boolean): Promise<void>;
};

async function open(options: SessionOptions, isFirst: boolean): Promise<{ client: pg.Client; ended: Promise<void> }> {
  const client = new pg.Client(connectionSettings(options));
  const ended = new Promise<void>((resolve) => {
    client.on('error', (err) => {
      options.log.debug({ err }, 'A kept database connection broke');
      resolve();
    });
    client.on('end', () => resolve());
  });
  try {
    await client.connect();
    await options.onConnect(client, isFirst);
    return { client, ended };
  } catch (caught) {
    await client.end().catch(() => undefined);
    throw fromDatabaseError(caught);
  }
}

/** Opens the connection; throws what the first attempt met, e.g. `database.unavailable`. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const closing = new AbortController();
  const first = await open(options, true);
  let client: pg.Client | undefined = first.client;

  async function reopen(): Promise<{ client: pg.Client; ended: Promise<void> } | undefined> {
    let delayMs = RECONNECT_DELAY_MS_MIN;
    while (!closing.signal.aborted) {
      await delay(delayMs, undefined, { signal: closing.signal }).catch(() => undefined);
      delayMs = Math.min(delayMs * 2, RECONNECT_DELAY_MS_MAX);
      if (closing.signal.aborted) return undefined;
      try {
        return await open(options, false);
      } catch (err) {
        options.log.debug({ err, delayMs }, 'A kept database connection could not be opened again yet');
      }
    }
    return undefined;
  }

  async function keep(): Promise<void> {
    let current: { client: pg.Client; ended: Promise<void> } | undefined = first;
    while (current !== undefined) {
      await current.ended;
      client = undefined;
      await current.client.end().catch(() => undefined);
      current = await reopen();
      client = current?.client;
      if (closing.signal.aborted) await current?.client.end().catch(() => undefined);
    }
  }

  const kept = keep();
  return {
    async query(text, values) {
      if (client === undefined) throw new AppError('database.unavailable', 'The kept database connection is broken.');
      try {
        return await client.query(text, values === undefined ? undefined : [...values]);
      } catch (caught) {
        throw fromDatabaseError(caught);
      }
    },
    async close() {
      closing.abort();
      await client?.end().catch(() => undefined);
      await kept;
    },
  };
}
