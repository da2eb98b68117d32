/**
 * How the samples of an uncompressed image lie in PixelData (PS3.5 8.1, PS3.3 C.7.6.3). Unlike `PixelDescription` it forgives what a
 * viewer may not: also of an image that nobody can show, what lies beyond its pixels must not leave.
 */
import { type DataSet, numberOf, textOf } from '../data-set.ts';
import { frameBits, PIXEL_TAGS } from '../pixel/pixel-description.ts';

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
  readonly photometricInterpretation: string;
};

/** `undefined` where rows, columns or bits are missing. */
export function pixelGeometryOf(dataSet: DataSet): PixelGeometry | undefined {
  const columns = numberOf(dataSet, PIXEL_TAGS.columns);
  const rows = numberOf(dataSet, PIXEL_TAGS.rows);
  const bitsAllocated = numberOf(dataSet, PIXEL_TAGS.bitsAllocated);
  if (columns === undefined || rows === undefined || bitsAllocated === undefined) return undefined;
  if (columns * rows === 0 || ![1, 8, 16, 32].includes(bitsAllocated)) return undefined;
  const bitsStored = numberOf(dataSet, PIXEL_TAGS.bitsStored) ?? bitsAllocated;
  return {
    columns,
    rows,
    frameCount: frameCountOf(dataSet),
    samplesPerPixel: numberOf(dataSet, PIXEL_TAGS.samplesPerPixel) ?? 1,
    bitsAllocated,
    bitsStored,
    highBit: numberOf(dataSet, PIXEL_TAGS.highBit) ?? bitsStored - 1,
    isSigned: numberOf(dataSet, PIXEL_TAGS.pixelRepresentation) === 1,
    isPlanar: numberOf(dataSet, PIXEL_TAGS.planarConfiguration) === 1,
    photometricInterpretation: textOf(dataSet, PIXEL_TAGS.photometricInterpretation) ?? 'MONOCHROME2',
  };
}

function frameCountOf(dataSet: DataSet): number {
  const count = numberOf(dataSet, PIXEL_TAGS.numberOfFrames) ?? 1;
  return Number.isInteger(count) && count > 0 ? count : 1;
}

/** Of all frames [bytes], without padding to an even length. */
export function pixelBytes(geometry: PixelGeometry): number {
  return Math.ceil((frameBits(geometry) * geometry.frameCount) / 8);
}
