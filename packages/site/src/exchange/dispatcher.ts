/**
 * Starts work on tasks in this process: at once, a bounded number at a time, each task by one worker only.
 *
 * Durability does not rest here. A task is a row before it is started; what fails for now becomes a job of the queue, and
 * whatever is still open is taken up again at start, when the hub is back, and by a sweep. Going through the queue the first
 * time as well would cost every round a second commit and the wake-up of a worker.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { AppError, type TaskId } from '@lantern/contract';
import type { Logger } from '@lantern/service';

/** What takes the database away from a task takes it from the keeping, too; a killed one is back within a second. */
const KEEP_WAIT_MS_MIN = 250;
const KEEP_WAIT_MS_MAX = 5_000;

/** `known`: the task as it was just stored, which saves reading it. */
export type Attempt<Known> = { readonly signal: AbortSignal; readonly attempt: number; readonly known?: Known };

export type Dispatcher<Known> = {
  /** Starts the task soon; a failure for now is handed to `retry`. */
  start(taskId: TaskId, known?: Known): void;
  /** Works on the task now, for a job; does nothing while somebody works on it already. */
  run(taskId: TaskId, attempt: Attempt<Known>): Promise<void>;
  isBusy(taskId: TaskId): boolean;
  /** Aborts what is running and waits for it. */
  close(): Promise<void>;
};

export function createDispatcher<Known>(options: {
  readonly work: (taskId: TaskId, attempt: Attempt<Known>) => Promise<void>;
  /** Keeps a failed task for later, durably. */
  readonly retry: (taskId: TaskId) => Promise<void>;
  readonly concurrency: number;
  readonly log: Logger;
  /** Resolves after so long, or as soon as the signal says so. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}): Dispatcher<Known> {
  const { work, retry, concurrency, log, pause = pauseFor } = options;
  const closing = new AbortController();
  const busy = new Set<TaskId>();
  const running = new Set<Promise<void>>();
  const waiting: { taskId: TaskId; known: Known | undefined }[] = [];

  const run: Dispatcher<Known>['run'] = async (taskId, attempt) => {
    if (busy.has(taskId)) return;
    busy.add(taskId);
    try {
      await work(taskId, { ...attempt, signal: AbortSignal.any([attempt.signal, closing.signal]) });
    } finally {
      busy.delete(taskId);
    }
  };
  const runOrRetry = async (taskId: TaskId, known: Known | undefined) => {
    try {
      await run(taskId, { signal: closing.signal, attempt: 1, ...(known === undefined ? {} : { known }) });
    } catch (err) {
      if (closing.signal.aborted) return; // it is open still, and is taken up at the next start
      log.warn({ err, taskId }, 'a task is tried again later');
      await keep(taskId);
    }
  };
  const keep = async (taskId: TaskId) => {
    for (let waitMs = KEEP_WAIT_MS_MIN; !closing.signal.aborted; waitMs = Math.min(2 * waitMs, KEEP_WAIT_MS_MAX)) {
      try {
        return await retry(taskId);
      } catch (err) {
        log.warn({ err, taskId }, 'a task cannot be kept for later yet');
      }
      await pause(waitMs, closing.signal);
    }
  };
  const next = () => {
    while (running.size < concurrency && !closing.signal.aborted) {
      const first = waiting.shift();
      if (first === undefined) return;
      const one = runOrRetry(first.taskId, first.known).finally(() => {
        running.delete(one);
        next();
      });
      running.add(one);
    }
  };
  return {
    run,
    isBusy: (taskId) => busy.has(taskId) || waiting.some((one) => one.taskId === taskId),
    start(taskId, known) {
      waiting.push({ taskId, known });
      next();
    },
    async close() {
      closing.abort(new AppError('stopped', 'The site is shutting down.'));
      await Promise.all(running);
    },
  };
}

async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch(() => undefined); // rejects with the signal alone, which its caller looks at
}
