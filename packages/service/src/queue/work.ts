/**
 * What the ends of a job mean, and the running of one.
 *
 * A transient or ambiguous error is tried again after a back-off; a permanent one, or the last allowed attempt, fails the job
 * for good; what was aborted because the queue closes is given back as if it had not begun.
 *
 * The end is recorded here, before graphile-worker records it: it knows only one kind of failure, waits up to six hours
 * before it tries again, and frees a named queue only after it has asked for the next job.
 */
import { AppError, toAppError } from '@lantern/contract';
import type { JobHelpers, TaskList } from 'graphile-worker';
import type pg from 'pg';
import { fromDiskError } from '../disk.ts';
import type { Logger } from '../log.ts';
import { fromDatabaseError } from '../postgres/database-error.ts';

/** An error that nobody foresaw may pass; when it comes three times it is a fault, and failing shows it. */
const UNFORESEEN_ATTEMPTS_MAX = 3;

/** Doubled per attempt: short enough for a database that restarts, bounded so that work resumes soon after a long outage. */
const BACK_OFF_MS_MIN = 250;
const BACK_OFF_MS_MAX = 60_000;

/**
 * A job that is given back waits this long, so that a worker that is just asking does not take it again while
 * graphile-worker is still about to record the first failure under the same lock.
 */
const GIVE_BACK_DELAY_MS = 250;

/** A job that has ended is not taken for a stray one while the database is told so. */
const ENDED_JOB_GRACE_MS = 10_000;

export type TaskContext = {
  /** Aborted when the queue closes; the task should then reject soon and is run again later. */
  readonly signal: AbortSignal;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly jobId: string;
};

export type QueueTask = (payload: unknown, context: TaskContext) => Promise<void>;

export type FailedJob = {
  readonly name: string;
  readonly payload: unknown;
  readonly jobId: string;
  readonly error: AppError;
};

export type WorkOptions = {
  readonly tasks: Readonly<Record<string, QueueTask>>;
  readonly log: Logger;
  /** Told after a job has failed for good; a rejection is logged. It may be told twice after a crash. */
  readonly onFailed?: (job: FailedJob) => Promise<void>;
};

function foreseen(caught: unknown): AppError | undefined {
  const translated = fromDatabaseError(fromDiskError(caught));
  return translated instanceof AppError ? translated : undefined;
}

function backOffMs(attempt: number): number {
  return Math.min(BACK_OFF_MS_MIN * 2 ** (attempt - 1), BACK_OFF_MS_MAX);
}

/** What becomes of a job whose task rejected. */
export type JobEnd =
  | { readonly kind: 'failed' }
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'given-back'; readonly delayMs: number };

/** Decides from the error alone; `attempt` counts from 1 and includes the one that ended now. */
export function jobEnd(
  caught: unknown,
  job: { readonly attempt: number; readonly attemptsMax: number; readonly isClosing: boolean },
): JobEnd {
  if (job.isClosing) return { kind: 'given-back', delayMs: GIVE_BACK_DELAY_MS };
  const error = foreseen(caught);
  const attemptsMax = error === undefined ? Math.min(job.attemptsMax, UNFORESEEN_ATTEMPTS_MAX) : job.attemptsMax;
  if (error?.failureClass === 'permanent' || job.attempt >= attemptsMax) return { kind: 'failed' };
  return { kind: 'retry', delayMs: backOffMs(job.attempt) };
}

/** Records the end of a failed attempt and gives the job, and the queue it may block, free. */
const RECORD_END = `
  with ended as (
    update graphile_worker._private_jobs set
      locked_at = null,
      locked_by = null,
      last_error = $3,
      run_at = case when $5::int is null then run_at else now() + $5::int * interval '1 ms' end,
      attempts = case when $4 = 'given-back' then greatest(attempts - 1, 0) else attempts end,
      max_attempts = case when $4 = 'failed' then attempts else max_attempts end,
      updated_at = now()
    where id = $1 and locked_by = $2
    returning job_queue_id
  )
  update graphile_worker._private_job_queues as queue set locked_at = null, locked_by = null
  from ended where queue.id = ended.job_queue_id and queue.locked_by = $2`;

/**
 * Deletes a job that is done and gives the queue it may block free. graphile-worker does the same a moment later and finds
 * nothing to do; by then it has asked for the next job already, which in a blocked queue would wait for the next poll.
 */
const RECORD_DONE = `
  with done as (
    delete from graphile_worker._private_jobs where id = $1 and locked_by = $2 returning job_queue_id
  )
  update graphile_worker._private_job_queues as queue set locked_at = null, locked_by = null
  from done where queue.id = done.job_queue_id and queue.locked_by = $2`;

/** Runs the jobs that the pools of one process take. */
export class Work {
  readonly #options: WorkOptions;
  readonly #pool: pg.Pool;
  readonly #stopping = new AbortController();
  /** Running tasks with the pool that took each. */
  readonly #running = new Map<Promise<void>, string>();
  readonly #retiredPoolIds = new Set<string>();
  /** Job id to the time its task ended, or undefined while it runs. */
  readonly #jobs = new Map<string, number | undefined>();

  constructor(options: WorkOptions, pool: pg.Pool) {
    this.#options = options;
    this.#pool = pool;
  }

  /** Aborts the running tasks and lets no further one begin. */
  stop(): void {
    this.#stopping.abort(new AppError('stopped', 'The queue is closing.'));
  }

  taskList(): TaskList {
    const list: TaskList = {};
    for (const [name, task] of Object.entries(this.#options.tasks)) {
      list[name] = (payload: unknown, helpers: JobHelpers) => {
        const running = this.#perform({ name, task, payload, helpers });
        const forget = () => void this.#running.delete(running);
        this.#running.set(running, helpers.job.locked_by ?? '');
        running.then(forget, forget);
        return running;
      };
    }
    return list;
  }

  /** Settles when no task runs; call after `stop`. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#running.keys());
  }

  /**
   * Lets no further job of a pool begin, and settles when its running tasks have ended. Needed because graphile-worker may
   * still hand over a job that it asked for before it stopped, when nobody vouches for the pool any more.
   */
  async retire(poolId: string): Promise<void> {
    this.#retiredPoolIds.add(poolId);
    await Promise.allSettled([...this.#running].filter(([, takenBy]) => takenBy === poolId).map(([task]) => task));
  }

  /** Jobs that must not be taken for strays. */
  busyJobIds(): string[] {
    const nowMs = performance.now();
    for (const [jobId, endedMs] of this.#jobs) {
      if (endedMs !== undefined && nowMs - endedMs > ENDED_JOB_GRACE_MS) this.#jobs.delete(jobId);
    }
    return [...this.#jobs.keys()];
  }

  async #perform(work: { name: string; task: QueueTask; payload: unknown; helpers: JobHelpers }): Promise<void> {
    const { name, task, payload } = work;
    const { job } = work.helpers;
    const jobId = String(job.id);
    this.#jobs.set(jobId, undefined);
    try {
      this.#assertMayBegin(job.locked_by ?? '');
      await task(payload, { signal: this.#stopping.signal, attempt: job.attempts, jobId });
      await this.#record(jobId, RECORD_DONE, [jobId, job.locked_by]);
    } catch (caught) {
      const end = jobEnd(caught, {
        attempt: job.attempts,
        attemptsMax: job.max_attempts,
        isClosing: this.#stopping.signal.aborted || this.#retiredPoolIds.has(job.locked_by ?? ''),
      });
      this.#logEnd(end, { name, jobId, attempt: job.attempts, err: caught });
      if (end.kind === 'failed')
        await this.#tellFailed({ name, payload, jobId, error: foreseen(caught) ?? toAppError(caught) });
      const message = caught instanceof Error ? caught.message : 'A value that is no error was thrown.';
      const delayMs = end.kind === 'failed' ? null : end.delayMs;
      await this.#record(jobId, RECORD_END, [jobId, job.locked_by, message, end.kind, delayMs]);
      throw caught; // graphile-worker must not take the job for done; the end it then records finds the job free already.
    } finally {
      this.#jobs.set(jobId, performance.now());
    }
  }

  #assertMayBegin(poolId: string): void {
    this.#stopping.signal.throwIfAborted();
    if (this.#retiredPoolIds.has(poolId)) throw new AppError('stopped', 'The worker pool that took the job has ended.');
  }

  #logEnd(end: JobEnd, details: { name: string; jobId: string; attempt: number; err: unknown }): void {
    const { log } = this.#options;
    if (end.kind === 'failed') log.error(details, 'A job failed for good');
    else if (end.kind === 'retry') log.warn({ ...details, delayMs: end.delayMs }, 'A job failed and is tried again');
    else
      log.info(
        { name: details.name, jobId: details.jobId },
        'A job was given back, as the queue or its connection ended',
      );
  }

  async #tellFailed(job: FailedJob): Promise<void> {
    try {
      await this.#options.onFailed?.(job);
    } catch (err) {
      this.#options.log.error({ err, name: job.name, jobId: job.jobId }, 'Telling that a job failed did not work');
    }
  }

  async #record(jobId: string, statement: string, values: readonly unknown[]): Promise<void> {
    try {
      await this.#pool.query(statement, [...values]);
    } catch (err) {
      this.#options.log.warn({ err, jobId }, 'The end of a job could not be recorded; it may run again');
    }
  }
}
