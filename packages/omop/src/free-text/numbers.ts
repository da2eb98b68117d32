/**
 * Numbers of people: NHS numbers by their check digit or by being called so, telephone numbers by their form or by being called so,
 * numbers that are called a hospital's, and any that is longer than medicine needs. Measures have other forms and stay.
 */
import type { Found } from './finding.ts';
import { isNhsNumber, NHS_NUMBER_LENGTH } from './nhs-number.ts';
import { isGap, type Word } from './words.ts';

type Note = { readonly text: string; readonly words: readonly Word[] };
/** Digits that stand together, by groups. */
type Digits = { readonly digits: string; readonly groups: readonly number[]; readonly last: number };

const GROUPS_MAX = 8;
const PHONE_GAP = ' \u00a0-‐‑–().';
const NHS_GAP = ' \u00a0\t-‐‑–';
const BARE_DIGITS_MIN = 9; // a barcode, an accession; no measure has as many
const CALLED_DIGITS_MIN = 3;

export function findNumbers(note: Note): Found[] {
  const { text, words } = note;
  const found: Found[] = [...numbersCalled(note), ...nationalInsurance(text), ...objectIdentifiers(text)];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index];
    if (word === undefined || !word.isNumber || isFraction(text, word)) continue;
    const known = nhsNumberAt(note, index) ?? phoneAt(note, index) ?? bareNumberAt(note, index);
    if (known === undefined) continue;
    found.push(known.found);
    index = known.last;
  }
  return found;
}

type Known = { readonly found: Found; readonly last: number };

/** 0.5 and 1.234.567. */
function isFraction(text: string, { start, end }: Word): boolean {
  const isDigit = (at: number) => /\d/.test(text[at] ?? '');
  return (
    (text[start - 1] === '.' && isDigit(start - 2)) ||
    (end - start < BARE_DIGITS_MIN && text[end] === '.' && isDigit(end + 1) && end - start < 3)
  );
}

/** All beginnings of the groups at `first` that are near enough, shortest first. */
function groupsAt({ text, words }: Note, first: number, gap: { allowed: string; lengthMax: number }): Digits[] {
  const all: Digits[] = [];
  let digits = '';
  const groups: number[] = [];
  for (let last = first; last < words.length && groups.length < GROUPS_MAX; last += 1) {
    const [before, word] = [words[last - 1], words[last]];
    if (word === undefined || !word.isNumber) break;
    if (last > first && before !== undefined && !isGap(text, [before.end, word.start], gap.allowed, gap.lengthMax))
      break;
    digits += word.folded;
    groups.push(word.folded.length);
    all.push({ digits, groups: [...groups], last });
    if (digits.length > 15) break;
  }
  return all;
}

function nhsNumberAt(note: Note, first: number): Known | undefined {
  const start = note.words[first]?.start ?? 0;
  for (const { digits, groups, last } of groupsAt(note, first, { allowed: NHS_GAP, lengthMax: 3 })) {
    if (digits.length !== NHS_NUMBER_LENGTH) continue;
    const isUsual = /^(10|3,3,4|3,7|6,4|5,5)$/.test(groups.join(','));
    const end = note.words[last]?.end ?? start;
    // A wrong digit does not make it anything else: nothing else is written so.
    if (isUsual && (isNhsNumber(digits) || groups.join(',') === '3,3,4'))
      return { found: { kind: 'nhs-number', start, end }, last };
  }
  return undefined;
}

function phoneAt({ text, words }: Note, first: number): Known | undefined {
  const word = words[first];
  if (word === undefined) return undefined;
  const isPlus = text[word.start - 1] === '+';
  const isZero = word.folded.startsWith('0');
  const isBracketed = text[word.start - 1] === '(' && text[word.end] === ')';
  if (!isPlus && !isZero && !isBracketed) return undefined;
  const candidates = groupsAt({ text, words }, first, { allowed: PHONE_GAP, lengthMax: 4 }).toReversed();
  for (const { digits, groups, last } of candidates) {
    if (!isPhone(digits, groups, { isPlus, isBracketed })) continue;
    const start = word.start - (isPlus || isBracketed ? 1 : 0);
    return { found: { kind: 'phone', start, end: words[last]?.end ?? word.end }, last };
  }
  return undefined;
}

function isPhone(
  digits: string,
  groups: readonly number[],
  { isPlus, isBracketed }: { isPlus: boolean; isBracketed: boolean },
): boolean {
  if (isPlus) return digits.length >= 9 && digits.length <= 15;
  if (digits.startsWith('00'))
    return digits.length >= 11 && digits.length <= 15 && (groups[0] ?? 0) >= 4 - (groups.length > 1 ? 2 : 0);
  if (isBracketed && !digits.startsWith('0')) return groups.join(',') === '3,3,4';
  return /^0[12378]/.test(digits) && (digits.length === 10 || digits.length === 11) && (groups[0] ?? 0) >= 3;
}

function bareNumberAt({ text, words }: Note, first: number): Known | undefined {
  const word = words[first];
  if (word === undefined || word.folded.length < BARE_DIGITS_MIN) return undefined;
  const isLetter = (at: number) => /[\p{L}]/u.test(text[at] ?? '');
  const before = words[first - 1];
  const start =
    before !== undefined && before.end === word.start && isLetter(word.start - 1) ? before.start : word.start;
  return { found: { kind: 'number', start, end: word.end }, last: first };
}

const PHONE_NAMES: ReadonlySet<string> = new Set(
  'tel telephone phone mob mobile fax bleep pager ext extension landline'.split(' '),
);
const NHS_NAMES: ReadonlySet<string> = new Set(['nhs', 'chi']);
const NUMBER_NAMES: ReadonlySet<string> = new Set(
  'hospital hosp mrn unit district patient accession case reference pas gmc nmc episode spell crn urn specimen lab request'.split(
    ' ',
  ),
);
/** Between what a number is called and the number. */
const OF_CALLING: ReadonlySet<string> = new Set(
  'no nos num number numbers nr id ident identifier is on of the was code ref pin contact home work'.split(' '),
);
const CALLS_NUMBER: ReadonlySet<string> = new Set(
  'no nos num number numbers nr id identifier code ref mrn pin gmc nmc crn urn accession'.split(' '),
);
const CALLING_WORDS_MAX = 4;
const CALLING_GAP = ' \t\u00a0.:#=()-';

/** What follows `NHS number`, `Tel`, `Hospital no`, whatever its form. */
function numbersCalled(note: Note): Found[] {
  const { text, words } = note;
  const found: Found[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const name = words[index]?.folded ?? '';
    const kind = PHONE_NAMES.has(name)
      ? 'phone'
      : NHS_NAMES.has(name)
        ? 'nhs-number'
        : NUMBER_NAMES.has(name)
          ? 'number'
          : undefined;
    if (kind === undefined) continue;
    const called = calledAfter(note, index, kind === 'number' && !CALLS_NUMBER.has(name));
    if (called === undefined) continue;
    const piece =
      kind === 'number' ? codeAt(note, called) : digitsAt(note, called, kind === 'phone' ? PHONE_GAP : NHS_GAP);
    if (piece === undefined) continue;
    const start = kind === 'phone' && text[piece.start - 1] === '+' ? piece.start - 1 : piece.start;
    found.push({ kind, start, end: piece.end });
  }
  return found;
}

/** The word that the number begins with. `needsWord`: only after `no`, `number`, `id`: patient 12 is no number of a patient. */
function calledAfter({ text, words }: Note, index: number, needsWord: boolean): number | undefined {
  let isCalled = !needsWord;
  for (let next = index + 1; next <= index + CALLING_WORDS_MAX + 1; next += 1) {
    const [before, word] = [words[next - 1], words[next]];
    if (before === undefined || word === undefined || !isGap(text, [before.end, word.start], CALLING_GAP, 4))
      return undefined;
    if (CALLS_NUMBER.has(word.folded)) isCalled = true;
    if (!OF_CALLING.has(word.folded) && !NUMBER_NAMES.has(word.folded)) return isCalled ? next : undefined;
  }
  return undefined;
}

type Piece = { readonly start: number; readonly end: number };

function digitsAt(note: Note, first: number, allowed: string): Piece | undefined {
  const word = note.words[first];
  const longest = groupsAt(note, first, { allowed, lengthMax: 4 }).findLast(({ digits }) => digits.length <= 15);
  if (word === undefined || longest === undefined || longest.digits.length < CALLED_DIGITS_MIN) return undefined;
  return { start: word.start, end: note.words[longest.last]?.end ?? word.end };
}

/** Letters and digits without a blank, with three digits or more. */
function codeAt({ text, words }: Note, first: number): Piece | undefined {
  const word = words[first];
  if (word === undefined) return undefined;
  let end = word.end;
  let digits = word.isNumber ? word.folded.length : 0;
  for (let last = first + 1; last < words.length && last <= first + GROUPS_MAX; last += 1) {
    const next = words[last];
    if (next === undefined || !isGap(text, [end, next.start], '-/', 1)) break;
    end = next.end;
    digits += next.isNumber ? next.folded.length : 0;
  }
  return digits >= CALLED_DIGITS_MIN ? { start: word.start, end } : undefined;
}

/** QQ 12 34 56 C. */
function nationalInsurance(text: string): Found[] {
  return [...text.matchAll(/(?<![\p{L}\d])[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![\p{L}\d])/gu)].map(
    ({ index, 0: number }) => ({
      kind: 'number',
      start: index,
      end: index + number.length,
    }),
  );
}

/** UIDs of images name a study. */
function objectIdentifiers(text: string): Found[] {
  return [...text.matchAll(/(?<![\d.])[0-2](?:\.\d{1,39}){6,30}/g)].map(({ index, 0: uid }) => ({
    kind: 'number',
    start: index,
    end: index + uid.length,
  }));
}
