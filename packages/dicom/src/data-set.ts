/**
 * A data set in memory: elements by tag, each with its value as it was encoded. Values are decoded when they are asked for, so
 * that reading a header costs no more than walking over it, and what nobody changes is written back byte for byte.
 */
import { DicomError } from './dicom-error.ts';
import { implicitVr } from './dictionary.ts';
import { TAGS, type Tag } from './tag.ts';
import { decodeText } from './text.ts';
import { type Vr, vrRule, type WordBytes, wordBytes } from './vr.ts';

/** Bytes of the source, from `start` on. */
export type ByteRange = { readonly start: number; readonly length: number };

export type Value =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  /** Left in the source, because it is large. */
  | { readonly kind: 'range'; readonly range: ByteRange }
  | { readonly kind: 'items'; readonly items: readonly DataSet[] }
  /** Encapsulated pixel data (PS3.5 A.4): the basic offset table, then the fragments. */
  | { readonly kind: 'fragments'; readonly fragments: readonly ByteRange[] };

export type Element = { readonly tag: Tag; readonly vr: Vr; readonly value: Value };

export type DataSet = {
  readonly elements: ReadonlyMap<Tag, Element>;
  readonly littleEndian: boolean;
  /** SpecificCharacterSet in force: its own, or that of the data set around it (PS3.5 7.5.3). */
  readonly characterSets: readonly string[];
};

/** The VR by which to understand a value: programs that do not know an element pass it on as UN, unchanged (PS3.5 6.2.2). */
export function effectiveVr({ tag, vr }: Element): Vr {
  return vr === 'UN' ? implicitVr(tag) : vr;
}

/** The values of a text element, without their padding; empty where the element is absent, empty, or left in its source. */
function textsOf({ elements, characterSets }: DataSet, tag: Tag): string[] {
  const element = elements.get(tag);
  return element === undefined ? [] : textsIn(element, characterSets);
}

export function textsIn(element: Element, characterSets: readonly string[]): string[] {
  const { value } = element;
  const rule = vrRule(effectiveVr(element));
  if (value.kind !== 'bytes' || value.bytes.byteLength === 0) return [];
  if (rule.kind !== 'text') return [];
  const text = decodeText(value.bytes, rule.charset ? characterSets : []);
  const values = rule.single ? [text] : text.split('\\');
  // Trailing spaces never mean anything; leading ones do in the long texts (PS3.5 6.2). A UID is padded with NUL.
  return values.map((one) => (isPadded(one) ? withoutPadding(one, rule.single) : one));
}

const SPACE = 0x20;

/** Most values are not, and looking costs less than searching. */
function isPadded(text: string): boolean {
  const last = text.charCodeAt(text.length - 1);
  return last === SPACE || last === 0 || text.charCodeAt(0) === SPACE;
}

function withoutPadding(text: string, isLong: boolean): string {
  return isLong ? text.replace(/[ \0]+$/, '') : text.replace(/^ +|[ \0]+$/g, '');
}

/** The first value of a text element, `undefined` for none. */
export function textOf(dataSet: DataSet, tag: Tag): string | undefined {
  const [first] = textsOf(dataSet, tag);
  return first === '' ? undefined : first;
}

/** The first number of an element, also of one whose numbers are written out (DS, IS); `undefined` for none. */
export function numberOf(dataSet: DataSet, tag: Tag): number | undefined {
  return numbersOf(dataSet, tag)[0];
}

/** The numbers of an element, also of one whose numbers are written out; what is no number is left out. */
export function numbersOf(dataSet: DataSet, tag: Tag): number[] {
  const element = dataSet.elements.get(tag);
  if (element === undefined) return [];
  const isText = vrRule(effectiveVr(element)).kind === 'text';
  const texts = () => textsIn(element, []).filter((text) => text !== '');
  const numbers = isText ? texts().map(Number) : numbersIn(element, dataSet.littleEndian).map(Number);
  return numbers.filter((number) => !Number.isNaN(number));
}

/** The items of a sequence; none where it is absent. */
export function itemsOf(dataSet: DataSet, tag: Tag): readonly DataSet[] {
  const value = dataSet.elements.get(tag)?.value;
  return value?.kind === 'items' ? value.items : [];
}

/** The numbers of an element with a binary number VR, UN being little endian in every encoding (PS3.5 6.2.2); 64-bit ones that no double holds exactly come as bigint. */
export function numbersIn(element: Element, littleEndian: boolean): (number | bigint)[] {
  const { value } = element;
  const vr = effectiveVr(element);
  const rule = vrRule(vr);
  if (rule.kind !== 'number' || value.kind !== 'bytes') return [];
  const { bytes } = value;
  if (bytes.byteLength % rule.bytes !== 0) {
    throw new DicomError('malformed', `A value of VR ${vr} is not a multiple of ${rule.bytes} bytes long.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / rule.bytes }, (_, index) => {
    const number = rule.read(view, index * rule.bytes, littleEndian || element.vr === 'UN');
    return typeof number === 'bigint' && isSafe(number) ? Number(number) : number;
  });
}

function isSafe(number: bigint): boolean {
  return number >= BigInt(Number.MIN_SAFE_INTEGER) && number <= BigInt(Number.MAX_SAFE_INTEGER);
}

/** The tags in an element of VR AT. */
export function tagsIn({ vr, value }: Element, littleEndian: boolean): Tag[] {
  if (value.kind !== 'bytes') return [];
  const { bytes } = value;
  const word = (at: number) => (littleEndian || vr === 'UN' ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  return Array.from(
    { length: Math.floor(bytes.byteLength / 4) },
    (_, index) => ((word(index * 4) << 16) | word(index * 4 + 2)) >>> 0,
  );
}

/** The character sets that a data set declares, `inherited` where it declares none. */
export function characterSetsOf(elements: ReadonlyMap<Tag, Element>, inherited: readonly string[]): readonly string[] {
  const declared = elements.get(TAGS.specificCharacterSet);
  return declared === undefined ? inherited : textsIn(declared, []);
}

/** A value in little endian, as the JSON model and UN have it whatever the data set is written in. */
export function inLittleEndian(element: Element, bytes: Buffer, dataSet: DataSet): Buffer {
  const word = dataSet.littleEndian || element.vr === 'UN' ? undefined : wordBytesOf(element, dataSet);
  return word === undefined ? bytes : swapped(bytes, word);
}

/**
 * What is turned round when the byte order of a value changes; `undefined` where it has none. Pixels wider than a word of OW are
 * turned round as a whole: so they are read (rtdose_expb.dcm of pydicom is rtdose.dcm that way only).
 */
export function wordBytesOf(element: Element, dataSet: DataSet): WordBytes | undefined {
  const bits = dataSet.elements.get(TAGS.bitsAllocated);
  if (element.tag === TAGS.pixelData && element.vr === 'OW' && bits !== undefined) {
    const [bitsAllocated] = numbersIn(bits, dataSet.littleEndian);
    if (bitsAllocated === 32) return 4;
    if (bitsAllocated === 64) return 8;
  }
  return wordBytes(effectiveVr(element));
}

/** A copy with every word turned round; a rest shorter than a word is left as it is. */
export function swapped(bytes: Buffer, word: WordBytes): Buffer {
  const copy = Buffer.from(bytes);
  const whole = copy.subarray(0, copy.byteLength - (copy.byteLength % word));
  if (word === 2) whole.swap16();
  else if (word === 4) whole.swap32();
  else whole.swap64();
  return copy;
}
