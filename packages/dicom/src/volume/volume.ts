/**
 * A series, or a multi-frame image, as one array of numbers with its place in the patient: what algorithms take. Values are modality
 * values (Hounsfield units in CT), rescaled frame by frame (PS3.3 C.11.1, C.7.6.16.2.9).
 */
import { textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { type ModalityTransform, modalityTransformOf, modalityValue } from '../pixel/grayscale.ts';
import type { PixelFrame } from '../pixel/pixel-frame.ts';
import { openPixels, type PixelSource, type Pixels } from '../pixel/pixels.ts';
import { type SliceGeometry, sliceGeometryOf, type Vector } from './slice-geometry.ts';
import { type Slice, stackOf, type VolumeProblem } from './slice-order.ts';

const SOP_INSTANCE_UID = 0x00080018;
/** 2,000 slices of 512 x 512 in floats. */
const VOXEL_COUNT_MAX = 512 * 1024 * 1024;

/** Rows of a matrix that takes (column, row, slice, 1) to millimetres. */
export type Affine = readonly [Row, Row, Row, Row];
type Row = readonly [number, number, number, number];

/** Where the voxels of a volume lie, without their values. */
export type VolumeLayout = {
  readonly columns: number;
  readonly rows: number;
  readonly slices: number;
  /** Distance of neighbouring voxels by column, row and slice [mm]. */
  readonly spacing: Vector;
  /** To the right, to the front, to the head (RAS), as in NIfTI. DICOM's own axes point the other way in the first two. */
  readonly affine: Affine;
  /** Which frame each slice is of; frames are counted from 0. */
  readonly origins: readonly { readonly sopInstanceUid: string; readonly frameIndex: number }[];
  /** Those that were tolerated. */
  readonly problems: readonly VolumeProblem[];
};

export type Volume = VolumeLayout & {
  /** Column fastest, then row, then slice; int16 where that holds every value, else float32. */
  readonly values: Int16Array | Float32Array;
};

type Refused = { readonly outcome: 'refused'; readonly problems: readonly VolumeProblem[] };
export type VolumeResult = { readonly outcome: 'volume'; readonly volume: Volume } | Refused;

/** Problems with which an array and a matrix can still be made, though of a body that is not there. */
type Tolerable = 'missing slice' | 'uneven spacing' | 'sheared';

type FrameSlice = Slice & { readonly pixels: Pixels; readonly object: PixelSource; readonly frameIndex: number };

/**
 * The volume that all frames of `objects` make up, whatever order they come in.
 *
 * `tolerated`: problems in spite of which it is made. Throws what decoding throws, and `limit`.
 */
export function volumeOf(objects: readonly PixelSource[], tolerated: readonly Tolerable[] = []): VolumeResult {
  const stack = stackedFrames(objects, tolerated);
  if (stack.outcome === 'refused') return stack;
  const { rows, columns, slices } = stack.layout;
  if (rows * columns * slices > VOXEL_COUNT_MAX)
    throw new DicomError('limit', `A volume of more than ${VOXEL_COUNT_MAX} voxels is not made.`);
  return { outcome: 'volume', volume: { ...stack.layout, values: valuesOf(stack.slices) } };
}

/** The same without decoding a pixel. */
export function volumeLayoutOf(
  objects: readonly PixelSource[],
  tolerated: readonly Tolerable[] = [],
): { readonly outcome: 'volume'; readonly layout: VolumeLayout } | Refused {
  const stack = stackedFrames(objects, tolerated);
  return stack.outcome === 'refused' ? stack : { outcome: 'volume', layout: stack.layout };
}

type Stacked = { readonly outcome: 'stacked'; readonly slices: readonly FrameSlice[]; readonly layout: VolumeLayout };

function stackedFrames(objects: readonly PixelSource[], tolerated: readonly Tolerable[]): Stacked | Refused {
  const found = objects.flatMap(slicesOf);
  const isColour = found.some(({ pixels }) => pixels.description.samplesPerPixel !== 1);
  if (isColour) return { outcome: 'refused', problems: ['colour'] };
  if (found.length === 0 || !found.every(hasGeometry)) return { outcome: 'refused', problems: ['no geometry'] };
  const { slices, step, problems } = stackOf(found.filter(hasGeometry));
  const refused = problems.filter((problem) => !tolerated.some((one) => one === problem));
  const [first] = slices;
  if (first === undefined || refused.length > 0) return { outcome: 'refused', problems: refused };
  const { geometry, rows, columns } = first;
  const { columnSpacing, rowSpacing } = geometry;
  const layout: VolumeLayout = {
    columns,
    rows,
    slices: slices.length,
    spacing: [columnSpacing, rowSpacing, Math.hypot(...step)],
    affine: affineOf(geometry, step),
    origins: slices.map(({ object, frameIndex }) => ({
      sopInstanceUid: textOf(object.dataSet, SOP_INSTANCE_UID) ?? '',
      frameIndex,
    })),
    problems,
  };
  return { outcome: 'stacked', slices, layout };
}

type FoundSlice = Omit<FrameSlice, 'geometry'> & { readonly geometry: SliceGeometry | undefined };

function slicesOf(object: PixelSource): FoundSlice[] {
  const pixels = openPixels(object);
  const { rows, columns, frameCount } = pixels.description;
  return Array.from({ length: frameCount }, (_, frameIndex) => ({
    geometry: sliceGeometryOf(object.dataSet, frameIndex),
    rows,
    columns,
    pixels,
    object,
    frameIndex,
  }));
}

function hasGeometry(slice: FoundSlice): slice is FrameSlice {
  return slice.geometry !== undefined;
}

/** PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, with the slice as third index, then from LPS to RAS. */
export function affineOf(
  { position, alongRow, alongColumn, columnSpacing, rowSpacing }: SliceGeometry,
  step: Vector,
): Affine {
  const row = (axis: 0 | 1 | 2, sign: 1 | -1): Row => [
    sign * alongRow[axis] * columnSpacing,
    sign * alongColumn[axis] * rowSpacing,
    sign * step[axis],
    sign * position[axis],
  ];
  return [row(0, -1), row(1, -1), row(2, 1), [0, 0, 0, 1]];
}

function valuesOf(slices: readonly FrameSlice[]): Volume['values'] {
  const [first] = slices;
  const length = (first?.rows ?? 0) * (first?.columns ?? 0);
  let values: Int16Array | Float32Array = new Int16Array(length * slices.length);
  for (const [index, { pixels, object, frameIndex }] of slices.entries()) {
    const frame = pixels.frame(frameIndex);
    const transform = modalityTransformOf({ ...object, frameIndex });
    const start = index * length;
    if (values instanceof Int16Array && !fill(values, start, frame, transform)) values = Float32Array.from(values);
    if (values instanceof Float32Array) fill(values, start, frame, transform);
  }
  return values;
}

/** False where `values` cannot hold one of them as it is. */
function fill(
  values: Int16Array | Float32Array,
  start: number,
  frame: PixelFrame,
  transform: ModalityTransform,
): boolean {
  const isInteger = values instanceof Int16Array;
  for (let index = 0; index < frame.values.length; index += 1) {
    const value = modalityValue(transform, frame.values[index] ?? 0);
    values[start + index] = value;
    if (isInteger && values[start + index] !== value) return false;
  }
  return true;
}
