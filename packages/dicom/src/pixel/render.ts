/** Frames as they are looked at: eight bits of gray or RGB (PS3.4 N.2, PS3.3 C.7.6.3.1.2). */
import type { ByteSource } from '../byte-source.ts';
import { type DataSet, numbersIn, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { rgbOfPartialYbr, rgbOfYbr } from './colour.ts';
import {
  type ModalityTransform,
  modalityTransformOf,
  modalityValue,
  presentationFunction,
  type ValuesOfInterest,
  valuesOfInterestOf,
  type Window,
} from './grayscale.ts';
import { type LookupTable, lookUp, lookupTableOf } from './lookup-table.ts';
import type { PixelFrame } from './pixel-frame.ts';
import type { PixelValues } from './pixel-values.ts';
import type { Pixels } from './pixels.ts';

/** [rows, columns, samplesPerPixel], each 0 to 255. */
export type RenderedImage = {
  readonly rows: number;
  readonly columns: number;
  readonly samplesPerPixel: 1 | 3;
  readonly bytes: Buffer;
};

export type RenderOptions = {
  readonly dataSet: DataSet;
  readonly source: ByteSource;
  readonly frameIndex: number;
  /** Instead of that of the image. */
  readonly window?: Window;
};

const PIXEL_PADDING_VALUE = 0x00280120;
const PIXEL_PADDING_RANGE_LIMIT = 0x00280121;
const PRESENTATION_LUT_SHAPE = 0x20500020;
const PALETTE_TAGS = ['red', 'green', 'blue'].map((_, index) => ({
  descriptor: 0x00281101 + index,
  data: 0x00281201 + index,
  segmented: 0x00281221 + index,
}));

/** Throws `unsupported`, `malformed`, and what decoding throws. */
export function render(pixels: Pixels, options: RenderOptions): RenderedImage {
  const frame = pixels.frame(options.frameIndex);
  const { rows, columns, samplesPerPixel, photometricInterpretation, values } = frame;
  const bits = pixels.description.bitsStored;
  switch (photometricInterpretation) {
    case 'MONOCHROME1':
    case 'MONOCHROME2':
      return { rows, columns, samplesPerPixel, bytes: gray(frame, options) };
    case 'PALETTE COLOR':
      return { rows, columns, samplesPerPixel: 3, bytes: palette(values, options) };
    case 'RGB':
      return { rows, columns, samplesPerPixel, bytes: eightBits(values, bits) };
    case 'YBR_FULL':
      return { rows, columns, samplesPerPixel, bytes: rgbOfYbr(eightBits(values, bits)) };
    case 'YBR_PARTIAL_422':
      return { rows, columns, samplesPerPixel, bytes: rgbOfPartialYbr(eightBits(values, bits)) };
    default:
      throw new DicomError('unsupported', `${photometricInterpretation} is rendered from compressed pixels only.`);
  }
}

function gray(frame: PixelFrame, options: RenderOptions): Buffer {
  const { values } = frame;
  const { dataSet } = options;
  const transform = modalityTransformOf(options);
  const interest: ValuesOfInterest =
    options.window === undefined
      ? (valuesOfInterestOf(options) ?? wholeRange(values, transform, dataSet))
      : { kind: 'window', window: options.window };
  const shown = presentationFunction(interest);
  const isInverse =
    (frame.photometricInterpretation === 'MONOCHROME1') !== (textOf(dataSet, PRESENTATION_LUT_SHAPE) === 'INVERSE');
  const grayOf = (stored: number) => {
    const part = shown(modalityValue(transform, stored));
    return Math.round((isInverse ? 1 - part : part) * 255);
  };
  // Stored values repeat: each is worked out once.
  const known = new Map<number, number>();
  const bytes = Buffer.alloc(values.length);
  for (let index = 0; index < values.length; index += 1) {
    const stored = values[index] ?? 0;
    let level = known.get(stored);
    if (level === undefined) {
      level = grayOf(stored);
      if (known.size < 0x10000) known.set(stored, level);
    }
    bytes[index] = level;
  }
  return bytes;
}

/** Where the image names no window: from the lowest to the highest value of the frame, padding left out. */
function wholeRange(values: PixelValues, transform: ModalityTransform, dataSet: DataSet): ValuesOfInterest {
  const isPadding = paddingTest(dataSet);
  let [min, max] = [Infinity, -Infinity];
  for (const stored of values) {
    if (isPadding(stored)) continue;
    const value = modalityValue(transform, stored);
    if (value < min) min = value;
    if (value > max) max = value;
  }
  const width = max > min ? max - min : 1;
  return { kind: 'window', window: { center: max >= min ? (min + max) / 2 : 0, width, shape: 'LINEAR_EXACT' } };
}

/** C.7.5.1.1.2: one value, or all between it and its limit. */
function paddingTest(dataSet: DataSet): (stored: number) => boolean {
  const numberIn = (tag: number) => {
    const element = dataSet.elements.get(tag);
    const [number] = element === undefined ? [] : numbersIn(element, dataSet.littleEndian);
    return number === undefined ? undefined : Number(number);
  };
  const value = numberIn(PIXEL_PADDING_VALUE);
  if (value === undefined) return () => false;
  const limit = numberIn(PIXEL_PADDING_RANGE_LIMIT) ?? value;
  const [low, high] = [Math.min(value, limit), Math.max(value, limit)];
  return (stored) => stored >= low && stored <= high;
}

function palette(values: PixelValues, { dataSet, source }: RenderOptions): Buffer {
  const tables = PALETTE_TAGS.map((tags) => lookupTableOf(dataSet, source, { tags, isSigned: false }));
  if (!tables.every((table) => table !== undefined))
    throw new DicomError('malformed', 'A palette colour image has no palette.');
  const levels = tables.map(levelsOf);
  const bytes = Buffer.alloc(values.length * 3);
  for (let index = 0; index < values.length; index += 1) {
    for (const [sample, table] of tables.entries()) {
      bytes[index * 3 + sample] = levels[sample]?.(lookUp(table, values[index] ?? 0)) ?? 0;
    }
  }
  return bytes;
}

/** Sixteen bits to eight; some programs write eight into tables that they call sixteen, which then stay in the lower half. */
function levelsOf({ bits, outputs }: LookupTable): (output: number) => number {
  const isEight = bits <= 8 || outputs.every((output) => output < 256);
  return isEight ? (output) => output : (output) => output >>> 8;
}

function eightBits(values: PixelValues, bitsStored: number): Buffer {
  const drop = Math.max(bitsStored - 8, 0);
  const bytes = Buffer.alloc(values.length);
  for (let index = 0; index < values.length; index += 1) bytes[index] = (values[index] ?? 0) >>> drop;
  return bytes;
}
