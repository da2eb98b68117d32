/**
 * Builds elements, and data sets with some elements changed, without touching what is there. A value is encoded only when its data
 * set is known, so that byte order and character set cannot be mistaken: a builder says what shall stand there, `withElements`
 * writes it as that data set writes.
 *
 * Text that the character set of the data set cannot hold turns the whole data set into UTF-8 (ISO_IR 192).
 */
import assert from 'node:assert/strict';
import { characterSetsOf, type DataSet, type Element, effectiveVr, swapped, type Value } from './data-set.ts';
import { DicomError } from './dicom-error.ts';
import { implicitVr, keywordOf, tagOfKeyword } from './dictionary.ts';
import { TAGS, type Tag, tagText } from './tag.ts';
import { decodeText, encodeText } from './text.ts';
import { brokenTextRule } from './text-rules.ts';
import { type Vr, vrRule, wordBytes } from './vr.ts';

const UNICODE = 'ISO_IR 192';

type Context = Pick<DataSet, 'littleEndian' | 'characterSets'>;

/** Gives `undefined` where the character set of `context` cannot hold the text. */
export type ElementBuilder = (context: Context) => Element | undefined;
export type Removal = { readonly remove: Tag };

/** A keyword of PS3.6, or a tag; `vr` is needed for private elements and where the standard leaves a choice. */
type Name = Tag | string;

function tagOf(name: Name): Tag {
  const tag = typeof name === 'number' ? name : tagOfKeyword(name);
  assert.ok(tag !== undefined, `PS3.6 has no element ${name}.`);
  return tag;
}

/** As people know it: keyword and tag. */
function fieldText(tag: Tag): string {
  return `${keywordOf(tag) ?? 'Private'} ${tagText(tag)}`;
}

const PADDING: Readonly<Partial<Record<Vr, number>>> = { UI: 0 };

/** One text, or several values. Throws `value` where one breaks the rule of its VR. */
export function textElement(
  name: Name,
  values: string | readonly string[],
  vr = implicitVr(tagOf(name)),
): ElementBuilder {
  const tag = tagOf(name);
  assert.equal(vrRule(vr).kind, 'text', `${name} holds no text.`);
  const all = typeof values === 'string' ? [values] : values;
  for (const one of all) {
    const broken = brokenTextRule(vr, one);
    if (broken !== undefined) throw new DicomError('value', `${fieldText(tag)}: ${broken}.`);
  }
  return textAsItStands(tag, all, vr);
}

/** As `textElement`, for values that others wrote. */
export function textAsItStands(tag: Tag, values: readonly string[], vr: Vr): ElementBuilder {
  return ({ characterSets }) => {
    const rule = vrRule(vr);
    const encoded = encodeText(values.join('\\'), rule.kind === 'text' && rule.charset ? characterSets : []);
    if (encoded === undefined) return undefined;
    const odd = encoded.byteLength % 2 === 1;
    const bytes = odd ? Buffer.concat([encoded, Buffer.from([PADDING[vr] ?? 0x20])]) : encoded;
    return { tag, vr, value: { kind: 'bytes', bytes } };
  };
}

/** Numbers in a binary VR, or written out in DS and IS. Throws `value` where the VR cannot hold one. */
export function numberElement(
  name: Name,
  values: number | bigint | readonly (number | bigint)[],
  vr = implicitVr(tagOf(name)),
): ElementBuilder {
  const all = Array.isArray(values) ? values : [values];
  if (vr === 'DS') return textElement(name, all.map(decimalString), vr);
  if (vr === 'IS') return textElement(name, all.map(String), vr);
  const tag = tagOf(name);
  const rule = vrRule(vr);
  assert.ok(rule.kind === 'number', `${name} holds no numbers.`);
  return ({ littleEndian }) => {
    const bytes = Buffer.alloc(all.length * rule.bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const [index, number] of all.entries()) {
      if (!fits(number, vr)) throw new DicomError('value', `${fieldText(tag)}: ${vr} cannot hold the number.`);
      rule.write(view, index * rule.bytes, number, littleEndian);
    }
    return { tag, vr, value: { kind: 'bytes', bytes } };
  };
}

/** Integers must come back as they were; floating point ones may be rounded. */
function fits(number: number | bigint, vr: Vr): boolean {
  const rule = vrRule(vr);
  if (rule.kind !== 'number') return false;
  if (vr === 'FL' || vr === 'FD') return typeof number === 'number';
  if (typeof number === 'number' && !Number.isSafeInteger(number)) return false;
  const view = new DataView(new ArrayBuffer(8));
  rule.write(view, 0, number, true);
  return BigInt(rule.read(view, 0, true)) === BigInt(number);
}

/** A number in at most 16 characters (PS3.5 6.2, DS), as near to it as these allow. */
export function decimalString(number: number | bigint): string {
  if (!Number.isFinite(Number(number))) throw new DicomError('value', 'A decimal string holds finite numbers.');
  const plain = String(number);
  if (plain.length <= 16) return plain;
  for (let digits = 16; digits > 0; digits -= 1) {
    const shorter = String(Number(Number(number).toPrecision(digits)));
    if (shorter.length <= 16) return shorter;
    const exponential = Number(number).toExponential(digits - 1);
    if (exponential.length <= 16) return exponential;
  }
  throw new DicomError('value', 'The number has no decimal string.');
}

/** Tags as values, VR AT. */
export function tagElement(name: Name, values: readonly Tag[]): ElementBuilder {
  const words = values.flatMap((tag) => [tag >>> 16, tag & 0xffff]);
  return (context) => {
    const built = numberElement(name, words, 'US')(context);
    return built && { ...built, vr: 'AT' };
  };
}

/** Bytes; words in them are little endian, and turned round for a big endian data set. */
export function bytesElement(name: Name, content: Buffer, vr = implicitVr(tagOf(name))): ElementBuilder {
  const tag = tagOf(name);
  const padded = content.byteLength % 2 === 1 ? Buffer.concat([content, Buffer.alloc(1)]) : content;
  return ({ littleEndian }) => {
    const word = littleEndian ? undefined : wordBytes(vr);
    return { tag, vr, value: { kind: 'bytes', bytes: word === undefined ? padded : swapped(padded, word) } };
  };
}

export type ItemContent = DataSet | readonly ElementBuilder[];

/** A sequence. Items that are data sets already keep their encoding, and name their character set where it differs. */
export function sequenceElement(name: Name, items: readonly ItemContent[]): ElementBuilder {
  const tag = tagOf(name);
  return (context) => {
    const built: DataSet[] = [];
    for (const item of items) {
      const dataSet = isDataSet(item) ? inContext(item, context) : filled(item, { ...context, elements: new Map() });
      if (dataSet === undefined) return undefined;
      built.push(dataSet);
    }
    return { tag, vr: 'SQ', value: { kind: 'items', items: built } };
  };
}

function isDataSet(item: ItemContent): item is DataSet {
  return 'elements' in item;
}

/** PS3.5 7.5.3: an item without SpecificCharacterSet has that of the data set around it. */
function inContext(item: DataSet, context: Context): DataSet {
  if (isSame(item.characterSets, context.characterSets) || item.elements.has(TAGS.specificCharacterSet)) return item;
  const declared = declaration(item.characterSets.length === 0 ? ['ISO_IR 6'] : item.characterSets);
  return { ...item, elements: new Map([...item.elements, [declared.tag, declared]]) };
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.join('\\') === others.join('\\');
}

/** `undefined` where the character set cannot hold a text. */
function filled(builders: readonly ElementBuilder[], { elements, ...context }: DataSet): DataSet | undefined {
  const changed = new Map(elements);
  for (const build of builders) {
    const element = build(context);
    if (element === undefined) return undefined;
    changed.set(element.tag, element);
  }
  const declared = characterSetsOf(changed, context.characterSets);
  assert.ok(isSame(declared, context.characterSets), 'Texts are in another character set: `inUnicode` changes it.');
  return { ...context, elements: changed };
}

/** A data set of its own, in UTF-8 and little endian. */
export function dataSetOf(builders: readonly ElementBuilder[]): DataSet {
  const empty: DataSet = { elements: new Map(), littleEndian: true, characterSets: [UNICODE] };
  return withElements(empty, [textElement('SpecificCharacterSet', UNICODE), ...builders]);
}

/** A new data set: elements replaced or added, others removed, the rest shared with `dataSet`. */
export function withElements(dataSet: DataSet, changes: readonly (ElementBuilder | Removal)[]): DataSet {
  const removed = new Set(changes.flatMap((change) => (typeof change === 'function' ? [] : [change.remove])));
  const builders = changes.filter((change) => typeof change === 'function');
  const rest = { ...dataSet, elements: new Map([...dataSet.elements].filter(([tag]) => !removed.has(tag))) };
  const changed = filled(builders, rest) ?? filled(builders, inUnicode(rest));
  assert.ok(changed !== undefined, 'UTF-8 holds every text.');
  return changed;
}

/** The data set with all its texts in UTF-8. Throws `limit` where a text was left in the source. */
export function inUnicode(dataSet: DataSet): DataSet {
  const elements = new Map([...recoded(dataSet).elements, [TAGS.specificCharacterSet, declaration([UNICODE])]]);
  return { ...dataSet, elements, characterSets: [UNICODE] };
}

function declaration(characterSets: readonly string[]): Element {
  const declared = textElement(TAGS.specificCharacterSet, characterSets)({ littleEndian: true, characterSets: [] });
  assert.ok(declared !== undefined, 'Names of character sets are ASCII.');
  return declared;
}

/** As `inUnicode`, without a declaration of its own: items have that of the data set around them. */
function recoded(dataSet: DataSet): DataSet {
  const { elements, characterSets } = dataSet;
  const recodedElements = [...elements.values()]
    .filter(({ tag }) => tag !== TAGS.specificCharacterSet)
    .map((element): [Tag, Element] => [element.tag, { ...element, value: recodedValue(element, characterSets) }]);
  return { ...dataSet, elements: new Map(recodedElements), characterSets: [UNICODE] };
}

function recodedValue(element: Element, characterSets: readonly string[]): Value {
  const { tag, value } = element;
  if (value.kind === 'items') return { kind: 'items', items: value.items.map(recoded) };
  const rule = vrRule(effectiveVr(element));
  if (rule.kind !== 'text' || !rule.charset || value.kind === 'fragments') return value;
  if (value.kind === 'range')
    throw new DicomError('limit', `${tagText(tag)} is too long a text to be written in UTF-8.`);
  const utf8 = Buffer.from(decodeText(value.bytes, characterSets), 'utf8');
  return { kind: 'bytes', bytes: utf8.byteLength % 2 === 1 ? Buffer.concat([utf8, Buffer.from(' ')]) : utf8 };
}
