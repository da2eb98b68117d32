/**
 * Reads the DICOM JSON model (PS3.18 annex F) into a data set, from anybody: nothing in it is trusted, values are taken as they
 * stand. The data set is in UTF-8, as JSON is, whatever SpecificCharacterSet the JSON names.
 */
import type { DataSet, Value } from './data-set.ts';
import { DicomError } from './dicom-error.ts';
import {
  bytesElement,
  dataSetOf,
  type ElementBuilder,
  type ItemContent,
  numberElement,
  sequenceElement,
  tagElement,
  textAsItStands,
} from './element-values.ts';
import { TAGS, type Tag, tagText } from './tag.ts';
import { isVr, type Vr, vrRule } from './vr.ts';

const DEPTH_MAX = 32; // as for encoded data sets

/** Where the bytes of a BulkDataURI are; `undefined` refuses it. */
export type BulkData = (uri: string, element: { readonly tag: Tag; readonly vr: Vr }) => Value | undefined;

/**
 * One data set. `bulkData` says what stands behind a BulkDataURI; without it they are refused. A multipart message hands over its
 * parts this way.
 *
 * Throws `malformed`, naming the element, never its value; `value` for numbers that their VR cannot hold; `limit` for nesting.
 */
export function dataSetOfJson(json: unknown, bulkData: BulkData = () => undefined): DataSet {
  return dataSetOf(buildersOf(json, { bulkData, depth: 0 }));
}

type Place = { readonly bulkData: BulkData; readonly depth: number };
type JsonObject = Readonly<Record<string, unknown>>;

function isObject(json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function buildersOf(json: unknown, place: Place): ElementBuilder[] {
  if (place.depth > DEPTH_MAX) throw new DicomError('limit', `Sequences are nested deeper than ${DEPTH_MAX}.`);
  if (!isObject(json)) throw new DicomError('malformed', 'A data set in JSON is an object.');
  const builders: ElementBuilder[] = [];
  for (const [name, element] of Object.entries(json)) {
    if (!/^[0-9A-Fa-f]{8}$/.test(name))
      throw new DicomError('malformed', 'An element in JSON is named by eight hex digits.');
    const tag = Number.parseInt(name, 16);
    if (tag === TAGS.specificCharacterSet || (tag & 0xffff) === 0) continue;
    builders.push(builderOf(tag, element, place));
  }
  return builders;
}

function builderOf(tag: Tag, element: unknown, place: Place): ElementBuilder {
  const wrong = (rule: string) => new DicomError('malformed', `${tagText(tag)}: ${rule}.`);
  if (!isObject(element)) throw wrong('an element in JSON is an object');
  const { vr, Value: values = [], InlineBinary: inline, BulkDataURI: uri } = element;
  if (typeof vr !== 'string' || !isVr(vr)) throw wrong('its vr is none');
  if (!Array.isArray(values)) throw wrong('its Value is no array');
  if (typeof uri === 'string') {
    const value = place.bulkData(uri, { tag, vr });
    if (value === undefined) throw wrong('its BulkDataURI leads nowhere');
    return () => ({ tag, vr, value });
  }
  if (vr === 'SQ')
    return sequenceElement(
      tag,
      values.map((item) => itemOf(item, place)),
    );
  if (inline !== undefined) {
    if (typeof inline !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(inline))
      throw wrong('its InlineBinary is not base64');
    return bytesElement(tag, Buffer.from(inline, 'base64'), vr);
  }
  return valuesBuilder({ tag, vr, values, wrong });
}

/** An empty item is an object without elements, or null (PS3.18 F.2.5). */
function itemOf(item: unknown, place: Place): ItemContent {
  return item === null ? [] : buildersOf(item, { ...place, depth: place.depth + 1 });
}

function valuesBuilder(options: {
  tag: Tag;
  vr: Vr;
  values: readonly unknown[];
  wrong: (rule: string) => DicomError;
}): ElementBuilder {
  const { tag, vr, values, wrong } = options;
  if (vr === 'AT')
    return tagElement(
      tag,
      values.map((value) => tagIn(value, wrong)),
    );
  switch (vrRule(vr).kind) {
    case 'text':
      return textAsItStands(
        tag,
        values.map((value) => textIn(vr, value, wrong)),
        vr,
      );
    case 'number':
      return numberElement(
        tag,
        values.map((value) => numberIn(vr, value, wrong)),
        vr,
      );
    default:
      if (values.length > 0) throw wrong(`${vr} has no Value in JSON`);
      return bytesElement(tag, Buffer.alloc(0), vr);
  }
}

function tagIn(value: unknown, wrong: (rule: string) => DicomError): Tag {
  if (typeof value !== 'string' || !/^[0-9A-Fa-f]{8}$/.test(value)) throw wrong('a tag has eight hex digits');
  return Number.parseInt(value, 16);
}

function textIn(vr: Vr, value: unknown, wrong: (rule: string) => DicomError): string {
  if (value === null) return '';
  if (vr === 'PN' && isObject(value)) return personName(value, wrong);
  if (typeof value === 'string') return value;
  if ((vr === 'DS' || vr === 'IS') && typeof value === 'number') return String(value);
  throw wrong(`a value of ${vr} is none`);
}

const COMPONENT_GROUPS = ['Alphabetic', 'Ideographic', 'Phonetic'] as const;

function personName(value: JsonObject, wrong: (rule: string) => DicomError): string {
  const groups = COMPONENT_GROUPS.map((name) => value[name] ?? '');
  if (!groups.every((group) => typeof group === 'string')) throw wrong('a component group is a string');
  return groups.join('=').replace(/=+$/, '');
}

const SPECIAL: Readonly<Record<string, number>> = { NaN: Number.NaN, inf: Infinity, '-inf': -Infinity };

/** 64-bit integers may be strings; so are the numbers that JSON lacks (PS3.18 F.2.3). */
function numberIn(vr: Vr, value: unknown, wrong: (rule: string) => DicomError): number | bigint {
  if (typeof value === 'number') return value;
  if (typeof value === 'string' && (vr === 'FL' || vr === 'FD') && Object.hasOwn(SPECIAL, value))
    return SPECIAL[value] ?? 0;
  if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) return BigInt(value);
  throw wrong(`a value of ${vr} is none`);
}
