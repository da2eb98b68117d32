/**
 * Writes Segmentation objects (PS3.3 A.51): which voxels of a series belong to what, in the series' own slices, so that no viewer has
 * to resample. A frame is one segment in one slice; frames are ordered by segment, then by place.
 */
import type { DataSet } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import {
  bytesElement,
  type ElementBuilder,
  numberElement,
  sequenceElement,
  tagElement,
  textElement,
} from '../../element-values.ts';
import { PIXEL_TAGS } from '../../pixel/pixel-description.ts';
import { dot, type SliceGeometry } from '../../volume/slice-geometry.ts';
import type { Volume } from '../../volume/volume.ts';
import type { Algorithm } from '../algorithm.ts';
import { type CodedConcept, conceptElement } from '../coded-concept.ts';
import { type Derivation, derivedObject, notEmpty } from '../derived-object.ts';
import { commonInstanceReferences, sourceImageItem } from '../instance-reference.ts';
import { assertSameStudy, lossyPast } from '../source-attributes.ts';
import { type Segment, segmentItem } from './segment.ts';
import {
  assertVoxels,
  everyFrame,
  type Frame,
  filledFrames,
  frameValues,
  overlapOf,
  packBits,
  type SegmentVoxels,
  type VoxelGrid,
} from './segment-voxels.ts';
import { type SourceSpace, type SourceStack, sourceStackOf } from './source-slices.ts';

const SEGMENTATION = '1.2.840.10008.5.1.4.1.1.66.4';
const REFERENCED_SEGMENT_NUMBER = 0x0062000b;
const SEGMENT_IDENTIFICATION = 0x0062000a;
const IMAGE_POSITION = 0x00200032;
const PLANE_POSITION = 0x00209113;
/** A hundred segments in 650 slices; each frame has some hundred bytes of functional groups, and viewers load them all. */
const FRAME_COUNT_MAX = 65_535;
const SEGMENTATION_CODE: CodedConcept = { value: '113076', scheme: 'DCM', meaning: 'Segmentation' };
export type Segmentation = {
  /** ContentLabel: capitals, digits, spaces and underscores, at most 16. */
  readonly label: string;
  readonly description?: string;
  readonly algorithm: Algorithm;
  readonly segments: readonly Segment[];
  readonly voxels: SegmentVoxels;
  /** The images that were segmented: one series, or one image of many frames. */
  readonly sources: readonly DataSet[];
  /** Of a volume, when the voxels are in its order; else slices are as the sources come. */
  readonly origins?: Volume['origins'];
  /** Frames without a voxel: left out they save space; some viewers count on them. */
  readonly emptyFrames: 'omit' | 'keep';
};

/** Throws `object` where voxels, segments and sources do not fit each other, `limit`, and what `derivedObject` throws. */
export function segmentationOf(derivation: Derivation, segmentation: Segmentation): DataSet {
  const { segments, voxels, sources, algorithm } = segmentation;
  notEmpty('SegmentSequence', segments);
  assertSameStudy(derivation.source, sources);
  const stack = sourceStackOf(sources, segmentation.origins);
  const grid = { frameVoxels: stack.rows * stack.columns, slices: stack.slices.length, segments: segments.length };
  assertVoxels(voxels, grid);
  const frames = framesOf(segmentation, grid);
  const references = stack.slices.map(({ reference }) => reference);
  return derivedObject(derivation, { sopClassUid: SEGMENTATION, modality: 'SEG' }, [
    ...imageElements(segmentation, stack, frames.length),
    ...lossyPast(sources),
    sequenceElement(
      'SegmentSequence',
      segments.map((segment, index) => segmentItem(segment, index + 1, algorithm)),
    ),
    ...commonInstanceReferences(references, references[0]?.studyInstanceUid ?? ''),
    ...dimensionElements(derivation.newUid(), stack.space),
    sequenceElement('SharedFunctionalGroupsSequence', [sharedGroups(stack.space)]),
    sequenceElement('PerFrameFunctionalGroupsSequence', frameGroups(frames, stack)),
    bytesElement('PixelData', pixelBytes(voxels, frames, grid), 'OB'),
  ]);
}

/** An object without a frame is none: where nothing was found at all, every frame is kept. */
function framesOf({ voxels, emptyFrames }: Segmentation, grid: VoxelGrid): readonly Frame[] {
  const filled = emptyFrames === 'keep' ? [] : filledFrames(voxels, grid);
  const frames = filled.length === 0 ? everyFrame(grid) : filled;
  if (frames.length > FRAME_COUNT_MAX)
    throw new DicomError('limit', `A segmentation of more than ${FRAME_COUNT_MAX} frames is not made.`);
  return frames;
}

function imageElements(segmentation: Segmentation, stack: SourceStack, frameCount: number): ElementBuilder[] {
  const { voxels, label, description } = segmentation;
  const bits = voxels.kind === 'fractions' ? 8 : 1;
  const fractions =
    voxels.kind === 'fractions'
      ? [textElement('SegmentationFractionalType', voxels.type), numberElement('MaximumFractionalValue', voxels.steps)]
      : [];
  return [
    textElement('ImageType', ['DERIVED', 'PRIMARY']),
    textElement('ContentLabel', notEmpty('ContentLabel', label)),
    textElement('ContentDescription', description ?? ''),
    textElement('ContentCreatorName', ''),
    ...(stack.space === undefined
      ? [textElement('PatientOrientation', [])]
      : [
          textElement('FrameOfReferenceUID', stack.space.frameOfReferenceUid),
          textElement('PositionReferenceIndicator', ''),
        ]),
    textElement('SegmentationType', voxels.kind === 'fractions' ? 'FRACTIONAL' : 'BINARY'),
    ...fractions,
    textElement('SegmentsOverlap', overlapOf(voxels)),
    numberElement('SamplesPerPixel', 1),
    textElement('PhotometricInterpretation', 'MONOCHROME2'),
    numberElement(PIXEL_TAGS.numberOfFrames, frameCount),
    numberElement('Rows', stack.rows),
    numberElement('Columns', stack.columns),
    numberElement('BitsAllocated', bits),
    numberElement('BitsStored', bits),
    numberElement('HighBit', bits - 1),
    numberElement('PixelRepresentation', 0),
  ];
}

/** Multi-frame Dimension (PS3.3 C.7.6.17): by segment, then by place. */
function dimensionElements(organizationUid: string, space: SourceSpace | undefined): ElementBuilder[] {
  const organization = textElement('DimensionOrganizationUID', organizationUid);
  const index = (pointer: number, group: number, label: string) => [
    organization,
    tagElement('DimensionIndexPointer', [pointer]),
    tagElement('FunctionalGroupPointer', [group]),
    textElement('DimensionDescriptionLabel', label),
  ];
  return [
    sequenceElement('DimensionOrganizationSequence', [[organization]]),
    sequenceElement('DimensionIndexSequence', [
      index(REFERENCED_SEGMENT_NUMBER, SEGMENT_IDENTIFICATION, 'Segment Number'),
      ...(space === undefined ? [] : [index(IMAGE_POSITION, PLANE_POSITION, 'Image Position Patient')]),
    ]),
  ];
}

function sharedGroups(space: SourceSpace | undefined): ElementBuilder[] {
  const geometry = space?.geometries[0];
  if (space === undefined || geometry === undefined) return [];
  const thickness = space.thickness ?? space.step;
  return [
    sequenceElement('PlaneOrientationSequence', [
      [numberElement('ImageOrientationPatient', [...geometry.alongRow, ...geometry.alongColumn])],
    ]),
    sequenceElement('PixelMeasuresSequence', [
      [
        ...(thickness === undefined ? [] : [numberElement('SliceThickness', thickness)]),
        ...(space.step === undefined ? [] : [numberElement('SpacingBetweenSlices', space.step)]),
        numberElement('PixelSpacing', [geometry.rowSpacing, geometry.columnSpacing]),
      ],
    ]),
  ];
}

function frameGroups(frames: readonly Frame[], { slices, space }: SourceStack): ElementBuilder[][] {
  const places = placesOf(frames, space);
  return frames.map(({ segment, slice }) => {
    const source = slices[slice];
    const geometry = space?.geometries[slice];
    const place = places.get(slice);
    return [
      sequenceElement('FrameContentSequence', [
        [numberElement('DimensionIndexValues', [segment + 1, ...(place === undefined ? [] : [place])])],
      ]),
      ...(geometry === undefined
        ? []
        : [sequenceElement('PlanePositionSequence', [[numberElement('ImagePositionPatient', geometry.position)]])]),
      sequenceElement('SegmentIdentificationSequence', [[numberElement('ReferencedSegmentNumber', segment + 1)]]),
      ...(source === undefined ? [] : [derivationImage(source)]),
    ];
  });
}

/** Slice -> its place along the normal among those that have frames, from 1. */
function placesOf(frames: readonly Frame[], space: SourceSpace | undefined): Map<number, number> {
  const [reference] = space?.geometries ?? [];
  if (space === undefined || reference === undefined) return new Map();
  const along = (geometry: SliceGeometry | undefined) =>
    geometry === undefined ? 0 : dot(geometry.position, reference.normal);
  const used = [...new Set(frames.map(({ slice }) => slice))];
  const ordered = used.toSorted((a, b) => along(space.geometries[a]) - along(space.geometries[b]));
  return new Map(ordered.map((slice, index) => [slice, index + 1]));
}

function derivationImage({ reference, frameIndex }: SourceStack['slices'][number]): ElementBuilder {
  return sequenceElement('DerivationImageSequence', [
    [
      sequenceElement('SourceImageSequence', [
        [...sourceImageItem(reference, frameIndex), textElement('SpatialLocationsPreserved', 'YES')],
      ]),
      conceptElement('DerivationCodeSequence', SEGMENTATION_CODE),
    ],
  ]);
}

/** Frames of bits follow each other without padding (PS3.5 8.1.1). */
function pixelBytes(voxels: SegmentVoxels, frames: readonly Frame[], grid: VoxelGrid): Buffer {
  const bits = voxels.kind === 'fractions' ? 8 : 1;
  const bytes = Buffer.alloc(Math.ceil((frames.length * grid.frameVoxels * bits) / 8));
  for (const [index, frame] of frames.entries()) {
    const values = frameValues(voxels, frame, grid);
    const first = index * grid.frameVoxels;
    if (bits === 8) bytes.set(values, first);
    else packBits(bytes, first, values);
  }
  return bytes;
}
