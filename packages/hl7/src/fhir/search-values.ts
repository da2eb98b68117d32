/**
 * What a resource can be found by: its values at the places that the search parameters of its type read, in the forms that an index
 * compares. A place is named by type and path (`Observation.component.code`), so that parameters which read the same place share what
 * is stored for it.
 */

import { instantRange } from './dates.ts';
import { type SearchKind, type SearchSource, searchParametersOf } from './definitions.ts';
import { isJsonObject, type JsonObject, numberOf } from './json.ts';
import { canonicalQuantity } from './units.ts';

export type TokenValue = { readonly place: string; readonly system: string | undefined; readonly code: string };
/** `target` is `Patient/123`, or a URL. */
export type ReferenceValue = { readonly place: string; readonly target: string };
/** `folded`: without case, accents and further white space. */
export type StringValue = { readonly place: string; readonly folded: string; readonly exact: string };
/** Milliseconds since 1970, `high` excluded; infinite where a period is open. */
export type DateValue = { readonly place: string; readonly low: number; readonly high: number };
export type QuantityValue = {
  readonly place: string;
  readonly value: number;
  readonly system: string | undefined;
  readonly code: string | undefined;
  readonly unit: string | undefined;
  /** In base units, where the unit is one of UCUM that is known. */
  readonly canonical: { readonly value: number; readonly unit: string } | undefined;
};

export type SearchValues = {
  readonly tokens: TokenValue[];
  readonly references: ReferenceValue[];
  readonly strings: StringValue[];
  readonly dates: DateValue[];
  readonly quantities: QuantityValue[];
};

export const UCUM = 'http://unitsofmeasure.org';
const CURRENCY = 'urn:iso:std:iso:4217';

/** Longer values are cut: nobody searches for more, and an index of PostgreSQL takes no entry above 2,700 bytes. */
const VALUE_LENGTH_MAX = 500;

/** A resource may hold so many values at one place in the index; a document of 100,000 codes is found by the first of them. */
const VALUES_PER_PLACE_MAX = 1000;

type Step = {
  readonly name: string;
  readonly index?: number;
  readonly filter?: readonly [name: string, value: string];
};
type Extractor = {
  readonly place: string;
  readonly kind: SearchKind;
  readonly source: SearchSource;
  readonly steps: readonly Step[];
};

const extractorsByType = new Map<string, readonly Extractor[]>();

/** Where the index keeps what a parameter finds. */
export function placeOf(type: string, source: SearchSource): string {
  return `${type}.${source.place ?? source.path}`;
}

/** Lower case, no accents, single spaces: as FHIR compares strings. */
export function foldText(text: string): string {
  const folded = /^[\x20-\x7e]*$/.test(text) ? text : text.normalize('NFKD').replaceAll(/\p{M}/gu, '');
  return folded.toLowerCase().replaceAll(/\s+/g, ' ').trim().slice(0, VALUE_LENGTH_MAX);
}

/** `Patient/123` of a reference as it may be written: with a version, with a base. A URL of elsewhere stays as it is. */
export function referenceTarget(reference: string): string | undefined {
  if (reference.startsWith('#') || reference === '') return undefined;
  return reference.replace(/\/_history\/[^/]*$/, '').slice(0, VALUE_LENGTH_MAX);
}

export function searchValuesOf(resource: JsonObject): SearchValues {
  const values: SearchValues = { tokens: [], references: [], strings: [], dates: [], quantities: [] };
  const type = resource['resourceType'];
  if (typeof type !== 'string') return values;
  for (const extractor of extractorsOf(type)) {
    const found: unknown[] = [];
    follow(resource, extractor.steps, 0, found);
    const { place, source } = extractor;
    for (const value of found.slice(0, VALUES_PER_PLACE_MAX)) READERS[extractor.kind](value, { place, source, values });
  }
  return values;
}

function extractorsOf(type: string): readonly Extractor[] {
  let extractors = extractorsByType.get(type);
  if (extractors === undefined) {
    const byKey = new Map<string, Extractor>();
    for (const { type: kind, sources } of Object.values(searchParametersOf(type))) {
      if (kind === 'composite' || kind === 'special') continue;
      for (const source of sources ?? []) {
        const place = placeOf(type, source);
        byKey.set(`${FORM_OF[kind]} ${source.path}`, { place, kind, source, steps: stepsOf(source.path) });
      }
    }
    extractors = [...byKey.values()];
    extractorsByType.set(type, extractors);
  }
  return extractors;
}

/** Kinds of parameter whose values are stored alike. */
const FORM_OF: Readonly<Record<SearchKind, string>> = {
  token: 'token',
  uri: 'token',
  reference: 'reference',
  string: 'string',
  date: 'date',
  quantity: 'quantity',
  number: 'quantity',
};

function stepsOf(path: string): Step[] {
  if (path === '$this') return [];
  return [...path.matchAll(/([A-Za-z0-9]+)(?:\[(?:(\d+)|(\w+)=([^\]]+))\])?/g)].map(
    ([, name = '', index, key, value]) => ({
      name,
      ...(index === undefined ? {} : { index: Number(index) }),
      ...(key === undefined || value === undefined ? {} : { filter: [key, value] as const }),
    }),
  );
}

function follow(value: unknown, steps: readonly Step[], at: number, found: unknown[]): void {
  const step = steps[at];
  if (step === undefined) {
    found.push(value);
    return;
  }
  if (!isJsonObject(value)) return;
  const next = value[step.name];
  if (next === undefined || next === null) return;
  if (!Array.isArray(next)) {
    if (isKept(next, step)) follow(next, steps, at + 1, found);
    return;
  }
  const items = step.index === undefined ? next : next.slice(step.index, step.index + 1);
  for (const item of items) if (isKept(item, step)) follow(item, steps, at + 1, found);
}

function isKept(value: unknown, { filter }: Step): boolean {
  return filter === undefined || (isJsonObject(value) && value[filter[0]] === filter[1]);
}

type Place = { readonly place: string; readonly source: SearchSource; readonly values: SearchValues };

const READERS: Readonly<Record<SearchKind, (value: unknown, place: Place) => void>> = {
  token: readToken,
  uri: readToken,
  reference: readReference,
  string: readString,
  date: readDate,
  quantity: readQuantity,
  number: readQuantity,
};

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function addToken({ place, values }: Place, system: unknown, code: unknown): void {
  const found = text(code);
  if (found !== undefined) values.tokens.push({ place, system: text(system), code: found.slice(0, VALUE_LENGTH_MAX) });
}

function readToken(value: unknown, place: Place): void {
  const { type, system } = place.source;
  if (type === 'deceased') {
    const isDeceased =
      isJsonObject(value) && (value['deceasedBoolean'] === true || value['deceasedDateTime'] !== undefined);
    addToken(place, undefined, String(isDeceased));
  } else if (typeof value === 'string' || typeof value === 'boolean') {
    addToken(place, system, String(value));
  } else if (isJsonObject(value)) {
    if (type === 'CodeableConcept') for (const coding of list(value['coding'])) addCoding(place, coding);
    else if (type === 'Coding') addCoding(place, value);
    else addToken(place, type === 'Identifier' ? value['system'] : undefined, value['value']);
  }
}

function addCoding(place: Place, coding: unknown): void {
  if (isJsonObject(coding)) addToken(place, coding['system'], coding['code']);
}

function readReference(value: unknown, context: Place): void {
  const { place, values } = context;
  const reference = isJsonObject(value) ? value['reference'] : value;
  const target = typeof reference === 'string' ? referenceTarget(reference) : undefined;
  if (target !== undefined) values.references.push({ place, target });
  const identifier = isJsonObject(value) ? value['identifier'] : undefined;
  if (!isJsonObject(identifier)) return;
  addToken({ ...context, place: identifierPlace(place) }, identifier['system'], identifier['value']);
}

/** Where the identifiers stand by which references name their targets. */
function identifierPlace(place: string): string {
  return `${place}:identifier`;
}

const NAME_PARTS = ['text', 'family', 'given', 'prefix', 'suffix'];
const ADDRESS_PARTS = ['text', 'line', 'city', 'district', 'state', 'postalCode', 'country'];

function readString(value: unknown, { place, source, values }: Place): void {
  const add = (exact: unknown): void => {
    const found = text(exact);
    if (found === undefined) return;
    values.strings.push({ place, exact: found.slice(0, VALUE_LENGTH_MAX), folded: foldText(found) });
  };
  if (!isJsonObject(value)) {
    add(value);
    return;
  }
  for (const part of source.type === 'Address' ? ADDRESS_PARTS : NAME_PARTS) {
    for (const one of [value[part]].flat()) add(one);
  }
}

function readDate(value: unknown, { place, source, values }: Place): void {
  const add = (start: unknown, end: unknown): void => {
    const [from, to] = [rangeOf(start), rangeOf(end)];
    if (from === undefined && to === undefined) return;
    const range = { low: from?.low ?? Number.NEGATIVE_INFINITY, high: to?.high ?? Number.POSITIVE_INFINITY };
    if (range.low < range.high) values.dates.push({ place, ...range });
  };
  if (!isJsonObject(value)) add(value, value);
  else if (source.type === 'Period') add(value['start'], value['end']);
  else {
    for (const event of list(value['event'])) add(event, event);
    const repeat = isJsonObject(value['repeat']) ? value['repeat'] : {};
    const bounds = repeat['boundsPeriod'];
    if (isJsonObject(bounds)) add(bounds['start'], bounds['end']);
  }
}

function rangeOf(value: unknown): ReturnType<typeof instantRange> {
  return typeof value === 'string' ? instantRange(value) : undefined;
}

function readQuantity(value: unknown, context: Place): void {
  const { place, source, values } = context;
  if (isJsonObject(value) && source.type === 'Range') {
    for (const end of [value['low'], value['high']])
      readQuantity(end, { ...context, source: { ...source, type: 'Quantity' } });
    return;
  }
  const number = numberOf(isJsonObject(value) ? value['value'] : value);
  if (number === undefined || !Number.isFinite(number)) return;
  const money = isJsonObject(value) && source.type === 'Money' ? text(value['currency']) : undefined;
  const system = money !== undefined ? CURRENCY : isJsonObject(value) ? text(value['system']) : undefined;
  const code = money ?? (isJsonObject(value) ? text(value['code']) : undefined);
  const unit = isJsonObject(value) ? text(value['unit']) : undefined;
  const canonical = system === UCUM && code !== undefined ? canonicalQuantity(number, code) : undefined;
  values.quantities.push({
    place,
    value: number,
    system: system?.slice(0, VALUE_LENGTH_MAX),
    code: code?.slice(0, VALUE_LENGTH_MAX),
    unit: unit?.slice(0, VALUE_LENGTH_MAX),
    canonical,
  });
}
