/**
 * Who works on a job, and what happens to it when the worker dies.
 *
 * graphile-worker marks a job with the id of the worker pool that took it (`locked_by`) and gives a dead pool's jobs back
 * after four hours. A hospital cannot wait for four hours, so life and death are made visible: a live pool holds a session
 * advisory lock named after its id, on a connection that ends with the process, however it ends. Then
 *
 * - a job whose pool's advisory lock is free belongs to the dead, and is given back (at most a second or two after the death);
 * - a job that our own pool is said to hold but that we are not working on (the answer to the query that took it was lost
 *   with a connection) is given back as well.
 *
 * A pool that was created a moment ago may not hold its advisory lock yet, hence the smallest age of a mark.
 * A wrong guess in a race costs a second execution, never a lost job: tasks must bear to run twice.
 */

import type { Logger } from '../log.ts';
import type { Database } from '../postgres/database.ts';
import { openSession, type Session } from '../postgres/session.ts';

/** Any number, the same in all processes: the namespace of our advisory locks named after worker pools. */
const LOCK_NAMESPACE = 471_902;

/** Taking an advisory lock after creating a pool takes milliseconds; a process is not started again within a second. */
const FOREIGN_MARK_AGE_MS_MIN = 1_000;

/** A job that the database handed to us reaches its task within milliseconds; a stalled connection may take longer. */
const OWN_MARK_AGE_MS_MIN = 5_000;

const GIVE_BACK_QUEUES = `
  update graphile_worker._private_job_queues set locked_at = null, locked_by = null
  where locked_by = any(select locked_by from given_back)`;

const NOTIFY_WORKERS = `select pg_notify('jobs:insert', json_build_object('count', $1::int)::text)`;

/** Jobs of pools that are neither ours nor alive. A free advisory lock can be taken, which proves that nobody holds it. */
const GIVE_BACK_FOREIGN = `
  with holder as materialized (
    select distinct locked_by from graphile_worker._private_jobs
    where locked_at < now() - $2 * interval '1 ms' and locked_by <> all($1::text[])
  ), dead as materialized (
    select locked_by from holder where pg_try_advisory_xact_lock(${LOCK_NAMESPACE}, hashtext(locked_by))
  ), given_back as (
    update graphile_worker._private_jobs as job set locked_at = null, locked_by = null
    from dead where job.locked_by = dead.locked_by
    returning dead.locked_by
  ), queues as (${GIVE_BACK_QUEUES})
  select count(*)::int as count from given_back`;

/** Jobs marked as ours that we are not working on. */
const GIVE_BACK_OWN = `
  with stray as materialized (
    select id, locked_by, job_queue_id from graphile_worker._private_jobs
    where locked_by = any($1::text[]) and locked_at < now() - $2 * interval '1 ms' and id <> all($3::bigint[])
    for update skip locked
  ), given_back as (
    update graphile_worker._private_jobs as job set locked_at = null, locked_by = null
    from stray where job.id = stray.id
    returning stray.locked_by
  ), queues as (
    update graphile_worker._private_job_queues as queue set locked_at = null, locked_by = null
    from stray where queue.id = stray.job_queue_id and queue.locked_by = stray.locked_by
  )
  select count(*)::int as count from given_back`;

/** The advisory locks of the pools of this process. */
export type PoolLocks = {
  /** Declares a pool alive; taken again by itself when the connection breaks. */
  hold(poolId: string): Promise<void>;
  /** The pool has ended and holds no job any more. */
  release(poolId: string): Promise<void>;
  /**
   * Gives back jobs of dead pools, and those of our own that are not in `busyJobIds`. Returns how many.
   * Rejects with `database.unavailable` while there is no connection.
   */
  sweep(busyJobIds: readonly string[]): Promise<number>;
  close(): Promise<void>;
};

export async function openPoolLocks(options: {
  db: Database;
  applicationName: string;
  log: Logger;
}): Promise<PoolLocks> {
  const held = new Set<string>();
  const session: Session = await openSession({
    url: options.db.url,
    applicationName: options.applicationName,
    log: options.log,
    async onConnect(client) {
      for (const poolId of held) {
        await client.query('select pg_advisory_lock($1, hashtext($2))', [LOCK_NAMESPACE, poolId]);
      }
    },
  });
  return {
    async hold(poolId) {
      held.add(poolId);
      await session.query('select pg_advisory_lock($1, hashtext($2))', [LOCK_NAMESPACE, poolId]);
    },
    async release(poolId) {
      held.delete(poolId);
      await session.query('select pg_advisory_unlock($1, hashtext($2))', [LOCK_NAMESPACE, poolId]);
    },
    async sweep(busyJobIds) {
      const own = [...held];
      const foreign = await session.query(GIVE_BACK_FOREIGN, [own, FOREIGN_MARK_AGE_MS_MIN]);
      const stray = await session.query(GIVE_BACK_OWN, [own, OWN_MARK_AGE_MS_MIN, busyJobIds]);
      const count = Number(foreign.rows[0]?.count ?? 0) + Number(stray.rows[0]?.count ?? 0);
      if (count > 0) await session.query(NOTIFY_WORKERS, [count]);
      return count;
    },
    close: () => session.close(),
  };
}
