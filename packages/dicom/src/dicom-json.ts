/** A data set in the DICOM JSON model (PS3.18 annex F). Bulk that stayed in the source is given by its length or by its URI. */
import { type DataSet, type Element, effectiveVr, inLittleEndian, numbersIn, tagsIn, textsIn } from './data-set.ts';
import { TAGS, type Tag, tagHex } from './tag.ts';
import { type Vr, vrRule } from './vr.ts';

/** Larger inline values are left out as well: a reader of headers does not want them. */
export const INLINE_BYTES_MAX = 4096;

export type JsonElement = {
  readonly vr: Vr;
  readonly Value?: readonly unknown[];
  readonly InlineBinary?: string;
  readonly BulkDataURI?: string;
  /** Ours: the size of a value that is not shown [bytes]. */
  readonly omittedBytes?: number;
};

export type JsonDataSet = Readonly<Record<string, JsonElement>>;

/**
 * The URI of a value that is not shown. `path` names it for `bulkDataAt`: a tag, or within sequences tag, number of the item from 1,
 * tag and so on, joined by dots.
 */
export type BulkDataUri = (path: string) => string;

export function dicomJson(dataSet: DataSet): JsonDataSet {
  return jsonOf(dataSet, undefined);
}

/** As metadata are retrieved (PS3.18 10.4.3.3.2, F.2): in the character set of JSON, and without group lengths. */
export function metadataJson(dataSet: DataSet, uriOf: BulkDataUri): JsonDataSet {
  return jsonOf(dataSet, { uriOf, prefix: '' });
}

type Links = { readonly uriOf: BulkDataUri; readonly prefix: string };

/** FloatPixelData, DoubleFloatPixelData, PixelData. */
export const PIXEL_TAGS: ReadonlySet<Tag> = new Set([0x7fe00008, 0x7fe00009, TAGS.pixelData]);
const UTF_8 = { vr: 'CS', Value: ['ISO_IR 192'] } as const;

function jsonOf(dataSet: DataSet, links: Links | undefined): JsonDataSet {
  const sorted = [...dataSet.elements.values()].sort((a, b) => a.tag - b.tag);
  const shown = links === undefined ? sorted : sorted.filter(({ tag }) => (tag & 0xffff) !== 0);
  return Object.fromEntries(shown.map((element) => [tagHex(element.tag), jsonElement(element, dataSet, links)]));
}

function jsonElement(element: Element, dataSet: DataSet, links: Links | undefined): JsonElement {
  const { tag, value } = element;
  if (links !== undefined && tag === TAGS.specificCharacterSet) return UTF_8;
  const vr = shownVr(element);
  const omitted = (bytes: number) =>
    links === undefined ? { omittedBytes: bytes } : { BulkDataURI: links.uriOf(links.prefix + tagHex(tag)) };
  switch (value.kind) {
    case 'items': {
      const itemLinks = (index: number) => links && { ...links, prefix: `${links.prefix}${tagHex(tag)}.${index + 1}.` };
      return { vr: 'SQ', ...valuesOf(value.items.map((item, index) => jsonOf(item, itemLinks(index)))) };
    }
    case 'range':
      return { vr, ...omitted(value.range.length) };
    case 'fragments':
      return { vr, ...omitted(value.fragments.reduce((sum, { length }) => sum + length, 0)) };
    case 'bytes':
      // Pixels always: clients look for them behind the URI, however small they are.
      if (links !== undefined && PIXEL_TAGS.has(tag)) return { vr, ...omitted(value.bytes.byteLength) };
      return { vr, ...(inlineValue(element, value.bytes, dataSet) ?? omitted(value.bytes.byteLength)) };
  }
}

/** `undefined` where it is too long to be shown. */
function inlineValue(element: Element, bytes: Buffer, dataSet: DataSet): Omit<JsonElement, 'vr'> | undefined {
  const { littleEndian, characterSets } = dataSet;
  const vr = shownVr(element);
  if (vr === 'AT') return valuesOf(tagsIn(element, littleEndian).map(tagHex));
  switch (vrRule(vr).kind) {
    case 'text':
      return valuesOf(textsIn(element, characterSets).map((text) => jsonText(vr, text)));
    case 'number':
      return valuesOf(numbersIn(element, littleEndian).map(jsonNumber));
    default:
      if (bytes.byteLength > INLINE_BYTES_MAX) return undefined;
      if (bytes.byteLength === 0) return {};
      return { InlineBinary: inLittleEndian(element, bytes, dataSet).toString('base64') };
  }
}

/** A sequence that was passed on as UN with a length is bytes still. */
export function shownVr(element: Element): Vr {
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
