/**
 * Reads Segmentation objects, ours and those of others, back into arrays: onto the slices that they were made of, or into a volume
 * of their own. Label maps (PS3.3 A.51, of 2024) are refused.
 */
import { type DataSet, itemsOf, numberOf, textOf } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import { functionalGroup } from '../../pixel/functional-groups.ts';
import { openPixels, type PixelSource } from '../../pixel/pixels.ts';
import {
  difference,
  dot,
  norm,
  type SliceGeometry,
  scaled,
  sliceGeometryOf,
  type Vector,
} from '../../volume/slice-geometry.ts';
import { affineOf, type Volume } from '../../volume/volume.ts';
import { type ReadSegment, segmentsIn } from './segment.ts';

const TAGS = {
  segmentationType: 0x00620001,
  fractionalType: 0x00620010,
  maximumFractionalValue: 0x0062000e,
  segmentIdentification: 0x0062000a,
  referencedSegmentNumber: 0x0062000b,
  derivationImage: 0x00089124,
  sourceImage: 0x00082112,
  referencedSopInstanceUid: 0x00081155,
  referencedFrameNumber: 0x00081160,
  spacingBetweenSlices: 0x00180088,
  pixelMeasures: 0x00289110,
} as const;
/** As for volumes of images: 2,000 slices of 512 x 512. */
const VOXEL_COUNT_MAX = 512 * 1024 * 1024;
/** Of a step: positions come with some digits only. */
const PLACE_TOLERANCE = 0.01;
const SAME_PLACE_MM = 1e-3;

export type SegmentationFrame = {
  readonly segmentNumber: number;
  readonly geometry: SliceGeometry | undefined;
  /** The frames that it was made of; frames are counted from 0. */
  readonly origins: Volume['origins'];
  /** 0 and 1, or 0 to `maximum`; [rows, columns]. */
  values(): Uint8Array;
};

export type ReadSegmentation = {
  readonly rows: number;
  readonly columns: number;
  /** What a voxel has that belongs to its segment wholly: 1, or MaximumFractionalValue. */
  readonly maximum: number;
  /** What parts of a voxel mean: how much of it is filled, or how likely it is that it is; nothing where there are none. */
  readonly fraction: 'OCCUPANCY' | 'PROBABILITY' | undefined;
  readonly segments: readonly ReadSegment[];
  readonly frames: readonly SegmentationFrame[];
  /** As the object says it [mm]. */
  readonly spacingBetweenSlices: number | undefined;
};

export type SegmentVolume = Pick<Volume, 'rows' | 'columns' | 'slices' | 'spacing' | 'affine'> & {
  /** Column fastest, then row, then slice; zero where the object has no frame. */
  readonly values: Uint8Array;
};

/** Throws `object` where it is no segmentation, `unsupported` for label maps, and what reading pixels throws. */
export function readSegmentation(object: PixelSource): ReadSegmentation {
  const { dataSet } = object;
  const type = textOf(dataSet, TAGS.segmentationType);
  if (type === undefined) throw new DicomError('object', 'SegmentationType: this is no segmentation.');
  if (type !== 'BINARY' && type !== 'FRACTIONAL')
    throw new DicomError('unsupported', 'SegmentationType: only BINARY and FRACTIONAL are read.');
  const pixels = openPixels(object);
  const { rows, columns, frameCount, bitsAllocated } = pixels.description;
  if (bitsAllocated > 8) throw new DicomError('object', 'BitsAllocated: a segmentation has 1 or 8 bits a voxel.');
  const measures = functionalGroup(dataSet, 0, TAGS.pixelMeasures);
  const frames = Array.from({ length: frameCount }, (_, index) => ({
    ...frameAt(dataSet, index),
    values: () => Uint8Array.from(pixels.frame(index).values),
  }));
  return {
    rows,
    columns,
    maximum: type === 'BINARY' ? 1 : (numberOf(dataSet, TAGS.maximumFractionalValue) ?? 255),
    fraction: type === 'BINARY' ? undefined : fractionOf(dataSet),
    segments: segmentsIn(dataSet),
    frames,
    spacingBetweenSlices: measures === undefined ? undefined : numberOf(measures, TAGS.spacingBetweenSlices),
  };
}

function fractionOf(dataSet: DataSet): 'OCCUPANCY' | 'PROBABILITY' {
  return textOf(dataSet, TAGS.fractionalType) === 'OCCUPANCY' ? 'OCCUPANCY' : 'PROBABILITY';
}

function frameAt(dataSet: DataSet, index: number): Omit<SegmentationFrame, 'values'> {
  const identification = functionalGroup(dataSet, index, TAGS.segmentIdentification);
  const segmentNumber =
    identification === undefined ? undefined : numberOf(identification, TAGS.referencedSegmentNumber);
  if (segmentNumber === undefined)
    throw new DicomError('object', 'ReferencedSegmentNumber: a frame does not say which segment it is of.');
  const derivation = functionalGroup(dataSet, index, TAGS.derivationImage);
  const origins = (derivation === undefined ? [] : itemsOf(derivation, TAGS.sourceImage)).map((source) => ({
    sopInstanceUid: textOf(source, TAGS.referencedSopInstanceUid) ?? '',
    frameIndex: (numberOf(source, TAGS.referencedFrameNumber) ?? 1) - 1,
  }));
  return { segmentNumber, geometry: sliceGeometryOf(dataSet, index), origins };
}

/**
 * A segment on the slices that `origins` names, in their order: [slices, rows, columns], zero where it has no frame.
 *
 * Throws `object` where a frame was made of none of them, so that nothing of the segment is lost.
 */
export function segmentOnto(
  segmentation: ReadSegmentation,
  segmentNumber: number,
  origins: Volume['origins'],
): Uint8Array {
  const { rows, columns } = segmentation;
  const keyOf = (origin: Volume['origins'][number]) => `${origin.sopInstanceUid} ${origin.frameIndex}`;
  const sliceOf = new Map(origins.map((origin, slice) => [keyOf(origin), slice]));
  const values = emptyVoxels(rows * columns, origins.length);
  for (const frame of framesOf(segmentation, segmentNumber)) {
    const slice = frame.origins.map((origin) => sliceOf.get(keyOf(origin))).find((found) => found !== undefined);
    if (slice === undefined)
      throw new DicomError('object', 'SourceImageSequence: a frame was made of an image that is not among the slices.');
    values.set(frame.values(), slice * rows * columns);
  }
  return values;
}

/**
 * A segment as a volume over all slices that any segment has a frame in, with even steps; slices without a frame are zero.
 *
 * Throws `object` where frames do not say where they lie, or lie at uneven steps.
 */
export function segmentVolumeOf(segmentation: ReadSegmentation, segmentNumber: number): SegmentVolume {
  const { rows, columns, frames } = segmentation;
  const wanted = framesOf(segmentation, segmentNumber);
  const { first, stepVector, sliceOf, slices } = gridOf(segmentation);
  const values = emptyVoxels(rows * columns, slices);
  for (const [index, frame] of frames.entries()) {
    if (wanted.includes(frame)) values.set(frame.values(), (sliceOf[index] ?? 0) * rows * columns);
  }
  const spacing: Vector = [first.columnSpacing, first.rowSpacing, norm(stepVector)];
  return { values, rows, columns, slices, spacing, affine: affineOf(first, stepVector) };
}

type Grid = {
  readonly first: SliceGeometry;
  /** From one slice to the next [mm, LPS]; not along the normal where the slices are sheared. */
  readonly stepVector: Vector;
  /** Of each frame. */
  readonly sliceOf: readonly number[];
  readonly slices: number;
};

/** The step is what the object says, where its frames bear it out, else the smallest between them. */
function gridOf({ frames, spacingBetweenSlices }: ReadSegmentation): Grid {
  const geometries = parallel(frames);
  const [reference] = geometries;
  if (reference === undefined) throw new DicomError('object', 'PerFrameFunctionalGroupsSequence: there is no frame.');
  const { normal } = reference;
  const first = extreme(geometries, (one, other) => dot(one.position, normal) < dot(other.position, normal), reference);
  const last = extreme(geometries, (one, other) => dot(one.position, normal) > dot(other.position, normal), reference);
  const places = geometries.map(({ position }) => dot(difference(position, first.position), normal));
  const step = [spacingBetweenSlices, smallestStep(places)].find((one) => one !== undefined && isEven(places, one));
  if (step === undefined && places.some((place) => place > SAME_PLACE_MM))
    throw new DicomError('object', 'ImagePositionPatient: the frames lie at uneven steps.');
  const sliceOf = places.map((place) => (step === undefined ? 0 : Math.round(place / step)));
  const slices = sliceOf.reduce((most, slice) => Math.max(most, slice), 0) + 1;
  const stepVector =
    slices === 1
      ? scaled(normal, step ?? first.thickness ?? 1)
      : scaled(difference(last.position, first.position), 1 / (slices - 1));
  return { first, stepVector, sliceOf, slices };
}

/** Whether all places lie at whole steps from the first. */
export function isEven(places: readonly number[], step: number): boolean {
  return places.every((place) => Math.abs(place - Math.round(place / step) * step) <= PLACE_TOLERANCE * step);
}

function extreme(
  geometries: readonly SliceGeometry[],
  isFurther: (one: SliceGeometry, other: SliceGeometry) => boolean,
  reference: SliceGeometry,
): SliceGeometry {
  return geometries.reduce((found, one) => (isFurther(one, found) ? one : found), reference);
}

function framesOf({ frames, segments }: ReadSegmentation, segmentNumber: number): SegmentationFrame[] {
  if (!segments.some(({ number }) => number === segmentNumber))
    throw new DicomError('object', 'SegmentNumber: there is no such segment.');
  return frames.filter((frame) => frame.segmentNumber === segmentNumber);
}

/** Where the frames lie. Throws `object` where one does not say it, or they are not parallel. */
export function parallel(frames: readonly SegmentationFrame[]): SliceGeometry[] {
  const geometries = frames.flatMap(({ geometry }) => geometry ?? []);
  if (geometries.length !== frames.length)
    throw new DicomError('object', 'ImagePositionPatient: a frame does not say where it lies.');
  if (geometries.some(({ normal }) => norm(difference(normal, geometries[0]?.normal ?? normal)) > PLACE_TOLERANCE))
    throw new DicomError('object', 'ImageOrientationPatient: the frames are not parallel.');
  return geometries;
}

/** `undefined` where all lie in one place. */
export function smallestStep(places: readonly number[]): number | undefined {
  const ordered = places.toSorted((a, b) => a - b);
  const steps = ordered.slice(1).map((place, index) => place - (ordered[index] ?? 0));
  const real = steps.filter((step) => step > SAME_PLACE_MM);
  return real.length === 0 ? undefined : real.reduce((least, step) => Math.min(least, step));
}

function emptyVoxels(frameVoxels: number, slices: number): Uint8Array {
  if (frameVoxels * slices > VOXEL_COUNT_MAX)
    throw new DicomError('limit', `A volume of more than ${VOXEL_COUNT_MAX} voxels is not made.`);
  return new Uint8Array(frameVoxels * slices);
}
