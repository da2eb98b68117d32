/** How the samples of an uncompressed image lie in PixelData (PS3.5 8.1, PS3.3 C.7.6.3). */
import { type DataSet, numbersIn, textOf } from '../data-set.ts';
import type { Tag } from '../tag.ts';

export type PixelGeometry = {
  readonly columns: number;
  readonly rows: number;
  readonly frameCount: number;
  readonly samplesPerPixel: number;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly isSigned: boolean;
  /** Sample after sample of a pixel, or plane after plane. */
  readonly isPlanar: boolean;
  readonly photometric: string;
};

const PIXEL_TAGS = {
  samplesPerPixel: 0x00280002,
  photometricInterpretation: 0x00280004,
  planarConfiguration: 0x00280006,
  numberOfFrames: 0x00280008,
  rows: 0x00280010,
  columns: 0x00280011,
  bitsAllocated: 0x00280100,
  bitsStored: 0x00280101,
  highBit: 0x00280102,
  pixelRepresentation: 0x00280103,
} as const;

/** `undefined` where rows, columns or bits are missing. */
export function pixelGeometryOf(dataSet: DataSet): PixelGeometry | undefined {
  const columns = numberIn(dataSet, PIXEL_TAGS.columns);
  const rows = numberIn(dataSet, PIXEL_TAGS.rows);
  const bitsAllocated = numberIn(dataSet, PIXEL_TAGS.bitsAllocated);
  if (columns === undefined || rows === undefined || bitsAllocated === undefined) return undefined;
  if (columns * rows === 0 || ![1, 8, 16, 32].includes(bitsAllocated)) return undefined;
  const bitsStored = numberIn(dataSet, PIXEL_TAGS.bitsStored) ?? bitsAllocated;
  return {
    columns,
    rows,
    frameCount: frameCountOf(dataSet),
    samplesPerPixel: numberIn(dataSet, PIXEL_TAGS.samplesPerPixel) ?? 1,
    bitsAllocated,
    bitsStored,
    highBit: numberIn(dataSet, PIXEL_TAGS.highBit) ?? bitsStored - 1,
    isSigned: numberIn(dataSet, PIXEL_TAGS.pixelRepresentation) === 1,
    isPlanar: numberIn(dataSet, PIXEL_TAGS.planarConfiguration) === 1,
    photometric: textOf(dataSet, PIXEL_TAGS.photometricInterpretation) ?? 'MONOCHROME2',
  };
}

export function numberIn(dataSet: DataSet, tag: Tag): number | undefined {
  const element = dataSet.elements.get(tag);
  const [number] = element === undefined ? [] : numbersIn(element, dataSet.littleEndian);
  return number === undefined ? undefined : Number(number);
}

function frameCountOf(dataSet: DataSet): number {
  const count = Number(textOf(dataSet, PIXEL_TAGS.numberOfFrames) ?? 1);
  return Number.isInteger(count) && count > 0 ? count : 1;
}

/** Of one frame in bits: frames of bit images follow each other without padding. */
export function frameBits({ columns, rows, samplesPerPixel, bitsAllocated, photometric }: PixelGeometry): number {
  const samples = isSubsampled(photometric) ? 2 : samplesPerPixel; // C.7.6.3.1.2: two pixels in four samples
  return columns * rows * samples * bitsAllocated;
}

export function isSubsampled(photometric: string): boolean {
  return photometric === 'YBR_FULL_422' || photometric === 'YBR_PARTIAL_422';
}

/** Of all frames [bytes], without padding to an even length. */
export function pixelBytes(geometry: PixelGeometry): number {
  return Math.ceil((frameBits(geometry) * geometry.frameCount) / 8);
}
