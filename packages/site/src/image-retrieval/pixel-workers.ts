/**
 * Threads for pixel work, so that an image that takes seconds to decode holds up neither an association nor a request. A work is
 * pulled block by block: a slow reader holds one block and an open file, and others use the same thread meanwhile.
 *
 * A thread starts when it is first needed and stays. Where one dies, its works fail and the next work starts another.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { AppError } from '@lantern/contract';
import { DicomError, type DicomErrorCode } from '@lantern/dicom';
import type { Logger } from '@lantern/service';
import type { PixelJob } from './pixel-work.ts';

export type ToWorker =
  | { readonly id: number; readonly kind: 'begin'; readonly job: PixelJob }
  | { readonly id: number; readonly kind: 'next' | 'end' };

export type FromWorker =
  | { readonly id: number; readonly kind: 'block'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly id: number; readonly kind: 'done' }
  | {
      readonly id: number;
      readonly kind: 'failed';
      readonly code: DicomErrorCode | undefined;
      readonly message: string;
    };

export type PixelWorkers = {
  /**
   * The result of a work in blocks that are the caller's. Throws `DicomError` as the work does, `executor.failed` where its thread
   * died, `stopped`.
   */
  perform(job: PixelJob): AsyncGenerator<Uint8Array>;
  close(): Promise<void>;
};

/** One core is left to what receives. More threads than this decode faster than a disk gives. */
const THREAD_COUNT_MAX = 4;
/** Each holds at most one decoded frame and an open file; the next waits for its turn. */
const WORK_COUNT_MAX = 128;

export function createPixelWorkers({ log }: { readonly log: Logger }): PixelWorkers {
  const threadCount = Math.max(1, Math.min(THREAD_COUNT_MAX, availableParallelism() - 1));
  const threads = new Set<Thread>();
  const waiting: (() => void)[] = [];
  let working = 0;
  let isClosed = false;
  const leastBusy = (): Thread => {
    if (isClosed) throw new AppError('stopped', 'The image node is shutting down.');
    if (threads.size < threadCount && [...threads].every(({ workCount }) => workCount > 0)) {
      const thread: Thread = new Thread((cause) => {
        threads.delete(thread);
        if (!isClosed) log.error({ err: cause }, 'a thread for pixel work died');
      });
      threads.add(thread);
    }
    const [first, ...others] = threads;
    if (first === undefined) throw new AppError('executor.failed', 'No thread for pixel work could be started.');
    return others.reduce((best, thread) => (thread.workCount < best.workCount ? thread : best), first);
  };
  return {
    async *perform(job) {
      if (working >= WORK_COUNT_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
      else working += 1;
      try {
        yield* leastBusy().perform(job);
      } finally {
        const next = waiting.shift();
        if (next === undefined) working -= 1;
        else next(); // takes the place over
      }
    },
    async close() {
      isClosed = true;
      await Promise.all([...threads].map((thread) => thread.close()));
    },
  };
}

class Thread {
  readonly #worker: Worker;
  readonly #answers = new Map<number, PromiseWithResolvers<FromWorker>>();
  readonly #works = new Set<number>();
  #lastId = 0;
  #fault: AppError | undefined;

  /** `onDeath` is told when no more work can be given to it. */
  constructor(onDeath: (cause: unknown) => void) {
    this.#worker = new Worker(new URL('./pixel-worker.ts', import.meta.url));
    this.#worker.unref(); // a process that is done need not wait for it
    this.#worker.on('message', (message: FromWorker) => this.#answers.get(message.id)?.resolve(message));
    const die = (cause: unknown) => {
      if (this.#fault !== undefined) return;
      this.#fault = new AppError('executor.failed', 'The thread that worked on the pixels died.', { cause });
      for (const answer of this.#answers.values()) answer.reject(this.#fault);
      onDeath(cause);
    };
    this.#worker.on('error', die);
    this.#worker.on('exit', (code) => die(new Error(`exit code ${code}`)));
  }

  get workCount(): number {
    return this.#works.size;
  }

  async *perform(job: PixelJob): AsyncGenerator<Uint8Array> {
    this.#lastId += 1;
    const id = this.#lastId;
    this.#works.add(id);
    try {
      this.#post({ id, kind: 'begin', job });
      for (;;) {
        const answer = await this.#next(id);
        if (answer.kind === 'done') return;
        if (answer.kind === 'failed') {
          if (answer.code !== undefined) throw new DicomError(answer.code, answer.message);
          throw new AppError('internal', 'Pixel work failed.', { cause: new Error(answer.message) });
        }
        yield answer.bytes;
      }
    } finally {
      this.#works.delete(id);
      this.#post({ id, kind: 'end' });
    }
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  async #next(id: number): Promise<FromWorker> {
    if (this.#fault !== undefined) throw this.#fault;
    const answer = Promise.withResolvers<FromWorker>();
    this.#answers.set(id, answer);
    this.#worker.ref(); // somebody waits
    try {
      this.#post({ id, kind: 'next' });
      return await answer.promise;
    } finally {
      this.#answers.delete(id);
      if (this.#answers.size === 0) this.#worker.unref();
    }
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
