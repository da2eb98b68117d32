/**
 * How large what a segmentation outlines is: voxels that belong to a segment times the volume of a voxel, as far as the object says
 * where its frames lie. Nothing is interpolated, and what is not said is not guessed.
 */
import { DicomError } from '../../dicom-error.ts';
import { difference, dot, type SliceGeometry } from '../../volume/slice-geometry.ts';
import {
  isEven,
  parallel,
  type ReadSegmentation,
  type SegmentationFrame,
  smallestStep,
} from './segmentation-reader.ts';

/**
 * Volume of one voxel: spacing of columns x spacing of rows x step between slices, measured along their normal.
 *
 * The step is what the object says (SpacingBetweenSlices, else SliceThickness) where its frames lie at whole steps of it; frames
 * that are empty may have been left out, so that the distance of two frames alone says less. Else the smallest distance.
 *
 * returns  [mm3]; undefined where frames do not say where they lie, are not parallel or of one spacing, or lie at uneven steps
 */
export function voxelVolumeOf({ frames }: ReadSegmentation): number | undefined {
  const geometries = geometriesOf(frames);
  const [first] = geometries;
  if (first === undefined || geometries.some((one) => !isOfSpacing(one, first))) return undefined;
  const places = geometries.map(({ position }) => dot(difference(position, first.position), first.normal));
  const step = [first.thickness, smallestStep(places)].find(
    (one) => one !== undefined && one > 0 && isEven(places, one),
  );
  return step === undefined ? undefined : first.columnSpacing * first.rowSpacing * step;
}

/** Voxels of a frame that belong to its segment; where voxels are filled in part, the sum of the parts. `maximum`: as it was read. */
export function filledVoxelsOf(frame: SegmentationFrame, { maximum }: Pick<ReadSegmentation, 'maximum'>): number {
  let sum = 0;
  for (const value of frame.values()) sum += value;
  return sum / maximum;
}

function geometriesOf(frames: readonly SegmentationFrame[]): readonly SliceGeometry[] {
  try {
    return parallel(frames);
  } catch (caught) {
    if (caught instanceof DicomError && caught.code === 'object') return []; // it has no place, and so no size
    throw caught;
  }
}

function isOfSpacing(one: SliceGeometry, other: SliceGeometry): boolean {
  return (
    one.columnSpacing === other.columnSpacing &&
    one.rowSpacing === other.rowSpacing &&
    one.thickness === other.thickness
  );
}
