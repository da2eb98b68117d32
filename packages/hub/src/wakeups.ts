/**
 * Long polls without polling: whoever waits for a key (tasks of a site, answers to a question, progress of a run) is woken by
 * a PostgreSQL NOTIFY that the change sends in its own transaction, so a waiter never wakes before the change can be read.
 *
 * Use: subscribe, then read, then wait: a change between the reading and the waiting is not lost. When the listening
 * connection was lost and is back, everybody is woken once, since a notification may have been missed.
 */
import { strict as assert } from 'node:assert';
import type { Database } from '@lantern/service';
import { sql } from 'kysely';
import type { HubTx } from './tables.ts';

const CHANNEL = 'lantern_hub';

export type WakeupKey = `site:${string}` | `question:${string}` | `run:${string}` | 'members';

export type Subscription = {
  /** True at the first wake-up since the last wait; false after `timeoutMs`, or when `signal` aborts. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<boolean>;
  close(): void;
};

export type Wakeups = {
  subscribe(key: WakeupKey): Subscription;
  /** Calls `ring` at every wake-up for `key`, as long as the process lives. */
  on(key: WakeupKey, ring: () => void): void;
  close(): Promise<void>;
};

const keysOfTransactions = new WeakMap<HubTx, Set<WakeupKey>>();

/** Wakes the waiters for these keys in every hub process when the transaction, one of `HubContext.transaction`, commits. */
export function wake(tx: HubTx, ...keys: readonly WakeupKey[]): void {
  const noted = keysOfTransactions.get(tx);
  assert(noted !== undefined, 'Wake-ups need a transaction of the hub context.');
  for (const key of keys) noted.add(key);
}

/** Runs `work` and then sends the wake-ups that it asked for, all in one statement. */
export async function withWakeups<R>(tx: HubTx, work: () => Promise<R>): Promise<R> {
  const keys = new Set<WakeupKey>();
  keysOfTransactions.set(tx, keys);
  const result = await work();
  if (keys.size > 0) {
    await sql`select pg_notify(${CHANNEL}, key) from unnest(${sql.val([...keys])}::text[]) as key`.execute(tx);
  }
  return result;
}

export async function openWakeups(db: Database): Promise<Wakeups> {
  const waiters = new Map<string, Set<() => void>>();
  const stopListening = await db.listen(CHANNEL, (key) => {
    const woken = key === '' ? [...waiters.values()] : [waiters.get(key) ?? new Set()];
    for (const group of woken) for (const ring of group) ring();
  });
  return {
    subscribe: (key) => subscribe(waiters, key),
    on: (key, ring) => void groupOf(waiters, key).add(ring),
    close: stopListening,
  };
}

function subscribe(waiters: Map<string, Set<() => void>>, key: string): Subscription {
  let rung = false;
  let release: (() => void) | undefined;
  const ring = () => {
    rung = true;
    release?.();
  };
  const group = groupOf(waiters, key);
  group.add(ring);
  return {
    async wait(timeoutMs, signal) {
      if (!rung && !signal.aborted && timeoutMs > 0) {
        await new Promise<void>((resolve) => {
          const finish = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', finish);
            release = undefined;
            resolve();
          };
          const timer = setTimeout(finish, timeoutMs);
          signal.addEventListener('abort', finish, { once: true });
          release = finish;
        });
      }
      const woken = rung;
      rung = false;
      return woken;
    },
    close() {
      group.delete(ring);
      if (group.size === 0 && waiters.get(key) === group) waiters.delete(key);
    },
  };
}

function groupOf(waiters: Map<string, Set<() => void>>, key: string): Set<() => void> {
  const group = waiters.get(key) ?? new Set();
  waiters.set(key, group);
  return group;
}
