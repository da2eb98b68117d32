/** The frames that a segmentation is of, in the order of its voxels, and where they lie. */
import { type DataSet, numberOf, textOf } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import { functionalGroup } from '../../pixel/functional-groups.ts';
import { PIXEL_TAGS } from '../../pixel/pixel-description.ts';
import { norm, type SliceGeometry, sliceGeometryOf } from '../../volume/slice-geometry.ts';
import { stackOf } from '../../volume/slice-order.ts';
import type { Volume } from '../../volume/volume.ts';
import { type InstanceReference, referenceTo } from '../instance-reference.ts';

const FRAME_OF_REFERENCE_UID = 0x00200052;
const PIXEL_MEASURES = 0x00289110;
const SLICE_THICKNESS = 0x00180050;

export type SourceSlice = {
  readonly reference: InstanceReference;
  /** From 0; `undefined` where the instance has one frame. */
  readonly frameIndex: number | undefined;
  readonly rows: number;
  readonly columns: number;
  /** Slice thickness as the source says it [mm]. */
  readonly thickness: number | undefined;
};

export type SourceStack = {
  readonly slices: readonly SourceSlice[];
  readonly rows: number;
  readonly columns: number;
  /** `undefined` for a single image that says nothing of it, such as a chest x-ray. */
  readonly space: SourceSpace | undefined;
};

export type SourceSpace = {
  readonly frameOfReferenceUid: string;
  /** One per slice. */
  readonly geometries: readonly SliceGeometry[];
  /** From the centre of one slice to that of the next, where all steps are the same [mm]. */
  readonly step: number | undefined;
  readonly thickness: number | undefined;
};

/**
 * Slices in the order of `origins`, as `volumeOf` gives them; else every frame of the sources as they come.
 *
 * Throws `object` where the slices are not parallel, of one size and spacing, and each in a place of its own.
 */
export function sourceStackOf(sources: readonly DataSet[], origins: Volume['origins'] | undefined): SourceStack {
  const found = origins === undefined ? sources.flatMap(everyFrame) : framesAt(sources, origins);
  const slices = found.map(({ source, frameIndex }) => sliceOf(source, frameIndex));
  const [first] = slices;
  if (first === undefined) throw new DicomError('object', 'ReferencedSeriesSequence: there are no source images.');
  const { rows, columns } = first;
  if (slices.some((slice) => slice.rows !== rows || slice.columns !== columns))
    throw new DicomError('object', 'Rows, Columns: the source images are not of one size.');
  return { slices, rows, columns, space: spaceOf(found, slices) };
}

type FrameOf = { readonly source: DataSet; readonly frameIndex: number };

function everyFrame(source: DataSet): FrameOf[] {
  const frameCount = numberOf(source, PIXEL_TAGS.numberOfFrames) ?? 1;
  return Array.from({ length: frameCount }, (_, frameIndex) => ({ source, frameIndex }));
}

function framesAt(sources: readonly DataSet[], origins: Volume['origins']): FrameOf[] {
  const byUid = new Map(sources.map((source) => [referenceTo(source).sopInstanceUid, source]));
  return origins.map(({ sopInstanceUid, frameIndex }) => {
    const source = byUid.get(sopInstanceUid);
    if (source === undefined)
      throw new DicomError('object', 'SOPInstanceUID: a slice of the volume is not among the source images.');
    return { source, frameIndex };
  });
}

function sliceOf(source: DataSet, frameIndex: number): SourceSlice {
  const rows = numberOf(source, PIXEL_TAGS.rows);
  const columns = numberOf(source, PIXEL_TAGS.columns);
  if (rows === undefined || columns === undefined)
    throw new DicomError('object', 'Rows, Columns: a source is no image.');
  return {
    reference: referenceTo(source),
    frameIndex: source.elements.has(PIXEL_TAGS.numberOfFrames) ? frameIndex : undefined,
    rows,
    columns,
    thickness: numberOf(functionalGroup(source, frameIndex, PIXEL_MEASURES) ?? source, SLICE_THICKNESS),
  };
}

function spaceOf(frames: readonly FrameOf[], slices: readonly SourceSlice[]): SourceSpace | undefined {
  const geometries = frames.flatMap(({ source, frameIndex }) => sliceGeometryOf(source, frameIndex) ?? []);
  if (geometries.length === 0 && frames.length === 1) return undefined;
  if (geometries.length !== frames.length)
    throw new DicomError('object', 'ImagePositionPatient: a source image does not say where it lies.');
  const uids = new Set(frames.map(({ source }) => textOf(source, FRAME_OF_REFERENCE_UID)));
  const [frameOfReferenceUid] = uids;
  if (frameOfReferenceUid === undefined || uids.size > 1)
    throw new DicomError('object', 'FrameOfReferenceUID: the source images do not have one in common.');
  const { step, problems } = stackOf(
    geometries.map((geometry, index) => ({ geometry, rows: 1, columns: 1, thickness: slices[index]?.thickness })),
  );
  const refused = problems.find((problem) => !TOLERATED.has(problem));
  if (refused !== undefined)
    throw new DicomError('object', `ImagePositionPatient: the source images are no stack of slices: ${refused}.`);
  return {
    frameOfReferenceUid,
    geometries,
    step: frames.length > 1 && problems.length === 0 ? norm(step) : undefined,
    thickness: slices[0]?.thickness,
  };
}

/** Each frame says where it lies, so that these do no harm. */
const TOLERATED: ReadonlySet<string> = new Set(['missing slice', 'uneven spacing', 'sheared']);
