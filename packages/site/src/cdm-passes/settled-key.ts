/**
 * Up to which key a table is settled: every row that will ever have a key up to there can be seen now, or never will be.
 *
 * Keys come from a sequence and become visible in the order of commits, which is another. Whoever writes holds a lock on the table
 * before it takes a key, until its end. So: read the sequence, see who holds such a lock, wait until they have all let go; whoever
 * comes later takes greater keys. It is how PostgreSQL itself builds an index beside writers, and keeps nobody waiting.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '@lantern/service';

export type KeyedTable = { readonly table: string; readonly sequence: string };

const POLL_MS = 20;

const WRITERS = `
  select virtualtransaction from pg_locks
  where locktype = 'relation' and relation = $1::regclass and granted and mode in ('RowShareLock', 'RowExclusiveLock')
    and database = (select oid from pg_database where datname = current_database())`;

/** A key, decimal; undefined where a writer did not end within `waitMs`: then nothing is known, and the key before still holds. */
export async function settledKey(
  { pool }: Pick<Database, 'pool'>,
  { table, sequence }: KeyedTable,
  { waitMs, signal }: { readonly waitMs: number; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const { rows } = await pool.query<{ key: string }>(
    `select (case when is_called then last_value else 0 end)::text as key from ${sequence}`,
  );
  const key = rows[0]?.key ?? '0';
  const writers = async () =>
    (await pool.query<{ virtualtransaction: string }>(WRITERS, [table])).rows.map((row) => row.virtualtransaction);
  const awaited = new Set(await writers());
  for (let waitedMs = 0; awaited.size > 0; waitedMs += POLL_MS) {
    if (waitedMs >= waitMs) return undefined;
    await delay(POLL_MS, undefined, { signal });
    const still = new Set(await writers());
    for (const one of awaited) if (!still.has(one)) awaited.delete(one);
  }
  return key;
}
