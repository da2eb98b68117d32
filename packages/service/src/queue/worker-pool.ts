/**
 * Keeps graphile-worker going.
 *
 * When the database goes away, graphile-worker stops its pool or waits for seconds to minutes. So a pool lives no longer than
 * its LISTEN connection: a loop here starts the next pool as soon as the database answers, while the old one finishes its
 * jobs.
 */
import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { run, Logger as WorkerLogger } from 'graphile-worker';
import type pg from 'pg';
import type { Logger } from '../log.ts';
import type { PoolLocks } from './pool-locks.ts';
import type { Work } from './work.ts';

/** New jobs are announced by NOTIFY; asking by itself only finds those whose time has come. */
const POLL_INTERVAL_MS = 1_000;

/** Doubled per failure; a pool that lived for a while shows that the trouble was over. */
const POOL_RESTART_DELAY_MS_MIN = 50;
const POOL_RESTART_DELAY_MS_MAX = 1_000;
const POOL_STEADY_MS = 5_000;

/** Tasks are told by their signal to stop; one that has not after this is left behind and given back by the next process. */
const CLOSE_WAIT_MS_MAX = 10_000;

/** A worker that was just asking for a job ends within milliseconds; the promise that says so may never settle, see below. */
const WORKERS_END_WAIT_MS_MAX = 1_000;

/** graphile-worker may not abort tasks by itself when it restarts a pool; only `close` does. */
const NEVER_MS = 2 ** 31 - 1;

export const SCHEMA = 'graphile_worker';

/** Its messages hold no payload, but their metadata does and is dropped. Failures are logged by us. */
export function workerLogger(log: Logger): WorkerLogger {
  return new WorkerLogger(() => (level, message, meta) => {
    if (level === 'error' && meta?.['failure'] !== true) log.warn(`queue: ${message}`);
    else log.debug(`queue: ${message}`);
  });
}

type RunningPool = {
  /** Makes the pool take no more jobs. May be called at any time and again. */
  stop(): void;
  /** Settles when the pool takes no more jobs, because it was stopped or cut off from the database. */
  readonly isEnding: Promise<void>;
  /** Settles when its tasks have ended as well and its lock is free. */
  readonly ended: Promise<void>;
};

type StartOptions = {
  readonly pool: pg.Pool;
  readonly work: Work;
  readonly locks: PoolLocks;
  readonly concurrency: number;
  readonly log: Logger;
};

/**
 * Starts one graphile-worker pool. Rejects when the database does not answer.
 *
 * Its end is decided here, by the events of the pool and the tasks we see running: graphile-worker's own promise stays
 * pending for good when it could not record the ends of two jobs (version 0.18, `backpressure` in its `batch`).
 */
export async function startPool(options: StartOptions): Promise<RunningPool> {
  const { locks, log, work } = options;
  const events = new EventEmitter();
  let poolId = '';
  events.once('pool:create', (event: { workerPool: { id: string } }) => {
    poolId = event.workerPool.id;
    locks.hold(poolId).catch((err: unknown) => log.debug({ err }, 'The lock of a worker pool is taken on reconnect'));
  });
  const isEnding = new Promise<void>((resolve) => {
    events.once('pool:gracefulShutdown', () => resolve());
    events.once('pool:listen:error', () => resolve());
  });
  const runner = await run({
    pgPool: options.pool,
    schema: SCHEMA,
    events,
    logger: workerLogger(log),
    taskList: work.taskList(),
    parsedCronItems: [],
    concurrency: options.concurrency,
    pollInterval: POLL_INTERVAL_MS,
    noHandleSignals: true,
    gracefulShutdownAbortTimeout: NEVER_MS,
    // With a batch delay, an end that cannot be recorded stops the pool; without one it is an unhandled rejection.
    preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
  });
  runner.promise.catch((err: unknown) => log.debug({ err }, 'A worker pool ended with an error'));
  // A pool that stops by itself refuses to be stopped again, which is as good.
  const stop = () => void runner.stop().catch(() => undefined);
  const ended = isEnding.then(async () => {
    stop();
    await work.retire(poolId);
    // A worker that still asks for a job would find the connections closed and print a trace on the console.
    await settledWithin(runner.promise, WORKERS_END_WAIT_MS_MAX).catch(() => undefined);
    await locks.release(poolId).catch(() => undefined); // Without a connection there is no lock either.
  });
  return { stop, isEnding, ended };
}

/** Keeps one pool working until stopped. */
export class PoolKeeper {
  readonly #start: () => Promise<RunningPool>;
  readonly #work: Work;
  readonly #log: Logger;
  readonly #ended = new Set<Promise<void>>();
  readonly #wake = new AbortController();
  #isClosing = false;
  #current: RunningPool;
  readonly #loop: Promise<void>;

  constructor(first: RunningPool, start: () => Promise<RunningPool>, options: { work: Work; log: Logger }) {
    this.#start = start;
    this.#work = options.work;
    this.#log = options.log;
    this.#current = first;
    this.#loop = this.#keep();
  }

  async #keep(): Promise<void> {
    let delayMs = POOL_RESTART_DELAY_MS_MIN;
    while (!this.#isClosing) {
      const { ended, isEnding } = this.#current;
      this.#ended.add(ended);
      void ended.then(() => this.#ended.delete(ended));
      const startedMs = performance.now();
      await isEnding;
      if (performance.now() - startedMs > POOL_STEADY_MS) delayMs = POOL_RESTART_DELAY_MS_MIN;
      delayMs = await this.#replace(delayMs);
    }
  }

  /** Returns the delay to use when the new pool does not live long either. */
  async #replace(firstDelayMs: number): Promise<number> {
    let delayMs = firstDelayMs;
    while (!this.#isClosing) {
      await delay(delayMs, undefined, { signal: this.#wake.signal }).catch(() => undefined);
      if (this.#isClosing) break;
      delayMs = Math.min(delayMs * 2, POOL_RESTART_DELAY_MS_MAX);
      try {
        this.#current = await this.#start();
        break;
      } catch (err) {
        this.#log.warn({ err, delayMs }, 'The queue cannot work yet; it is tried again');
      }
    }
    return delayMs;
  }

  /** Takes no more jobs, then aborts the running ones and waits for them. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#wake.abort();
    this.#current.stop();
    this.#work.stop();
    const ended = async () => {
      await this.#work.idle();
      await this.#loop;
      this.#current.stop(); // The loop may have started one more.
      await Promise.all([...this.#ended, this.#current.ended]);
    };
    await settledWithin(ended(), CLOSE_WAIT_MS_MAX);
  }
}

async function settledWithin(work: Promise<unknown>, waitMsMax: number): Promise<void> {
  const limit = new AbortController();
  const waited = delay(waitMsMax, undefined, { signal: limit.signal }).catch(() => undefined);
  await Promise.race([work, waited]);
  limit.abort();
}
