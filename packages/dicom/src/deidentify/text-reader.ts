/**
 * Reading text in pixels. The reader itself is passed in, as it is a program of its own; here is what it is given and how its answer
 * is judged. Only words of radiology and small numbers may stay legible: depth scales, L, R, kV. Anything else may be a name.
 */

import { frameBits, isSubsampled } from '../pixel/pixel-description.ts';
import { isKnownWord, knownWordsOf } from './known-words.ts';
import type { PixelGeometry } from './pixel-geometry.ts';
import type { Scrubber } from './scrubber.ts';

/** Eight bits per pixel, row by row, the frame's darkest value 0 and its brightest 255. */
export type GreyImage = { readonly width: number; readonly height: number; readonly pixels: Uint8Array };
export type FoundText = {
  readonly text: string;
  /** How sure the reader is [percent]. */
  readonly confidence: number;
  /** Whole pixels of the image. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
};
export type TextReader = (image: GreyImage, signal?: AbortSignal) => Promise<readonly FoundText[]>;

/** Of a longer film every so many frames are read: what is burned in stands still. */
const FRAMES_READ_MAX = 16;
/** Shorter runs are what readers see in bones and noise; of three letters only the patient's own name counts. */
const TEXT_LENGTH_MIN = 4;
const OWN_LENGTH_MIN = 3;

export function isTelling({ text }: FoundText, scrubber: Scrubber): boolean {
  const characters = text.replace(/[^\p{L}\p{N}]/gu, '');
  if (characters.length >= OWN_LENGTH_MIN && scrubber.scrub(text) !== text) return true;
  if (characters.length < TEXT_LENGTH_MIN) return false;
  return knownWordsOf(text) !== text && !isKnownWord(characters.toLowerCase());
}

/** Indices of the frames to read, the first and the last among them. */
export function framesToRead(frameCount: number): number[] {
  const count = Math.min(frameCount, FRAMES_READ_MAX);
  const indices = Array.from({ length: count }, (_, index) =>
    Math.round((index * (frameCount - 1)) / Math.max(1, count - 1)),
  );
  return [...new Set(indices)];
}

/** A frame of uncompressed PixelData as a reader sees it; `undefined` where the data ends before. */
export function greyFrame(
  pixelData: Buffer,
  geometry: PixelGeometry,
  { frame, littleEndian }: { frame: number; littleEndian: boolean },
): GreyImage | undefined {
  const { columns, rows, samplesPerPixel, isPlanar, photometricInterpretation, bitsAllocated } = geometry;
  const samplesPerFrame = frameBits(geometry) / bitsAllocated;
  if ((frame + 1) * frameBits(geometry) > 8 * pixelData.byteLength) return undefined;
  const read = sampleReader(pixelData, geometry, littleEndian);
  const count = columns * rows;
  const values = new Float64Array(count);
  const isColour = samplesPerPixel === 3 && photometricInterpretation === 'RGB';
  const sampleAt = (pixel: number, sample: number) =>
    isPlanar ? sample * count + pixel : pixel * samplesPerPixel + sample;
  for (let pixel = 0; pixel < count; pixel += 1) {
    const base = frame * samplesPerFrame;
    if (isSubsampled(photometricInterpretation)) values[pixel] = read(base + 4 * Math.floor(pixel / 2) + (pixel % 2));
    else if (isColour)
      values[pixel] = Math.max(...[0, 1, 2].map((sample) => read(base + sampleAt(pixel, sample)))); // red text too
    else values[pixel] = read(base + sampleAt(pixel, 0));
  }
  return { width: columns, height: rows, pixels: scaled(values, photometricInterpretation === 'MONOCHROME1') };
}

/** How much wider than all else a gap above the lowest value must be for that value to be padding, not a shade. */
const PADDING_GAP_RATIO = 0.5;

function scaled(values: Float64Array, inverted: boolean): Uint8Array {
  const sorted = Float64Array.from(values).sort();
  const lowest = sorted[0] ?? 0;
  const high = sorted.at(-1) ?? 0;
  // Padding far below every tissue would press all shades into one.
  const next = sorted.find((value) => value > lowest) ?? lowest;
  const low = next < high && next - lowest > PADDING_GAP_RATIO * (high - next) ? next : lowest;
  const range = Math.max(1, high - low);
  const shade = (value: number) => (value < low ? 0 : (255 * (value - low)) / range);
  return Uint8Array.from(values, (value) => (inverted ? 255 - shade(value) : shade(value)));
}

function sampleReader(buffer: Buffer, { bitsAllocated, bitsStored, isSigned }: PixelGeometry, littleEndian: boolean) {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const shift = 32 - bitsStored;
  const signed = (value: number) => (isSigned ? (value << shift) >> shift : value);
  switch (bitsAllocated) {
    case 1:
      return (sample: number) => ((buffer[sample >>> 3] ?? 0) >>> (sample & 7)) & 1;
    case 8:
      return (sample: number) => signed(view.getUint8(sample));
    case 16:
      return (sample: number) => signed(view.getUint16(2 * sample, littleEndian));
    default:
      return (sample: number) => signed(view.getUint32(4 * sample, littleEndian));
  }
}
