/**
 * Research copies as the numbers that a model takes, in a thread of its own: decoding a thousand images would hold up everything else
 * in the process for minutes.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { AppError, type ImageInput } from '@lantern/contract';

export type TensorOrder = { readonly image: ImageInput };
/** `undefined`: the files are no image of the kind that the shape asks for. */
export type TensorAnswer = { readonly values: Float32Array<ArrayBuffer> | undefined };

/** For each list of files, in turn, its numbers in [0, 1], row-major; or nothing. Throws `stopped`. */
export async function* tensorsOf(
  series: Iterable<readonly string[]>,
  { image, signal }: TensorOrder & { readonly signal: AbortSignal },
): AsyncGenerator<Float32Array | undefined, void, undefined> {
  const order: TensorOrder = { image };
  const worker = new Worker(new URL('./tensor-worker.ts', import.meta.url), { workerData: order });
  const ended = new AbortController();
  const exited = once(worker, 'exit', { signal: ended.signal }).then(
    () => Promise.reject(new AppError('stopped', 'The images were not finished.')),
    () => undefined, // nobody waits any more
  );
  exited.catch(() => undefined); // heard by whoever waits for an answer
  const stop = () => void worker.terminate();
  signal.addEventListener('abort', stop, { once: true });
  try {
    for (const paths of series) {
      signal.throwIfAborted();
      const answered = once(worker, 'message'); // rejects where the worker fails
      worker.postMessage(paths);
      const [answer] = (await Promise.race([answered, exited])) as [TensorAnswer]; // typed by tensor-worker.ts
      yield answer.values;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    ended.abort();
    await worker.terminate();
  }
}
