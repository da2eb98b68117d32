/**
 * What a key asks of a value (PS3.4 C.2.2.2): read here from the text of the key, without a database. A key of several values is
 * met by any of them. A key without value, or of asterisks alone, asks nothing ("universal matching").
 *
 * Two deliberate readings. An entity without a value is not found by a key that has one: the standard counts it as a match
 * (C.2.2.1.2), which would show the images of unknown patients to whoever looks for one. A time matches all moments that its
 * precision leaves open (PS3.5 6.2, TM): 1030 is every second of that minute.
 */
import { groupKey } from '../archive/name-key.ts';
import type { Comparison } from './query-attributes.ts';

/** One way of meeting a key. Texts are compared byte by byte. */
export type Pattern =
  | { readonly kind: 'equal'; readonly text: string }
  /** `like` is a pattern of SQL with backslash as its escape; every match begins with `prefix`. */
  | { readonly kind: 'like'; readonly like: string; readonly prefix: string }
  /** Both ends belong to it. */
  | { readonly kind: 'between'; readonly from?: string; readonly to?: string }
  /** Component groups of a name, alphabetic first; a name in one group that may be any of them has `anyGroup`. */
  | { readonly kind: 'name'; readonly groups: readonly (readonly Pattern[] | undefined)[] }
  | { readonly kind: 'name-in-any-group'; readonly patterns: readonly Pattern[] }
  | { readonly kind: 'number'; readonly number: number };

/** Makes the error that names the key; `rule` says what is wrong, in words that quote nothing. */
export type Wrong = (rule: string) => Error;
type Compared = Exclude<Comparison, 'sequence' | 'never'>;

/** The longest value that the index holds. */
const VALUE_LENGTH_MAX = 1024;
const VALUE_COUNT_MAX = 100;
/** A list of UIDs names the objects of a study. */
const UID_COUNT_MAX = 10_000;

/** `undefined`: universal. Throws what `wrong` makes. */
export function patternsOf(comparison: Compared, values: readonly string[], wrong: Wrong): Pattern[] | undefined {
  const given = values.map((value) => value.trim()).filter((value) => !isEmpty(comparison, value));
  if (given.length > (comparison === 'uid' ? UID_COUNT_MAX : VALUE_COUNT_MAX)) throw wrong('has too many values');
  for (const value of given) assertText(value, wrong);
  if (given.length === 0 || (hasWildcards(comparison) && given.some((value) => /^\*+$/.test(value)))) return undefined;
  return given.map((value) => patternOf(comparison, value, wrong));
}

function isEmpty(comparison: Compared, value: string): boolean {
  return comparison === 'name' ? /^[\^= ]*$/.test(value) : value === '';
}

function hasWildcards(comparison: Compared): boolean {
  return comparison === 'text' || comparison === 'name';
}

/** Neither the database nor any value of DICOM that is looked for holds control characters. */
function assertText(value: string, wrong: Wrong): void {
  if (value.length > VALUE_LENGTH_MAX) throw wrong(`is longer than ${VALUE_LENGTH_MAX} characters`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\x00-\x1f\x7f]/.test(value)) throw wrong('holds control characters');
  if (!value.isWellFormed()) throw wrong('is no text');
}

function patternOf(comparison: Compared, value: string, wrong: Wrong): Pattern {
  switch (comparison) {
    case 'text':
      return textPattern(value);
    case 'name':
      return namePattern(value, wrong);
    case 'date':
      return datePattern(value, wrong);
    case 'time':
      return timePattern(value, wrong);
    case 'uid':
      return { kind: 'equal', text: value };
    case 'number':
      return numberPattern(value, wrong);
  }
}

function textPattern(value: string): Pattern {
  if (!/[*?]/.test(value)) return { kind: 'equal', text: value };
  const [literal = ''] = value.split(/[*?]/, 1);
  return { kind: 'like', like: likeOf(value), prefix: literal };
}

function likeOf(value: string): string {
  return value
    .replace(/[\\%_]/g, '\\$&')
    .replace(/\*+/g, '%')
    .replaceAll('?', '_');
}

/**
 * A name without '=' is looked for in every group, but in the alphabetic one alone where it is written in ASCII: the others never
 * are. With '=' each group that is given has to match.
 */
function namePattern(value: string, wrong: Wrong): Pattern {
  const groups = value.split('=');
  if (groups.length > 3) throw wrong('has more than three component groups');
  if (groups.length === 1) {
    const patterns = groupPatterns(value);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII
    return /^[\x00-\x7f]*$/.test(value)
      ? { kind: 'name', groups: [patterns] }
      : { kind: 'name-in-any-group', patterns };
  }
  return { kind: 'name', groups: groups.map((group) => (/^[*^ ]*$/.test(group) ? undefined : groupPatterns(group))) };
}

/** "Doe^*" also finds Doe alone, whose second component is empty. */
function groupPatterns(group: string): readonly Pattern[] {
  const patterns = [textPattern(groupKey(group))];
  for (let rest = groupKey(group); /\^\*$/.test(rest); ) {
    rest = rest.slice(0, -2).replace(/\^+$/, '');
    if (rest !== '') patterns.push(textPattern(rest));
  }
  return patterns;
}

/** "20260115", "20260101-20260131", "-20260131", "20260101-". */
function datePattern(value: string, wrong: Wrong): Pattern {
  return rangeOf(value, wrong, (text) => {
    // The 31st of February is taken: programs end a range of any month by it.
    if (!/^\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$/.test(text)) throw wrong('is no date or range of dates');
    return { first: text, last: text };
  });
}

/** Twelve digits, HHMMSSFFFFFF: how the store compares times. */
function timePattern(value: string, wrong: Wrong): Pattern {
  return rangeOf(value, wrong, (text) => {
    const digits = /^([01]\d|2[0-3])([0-5]\d([0-5]\d|60(?=$|\.))?)?(\.\d{1,6})?$/.exec(text);
    if (digits === null || (digits[4] !== undefined && digits[3] === undefined)) {
      throw wrong('is no time or range of times');
    }
    const plain = text.replace('.', '');
    return { first: plain.padEnd(12, '0'), last: plain.padEnd(12, '9') };
  });
}

function rangeOf(value: string, wrong: Wrong, read: (text: string) => { first: string; last: string }): Pattern {
  const [from = '', to, ...more] = value.split('-').map((part) => part.trim());
  if (more.length > 0 || (from === '' && (to ?? '') === '')) throw wrong('is no range');
  if (to === undefined) {
    const { first, last } = read(from);
    return first === last ? { kind: 'equal', text: first } : { kind: 'between', from: first, to: last };
  }
  const begin = from === '' ? undefined : read(from).first;
  const end = to === '' ? undefined : read(to).last;
  return {
    kind: 'between',
    ...(begin === undefined ? {} : { from: begin }),
    ...(end === undefined ? {} : { to: end }),
  };
}

/** Integer strings and unsigned shorts. */
function numberPattern(value: string, wrong: Wrong): Pattern {
  if (!/^[+-]?\d{1,11}$/.test(value)) throw wrong('is no whole number');
  return { kind: 'number', number: Number(value) };
}
