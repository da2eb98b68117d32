/**
 * The inner loops of the fold: WebAssembly SIMD where the engine has it, the same arithmetic in JavaScript where it has not.
 *
 * Both give the same bits: acc = fround(acc + fround(weight x)), one rounding after the product and one after the sum. The
 * module is assembled from `fold-kernel.wat` beside this file; a test assembles it again and compares the bytes.
 */

/** The part of the WebAssembly interface used here; the type library for servers does not declare it. */
declare const WebAssembly:
  | undefined
  | {
      validate(bytes: Uint8Array): boolean;
      Memory: new (size: { initial: number }) => { buffer: ArrayBuffer };
      Module: new (bytes: Uint8Array) => object;
      Instance: new (module: object, imports: object) => { exports: KernelExports };
    };

/** As `fold-kernel.wat` exports them; addresses in bytes, counts in elements. */
type KernelExports = {
  scale(accumulator: number, source: number, count: number, weight: number): void;
  multiplyAdd(accumulator: number, source: number, count: number, weight: number): void;
  hasNonFinite(values: number, count: number): number;
};

/** Elements a kernel works on at once; counts given to it are rounded up to this, within its block. */
export const LANE_COUNT = 16;
const PAGE_BYTES = 65_536;
const WASM_BASE64 =
  'AGFzbQEAAAABDgJgBH9/f30AYAJ/fwF/AhMBB2xhbnRlcm4GbWVtb3J5AgABAwQDAAABByYDBXNjYWxlAAALbXVsdGlwbHlBZGQAAQxoYXNO' +
  'b25GaW5pdGUAAgqUAwN5AgF/AXsgA/0TIQUgACACQQJ0aiEEAkADQCAAIARPDQEgACAB/QAEACAF/eYB/QsEACAAIAH9AAQQIAX95gH9CwQQ' +
  'IAAgAf0ABCAgBf3mAf0LBCAgACAB/QAEMCAF/eYB/QsEMCAAQcAAaiEAIAFBwABqIQEMAAsLC50BAgF/AXsgA/0TIQUgACACQQJ0aiEEAkAD' +
  'QCAAIARPDQEgACAA/QAEACAB/QAEACAF/eYB/eQB/QsEACAAIAD9AAQQIAH9AAQQIAX95gH95AH9CwQQIAAgAP0ABCAgAf0ABCAgBf3mAf3k' +
  'Af0LBCAgACAA/QAEMCAB/QAEMCAF/eYB/eQB/QsEMCAAQcAAaiEAIAFBwABqIQEMAAsLC3kCAX8Ce0GAgID8B/0RIQMgACABQQJ0aiECAkAD' +
  'QCAAIAJPDQEgBCAA/QAEACAD/U4gA/03IAD9AAQQIAP9TiAD/Tf9UCAA/QAEICAD/U4gA/03IAD9AAQwIAP9TiAD/Tf9UP1Q/VAhBCAAQcAA' +
  'aiEADAALCyAE/VML';

/** Two blocks of the same size, in memory the kernel can reach. Overwritten by every call; owned by the kernel. */
export type FoldKernel = {
  readonly name: 'wasm-simd' | 'javascript';
  readonly accumulator: Float32Array;
  readonly source: Float32Array;
  /** accumulator = weight x source, over the first `count` elements. */
  scale(count: number, weight: number): void;
  /** accumulator = accumulator + weight x source. */
  multiplyAdd(count: number, weight: number): void;
  /** Whether the accumulator holds NaN or an infinity in its first `count` elements. */
  hasNonFinite(count: number): boolean;
};

/** `blockElements` must be a multiple of `LANE_COUNT`. */
export function createKernel(blockElements: number, kind: FoldKernel['name'] | 'fastest'): FoldKernel {
  return (kind === 'javascript' ? undefined : createWasmKernel(blockElements)) ?? createJavaScriptKernel(blockElements);
}

/** Undefined where WebAssembly or its SIMD is missing (an engine started without a compiler). */
function createWasmKernel(blockElements: number): FoldKernel | undefined {
  if (typeof WebAssembly === 'undefined') return undefined;
  const bytes = kernelBytes();
  if (!WebAssembly.validate(bytes)) return undefined;
  const blockBytes = blockElements * Float32Array.BYTES_PER_ELEMENT;
  const memory = new WebAssembly.Memory({ initial: Math.ceil((2 * blockBytes) / PAGE_BYTES) });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { lantern: { memory } });
  return {
    name: 'wasm-simd',
    accumulator: new Float32Array(memory.buffer, 0, blockElements),
    source: new Float32Array(memory.buffer, blockBytes, blockElements),
    scale: (count, weight) => exports.scale(0, blockBytes, wholeLanes(count), weight),
    multiplyAdd: (count, weight) => exports.multiplyAdd(0, blockBytes, wholeLanes(count), weight),
    hasNonFinite: (count) => exports.hasNonFinite(0, wholeLanes(count)) === 1,
  };
}

function createJavaScriptKernel(blockElements: number): FoldKernel {
  const accumulator = new Float32Array(blockElements);
  const source = new Float32Array(blockElements);
  return {
    name: 'javascript',
    accumulator,
    source,
    scale(count, weight) {
      const single = Math.fround(weight);
      for (let index = 0; index < count; index += 1) accumulator[index] = single * (source[index] ?? 0);
    },
    multiplyAdd(count, weight) {
      const single = Math.fround(weight);
      for (let index = 0; index < count; index += 1) {
        accumulator[index] = (accumulator[index] ?? 0) + Math.fround(single * (source[index] ?? 0));
      }
    },
    hasNonFinite(count) {
      for (let index = 0; index < count; index += 1) if (!Number.isFinite(accumulator[index])) return true;
      return false;
    },
  };
}

/** The assembled module. */
export function kernelBytes(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(WASM_BASE64), (character) => character.charCodeAt(0));
}

function wholeLanes(count: number): number {
  return Math.ceil(count / LANE_COUNT) * LANE_COUNT;
}
