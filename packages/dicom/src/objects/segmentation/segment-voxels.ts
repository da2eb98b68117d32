/** The voxels that an algorithm gives, frame by frame as a segmentation stores them: bits, or fractions in bytes (PS3.3 C.8.20.2). */
import { DicomError } from '../../dicom-error.ts';

/**
 * Column fastest, then row, then slice, as a volume has them.
 *
 * labels     0 is background, k belongs to the k-th segment
 * masks      an array per segment, whatever is not 0 belongs to it; segments may overlap
 * fractions  an array per segment, 0 to 1, stored in `steps` of at most 255
 */
export type SegmentVoxels =
  | { readonly kind: 'labels'; readonly values: Uint8Array | Uint16Array }
  | { readonly kind: 'masks'; readonly values: readonly Uint8Array[] }
  | {
      readonly kind: 'fractions';
      readonly type: 'PROBABILITY' | 'OCCUPANCY';
      readonly steps: number;
      readonly values: readonly Float32Array[];
    };

export type VoxelGrid = { readonly frameVoxels: number; readonly slices: number; readonly segments: number };

/** Throws `object` where voxels are of another grid, belong to no segment, or are no fractions. */
export function assertVoxels(voxels: SegmentVoxels, { frameVoxels, slices, segments }: VoxelGrid): void {
  const arrays: readonly { readonly length: number }[] = voxels.kind === 'labels' ? [voxels.values] : voxels.values;
  if (arrays.some(({ length }) => length !== frameVoxels * slices))
    throw new DicomError('object', 'PixelData: the voxels are not Rows x Columns x slices of the source.');
  if (voxels.kind === 'labels') {
    if (voxels.values.some((value) => value > segments))
      throw new DicomError('object', 'PixelData: a label is of no segment.');
    return;
  }
  if (arrays.length !== segments) throw new DicomError('object', 'SegmentSequence: each segment has one array.');
  if (voxels.kind !== 'fractions') return;
  if (!Number.isInteger(voxels.steps) || voxels.steps < 1 || voxels.steps > 255)
    throw new DicomError('object', 'MaximumFractionalValue: it is a whole number from 1 to 255.');
  if (voxels.values.some((values) => values.some((value) => !(value >= 0 && value <= 1))))
    throw new DicomError('object', 'PixelData: a fraction is not within 0 to 1.');
}

/** A frame is one segment in one slice, both from 0. */
export type Frame = { readonly segment: number; readonly slice: number };

/** Every frame, by segment, then by slice. */
export function everyFrame({ segments, slices }: VoxelGrid): Frame[] {
  return Array.from({ length: segments * slices }, (_, index) => ({
    segment: Math.floor(index / slices),
    slice: index % slices,
  }));
}

/** The frames that have a voxel of their segment. Labels are walked over once, however many segments there are. */
export function filledFrames(voxels: SegmentVoxels, grid: VoxelGrid): Frame[] {
  if (voxels.kind !== 'labels')
    return everyFrame(grid).filter((frame) => frameValues(voxels, frame, grid).some((value) => value > 0));
  const found = Array.from({ length: grid.slices }, () => new Uint8Array(grid.segments + 1));
  for (const [slice, labels] of found.entries()) {
    const start = slice * grid.frameVoxels;
    for (let index = start; index < start + grid.frameVoxels; index += 1) labels[voxels.values[index] ?? 0] = 1;
  }
  return everyFrame(grid).filter(({ segment, slice }) => found[slice]?.[segment + 1] === 1);
}

/** Stored values of a frame, one byte a voxel: 0 or 1, or fractions in steps. */
export function frameValues(voxels: SegmentVoxels, { segment, slice }: Frame, { frameVoxels }: VoxelGrid): Uint8Array {
  const start = slice * frameVoxels;
  const stored = new Uint8Array(frameVoxels);
  switch (voxels.kind) {
    case 'labels':
      for (let index = 0; index < frameVoxels; index += 1)
        if (voxels.values[start + index] === segment + 1) stored[index] = 1;
      return stored;
    case 'masks': {
      const mask = voxels.values[segment] ?? stored;
      for (let index = 0; index < frameVoxels; index += 1) if (mask[start + index] !== 0) stored[index] = 1;
      return stored;
    }
    case 'fractions': {
      const fractions = voxels.values[segment] ?? new Float32Array(0);
      for (let index = 0; index < frameVoxels; index += 1)
        stored[index] = Math.round((fractions[start + index] ?? 0) * voxels.steps);
      return stored;
    }
  }
}

/** SegmentsOverlap (PS3.3 C.8.20.2.3). Of fractions nobody can say where a segment ends. */
export function overlapOf(voxels: SegmentVoxels): 'YES' | 'NO' | 'UNDEFINED' {
  if (voxels.kind === 'labels') return 'NO';
  if (voxels.kind === 'fractions') return voxels.values.length === 1 ? 'NO' : 'UNDEFINED';
  const [first, ...others] = voxels.values;
  if (first === undefined || others.length === 0) return 'NO';
  const taken = Uint8Array.from(first, (value) => (value === 0 ? 0 : 1));
  for (const mask of others) {
    for (let index = 0; index < mask.length; index += 1) {
      if (mask[index] === 0) continue;
      if (taken[index] === 1) return 'YES';
      taken[index] = 1;
    }
  }
  return 'NO';
}

/** Sets the bits of a frame from `firstBit` on: the first voxel is the lowest bit of a byte (PS3.5 8.1.1). */
export function packBits(target: Buffer, firstBit: number, values: Uint8Array): void {
  for (let index = 0; index < values.length; index += 1) {
    if (values[index] === 0) continue;
    const bit = firstBit + index;
    target[bit >>> 3] = (target[bit >>> 3] ?? 0) | (1 << (bit & 7));
  }
}
