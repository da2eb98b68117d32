/**
 * From stored values to what they mean, and from there to a display (PS3.3 C.11.1, C.11.2, C.11.6): modality transformation, then
 * the values of interest, then presentation values of eight bits.
 */
import type { ByteSource } from '../byte-source.ts';
import { type DataSet, itemsOf, numberOf, numbersOf, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { functionalGroup } from './functional-groups.ts';
import { type LookupTable, lookUp, lookupTableOf } from './lookup-table.ts';

const TAGS = {
  rescaleIntercept: 0x00281052,
  rescaleSlope: 0x00281053,
  windowCenter: 0x00281050,
  windowWidth: 0x00281051,
  voiLutFunction: 0x00281056,
  modalityLutSequence: 0x00283000,
  voiLutSequence: 0x00283010,
  pixelValueTransformation: 0x00289145,
  frameVoiLut: 0x00289132,
  pixelRepresentation: 0x00280103,
} as const;
const LUT_TAGS = { descriptor: 0x00283002, data: 0x00283006 } as const;

export type ModalityTransform =
  | { readonly kind: 'linear'; readonly slope: number; readonly intercept: number }
  | { readonly kind: 'table'; readonly table: LookupTable };

/** `center` and `width` in the unit of modality values, such as Hounsfield. */
export type Window = {
  readonly center: number;
  readonly width: number;
  readonly shape: 'LINEAR' | 'LINEAR_EXACT' | 'SIGMOID';
};

export type ValuesOfInterest =
  | { readonly kind: 'window'; readonly window: Window }
  | { readonly kind: 'table'; readonly table: LookupTable };

type Place = { readonly dataSet: DataSet; readonly source: ByteSource; readonly frameIndex: number };

/** The identity where the image says nothing. Throws `malformed`. */
export function modalityTransformOf({ dataSet, source, frameIndex }: Place): ModalityTransform {
  const isSigned = numberOf(dataSet, TAGS.pixelRepresentation) === 1;
  const [item] = itemsOf(dataSet, TAGS.modalityLutSequence);
  const table = item && lookupTableOf(item, source, { tags: LUT_TAGS, isSigned });
  if (table !== undefined) return { kind: 'table', table };
  const holder = functionalGroup(dataSet, frameIndex, TAGS.pixelValueTransformation) ?? dataSet;
  const slope = numberOf(holder, TAGS.rescaleSlope) ?? 1;
  return { kind: 'linear', slope, intercept: numberOf(holder, TAGS.rescaleIntercept) ?? 0 };
}

export function modalityValue(transform: ModalityTransform, stored: number): number {
  return transform.kind === 'table' ? lookUp(transform.table, stored) : stored * transform.slope + transform.intercept;
}

/** The first that the image names; `undefined` for none. Throws `malformed`. */
export function valuesOfInterestOf({ dataSet, source, frameIndex }: Place): ValuesOfInterest | undefined {
  const holder = functionalGroup(dataSet, frameIndex, TAGS.frameVoiLut) ?? dataSet;
  const [item] = itemsOf(holder, TAGS.voiLutSequence);
  const isSigned = numberOf(dataSet, TAGS.pixelRepresentation) === 1;
  const table = item && lookupTableOf(item, source, { tags: LUT_TAGS, isSigned });
  if (table !== undefined) return { kind: 'table', table };
  const [center] = numbersOf(holder, TAGS.windowCenter);
  const [width] = numbersOf(holder, TAGS.windowWidth);
  if (center === undefined || width === undefined) return undefined;
  const window = { center, width, shape: shapeOf(textOf(holder, TAGS.voiLutFunction)) };
  return isWindow(window) ? { kind: 'window', window } : undefined; // a width of zero is found, and means nothing
}

function shapeOf(text: string | undefined): Window['shape'] {
  return text === 'SIGMOID' || text === 'LINEAR_EXACT' ? text : 'LINEAR';
}

/** C.11.2.1.2: at least 1 for LINEAR, positive for the others. */
function isWindow({ width, shape }: Window): boolean {
  return shape === 'LINEAR' ? width >= 1 : width > 0;
}

/** Modality value -> 0 to 1. Throws `value` for a width that is too small. */
export function presentationFunction(interest: ValuesOfInterest): (value: number) => number {
  if (interest.kind === 'table') {
    const { table } = interest;
    const max = 2 ** table.bits - 1;
    return (value) => Math.min(lookUp(table, value) / max, 1);
  }
  const { window } = interest;
  if (!isWindow(window)) throw new DicomError('value', 'A window is at least one wide.');
  const { center, width, shape } = window;
  switch (shape) {
    case 'LINEAR': // C.11.2.1.2.1
      if (width === 1) return (value) => (value <= center - 0.5 ? 0 : 1);
      return (value) => Math.min(Math.max((value - (center - 0.5)) / (width - 1) + 0.5, 0), 1);
    case 'LINEAR_EXACT': // C.11.2.1.3.2
      return (value) => Math.min(Math.max((value - center) / width + 0.5, 0), 1);
    case 'SIGMOID': // C.11.2.1.3.1
      return (value) => 1 / (1 + Math.exp((-4 * (value - center)) / width));
  }
}
