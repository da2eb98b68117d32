/**
 * Blacks out pixels of an uncompressed image, exactly those of the regions and no bit of another; in every frame.
 *
 * Black is the lowest value that the image holds, in MONOCHROME1 the highest, so that viewers choose the same window as before; in
 * colour it is no luminance. Where two pixels share their colour
 * (YBR_FULL_422), it is removed when either goes: the other one keeps its luminance.
 */
import { frameBits, isSubsampled } from '../pixel/pixel-description.ts';
import { type PixelGeometry, pixelBytes } from './pixel-geometry.ts';
import type { Region } from './pixel-rules.ts';

/** Inside of regions, or all outside of them, as with ultrasound. */
export type Mask = { readonly regions: readonly Region[]; readonly where: 'inside' | 'outside' };

/** One byte per pixel of a frame, row by row: 1 where it is to be black. [rows * columns] */
export function maskedPixels({ columns, rows }: PixelGeometry, masks: readonly Mask[]): Uint8Array {
  const masked = new Uint8Array(columns * rows);
  for (const { regions, where } of masks) {
    const inside = new Uint8Array(columns * rows);
    for (const { x, y, width, height } of regions) {
      const right = Math.min(columns, x + width);
      for (let row = y; row < Math.min(rows, y + height); row += 1) {
        if (x < right) inside.fill(1, row * columns + x, row * columns + right);
      }
    }
    for (let pixel = 0; pixel < masked.length; pixel += 1) {
      if ((inside[pixel] === 1) === (where === 'inside')) masked[pixel] = 1;
    }
  }
  return masked;
}

/** A copy of PixelData with the masked pixels black. Multi-byte samples are in the order that `littleEndian` says. */
export function blackOut(
  pixelData: Buffer,
  geometry: PixelGeometry,
  { masked, littleEndian }: { masked: Uint8Array; littleEndian: boolean },
): Buffer {
  const result = Buffer.from(pixelData);
  const write = sampleWriter(result, geometry.bitsAllocated, littleEndian);
  const samplesPerFrame = frameBits(geometry) / geometry.bitsAllocated;
  const extreme = extremeOf(pixelData.subarray(0, pixelBytes(geometry)), geometry, littleEndian);
  for (let frame = 0; frame < geometry.frameCount; frame += 1) {
    for (let pixel = 0; pixel < masked.length; pixel += 1) {
      if (masked[pixel] === 1) blackenPixel({ pixel, frameStart: frame * samplesPerFrame, extreme }, geometry, write);
    }
  }
  return result;
}

type SampleWriter = (sample: number, value: number) => void;

function blackenPixel(
  { pixel, frameStart, extreme }: { pixel: number; frameStart: number; extreme: number },
  geometry: PixelGeometry,
  write: SampleWriter,
): void {
  const { samplesPerPixel, isPlanar, photometricInterpretation, columns, rows } = geometry;
  if (isSubsampled(photometricInterpretation)) {
    const pair = frameStart + 4 * Math.floor(pixel / 2); // Y1 Y2 Cb Cr
    write(pair + (pixel % 2), 0);
    write(pair + 2, colourless(geometry));
    write(pair + 3, colourless(geometry));
    return;
  }
  for (let sample = 0; sample < samplesPerPixel; sample += 1) {
    const at = isPlanar ? sample * columns * rows + pixel : pixel * samplesPerPixel + sample;
    write(frameStart + at, blackOf(sample, geometry, extreme));
  }
}

function colourless({ bitsStored }: PixelGeometry): number {
  return 2 ** (bitsStored - 1);
}

/** As unsigned bits of the sample. */
function blackOf(sample: number, geometry: PixelGeometry, extreme: number): number {
  if (geometry.samplesPerPixel === 1) return extreme;
  return geometry.photometricInterpretation.startsWith('YBR') && sample > 0 ? colourless(geometry) : 0;
}

/** The lowest value of all samples, or the highest for MONOCHROME1; bits beside the stored ones do not count. */
function extremeOf(pixelData: Buffer, geometry: PixelGeometry, littleEndian: boolean): number {
  const { bitsAllocated, bitsStored, isSigned, photometricInterpretation } = geometry;
  if (geometry.samplesPerPixel > 1 || photometricInterpretation === 'PALETTE COLOR' || bitsAllocated === 1) return 0;
  const view = new DataView(pixelData.buffer, pixelData.byteOffset, pixelData.byteLength);
  const bytes = bitsAllocated / 8;
  const shift = 32 - bitsStored;
  const sign = photometricInterpretation === 'MONOCHROME1' ? -1 : 1;
  let [extreme, extremeBits] = [Number.POSITIVE_INFINITY, 0];
  for (let at = 0; at + bytes <= pixelData.byteLength; at += bytes) {
    const bits =
      bytes === 1
        ? view.getUint8(at)
        : bytes === 2
          ? view.getUint16(at, littleEndian)
          : view.getUint32(at, littleEndian);
    const value = sign * (isSigned ? (bits << shift) >> shift : (bits << shift) >>> shift);
    if (value < extreme) [extreme, extremeBits] = [value, bits];
  }
  return extremeBits;
}

function sampleWriter(buffer: Buffer, bitsAllocated: number, littleEndian: boolean): SampleWriter {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const isInside = (end: number) => end <= buffer.byteLength; // a truncated value stays truncated
  switch (bitsAllocated) {
    case 1:
      return (sample, value) => {
        const byte = sample >>> 3;
        const bit = 1 << (sample & 7); // PS3.5 8.2: the first pixel in the lowest bit
        if (isInside(byte + 1)) buffer[byte] = ((buffer[byte] ?? 0) & ~bit) | (value === 0 ? 0 : bit);
      };
    case 8:
      return (sample, value) => {
        if (isInside(sample + 1)) view.setUint8(sample, value);
      };
    case 16:
      return (sample, value) => {
        if (isInside(2 * sample + 2)) view.setUint16(2 * sample, value, littleEndian);
      };
    default:
      return (sample, value) => {
        if (isInside(4 * sample + 4)) view.setUint32(4 * sample, value, littleEndian);
      };
  }
}

/** A copy in which bits that hold no pixel are 0: overlays of old hide there (PS3.5 8.1.2). */
export function withoutUnusedBits(pixelData: Buffer, geometry: PixelGeometry, littleEndian: boolean): Buffer {
  const { bitsStored, highBit, bitsAllocated } = geometry;
  const used = (2 ** bitsStored - 1) * 2 ** (highBit + 1 - bitsStored);
  const result = Buffer.from(pixelData);
  const view = new DataView(result.buffer, result.byteOffset, result.byteLength);
  if (bitsAllocated === 8)
    for (let at = 0; at < result.byteLength; at += 1) view.setUint8(at, view.getUint8(at) & used);
  if (bitsAllocated === 16) {
    for (let at = 0; at + 1 < result.byteLength; at += 2)
      view.setUint16(at, view.getUint16(at, littleEndian) & used, littleEndian);
  }
  return result;
}
