/**
 * Durable work: a job is a row, written in the transaction that changes the state it belongs to, so that neither exists
 * without the other. graphile-worker runs the jobs.
 *
 *   waiting ──► running ──► (done: the row is deleted)
 *                  ├── transient or ambiguous error ──► waiting, after a back-off
 *                  ├── permanent error, attempts used up ──► failed: stays as a row, is never run again, `onFailed` is told
 *                  ├── close() ──► waiting, at once and without counting the attempt
 *                  └── the process or the database dies ──► waiting, within a second or two of a live worker (pool-locks.ts)
 *
 * Invariant: a committed job runs until it succeeds or fails, at least once. It may run twice when a process dies between
 * its effect and its end, so a task makes its effect in one transaction that it can recognise.
 */
import { AppError } from '@lantern/contract';
import { runMigrations } from 'graphile-worker';
import { sql } from 'kysely';
import type { Logger } from '../log.ts';
import type { AnyTx, Database } from '../postgres/database.ts';
import { fromDatabaseError } from '../postgres/database-error.ts';
import { createPool } from '../postgres/pool.ts';
import { openPoolLocks, type PoolLocks } from './pool-locks.ts';
import { Work, type WorkOptions } from './work.ts';
import { PoolKeeper, SCHEMA, startPool, workerLogger } from './worker-pool.ts';

/** A job names what to do; what it is about lies in tables and blobs. */
export const JOB_PAYLOAD_BYTES_MAX = 64 * 1024;

/** With the back-off below, 100 attempts keep a job alive for an hour and a half of trouble. */
const ATTEMPTS_MAX_DEFAULT = 100;

/** Each further one needs another worker that takes a job of the same key between two statements. */
const ADD_ATTEMPTS_MAX = 5;

/** How long the job of a dead worker waits at most, besides the smallest age of its mark. */
const SWEEP_INTERVAL_MS = 1_000;

/** Beyond this the database connections of one process run out. */
const CONCURRENCY_MAX = 16;

/** Besides one connection per worker: one for LISTEN, one for recording ends. */
const CONNECTION_COUNT_EXTRA = 2;

export type NewJob = {
  /** Name of the task. */
  readonly name: string;
  /** A JSON object of at most 64 KiB. */
  readonly payload: { readonly [field: string]: unknown };
  /** Of several waiting jobs with the same key only the last one remains. A running one is not affected. */
  readonly key?: string;
  /** Not before this time; by default at once. */
  readonly runAt?: Date;
  /** How often a transient failure is tried, in all. */
  readonly attemptsMax?: number;
  /** Jobs of one queue run one after another. Few different names, please: they are kept. */
  readonly queueName?: string;
};

export type Queue = {
  /** Starts working. Throws `database.unavailable` when the database cannot be reached now; later it is waited for. */
  start(): Promise<void>;
  /** Takes no more jobs, aborts the running ones, waits for them up to 10 s. May be called twice. */
  close(): Promise<void>;
};

type QueueOptions = WorkOptions & {
  readonly db: Database;
  /** Jobs that run at the same time, 1 to 16. */
  readonly concurrency: number;
};

/** Makes the tables of the queue. Needed before the first `enqueue`; `start` does it as well. */
export async function migrateQueue(db: Database): Promise<void> {
  try {
    await runMigrations({ pgPool: db.pool, schema: SCHEMA, logger: workerLogger(db.log) });
  } catch (caught) {
    throw fromDatabaseError(caught);
  }
}

/**
 * Adds a job in the caller's transaction: it is there when that commits, and starts within milliseconds of it.
 * Throws `input.too-large` for a payload above 64 KiB.
 */
export async function enqueue(tx: AnyTx, job: NewJob): Promise<{ jobId: string }> {
  const payload = JSON.stringify(job.payload);
  if (Buffer.byteLength(payload) > JOB_PAYLOAD_BYTES_MAX) {
    throw new AppError('input.too-large', `job ${job.name}: payload must have at most ${JOB_PAYLOAD_BYTES_MAX} bytes.`);
  }
  // A job of the same key that a worker takes in this very moment makes add_job give nothing (graphile-worker 0.18, `where
  // jobs.locked_at is null` after its look for running ones). The next call sees that it runs, and adds another.
  for (let attempt = 1; attempt <= ADD_ATTEMPTS_MAX; attempt += 1) {
    const jobId = await addJob(tx, job, payload);
    if (jobId !== null) return { jobId };
  }
  throw new AppError('database.unavailable', `job ${job.name}: was not added; it is taken again and again.`);
}

async function addJob(tx: AnyTx, job: NewJob, payload: string): Promise<string | null> {
  const { rows } = await sql<{ jobId: string | null }>`
    select id::text as "jobId" from graphile_worker.add_job(
      identifier => ${job.name}::text,
      payload => ${payload}::json,
      queue_name => ${job.queueName ?? null}::text,
      run_at => ${job.runAt?.toISOString() ?? null}::timestamptz,
      max_attempts => ${job.attemptsMax ?? ATTEMPTS_MAX_DEFAULT}::int,
      job_key => ${job.key ?? null}::text
    )`.execute(tx);
  return rows[0]?.jobId ?? null;
}

function sweepRegularly(locks: PoolLocks, work: Work, log: Logger): () => Promise<void> {
  const sweep = async () => {
    try {
      const count = await locks.sweep(work.busyJobIds());
      if (count > 0) log.warn({ count }, 'Jobs of workers that died were given back');
    } catch (err) {
      log.debug({ err }, 'Jobs of dead workers are looked for later');
    }
  };
  let running = sweep();
  const timer = setInterval(() => {
    running = running.then(sweep);
  }, SWEEP_INTERVAL_MS);
  return async () => {
    clearInterval(timer);
    await running;
  };
}

/** A queue over the tables of `db`. Several processes may work on one database. */
export function createQueue(options: QueueOptions): Queue {
  const { concurrency } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > CONCURRENCY_MAX) {
    throw new AppError('config.invalid', `queue: concurrency must be a whole number from 1 to ${CONCURRENCY_MAX}.`);
  }
  let running: Promise<() => Promise<void>> | undefined;
  let closed: Promise<void> | undefined;
  return {
    async start() {
      running ??= startWork(options);
      await running;
    },
    close() {
      // A start that failed has cleaned up behind itself.
      closed ??= running?.then((stop) => stop()).catch(() => undefined) ?? Promise.resolve();
      return closed;
    },
  };
}

/** Starts everything and returns the function that ends it in reverse order. */
async function startWork(options: QueueOptions): Promise<() => Promise<void>> {
  const { db, log, concurrency } = options;
  await migrateQueue(db);
  const connectionCountMax = concurrency + CONNECTION_COUNT_EXTRA;
  const pool = createPool({ url: db.url, applicationName: 'lantern-queue', connectionCountMax, log });
  try {
    const locks = await openPoolLocks({ db, applicationName: 'lantern-queue-locks', log });
    try {
      const work = new Work(options, pool);
      const startOne = () => startPool({ pool, work, locks, concurrency, log });
      const keeper = new PoolKeeper(await startOne(), startOne, { work, log });
      const stopSweeping = sweepRegularly(locks, work, log);
      return async () => {
        await keeper.close();
        await stopSweeping();
        await locks.close();
        await pool.end();
      };
    } catch (caught) {
      await locks.close();
      throw caught;
    }
  } catch (caught) {
    await pool.end();
    throw fromDatabaseError(caught);
  }
}
