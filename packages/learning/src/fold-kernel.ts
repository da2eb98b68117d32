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
  multiplyAdd(accumulator: number, source: number, count: number, weight: number): void;
  multiplyAddFour(
    accumulator: number,
    source: number,
    stride: number,
    count: number,
    ...weights: [number, number, number, number]
  ): void;
  hasNonFinite(values: number, count: number): number;
};

/** Elements a kernel works on at once; counts given to it are rounded up to this, within its block. */
export const LANE_COUNT = 16;
/** Source blocks a kernel holds: with four, the accumulator is read and written once for four updates. */
export const SLOT_COUNT = 4;
const PAGE_BYTES = 65_536;
const WASM_BASE64 =
  'AGFzbQEAAAABGQNgBH9/f30AYAh/f39/fX19fQBgAn9/AX8CEwEHbGFudGVybgZtZW1vcnkCAAEDBAMAAQIHMAMLbXVsdGlwbHlBZGQAAA9t' +
  'dWx0aXBseUFkZEZvdXIAAQxoYXNOb25GaW5pdGUAAgqTBAOdAQIBfwF7IAP9EyEFIAAgAkECdGohBAJAA0AgACAETw0BIAAgAP0ABAAgAf0A' +
  'BAAgBf3mAf3kAf0LBAAgACAA/QAEECAB/QAEECAF/eYB/eQB/QsEECAAIAD9AAQgIAH9AAQgIAX95gH95AH9CwQgIAAgAP0ABDAgAf0ABDAg' +
  'Bf3mAf3kAf0LBDAgAEHAAGohACABQcAAaiEBDAALCwv3AQIEfwR7IAT9EyEMIAX9EyENIAb9EyEOIAf9EyEPIAEgAmohCSAJIAJqIQogCiAC' +
  'aiELIAAgA0ECdGohCAJAA0AgACAITw0BIAAgAP0ABAAgAf0ABAAgDP3mAf3kASAJ/QAEACAN/eYB/eQBIAr9AAQAIA795gH95AEgC/0ABAAg' +
  'D/3mAf3kAf0LBAAgACAA/QAEECAB/QAEECAM/eYB/eQBIAn9AAQQIA395gH95AEgCv0ABBAgDv3mAf3kASAL/QAEECAP/eYB/eQB/QsEECAA' +
  'QSBqIQAgAUEgaiEBIAlBIGohCSAKQSBqIQogC0EgaiELDAALCwt5AgF/AntBgICA/Af9ESEDIAAgAUECdGohAgJAA0AgACACTw0BIAQgAP0A' +
  'BAAgA/1OIAP9NyAA/QAEECAD/U4gA/03/VAgAP0ABCAgA/1OIAP9NyAA/QAEMCAD/U4gA/03/VD9UP1QIQQgAEHAAGohAAwACwsgBP1TCw==';

/** The same memory twice, as numbers and as bytes: making a view per block would cost as much as small blocks do. */
export type KernelBlock = { readonly values: Float32Array; readonly bytes: Uint8Array };

/** Blocks of one size, in memory the kernel can reach. Owned by the kernel; the caller fills and reads them. */
export type FoldKernel = {
  readonly name: 'wasm-simd' | 'javascript';
  readonly accumulator: KernelBlock;
  /** `SLOT_COUNT` blocks. */
  readonly slots: readonly KernelBlock[];
  /** accumulator += weights[0] slots[0], then weights[1] slots[1] ..., over the first `count` elements. */
  multiplyAdd(weights: readonly number[], count: number): void;
  /** Whether a block holds NaN or an infinity in its first `count` elements: a slot by number, or the accumulator. */
  hasNonFinite(block: number | 'accumulator', count: number): boolean;
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
    multiplyAdd(weights, count) {
      const lanes = wholeLanes(count);
      const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = weights;
      if (weights.length === SLOT_COUNT) exports.multiplyAddFour(0, stride, stride, lanes, w0, w1, w2, w3);
      else for (const [slot, weight] of weights.entries()) exports.multiplyAdd(0, addressOf(slot), lanes, weight);
    },
    hasNonFinite: (block, count) =>
      exports.hasNonFinite(block === 'accumulator' ? 0 : addressOf(block), wholeLanes(count)) === 1,
  };
}

function createJavaScriptKernel(blockElements: number): FoldKernel {
  const accumulator = new Float32Array(blockElements);
  const slots = Array.from({ length: SLOT_COUNT }, () => new Float32Array(blockElements));
  return {
    name: 'javascript',
    accumulator: blockOf(accumulator),
    slots: slots.map(blockOf),
    multiplyAdd(weights, count) {
      for (const [slot, weight] of weights.entries()) {
        const source = slots[slot] ?? accumulator;
        const single = Math.fround(weight);
        for (let index = 0; index < count; index += 1) {
          accumulator[index] = (accumulator[index] ?? 0) + Math.fround(single * (source[index] ?? 0));
        }
      }
    },
    hasNonFinite(block, count) {
      const values = block === 'accumulator' ? accumulator : (slots[block] ?? accumulator);
      for (let index = 0; index < count; index += 1) if (!Number.isFinite(values[index])) return true;
      return false;
    },
  };
}

/** The assembled module. */
export function kernelBytes(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(WASM_BASE64), (character) => character.charCodeAt(0));
}

function blockOf(values: Float32Array): KernelBlock {
  return { values, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

function wholeLanes(count: number): number {
  return Math.ceil(count / LANE_COUNT) * LANE_COUNT;
}
