/**
 * Writes a series as a NIfTI volume, in a thread of its own: decoding and packing hundreds of slices would hold up everything else in
 * the process for seconds.
 */
import { Worker } from 'node:worker_threads';
import { AppError } from '@lantern/contract';

export type VolumeOrder = { readonly paths: readonly string[]; readonly target: string };
export type VolumeAnswer =
  | { readonly kind: 'written' }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/** `target` is synced when it resolves. Throws `dataset.invalid` where the slices are no volume, and why. */
export async function writeVolume(paths: readonly string[], target: string, signal: AbortSignal): Promise<void> {
  const order: VolumeOrder = { paths, target };
  const worker = new Worker(new URL('./volume-worker.ts', import.meta.url), { workerData: order });
  const stop = () => void worker.terminate();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const answer = await new Promise<VolumeAnswer>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () => reject(new AppError('stopped', 'The volume was not finished.')));
    });
    if (answer.kind === 'written') return;
    throw new AppError('dataset.invalid', `This series makes no volume: ${answer.problems.join(', ')}.`);
  } finally {
    signal.removeEventListener('abort', stop);
    await worker.terminate();
  }
}
