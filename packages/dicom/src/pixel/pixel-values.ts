/** Pixel cells as numbers (PS3.5 8.1): stored bits taken out of the allocated ones, with their sign, samples of a pixel together. */
import { DicomError } from '../dicom-error.ts';
import { isSubsampled, type PixelDescription } from './pixel-description.ts';

export type PixelValues =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

export type Cells = {
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly isSigned: boolean;
};

/** Cells in little endian, as many as there are bytes for. */
export function valuesOfCells(bytes: Buffer, cells: Cells): PixelValues {
  const { bitsAllocated, bitsStored, highBit, isSigned } = cells;
  const drop = bitsAllocated - 1 - highBit; // above the stored bits: overlays, as they were until 2004, or sign
  const keep = 32 - bitsStored;
  const up = drop + 32 - bitsAllocated;
  const count = Math.floor(bytes.byteLength / (bitsAllocated / 8));
  const values = emptyValues(cells, count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cellAt =
    bitsAllocated === 8
      ? (index: number) => view.getUint8(index)
      : bitsAllocated === 16
        ? (index: number) => view.getUint16(index * 2, true)
        : (index: number) => view.getUint32(index * 4, true);
  for (let index = 0; index < count; index += 1) {
    const shifted = cellAt(index) << up;
    values[index] = isSigned ? shifted >> keep : shifted >>> keep;
  }
  return values;
}

function emptyValues({ bitsAllocated, isSigned }: Cells, count: number): PixelValues {
  if (bitsAllocated === 8) return isSigned ? new Int8Array(count) : new Uint8Array(count);
  if (bitsAllocated === 16) return isSigned ? new Int16Array(count) : new Uint16Array(count);
  return isSigned ? new Int32Array(count) : new Uint32Array(count);
}

/**
 * One native frame in little endian; `bytes` begins with the byte in which the frame begins, `firstBit` says where.
 * Throws `truncated` where there are fewer than the frame needs.
 */
export function nativeValues(bytes: Buffer, firstBit: number, description: PixelDescription): PixelValues {
  const { rows, columns, samplesPerPixel, bitsAllocated } = description;
  const pixelCount = rows * columns;
  if (description.element === 'floatPixelData') return floats(bytes, pixelCount, 4);
  if (description.element === 'doubleFloatPixelData') return floats(bytes, pixelCount, 8);
  if (bitsAllocated === 1) return bits(bytes, firstBit, pixelCount * samplesPerPixel);
  const bytesPerSample = bitsAllocated / 8;
  if (isSubsampled(description.photometricInterpretation)) {
    const needed = sized(bytes, pixelCount * 2 * bytesPerSample);
    return upsampled(valuesOfCells(needed, description), pixelCount);
  }
  const needed = sized(bytes, pixelCount * samplesPerPixel * bytesPerSample);
  const samples = description.isPlanar ? interleaved(needed, samplesPerPixel, bytesPerSample) : needed;
  return valuesOfCells(samples, description);
}

function sized(bytes: Buffer, length: number): Buffer {
  if (bytes.byteLength < length) throw new DicomError('truncated', 'There are fewer pixels than the image needs.');
  return bytes.subarray(0, length);
}

/** The first pixel is the lowest bit (PS3.5 8.1.1). */
function bits(bytes: Buffer, firstBit: number, count: number): Uint8Array {
  sized(bytes, Math.ceil((firstBit + count) / 8));
  const values = new Uint8Array(count);
  for (let index = 0; index < count; index += 1) {
    const bit = firstBit + index;
    values[index] = ((bytes[bit >>> 3] ?? 0) >>> (bit & 7)) & 1;
  }
  return values;
}

function floats(bytes: Buffer, count: number, bytesEach: 4 | 8): Float32Array | Float64Array {
  const needed = sized(bytes, count * bytesEach);
  const values = bytesEach === 4 ? new Float32Array(count) : new Float64Array(count);
  for (let index = 0; index < count; index += 1) {
    values[index] = bytesEach === 4 ? needed.readFloatLE(index * 4) : needed.readDoubleLE(index * 8);
  }
  return values;
}

/** Two luminances and a chrominance that both pixels have (PS3.3 C.7.6.3.1.2), as three samples for each. */
function upsampled(values: PixelValues, pixelCount: number): Uint8Array | Uint16Array {
  const full = values instanceof Uint8Array ? new Uint8Array(pixelCount * 3) : new Uint16Array(pixelCount * 3);
  for (let pixel = 0; pixel < pixelCount; pixel += 1) {
    const pair = (pixel >>> 1) * 4;
    full[pixel * 3] = values[pair + (pixel & 1)] ?? 0;
    full[pixel * 3 + 1] = values[pair + 2] ?? 0;
    full[pixel * 3 + 2] = values[pair + 3] ?? 0;
  }
  return full;
}

/** Values as cells in little endian, signed ones with their sign in the bits above. */
export function bytesOfValues(values: PixelValues, bitsAllocated: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil((values.length * bitsAllocated) / 8));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] ?? 0;
    if (bitsAllocated === 8) view.setUint8(index, value);
    else if (bitsAllocated === 16) view.setUint16(index * 2, value, true);
    else view.setUint32(index * 4, value, true);
  }
  return bytes;
}

/** Samples plane after plane, put together by pixel. */
export function interleaved(planes: Buffer, samplesPerPixel: number, bytesPerSample: number): Buffer {
  const target = Buffer.alloc(planes.byteLength);
  const pixelCount = planes.byteLength / samplesPerPixel / bytesPerSample;
  let from = 0;
  for (let sample = 0; sample < samplesPerPixel; sample += 1) {
    for (let pixel = 0; pixel < pixelCount; pixel += 1) {
      const to = (pixel * samplesPerPixel + sample) * bytesPerSample;
      for (let byte = 0; byte < bytesPerSample; byte += 1, from += 1) target[to + byte] = planes[from] ?? 0;
    }
  }
  return target;
}
