/** Secondary Capture images (PS3.3 A.8): pictures of a result, burnt in or rendered, that every archive and viewer takes. */
import type { DataSet } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import {
  bytesElement,
  type ElementBuilder,
  numberElement,
  sequenceElement,
  tagElement,
  textElement,
} from '../element-values.ts';
import { PIXEL_TAGS } from '../pixel/pixel-description.ts';
import { bytesOfValues } from '../pixel/pixel-values.ts';
import { type Derivation, derivedObject } from './derived-object.ts';
import { referenceTo, sourceImageItem } from './instance-reference.ts';
import { assertSameStudy, bodyPartOf, lossyPast } from './source-attributes.ts';

const SOP_CLASSES = {
  single: '1.2.840.10008.5.1.4.1.1.7',
  grey8: '1.2.840.10008.5.1.4.1.1.7.2',
  grey16: '1.2.840.10008.5.1.4.1.1.7.3',
  rgb: '1.2.840.10008.5.1.4.1.1.7.4',
} as const;
const PAGE_NUMBER_VECTOR = 0x00182001;

/** Frames of the same size, row by row; of `rgb` three bytes a pixel. `grey16` holds 9 to 16 bits, from 0 on. */
export type CapturedPixels =
  | { readonly kind: 'grey8'; readonly frames: readonly Uint8Array[] }
  | { readonly kind: 'grey16'; readonly bitsStored: number; readonly frames: readonly Uint16Array[] }
  | { readonly kind: 'rgb'; readonly frames: readonly Uint8Array[] };

export type SecondaryCapture = {
  readonly rows: number;
  readonly columns: number;
  readonly pixels: CapturedPixels;
  /** Of the grey values that are to be seen, in the units of the pixels. */
  readonly window?: { readonly center: number; readonly width: number };
  /** PS3.3 C.8.6.1: made by a workstation, or a synthetic image. */
  readonly conversionType: 'WSD' | 'SYN';
  /** Of the series; OT where it is left out. */
  readonly modality?: string;
  /** Whether the pixels show who the patient is. */
  readonly burnedInAnnotation: boolean;
  /** What was done, for people. */
  readonly derivationDescription?: string;
  /** The images that it was made of. */
  readonly sources?: readonly DataSet[];
};

/**
 * One frame gives Secondary Capture, several the multi-frame class for their kind of pixel.
 *
 * Throws `object` where pixels do not fill the frames or leave their bits, or a source is of another study; and what
 * `derivedObject` throws.
 */
export function secondaryCaptureOf(derivation: Derivation, capture: SecondaryCapture): DataSet {
  const { rows, columns, pixels, sources = [] } = capture;
  assertPixels(capture);
  assertSameStudy(derivation.source, sources);
  const frameCount = pixels.frames.length;
  const kind = {
    sopClassUid: SOP_CLASSES[frameCount === 1 ? 'single' : pixels.kind],
    modality: capture.modality ?? 'OT',
  };
  return derivedObject(derivation, kind, [
    textElement('ImageType', ['DERIVED', 'SECONDARY']),
    ...bodyPartOf(derivation.source),
    textElement('ConversionType', capture.conversionType),
    textElement('PatientOrientation', []),
    textElement('BurnedInAnnotation', capture.burnedInAnnotation ? 'YES' : 'NO'),
    ...lossyPast(sources),
    ...derivationElements(capture),
    numberElement('Rows', rows),
    numberElement('Columns', columns),
    ...cellElements(pixels),
    ...(capture.window === undefined ? [] : windowElements(capture.window)),
    ...(frameCount === 1 ? [] : multiFrameElements(pixels)),
    bytesElement('PixelData', bytesOfFrames(pixels), pixels.kind === 'grey16' ? 'OW' : 'OB'),
  ]);
}

function assertPixels({ rows, columns, pixels }: SecondaryCapture): void {
  const samples = pixels.kind === 'rgb' ? 3 : 1;
  if (pixels.frames.length === 0) throw new DicomError('object', 'PixelData: an image has one frame at least.');
  if (pixels.frames.some(({ length }) => length !== rows * columns * samples))
    throw new DicomError('object', 'PixelData: a frame is not Rows x Columns x SamplesPerPixel long.');
  if (pixels.kind !== 'grey16') return;
  const { bitsStored, frames } = pixels;
  if (!Number.isInteger(bitsStored) || bitsStored < 9 || bitsStored > 16)
    throw new DicomError('object', 'BitsStored: 9 to 16 bits are stored in 16 (PS3.3 A.8.4).');
  if (frames.some((frame) => frame.some((value) => value >= 2 ** bitsStored)))
    throw new DicomError('object', 'PixelData: a value has more bits than BitsStored.');
}

function derivationElements({ derivationDescription, sources = [] }: SecondaryCapture): ElementBuilder[] {
  const items = sources.map((source) => sourceImageItem(referenceTo(source)));
  return [
    ...(derivationDescription === undefined ? [] : [textElement('DerivationDescription', derivationDescription)]),
    ...(items.length === 0 ? [] : [sequenceElement('SourceImageSequence', items)]),
  ];
}

function cellElements(pixels: CapturedPixels): ElementBuilder[] {
  const isColour = pixels.kind === 'rgb';
  const bitsStored = pixels.kind === 'grey16' ? pixels.bitsStored : 8;
  return [
    numberElement('SamplesPerPixel', isColour ? 3 : 1),
    textElement('PhotometricInterpretation', isColour ? 'RGB' : 'MONOCHROME2'),
    ...(isColour ? [numberElement('PlanarConfiguration', 0)] : []),
    numberElement('BitsAllocated', pixels.kind === 'grey16' ? 16 : 8),
    numberElement('BitsStored', bitsStored),
    numberElement('HighBit', bitsStored - 1),
    numberElement('PixelRepresentation', 0),
  ];
}

function windowElements({ center, width }: { readonly center: number; readonly width: number }): ElementBuilder[] {
  return [numberElement('WindowCenter', center), numberElement('WindowWidth', width)];
}

/** Multi-frame, and SC Multi-frame Image and Vector (PS3.3 C.7.6.6, C.8.6.3, C.8.6.4): frames are pages, not moments. */
function multiFrameElements({ kind, frames }: CapturedPixels): ElementBuilder[] {
  const grey = [
    numberElement('RescaleIntercept', 0),
    numberElement('RescaleSlope', 1),
    textElement('RescaleType', 'US'),
    textElement('PresentationLUTShape', 'IDENTITY'),
  ];
  return [
    numberElement(PIXEL_TAGS.numberOfFrames, frames.length),
    tagElement('FrameIncrementPointer', [PAGE_NUMBER_VECTOR]),
    numberElement(
      'PageNumberVector',
      frames.map((_, index) => index + 1),
    ),
    ...(kind === 'rgb' ? [] : grey),
  ];
}

function bytesOfFrames({ kind, frames }: CapturedPixels): Buffer {
  return Buffer.concat(frames.map((frame) => bytesOfValues(frame, kind === 'grey16' ? 16 : 8)));
}
