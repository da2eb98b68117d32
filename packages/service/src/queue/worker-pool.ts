/**
 * Keeps graphile-worker going.
 *
 * When the database goes away, graphile-worker stops its pool or waits for seconds to minutes. So a pool lives no longer than
 * its LISTEN connection: a loop here starts the next pool as soon as the database answers, while the old one finishes its
 * jobs.
 */
import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { type Runner, run, Logger as WorkerLogger } from 'graphile-worker';
import type pg from 'pg';
import type { Logger } from '../log.ts';
import type { PoolLocks } from './pool-locks.ts';
import type { Work } from './work.ts';

/** New jobs are announced by NOTIFY; asking by itself only finds those whose time has come. */
const POLL_INTERVAL_MS = 1_000;

/** Doubled per failure; a pool that lived for a while shows that the trouble was over. */
const POOL_RESTART_DELAY_MS_MIN = 50;
const POOL_RESTART_DELAY_MS_MAX = 2_000;
const POOL_STEADY_MS = 5_000;

/** Tasks are told by their signal to stop; one that has not after this is left behind and given back by the next process. */
const TASK_END_WAIT_MS_MAX = 10_000;

/** With no task running a pool has nothing left to do, but may sit in a wait of its own while the database is away. */
const DRAIN_WAIT_MS_MAX = 1_000;

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
  readonly runner: Runner;
  /** Settles when the pool takes no more jobs. */
  readonly isEnding: Promise<void>;
  /** Settles when it has no job left and its lock is free. */
  readonly ended: Promise<void>;
};

type StartOptions = {
  readonly pool: pg.Pool;
  readonly work: Work;
  readonly locks: PoolLocks;
  readonly concurrency: number;
  readonly log: Logger;
};

/** Starts one graphile-worker pool. Rejects when the database does not answer. */
export async function startPool(options: StartOptions): Promise<RunningPool> {
  const { locks, log } = options;
  const events = new EventEmitter();
  let poolId: string | undefined;
  events.once('pool:create', (event: { workerPool: { id: string } }) => {
    poolId = event.workerPool.id;
    locks.hold(poolId).catch((err: unknown) => log.debug({ err }, 'The lock of a worker pool is taken on reconnect'));
  });
  const isCutOff = new Promise<void>((resolve) => {
    events.once('pool:gracefulShutdown', () => resolve());
    events.once('pool:listen:error', () => resolve());
  });
  const runner = await run({
    pgPool: options.pool,
    schema: SCHEMA,
    events,
    logger: workerLogger(log),
    taskList: options.work.taskList(),
    parsedCronItems: [],
    concurrency: options.concurrency,
    pollInterval: POLL_INTERVAL_MS,
    noHandleSignals: true,
    gracefulShutdownAbortTimeout: NEVER_MS,
    // With a batch delay, an end that cannot be recorded stops the pool; without one it is an unhandled rejection.
    preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
  });
  const ended = runner.promise
    .catch((err: unknown) => log.warn({ err }, 'A worker pool ended; another one takes over'))
    .then(async () => {
      if (poolId !== undefined) await locks.release(poolId);
    })
    .catch((err: unknown) => log.debug({ err }, 'The lock of a worker pool ends with its connection'));
  // A pool that stops by itself refuses to be stopped again, which is as good.
  const stop = () => void runner.stop().catch(() => undefined);
  const isEnding = Promise.race([isCutOff.then(stop), ended]);
  return { runner, isEnding, ended };
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
    // A pool that stops by itself refuses to be stopped again, which is as good.
    const stopCurrent = () => this.#current.runner.stop().catch(() => undefined);
    const stopped = stopCurrent();
    this.#work.stop();
    await settledWithin(this.#work.idle(), TASK_END_WAIT_MS_MAX);
    const drained = async () => {
      await stopped;
      await this.#loop;
      await stopCurrent();
      await Promise.all(this.#ended);
    };
    await settledWithin(drained(), DRAIN_WAIT_MS_MAX);
  }
}

async function settledWithin(work: Promise<unknown>, waitMsMax: number): Promise<void> {
  const limit = new AbortController();
  const waited = delay(waitMsMax, undefined, { signal: limit.signal }).catch(() => undefined);
  await Promise.race([work, waited]);
  limit.abort();
}
