/**
 * A record as it stands after a message: what the message says takes the place of what is there, element by element; what it does not
 * speak of stays, since an empty field changes nothing (2.5.3), and others may have written it.
 *
 *   an element            the message's
 *   a period, a group     part by part
 *   a list                the message's, but where occurrences can be told apart: then each by itself
 *   a result              the message's as a whole
 *   removed               gone, unless the message says it anew
 *   a placeholder         the one that is there, if there is one
 *
 * A text for readers (`text`) told what is no longer so, and goes.
 */
import { isJsonObject, type JsonObject, type JsonValue } from '../../fhir/json.ts';
import { elementOf, isMergedInside } from './fhir-model.ts';

export type MergeRules = {
  /** As `RecordChange` writes them. */
  readonly removed: readonly string[];
  /** Names of elements; of a choice without its type. */
  readonly placeholders: readonly string[];
};

/** What tells occurrences of a list apart; a list that is not here is replaced as a whole. */
const KEYS: Readonly<Record<string, (item: JsonObject) => string>> = {
  identifier: ({ system, value }) => JSON.stringify([system, value]),
  extension: ({ url }) => text(url),
  link: ({ other }) => (isJsonObject(other) ? text(other['reference']) : ''),
  telecom: ({ use }) => text(use),
  location: ({ status }) => text(status),
  participant: ({ type }) => firstCode(type),
};

/** Elements that are one statement, by the type of their record: where a message says one of them, none of the others stays. */
const TOGETHER: Readonly<Record<string, readonly string[]>> = {
  Observation: ['value', 'component', 'dataAbsentReason'], // its result
};

/** Neither argument is changed. */
export function mergedRecord(stored: JsonObject, said: JsonObject, { removed, placeholders }: MergeRules): JsonObject {
  const type = text(said['resourceType']);
  const kept = removed.reduce(without, stored);
  const { text: _narrative, meta, ...rest } = kept;
  const isKnown = (name: string) => Object.keys(rest).some((key) => nameOf(type, key) === name);
  const news = Object.entries(said).filter(([key]) => {
    if (key === 'resourceType' || key === 'id' || key === 'meta') return false;
    const name = nameOf(type, key);
    return !placeholders.includes(name) || !isKnown(name);
  });
  // Who said it last is named by whoever writes it.
  const { source: _source, ...otherMeta } = isJsonObject(meta) ? meta : {};
  const merged = mergedElements(rest, Object.fromEntries(news), type);
  return Object.keys(otherMeta).length === 0 ? merged : { ...merged, meta: otherMeta };
}

function mergedElements(stored: JsonObject, said: JsonObject, type: string): JsonObject {
  const names = new Set(Object.keys(said).map((key) => nameOf(type, key)));
  const together = TOGETHER[type] ?? [];
  if (together.some((name) => names.has(name))) for (const name of together) names.add(name);
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(stored)) {
    // What is said takes the place of the other types of a choice, and of extensions of a primitive, as well.
    const isSaid = names.has(nameOf(type, key));
    if (!isSaid || said[key] !== undefined) result[key] = value;
  }
  for (const [key, value] of Object.entries(said)) result[key] = mergedValue(type, key, { before: result[key], value });
  return result;
}

function mergedValue(
  type: string,
  key: string,
  { before, value }: { readonly before: JsonValue | undefined; readonly value: JsonValue },
): JsonValue {
  const keyOf = KEYS[key];
  if (keyOf !== undefined && Array.isArray(value) && Array.isArray(before)) {
    const own = new Set(value.filter(isJsonObject).map(keyOf));
    return [...value, ...before.filter((item) => isJsonObject(item) && !own.has(keyOf(item)))];
  }
  const inner = elementOf(type, key)?.type ?? '';
  const isInside = isJsonObject(value) && isJsonObject(before) && isMergedInside(inner);
  return isInside ? mergedElements(before, value, inner) : value;
}

/** `value` of `valueQuantity`, `birthDate` of `_birthDate`. */
function nameOf(type: string, key: string): string {
  const bare = key.replace(/^_/, '');
  return elementOf(type, bare)?.choice ?? bare;
}

/** Of the path of an element, or of one occurrence of a list. */
function without(json: JsonObject, path: string): JsonObject {
  const [occurrence = '', wanted] = path.split(':', 2);
  const list = json[occurrence];
  const keyOf = KEYS[occurrence];
  if (wanted !== undefined) {
    if (keyOf === undefined || !Array.isArray(list)) return json;
    const { [occurrence]: _list, ...rest } = json;
    const left = list.filter((item) => !isJsonObject(item) || keyOf(item) !== wanted);
    return left.length === 0 ? rest : { ...rest, [occurrence]: left };
  }
  const [name = '', ...inner] = path.split('.');
  const { [name]: value, [`_${name}`]: _extra, ...rest } = json;
  if (inner.length === 0 || !isJsonObject(value)) return inner.length === 0 ? rest : json;
  const left = without(value, inner.join('.'));
  return Object.keys(left).length === 0 ? rest : { ...rest, [name]: left };
}

function text(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

function firstCode(type: JsonValue | undefined): string {
  const [concept] = Array.isArray(type) ? type : [];
  const coding = isJsonObject(concept) ? concept['coding'] : undefined;
  const [first] = Array.isArray(coding) ? coding : [];
  return isJsonObject(first) ? text(first['code']) : '';
}
