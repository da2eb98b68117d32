/**
 * The fold: the weighted sum of the sites' updates, block by block, in one fixed order.
 *
 * Why in a fixed order, when the round closes, and not as each update arrives: a sum of floats depends on its order in the
 * last bits. Were it the order of arrival, a hub that crashed and folded again would make other model bytes than before, and
 * a digest already signed would no longer match. Updates wait on disk, and memory holds five blocks whatever the number of
 * sites or the size of the model.
 *
 * Blocks are long, because most of a fold is reading: a core fetches a long run of bytes faster than short ones taken
 * from many files in turn. They are summed in slices, so that a slice of the sum stays in the cache until it is done.
 *
 * Invariant: same sources, weights and order give the same bytes, on every machine, with or without WebAssembly; the size of
 * a block changes nothing.
 */
import { AppError } from '@lantern/contract';
import {
  createKernel,
  type FoldKernel,
  type KernelBlock,
  type KernelSlice,
  LANE_COUNT,
  SLOT_COUNT,
  wholeLanes,
} from './fold-kernel.ts';

/**
 * 1,000,000 bytes: reading files in pieces of 64,000 makes the fold a third slower; five blocks fit a third-level cache. Not a
 * power of two on purpose: accumulator, source and file would then agree in their low 12 address bits, and a processor takes
 * such loads for dependent on the stores before them. bench/fold with --blocks 16000,130000,250000,262144 compares.
 */
export const BLOCK_ELEMENTS_DEFAULT = 250_000;
/** 64,000 bytes of the accumulator: while they are in use they stay in a core's second-level cache. */
const SLICE_ELEMENTS = 16_000;

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
  const blockElements = wholeLanes(options.blockElements ?? BLOCK_ELEMENTS_DEFAULT);
  const kernel = createKernel(blockElements, options.kernel ?? 'fastest');
  return {
    kernel: kernel.name,
    fold(sources, range, sink) {
      checkFold(sources, range);
      const groups = groupsOf(sources);
      for (const block of blocksOf(range, blockElements)) {
        foldBlock(kernel, groups, block);
        sink(firstBytes(kernel.accumulator.bytes, block.byteLength));
      }
    },
    findNonFinite(source, range) {
      checkRange(range);
      for (const block of blocksOf(range, blockElements)) {
        const element = nonFiniteElement(kernel, source, block);
        if (element >= 0) return block.byteOffset + 4 * element;
      }
      return -1;
    },
  };
}

function* blocksOf(range: FoldRange, blockElements: number): Generator<FoldRange> {
  const end = range.byteOffset + range.byteLength;
  const step = blockElements * Float32Array.BYTES_PER_ELEMENT;
  for (let at = range.byteOffset; at < end; at += step) {
    yield { byteOffset: at, byteLength: Math.min(step, end - at) };
  }
}

/** Sources that go through the kernel together, at most one per slot, with their weights beside them. */
type Group = { readonly sources: readonly FoldSource[]; readonly weights: readonly number[] };

function groupsOf(sources: readonly FoldSource[]): Group[] {
  return Array.from({ length: Math.ceil(sources.length / SLOT_COUNT) }, (_, index) => {
    const members = sources.slice(index * SLOT_COUNT, (index + 1) * SLOT_COUNT);
    return { sources: members, weights: members.map(({ weight }) => weight) };
  });
}

/** Leaves the block's sum in the accumulator. */
function foldBlock(kernel: FoldKernel, groups: readonly Group[], block: FoldRange): void {
  const slices = slicesOf(elementsOf(block));
  let nonFiniteCount = 0;
  for (const [index, { sources, weights }] of groups.entries()) {
    for (const [slot, source] of sources.entries()) load(kernel.slots[slot], source, block);
    for (const slice of slices) {
      if (kernel.multiplyAdd(weights, slice, index === 0 ? 'nothing' : 'accumulator')) nonFiniteCount += 1;
    }
  }
  if (nonFiniteCount > 0) throw blame(kernel, groups, block);
}

function slicesOf(count: number): KernelSlice[] {
  return Array.from({ length: Math.ceil(count / SLICE_ELEMENTS) }, (_, index) => {
    const first = index * SLICE_ELEMENTS;
    return { first, count: Math.min(SLICE_ELEMENTS, count - first) };
  });
}

/** Fills a slot, and zeros up to whole lanes. */
function load(slot: KernelBlock | undefined, source: Omit<FoldSource, 'weight'>, block: FoldRange): void {
  if (slot === undefined) return;
  const target = firstBytes(slot.bytes, block.byteLength);
  let filled = 0;
  while (filled < block.byteLength) {
    const rest = filled === 0 ? target : target.subarray(filled);
    const given = source.readInto(rest, block.byteOffset + filled);
    if (!(given > 0)) throw new AppError('update.invalid', `Update ${source.name ?? ''} ends early.`);
    filled += given;
  }
  const count = elementsOf(block);
  if (count % LANE_COUNT !== 0) slot.values.fill(0, count, wholeLanes(count));
}

/** The first element of the block that is NaN or infinite, -1 when there is none. */
function nonFiniteElement(kernel: FoldKernel, source: Omit<FoldSource, 'weight'>, block: FoldRange): number {
  const count = elementsOf(block);
  load(kernel.slots[0], source, block);
  if (!kernel.hasNonFinite(0, count)) return -1;
  return kernel.slots[0]?.values.findIndex((value) => !Number.isFinite(value)) ?? -1;
}

/** Finds whose element made the sum leave the finite numbers. */
function blame(kernel: FoldKernel, groups: readonly Group[], block: FoldRange): AppError {
  for (const [position, source] of groups.flatMap(({ sources }) => sources).entries()) {
    const element = nonFiniteElement(kernel, source, block);
    if (element >= 0) {
      const at = block.byteOffset + 4 * element;
      return new AppError('update.invalid', `Update ${source.name ?? position} is not finite at byte ${at}.`);
    }
  }
  return new AppError('training.diverged', 'The sum of the updates left the finite numbers.');
}

function elementsOf(block: FoldRange): number {
  return block.byteLength / Float32Array.BYTES_PER_ELEMENT;
}

function firstBytes(bytes: Uint8Array, byteLength: number): Uint8Array {
  return byteLength === bytes.byteLength ? bytes : bytes.subarray(0, byteLength);
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
