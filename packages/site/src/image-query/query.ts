/**
 * A query over the index of images, as both protocols ask it: conditions on attributes of a level and those above it, and which
 * attributes the answers show. Keys that are not known, or stand below the level, ask nothing and are shown empty
 * (PS3.4 C.2.2.1.3); the query remembers them.
 */
import { AppError } from '@lantern/contract';
import type { JsonDataSet, JsonElement } from '@lantern/dicom';
import { type Pattern, patternsOf, type Wrong } from './key-matching.ts';
import {
  DATE_TIME_PAIRS,
  isWithin,
  type QueryAttribute,
  type QueryLevel,
  queryAttributes,
} from './query-attributes.ts';

/** `anyOf`: patterns, one of which a value has to meet. `items`: what an item of the sequence has to meet, all of it. */
export type Condition =
  | { readonly kind: 'value'; readonly attribute: QueryAttribute; readonly anyOf: readonly Pattern[] }
  | { readonly kind: 'item'; readonly attribute: QueryAttribute; readonly items: readonly ItemCondition[] }
  /** Two ranges as one, from the first moment of the first day to the last of the last. */
  | {
      readonly kind: 'date-time';
      readonly date: QueryAttribute;
      readonly time: QueryAttribute;
      readonly from?: string;
      readonly to?: string;
    };

export type ItemCondition = { readonly tag: string; readonly anyOf: readonly Pattern[] };

export type ImageQuery = {
  readonly level: QueryLevel;
  readonly conditions: readonly Condition[];
  /** In the order of tags. */
  readonly shown: readonly QueryAttribute[];
  /** Keys that ask nothing here although they have a value, by keyword or tag. */
  readonly ignored: readonly string[];
};

/** A key as it came: by its tag in hex, values in Unicode, or one item of a sequence. */
export type QueryKey = {
  readonly tag: string;
  readonly values: readonly string[];
  readonly item?: readonly Omit<QueryKey, 'item'>[];
};

/** More keys than any level has attributes; each unknown one would be repeated in every answer. */
export const KEY_COUNT_MAX = 256;

type QueryParts = {
  readonly level: QueryLevel;
  readonly keys: readonly QueryKey[];
  /** Tags that answers show besides those of the keys. */
  readonly shown: ReadonlySet<string>;
  /** Whether ranges of a date and its time are one range; PS3.18 8.3.4.1.1 wants it, PS3.4 only where it was agreed. */
  readonly combinesDateTime: boolean;
};

/** Throws `input.invalid`, whose field is the keyword of the key; never quotes a value. */
export function imageQuery({ level, keys, shown, combinesDateTime }: QueryParts): ImageQuery {
  if (keys.length > KEY_COUNT_MAX) throw new AppError('input.invalid', `There are more than ${KEY_COUNT_MAX} keys.`);
  const attributes = queryAttributes();
  const conditions: Condition[] = [];
  const ignored: string[] = [];
  for (const key of keys) {
    const attribute = attributes.get(key.tag);
    const condition = attribute && isWithin(attribute, level) ? conditionOf(attribute, key) : 'ignored';
    if (condition === 'ignored') {
      if (hasValue(key)) ignored.push(attribute?.keyword ?? key.tag);
    } else if (condition !== undefined) conditions.push(condition);
  }
  const restricting = combinesDateTime ? combined(conditions) : conditions;
  for (const condition of restricting) assertForward(condition);
  const asked = new Set([...shown, ...keys.map(({ tag }) => tag)]);
  return {
    level,
    conditions: restricting,
    shown: [...attributes.values()].filter((attribute) => asked.has(attribute.tag) && isWithin(attribute, level)),
    ignored,
  };
}

function hasValue({ values, item }: QueryKey): boolean {
  return values.some((value) => !/^[* ]*$/.test(value)) || (item ?? []).some(hasValue);
}

function conditionOf(attribute: QueryAttribute, key: QueryKey): Condition | 'ignored' | undefined {
  const { comparison, keyword } = attribute;
  if (comparison === 'never') return 'ignored';
  if (comparison === 'sequence') {
    const items = (key.item ?? []).flatMap(({ tag, values }): ItemCondition[] => {
      const anyOf = patternsOf('text', values, wrongKey(`${keyword}.${tag}`));
      return anyOf === undefined ? [] : [{ tag, anyOf }];
    });
    return items.length === 0 ? undefined : { kind: 'item', attribute, items };
  }
  const anyOf = patternsOf(comparison, key.values, wrongKey(keyword));
  return anyOf === undefined ? undefined : { kind: 'value', attribute, anyOf };
}

function wrongKey(keyword: string): Wrong {
  return (rule) => new AppError('input.invalid', `${keyword}: ${rule}.`, { field: keyword });
}

/** Only with their days may times run on past midnight (PS3.4 C.2.2.2.5.2). */
function assertForward(condition: Condition): void {
  const [ends, keyword] =
    condition.kind === 'date-time'
      ? [[condition], condition.date.keyword]
      : [condition.kind === 'value' ? condition.anyOf : [], condition.attribute.keyword];
  for (const range of ends) {
    if (range.kind !== 'between' && range.kind !== 'date-time') continue;
    if (range.from !== undefined && range.to !== undefined && range.from > range.to) {
      throw wrongKey(keyword)('is a range that ends before it begins');
    }
  }
}

/** Pairs of which both are single ranges; a range of days whose times are not restricted stays as it is. */
function combined(conditions: readonly Condition[]): Condition[] {
  let rest = [...conditions];
  for (const [dateName, timeName] of DATE_TIME_PAIRS) {
    const date = rangeOn(rest, dateName);
    const time = rangeOn(rest, timeName);
    if (date === undefined || time === undefined) continue;
    const both: Condition = {
      kind: 'date-time',
      date: date.attribute,
      time: time.attribute,
      ...(date.from === undefined ? {} : { from: date.from + (time.from ?? '000000000000') }),
      ...(date.to === undefined ? {} : { to: date.to + (time.to ?? '999999999999') }),
    };
    // The days alone as well: an index finds them.
    const day: Condition = { kind: 'value', attribute: date.attribute, anyOf: [date.pattern] };
    const others = rest.filter(
      (one) => one.kind !== 'value' || (one.attribute !== date.attribute && one.attribute !== time.attribute),
    );
    rest = [...others, day, both];
  }
  return rest;
}

type Range = { attribute: QueryAttribute; pattern: Pattern; from: string | undefined; to: string | undefined };

function rangeOn(conditions: readonly Condition[], keyword: string): Range | undefined {
  for (const condition of conditions) {
    if (condition.kind !== 'value' || condition.attribute.keyword !== keyword) continue;
    const [pattern, ...more] = condition.anyOf;
    if (pattern === undefined || more.length > 0) return undefined;
    const { attribute } = condition;
    if (pattern.kind === 'between') return { attribute, pattern, from: pattern.from, to: pattern.to };
    if (pattern.kind === 'equal') return { attribute, pattern, from: pattern.text, to: pattern.text };
  }
  return undefined;
}

/** The keys of an identifier in DICOM JSON, which has its texts in Unicode whatever they were written in. */
export function keysOf(identifier: JsonDataSet): QueryKey[] {
  return Object.entries(identifier).map(([tag, element]) => {
    const [item] = element.vr === 'SQ' ? (element.Value ?? []) : [];
    if (typeof item !== 'object' || item === null) return { tag, values: valuesOf(element) };
    const nested = Object.entries(item as JsonDataSet); // dicomJson makes items of nothing else
    return { tag, values: [], item: nested.map(([name, one]) => ({ tag: name, values: valuesOf(one) })) };
  });
}

function valuesOf({ vr, Value: values = [] }: JsonElement): string[] {
  if (vr === 'SQ') return [];
  return values.flatMap((value) => {
    if (typeof value === 'string' || typeof value === 'number') return [String(value)];
    return vr === 'PN' ? [nameOf(value)] : [];
  });
}

function nameOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return '';
  const groups = { Alphabetic: '', Ideographic: '', Phonetic: '', ...value };
  return [groups.Alphabetic, groups.Ideographic, groups.Phonetic].map(String).join('=').replace(/=+$/, '');
}
