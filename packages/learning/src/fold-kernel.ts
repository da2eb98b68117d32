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
  multiplyAdd(anew: 0 | 1, accumulator: number, source: number, count: number, weight: number): 0 | 1;
  multiplyAddFour(
    anew: 0 | 1,
    accumulator: number,
    source: number,
    stride: number,
    count: number,
    ...weights: [number, number, number, number]
  ): 0 | 1;
  hasNonFinite(values: number, count: number): 0 | 1;
};

/** Elements a kernel works on at once; counts given to it are rounded up to this, within its block. */
export const LANE_COUNT = 16;
/** Source blocks a kernel holds: with four, the accumulator is read and written once for four updates. */
export const SLOT_COUNT = 4;
const PAGE_BYTES = 65_536;
const WASM_BASE64 =
  'AGFzbQEAAAABHQNgBX9/f399AX9gCX9/f39/fX19fQF/YAJ/fwF/AhMBB2xhbnRlcm4GbWVtb3J5AgABAwQDAAECBzADC211bHRpcGx5QWRkAAAP' +
  'bXVsdGlwbHlBZGRGb3VyAAEMaGFzTm9uRmluaXRlAAIK8QUDpQICAX8GeyAE/RMhBkGAgID8B/0RIQcgAEEBa/0RIQggAEEfdP0RIQkgASADQQJ0' +
  'aiEFAkADQCABIAVPDQEgAf0ABAAgCP1OIAn9UCAC/QAEACAG/eYB/eQBIQogASAK/QsEACALIAogB/1O/bgBIQsgAf0ABBAgCP1OIAn9UCAC/QAE' +
  'ECAG/eYB/eQBIQogASAK/QsEECALIAogB/1O/bgBIQsgAf0ABCAgCP1OIAn9UCAC/QAEICAG/eYB/eQBIQogASAK/QsEICALIAogB/1O/bgBIQsg' +
  'Af0ABDAgCP1OIAn9UCAC/QAEMCAG/eYB/eQBIQogASAK/QsEMCALIAogB/1O/bgBIQsgAUHAAGohASACQcAAaiECDAALCyALIAf9N/1TC80CAgR/' +
  'CXsgBf0TIQ0gBv0TIQ4gB/0TIQ8gCP0TIRAgAiADaiEKIAogA2ohCyALIANqIQxBgICA/Af9ESERIABBAWv9ESESIABBH3T9ESETIAEgBEECdGoh' +
  'CQJAA0AgASAJTw0BIAH9AAQAIBL9TiAT/VAgAv0ABAAgDf3mAf3kASAK/QAEACAO/eYB/eQBIAv9AAQAIA/95gH95AEgDP0ABAAgEP3mAf3kASEU' +
  'IAEgFP0LBAAgFSAUIBH9Tv24ASEVIAH9AAQQIBL9TiAT/VAgAv0ABBAgDf3mAf3kASAK/QAEECAO/eYB/eQBIAv9AAQQIA/95gH95AEgDP0ABBAg' +
  'EP3mAf3kASEUIAEgFP0LBBAgFSAUIBH9Tv24ASEVIAFBIGohASACQSBqIQIgCkEgaiEKIAtBIGohCyAMQSBqIQwMAAsLIBUgEf03/VMLeQIBfwJ7' +
  'QYCAgPwH/REhAyAAIAFBAnRqIQICQANAIAAgAk8NASAEIAD9AAQAIAP9TiAD/TcgAP0ABBAgA/1OIAP9N/1QIAD9AAQgIAP9TiAD/TcgAP0ABDAg' +
  'A/1OIAP9N/1Q/VD9UCEEIABBwABqIQAMAAsLIAT9Uws=';

/** The same memory twice, as numbers and as bytes: making a view per block would cost as much as small blocks do. */
export type KernelBlock = { readonly values: Float32Array; readonly bytes: Uint8Array };

/** Elements of a block, the same ones in each block. `first` is a multiple of `LANE_COUNT`. */
export type KernelSlice = { readonly first: number; readonly count: number };

/** Blocks of one size, in memory the kernel can reach. Owned by the kernel; the caller fills and reads them. */
export type FoldKernel = {
  readonly name: 'wasm-simd' | 'javascript';
  readonly accumulator: KernelBlock;
  /** `SLOT_COUNT` blocks. */
  readonly slots: readonly KernelBlock[];
  /**
   * Over a slice: accumulator += weights[0] slots[0], then weights[1] slots[1] ..., at least one. `from` nothing, whatever the
   * accumulator holds, or from what it holds. Gives whether a sum became NaN or infinite; such a sum never becomes finite again.
   */
  multiplyAdd(weights: readonly number[], slice: KernelSlice, from: 'nothing' | 'accumulator'): boolean;
  /** Whether the first `count` elements of a slot hold NaN or an infinity. */
  hasNonFinite(slot: number, count: number): boolean;
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
  const stride = blockElements * Float32Array.BYTES_PER_ELEMENT;
  const memory = new WebAssembly.Memory({ initial: Math.ceil((stride * (1 + SLOT_COUNT)) / PAGE_BYTES) });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { lantern: { memory } });
  const blockAt = (address: number) => blockOf(new Float32Array(memory.buffer, address, blockElements));
  const addressOf = (slot: number) => stride * (1 + slot); // the accumulator is at 0
  return {
    name: 'wasm-simd',
    accumulator: blockAt(0),
    slots: Array.from({ length: SLOT_COUNT }, (_, slot) => blockAt(addressOf(slot))),
    multiplyAdd(weights, { first, count }, from) {
      const lanes = wholeLanes(count);
      const at = first * Float32Array.BYTES_PER_ELEMENT;
      const anew = from === 'nothing' ? 1 : 0;
      if (weights.length === SLOT_COUNT) {
        const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = weights;
        return exports.multiplyAddFour(anew, at, stride + at, stride, lanes, w0, w1, w2, w3) === 1;
      }
      let found = 0;
      for (const [slot, weight] of weights.entries()) {
        found = exports.multiplyAdd(slot === 0 ? anew : 0, at, addressOf(slot) + at, lanes, weight);
      }
      return found === 1;
    },
    hasNonFinite: (slot, count) => exports.hasNonFinite(addressOf(slot), wholeLanes(count)) === 1,
  };
}

function createJavaScriptKernel(blockElements: number): FoldKernel {
  const accumulator = new Float32Array(blockElements);
  const slots = Array.from({ length: SLOT_COUNT }, () => new Float32Array(blockElements));
  return {
    name: 'javascript',
    accumulator: blockOf(accumulator),
    slots: slots.map(blockOf),
    multiplyAdd(weights, { first, count }, from) {
      const end = first + count;
      if (from === 'nothing') accumulator.fill(-0, first, end); // not 0: only -0 + x has the bits of x for every x
      for (const [slot, weight] of weights.entries()) {
        const source = slots[slot] ?? accumulator;
        const single = Math.fround(weight);
        for (let index = first; index < end; index += 1) {
          accumulator[index] = (accumulator[index] ?? 0) + Math.fround(single * (source[index] ?? 0));
        }
      }
      return isNonFiniteIn(accumulator, first, end);
    },
    hasNonFinite: (slot, count) => isNonFiniteIn(slots[slot] ?? accumulator, 0, count),
  };
}

function isNonFiniteIn(values: Float32Array, first: number, end: number): boolean {
  for (let index = first; index < end; index += 1) if (!Number.isFinite(values[index])) return true;
  return false;
}

/** The assembled module. */
export function kernelBytes(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(WASM_BASE64), (character) => character.charCodeAt(0));
}

function blockOf(values: Float32Array): KernelBlock {
  return { values, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

/** `count`, rounded up to what a kernel works on. */
export function wholeLanes(count: number): number {
  return Math.ceil(count / LANE_COUNT) * LANE_COUNT;
}
