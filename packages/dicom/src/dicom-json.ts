/** A data set in the DICOM JSON model (PS3.18 annex F). Bulk that stayed in the source is given by its length alone. */
import { type DataSet, type Element, effectiveVr, inLittleEndian, numbersIn, tagsIn, textsIn } from './data-set.ts';
import { tagHex } from './tag.ts';
import { type Vr, vrRule } from './vr.ts';

/** Larger inline values are left out as well: a reader of headers does not want them. */
const INLINE_BYTES_MAX = 4096;

export type JsonElement = {
  readonly vr: Vr;
  readonly Value?: readonly unknown[];
  readonly InlineBinary?: string;
  /** Ours: the size of a value that is not shown [bytes]. */
  readonly omittedBytes?: number;
};

export type JsonDataSet = Readonly<Record<string, JsonElement>>;

export function dicomJson(dataSet: DataSet): JsonDataSet {
  const sorted = [...dataSet.elements.values()].sort((a, b) => a.tag - b.tag);
  return Object.fromEntries(sorted.map((element) => [tagHex(element.tag), jsonElement(element, dataSet)]));
}

function jsonElement(element: Element, dataSet: DataSet): JsonElement {
  const { value } = element;
  const vr = jsonVr(element);
  switch (value.kind) {
    case 'items':
      return { vr: 'SQ', ...valuesOf(value.items.map(dicomJson)) };
    case 'range':
      return { vr, omittedBytes: value.range.length };
    case 'fragments':
      return { vr, omittedBytes: value.fragments.reduce((sum, { length }) => sum + length, 0) };
    case 'bytes':
      return { vr, ...inlineValue(element, value.bytes, dataSet) };
  }
}

function inlineValue(element: Element, bytes: Buffer, dataSet: DataSet): Omit<JsonElement, 'vr'> {
  const { littleEndian, characterSets } = dataSet;
  const vr = jsonVr(element);
  if (vr === 'AT') return valuesOf(tagsIn(element, littleEndian).map(tagHex));
  switch (vrRule(vr).kind) {
    case 'text':
      return valuesOf(textsIn(element, characterSets).map((text) => jsonText(vr, text)));
    case 'number':
      return valuesOf(numbersIn(element, littleEndian).map(jsonNumber));
    default:
      if (bytes.byteLength > INLINE_BYTES_MAX) return { omittedBytes: bytes.byteLength };
      if (bytes.byteLength === 0) return {};
      return { InlineBinary: inLittleEndian(element, bytes, dataSet).toString('base64') };
  }
}

/** A sequence that was passed on as UN with a length is bytes still. */
function jsonVr(element: Element): Vr {
  const vr = effectiveVr(element);
  return vr === 'SQ' && element.value.kind !== 'items' ? 'UN' : vr;
}

/** An empty value among others is null; an element of empty values has none (PS3.18 F.2.5). */
function valuesOf(values: readonly unknown[]): { Value?: readonly unknown[] } {
  return values.every((value) => value === null) ? {} : { Value: values };
}

function jsonText(vr: Vr, text: string): unknown {
  if (text === '') return null;
  if (vr === 'PN') return personName(text);
  if (vr !== 'DS' && vr !== 'IS') return text;
  const number = Number(text);
  return Number.isFinite(number) ? number : text; // what is no number is shown as it stands
}

/** The three component groups of a name (PS3.5 6.2.1.1). */
function personName(text: string): Record<string, string> {
  const groups = text.split('=');
  const named = ['Alphabetic', 'Ideographic', 'Phonetic'].map((name, index) => [name, groups[index] ?? '']);
  return Object.fromEntries(named.filter(([, group]) => group !== ''));
}

/** 64-bit integers beyond what a double holds, and what JSON has no number for, are strings (PS3.18 F.2.3). */
function jsonNumber(number: number | bigint): number | string {
  if (typeof number === 'bigint') return number.toString();
  return Number.isFinite(number) ? number : String(number).replace('Infinity', 'inf');
}
