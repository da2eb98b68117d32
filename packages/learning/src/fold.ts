/**
 * The fold: the weighted sum of the sites' updates, block by block, in one fixed order.
 *
 * Why in a fixed order, when the round closes, and not as each update arrives: a sum of floats depends on its order in the
 * last bits. Were it the order of arrival, a hub that crashed and folded again would make other model bytes than before, and
 * a digest already signed would no longer match. Updates wait on disk, and memory holds two blocks whatever the number of
 * sites or the size of the model.
 *
 * Invariant: same sources, weights and order give the same bytes, on every machine, with or without WebAssembly; the size of
 * a block changes nothing.
 */
import { AppError } from '@lantern/contract';
import { createKernel, type FoldKernel, LANE_COUNT } from './fold-kernel.ts';

/** 64 KiB a block: two of them stay in a core's second-level cache, and a read of a file is large enough. See bench/fold. */
export const BLOCK_ELEMENTS_DEFAULT = 16_384;

/**
 * One update. `readInto` fills `target` from `byteOffset` of the update and returns how many bytes it gave: at least 1, fewer
 * than asked for only if it likes. `name` is said when the update is refused.
 */
export type FoldSource = {
  readonly weight: number;
  readonly name?: string;
  readInto(target: Uint8Array, byteOffset: number): number;
};

/** The part of each source to fold: whole float32 elements. */
export type FoldRange = { readonly byteOffset: number; readonly byteLength: number };

export type Folder = {
  readonly kernel: FoldKernel['name'];
  /**
   * Folds `sources` in the order given. Each block of sum_k weight_k x_k (float32, little-endian) goes to `sink`, from the
   * first to the last; it is overwritten by the next, so copy what is to be kept.
   *
   * throws  `update.invalid` naming the source when one ends early or holds NaN or an infinity, `training.diverged` when
   *         finite updates sum to an infinity. Blocks already given are then to be thrown away.
   */
  fold(sources: readonly FoldSource[], range: FoldRange, sink: (block: Uint8Array) => void): void;
  /** Offset in bytes, from the start of the source, of its first NaN or infinity; -1 when all are finite. */
  findNonFinite(source: Omit<FoldSource, 'weight'>, range: FoldRange): number;
};

/** `blockElements` is rounded up to 16; `kernel` is chosen by tests, else the fastest there is. Not for two folds at once. */
export function createFolder(options: { blockElements?: number; kernel?: FoldKernel['name'] } = {}): Folder {
  const blockElements = Math.ceil((options.blockElements ?? BLOCK_ELEMENTS_DEFAULT) / LANE_COUNT) * LANE_COUNT;
  const kernel = createKernel(blockElements, options.kernel ?? 'fastest');
  return {
    kernel: kernel.name,
    fold(sources, range, sink) {
      checkFold(sources, range);
      for (const block of blocksOf(range, blockElements)) {
        foldBlock(kernel, sources, block);
        sink(bytesOf(kernel.accumulator, block.byteLength));
      }
    },
    findNonFinite(source, range) {
      checkRange(range);
      for (const block of blocksOf(range, blockElements)) {
        const count = load(kernel, source, block);
        kernel.scale(count, 1);
        if (!kernel.hasNonFinite(count)) continue;
        return block.byteOffset + 4 * kernel.source.findIndex((value) => !Number.isFinite(value));
      }
      return -1;
    },
  };
}

/**
 * Weighted sum in float64, for the small tensors of analyses, in the order given. Throws `update.invalid` for another length
 * or a number that is not finite.
 */
export function foldFloat64(sources: readonly { weight: number; data: Float64Array }[]): Float64Array {
  const sum = new Float64Array(sources[0]?.data.length ?? 0);
  for (const [position, { weight, data }] of sources.entries()) {
    if (data.length !== sum.length || !data.every(Number.isFinite)) {
      throw new AppError('update.invalid', `Update ${position} has another length or a number that is not finite.`);
    }
    for (let index = 0; index < sum.length; index += 1) sum[index] = (sum[index] ?? 0) + weight * (data[index] ?? 0);
  }
  return sum;
}

function* blocksOf(range: FoldRange, blockElements: number): Generator<FoldRange> {
  const end = range.byteOffset + range.byteLength;
  const step = blockElements * Float32Array.BYTES_PER_ELEMENT;
  for (let at = range.byteOffset; at < end; at += step) {
    yield { byteOffset: at, byteLength: Math.min(step, end - at) };
  }
}

function foldBlock(kernel: FoldKernel, sources: readonly FoldSource[], block: FoldRange): void {
  let count = 0;
  for (const [position, source] of sources.entries()) {
    count = load(kernel, source, block);
    if (position === 0) kernel.scale(count, source.weight);
    else kernel.multiplyAdd(count, source.weight);
  }
  if (kernel.hasNonFinite(count)) throw blame(kernel, sources, block);
}

/** Fills the kernel's source block, and zeros up to whole lanes; returns the number of elements. */
function load(kernel: FoldKernel, source: Omit<FoldSource, 'weight'>, block: FoldRange): number {
  const target = bytesOf(kernel.source, block.byteLength);
  let filled = 0;
  while (filled < block.byteLength) {
    const rest = filled === 0 ? target : target.subarray(filled);
    const given = source.readInto(rest, block.byteOffset + filled);
    if (!(given > 0)) throw new AppError('update.invalid', `Update ${source.name ?? ''} ends early.`);
    filled += given;
  }
  const count = block.byteLength / Float32Array.BYTES_PER_ELEMENT;
  const tail = count % LANE_COUNT;
  if (tail !== 0) kernel.source.fill(0, count, count + LANE_COUNT - tail);
  return count;
}

/** Finds whose element made the sum leave the finite numbers. */
function blame(kernel: FoldKernel, sources: readonly FoldSource[], block: FoldRange): AppError {
  for (const [position, source] of sources.entries()) {
    const count = load(kernel, source, block);
    const element = kernel.source.subarray(0, count).findIndex((value) => !Number.isFinite(value));
    if (element >= 0) {
      const at = block.byteOffset + 4 * element;
      return new AppError('update.invalid', `Update ${source.name ?? position} is not finite at byte ${at}.`);
    }
  }
  return new AppError('training.diverged', 'The sum of the updates left the finite numbers.');
}

function bytesOf(values: Float32Array, byteLength: number): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, byteLength);
}

function checkFold(sources: readonly FoldSource[], range: FoldRange): void {
  checkRange(range);
  if (sources.length === 0) throw new AppError('update.invalid', 'There is no update to fold.');
  for (const [position, { weight, name }] of sources.entries()) {
    if (!Number.isFinite(weight))
      throw new AppError('update.invalid', `The weight of ${name ?? position} is not finite.`);
  }
}

function checkRange({ byteOffset, byteLength }: FoldRange): void {
  if (
    !Number.isSafeInteger(byteOffset) ||
    byteOffset < 0 ||
    !Number.isSafeInteger(byteLength) ||
    byteLength % 4 !== 0
  ) {
    throw new AppError('tensor.invalid', 'The range to fold is not whole float32 elements.');
  }
}
