/**
 * Cuts a patient's identifiers, and what always identifies, out of text. Where something was cut out, stands an underscore.
 *
 * Found in any case and spelling that compact text makes equal. A token within a longer word takes the whole word with it: what a
 * cut leaves of a word may still tell it.
 */
import { type CompactText, compact } from './compact-text.ts';
import type { Identifiers, TokenMode } from './identifiers.ts';

const MEMORY_COUNT_MAX = 20_000;
const BINARY_TOKEN_BYTES_MIN = 5;
const OMISSION = '_';

/** Of anybody: addresses of electronic mail, web addresses, UIDs, British postcodes, telephone numbers. */
const PATTERNS: readonly RegExp[] = [
  /[\w.+-]+@[\w-]+(\.[\w-]+)+/g,
  /\bhttps?:\/\/\S+/gi,
  /(?<![\d.])[0-2](\.(0|[1-9]\d*)){6,}/g,
  /\b[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}\b/g,
  /(?<![\d.])\+\d{1,3}[ -]?\(?\d[\d ()/-]{6,}\d/g,
];
const TEN_DIGITS = /(?<![\d.])\d{3}[ -]?\d{3}[ -]?\d{4}(?![\d.])/g;
const MIGHT_MATCH = /@|:\/\/|\d.*\d.*\d|[A-Z]\d/s;

export type Scrubber = {
  /** The text without identifiers of the patient or anybody's; the same string where there are none. */
  scrub(text: string): string;
  /** The same, of the patient alone: for codes, which may look like a number of somebody. */
  scrubCode(text: string): string;
  /** Whether bytes of an unknown kind hold an identifier, as Latin-1, UTF-8 or UTF-16. */
  isIn(bytes: Buffer): boolean;
};

export function createScrubber(identifiers: Identifiers): Scrubber {
  const search = searchFor(identifiers);
  const searchBinary = searchFor(new Map([...identifiers].filter(([token, mode]) => isRare(token, mode))));
  return {
    scrub: remembering((text) => cut(text, [...search(text), ...patternsIn(text)])),
    scrubCode: remembering((text) => cut(text, search(text))),
    isIn: (bytes) => readings(bytes).some((text) => searchBinary(text).length > 0),
  };
}

/** Slices of a series say the same a hundred times. */
function remembering(scrub: (text: string) => string): (text: string) => string {
  const memory = new Map<string, string>();
  return (text) => {
    const known = memory.get(text);
    if (known !== undefined) return known;
    const scrubbed = scrub(text);
    if (memory.size >= MEMORY_COUNT_MAX) memory.clear();
    memory.set(text, scrubbed);
    return scrubbed;
  };
}

/** Shorter ones stand in any table of numbers by chance. */
function isRare(token: string, mode: TokenMode): boolean {
  return mode === 'anywhere' && Buffer.byteLength(token) >= BINARY_TOKEN_BYTES_MIN;
}

/** Start and end in the original. */
type Found = readonly [start: number, end: number];

function searchFor(identifiers: Identifiers): (text: string) => Found[] {
  if (identifiers.size === 0) return () => [];
  const longestFirst = [...identifiers.keys()].toSorted((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map(escaped).join('|'), 'g');
  return (original) => {
    const compacted = compact(original);
    const found: Found[] = [];
    pattern.lastIndex = 0;
    for (let match = pattern.exec(compacted.text); match !== null; match = pattern.exec(compacted.text)) {
      const start = match.index;
      const token = longestThatCounts(match[0], { start, original, compacted, identifiers });
      if (token !== undefined) found.push(wholeWord(original, compacted, { start, end: start + token.length }));
      pattern.lastIndex = start + 1; // one may begin within another
    }
    return found;
  };
}

type Match = {
  readonly start: number;
  readonly original: string;
  readonly compacted: CompactText;
  readonly identifiers: Identifiers;
};

/** Where the longest token at a place does not count by its mode, one that it begins with may. */
function longestThatCounts(longest: string, match: Match): string | undefined {
  for (let length = longest.length; length > 0; length -= 1) {
    const token = longest.slice(0, length);
    const mode = match.identifiers.get(token);
    if (mode !== undefined && counts(mode, length, match)) return token;
  }
  return undefined;
}

function counts(mode: TokenMode, length: number, { start, original, compacted }: Match): boolean {
  if (mode === 'anywhere') return true;
  const { text, positions } = compacted;
  const end = start + length;
  const before = isBeside(positions, start - 1, original) ? text[start - 1] : undefined;
  const after = isBeside(positions, end - 1, original) ? text[end] : undefined;
  if (mode === 'number') return !isDigit(before) && !isDigit(after);
  return !isSameKind(before, text[start]) && !isSameKind(after, text[end - 1]);
}

/** Whether the compact characters at `index` and `index + 1` are beside each other in the original too. */
function isBeside(positions: readonly number[], index: number, original: string): boolean {
  const [here, next] = [positions[index], positions[index + 1]];
  return here !== undefined && next !== undefined && next < original.length && next - here <= 1;
}

function isDigit(character: string | undefined): boolean {
  return character !== undefined && character >= '0' && character <= '9';
}

/** Letters go on with letters, digits with digits: CT4 holds the word CT. */
function isSameKind(character: string | undefined, other: string | undefined): boolean {
  return character !== undefined && isDigit(character) === isDigit(other);
}

function wholeWord(
  original: string,
  { positions }: CompactText,
  { start, end }: { start: number; end: number },
): Found {
  let from = positions[start] ?? 0;
  let to = (positions[end - 1] ?? original.length) + 1;
  while (from > 0 && isWordCharacter(original[from - 1])) from -= 1;
  while (to < original.length && isWordCharacter(original[to])) to += 1;
  return [from, to];
}

function isWordCharacter(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}\p{M}]/u.test(character);
}

function* patternsIn(text: string): Generator<Found> {
  if (!MIGHT_MATCH.test(text)) return;
  for (const pattern of PATTERNS) {
    for (const match of text.matchAll(pattern)) yield [match.index, match.index + match[0].length];
  }
  for (const match of text.matchAll(TEN_DIGITS)) {
    if (isNhsNumber(match[0])) yield [match.index, match.index + match[0].length];
  }
}

/** The check digit of NHS numbers: weights 10 to 2, modulo 11. */
function isNhsNumber(text: string): boolean {
  const digits = [...text].filter(isDigit).map(Number);
  const sum = digits.slice(0, 9).reduce((total, digit, index) => total + digit * (10 - index), 0);
  return (11 - (sum % 11)) % 11 === digits[9];
}

function cut(text: string, found: readonly Found[]): string {
  if (found.length === 0) return text;
  let kept = '';
  let at = 0;
  for (const [start, end] of found.toSorted((a, b) => a[0] - b[0])) {
    if (end <= at) continue;
    if (start > at || at === 0) kept += `${text.slice(at, Math.max(at, start))}${OMISSION}`;
    at = end;
  }
  return kept + text.slice(at);
}

function escaped(token: string): string {
  return token.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** Both halves of UTF-16, as nobody says on which byte it begins. */
function readings(bytes: Buffer): string[] {
  const odd = bytes.subarray(1);
  const whole = (some: Buffer) => some.subarray(0, some.byteLength & ~1);
  return [
    bytes.toString('latin1'),
    bytes.toString('utf8'),
    whole(bytes).toString('utf16le'),
    whole(odd).toString('utf16le'),
  ];
}
