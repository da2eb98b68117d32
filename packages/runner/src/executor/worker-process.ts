/**
 * A warm child process that runs one graph call at a time. Started at the first call, kept for the next ones; when it dies
 * (out of memory, a fault in a native operator) the call fails as `executor.failed` and the next call starts a new one. The
 * site's own process is never at risk.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { AppError, parse } from '@lantern/contract';
import type { Static } from 'typebox';
import { type PredictCall, type TrainCall, WorkerAnswerSchema } from './messages.ts';

const WORKER_FILE = fileURLToPath(new URL('./graph-worker.ts', import.meta.url));
const LOG_LINE_LENGTH_MAX = 500;

/**
 * All that the process may know of its surroundings. Without the variable ONNX Runtime (since 1.29) sends events about sessions
 * and models to its maker and keeps an identifier of the machine; with it, it opens neither socket nor file of its own.
 */
const WORKER_ENVIRONMENT = { ORT_DISABLE_TELEMETRY: '1' };

export type ExecutorLog = { debug(fields: Record<string, unknown>, message: string): void };

export type WorkerAnswer = Static<typeof WorkerAnswerSchema>;

type Pending = { readonly callId: number; resolve(answer: WorkerAnswer): void; reject(error: AppError): void };

export class WorkerProcess {
  readonly #threadCount: number;
  readonly #log: ExecutorLog | undefined;
  #child: ChildProcess | undefined;
  #pending: Pending | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #callCount = 0;
  #closed = false;

  constructor(options: { threadCount: number; log: ExecutorLog | undefined }) {
    this.#threadCount = options.threadCount;
    this.#log = options.log;
  }

  /** Performs a call after those before it. An abort ends the process, as a running graph cannot be interrupted. */
  call(call: TrainCall | PredictCall, signal: AbortSignal | undefined): Promise<WorkerAnswer> {
    const turn = this.#tail.then(() => this.#perform(call, signal));
    this.#tail = turn.catch(() => undefined); // the caller sees the failure; the queue goes on
    return turn;
  }

  /** Process id while one is running. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.ref(); // an idle worker does not keep us alive, but its end is waited for
    child.kill('SIGKILL');
    await ended;
  }

  async #perform(call: TrainCall | PredictCall, signal: AbortSignal | undefined): Promise<WorkerAnswer> {
    if (signal?.aborted === true) throw aborted(signal);
    if (this.#closed) throw new AppError('stopped', 'The executor is closed.');
    const child = this.#child ?? this.#start();
    const onAbort = () => this.#abort(signal);
    signal?.addEventListener('abort', onAbort, { once: true });
    hold(child, true);
    try {
      return await new Promise<WorkerAnswer>((resolve, reject) => {
        this.#callCount += 1;
        this.#pending = { callId: this.#callCount, resolve, reject };
        child.send({ ...call, callId: this.#callCount }, (error) => {
          if (error !== null)
            this.#fail(child, new AppError('executor.failed', 'The worker process is gone.', { cause: error }));
        });
      });
    } finally {
      this.#pending = undefined;
      hold(child, false);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #start(): ChildProcess {
    const child = fork(WORKER_FILE, [String(this.#threadCount)], {
      env: WORKER_ENVIRONMENT,
      execArgv: ['--expose-gc'], // see COLLECTED_BYTES_MIN
      serialization: 'advanced', // typed arrays cross as they are
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    child.on('message', (message) => this.#onAnswer(child, message));
    child.once('error', (cause) =>
      this.#fail(child, new AppError('executor.failed', 'The worker process failed.', { cause })),
    );
    child.once('exit', (code, killedBy) => {
      const how = killedBy === null ? `with code ${code}` : `by ${killedBy}`;
      this.#fail(child, new AppError('executor.failed', `The worker process ended early, ${how}.`));
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log?.debug({ pid: child.pid, line: text.slice(0, LOG_LINE_LENGTH_MAX).trimEnd() }, 'graph worker');
    });
    this.#child = child;
    return child;
  }

  #onAnswer(child: ChildProcess, message: unknown): void {
    const pending = this.#pending;
    if (child !== this.#child || pending === undefined) return;
    try {
      const answer = parse(WorkerAnswerSchema, message, { what: 'worker answer', code: 'executor.failed' });
      if (answer.callId === pending.callId) pending.resolve(answer);
    } catch (caught) {
      this.#fail(child, new AppError('executor.failed', 'The worker process answered nonsense.', { cause: caught }));
    }
  }

  #fail(child: ChildProcess, error: AppError): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    child.kill('SIGKILL');
    this.#pending?.reject(this.#closed ? new AppError('stopped', 'The executor is closed.') : error);
  }

  #abort(signal: AbortSignal | undefined): void {
    const child = this.#child;
    if (child !== undefined) this.#fail(child, aborted(signal));
  }
}

function aborted(signal: AbortSignal | undefined): AppError {
  const reason: unknown = signal?.reason;
  return reason instanceof AppError
    ? reason
    : new AppError('stopped', 'The computation was stopped.', { cause: reason });
}

/** A busy worker keeps our process alive; an idle one must not. */
function hold(child: ChildProcess, busy: boolean): void {
  const change = busy ? 'ref' : 'unref';
  child[change]();
  child.channel?.[change]();
  const { stderr } = child;
  if (stderr !== null && 'unref' in stderr && typeof stderr.unref === 'function' && !busy) stderr.unref();
}
