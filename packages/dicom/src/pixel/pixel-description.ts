/** What the numbers in a pixel data element are (PS3.3 C.7.6.3, PS3.5 section 8): checked once, before any of them is read. */
import { type DataSet, numberOf, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import type { Tag } from '../tag.ts';

export const PIXEL_TAGS = {
  extendedOffsetTable: 0x7fe00001,
  extendedOffsetTableLengths: 0x7fe00002,
  floatPixelData: 0x7fe00008,
  doubleFloatPixelData: 0x7fe00009,
  pixelData: 0x7fe00010,
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
} as const satisfies Record<string, Tag>;

/** Larger than any single image there is (a digital mammogram has 40 MB); bounds the memory that a claim can take. */
export const FRAME_BYTES_MAX = 512 * 1024 * 1024;
/** Whole-slide images reach some hundred thousand tiles. */
const FRAME_COUNT_MAX = 1_000_000;

const SAMPLES = {
  MONOCHROME1: 1,
  MONOCHROME2: 1,
  'PALETTE COLOR': 1,
  RGB: 3,
  YBR_FULL: 3,
  YBR_FULL_422: 3,
  YBR_PARTIAL_420: 3,
  YBR_PARTIAL_422: 3,
  YBR_ICT: 3,
  YBR_RCT: 3,
} as const;

/** PS3.3 C.7.6.3.1.2, without the retired HSV, ARGB and CMYK, which no program writes. */
export type PhotometricInterpretation = keyof typeof SAMPLES;

export type PixelDescription = {
  readonly rows: number;
  readonly columns: number;
  readonly frameCount: number;
  readonly samplesPerPixel: 1 | 3;
  readonly photometricInterpretation: PhotometricInterpretation;
  /** Sample after sample of a pixel, or plane after plane; of native pixels. */
  readonly isPlanar: boolean;
  /** Which element holds them. */
  readonly element: 'pixelData' | 'floatPixelData' | 'doubleFloatPixelData';
  readonly bitsAllocated: 1 | 8 | 16 | 32 | 64;
  /** 1 to bitsAllocated; the lowest stands at `highBit - bitsStored + 1`. */
  readonly bitsStored: number;
  readonly highBit: number;
  readonly isSigned: boolean;
};

/** Throws `malformed` where attributes lack or contradict each other, `unsupported` and `limit`. */
export function pixelDescriptionOf(dataSet: DataSet): PixelDescription {
  const photometricInterpretation = textOf(dataSet, PIXEL_TAGS.photometricInterpretation) ?? '';
  if (!isKnown(photometricInterpretation))
    throw new DicomError('unsupported', 'PhotometricInterpretation is none of those that we read.');
  const samplesPerPixel = numberOf(dataSet, PIXEL_TAGS.samplesPerPixel) ?? SAMPLES[photometricInterpretation];
  if (samplesPerPixel !== SAMPLES[photometricInterpretation])
    throw new DicomError('malformed', 'SamplesPerPixel contradicts PhotometricInterpretation.');
  const description = {
    rows: positive(dataSet, PIXEL_TAGS.rows, 'Rows'),
    columns: positive(dataSet, PIXEL_TAGS.columns, 'Columns'),
    frameCount: frameCountOf(dataSet),
    samplesPerPixel: SAMPLES[photometricInterpretation],
    photometricInterpretation,
    isPlanar: samplesPerPixel > 1 && numberOf(dataSet, PIXEL_TAGS.planarConfiguration) === 1,
    ...bitsOf(dataSet),
  };
  if (frameBits(description) / 8 > FRAME_BYTES_MAX)
    throw new DicomError('limit', `A frame of more than ${FRAME_BYTES_MAX} bytes is not decoded.`);
  return description;
}

function isKnown(name: string): name is PhotometricInterpretation {
  return Object.hasOwn(SAMPLES, name);
}

function positive(dataSet: DataSet, tag: Tag, name: string): number {
  const number = numberOf(dataSet, tag);
  if (number === undefined || number < 1) throw new DicomError('malformed', `${name} is missing or zero.`);
  return number;
}

function frameCountOf(dataSet: DataSet): number {
  const count = numberOf(dataSet, PIXEL_TAGS.numberOfFrames) ?? 1;
  if (!Number.isInteger(count) || count < 1) throw new DicomError('malformed', 'NumberOfFrames is no positive number.');
  if (count > FRAME_COUNT_MAX) throw new DicomError('limit', `More than ${FRAME_COUNT_MAX} frames.`);
  return count;
}

type Bits = Pick<PixelDescription, 'element' | 'bitsAllocated' | 'bitsStored' | 'highBit' | 'isSigned'>;

function bitsOf(dataSet: DataSet): Bits {
  const float = (element: Bits['element'], bits: 32 | 64): Bits => ({
    element,
    bitsAllocated: bits,
    bitsStored: bits,
    highBit: bits - 1,
    isSigned: true,
  });
  if (dataSet.elements.has(PIXEL_TAGS.floatPixelData)) return float('floatPixelData', 32);
  if (dataSet.elements.has(PIXEL_TAGS.doubleFloatPixelData)) return float('doubleFloatPixelData', 64);
  const bitsAllocated = numberOf(dataSet, PIXEL_TAGS.bitsAllocated);
  if (bitsAllocated !== 1 && bitsAllocated !== 8 && bitsAllocated !== 16 && bitsAllocated !== 32)
    throw new DicomError('unsupported', 'BitsAllocated is none of 1, 8, 16 and 32.');
  const bitsStored = numberOf(dataSet, PIXEL_TAGS.bitsStored) ?? bitsAllocated;
  const highBit = numberOf(dataSet, PIXEL_TAGS.highBit) ?? bitsStored - 1;
  if (bitsStored < 1 || bitsStored > bitsAllocated || highBit >= bitsAllocated || highBit < bitsStored - 1)
    throw new DicomError('malformed', 'BitsStored and HighBit do not lie in BitsAllocated.');
  const isSigned = numberOf(dataSet, PIXEL_TAGS.pixelRepresentation) === 1;
  return { element: 'pixelData', bitsAllocated, bitsStored, highBit, isSigned };
}

/** Of one native frame in bits: frames of single bits follow each other without padding (PS3.5 8.1.1). */
export function frameBits(description: {
  readonly rows: number;
  readonly columns: number;
  readonly samplesPerPixel: number;
  readonly bitsAllocated: number;
  readonly photometricInterpretation: string;
}): number {
  const { rows, columns, bitsAllocated } = description;
  const samples = isSubsampled(description.photometricInterpretation) ? 2 : description.samplesPerPixel;
  return rows * columns * samples * bitsAllocated;
}

/** Native pixels of which two share their chrominance: four samples for two pixels (PS3.3 C.7.6.3.1.2). */
export function isSubsampled(photometric: string): boolean {
  return photometric === 'YBR_FULL_422' || photometric === 'YBR_PARTIAL_422';
}
