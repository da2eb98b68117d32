/**
 * What is known of the people a note speaks of, and where it stands in the note, in whatever spelling: case, accents, spaces and
 * punctuation say nothing; family and given names in either order, with initials; long names also with one letter wrong.
 *
 * Each spelling is a phrase of compact text. A note's words are joined as long as what they make begins some phrase, which takes a
 * bounded number of steps at each word.
 */
import { isEponymUse, OF_DISEASE } from './eponyms.ts';
import type { FindingKind, Found } from './finding.ts';
import { isOrdinaryWord } from './ordinary-words.ts';
import { fold, isGap, type Word } from './words.ts';

/** A name as the record has it; `text` where it is not taken apart. */
export type KnownName = { readonly family?: string; readonly given?: readonly string[]; readonly text?: string };

export type KnownPerson = {
  readonly names: readonly KnownName[];
  /** Hospital numbers, NHS number and whatever else numbers the person. */
  readonly numbers: readonly string[];
  /** Lines, each looked for by itself. */
  readonly addressLines: readonly string[];
  readonly postcodes: readonly string[];
  readonly phones: readonly string[];
  readonly emails: readonly string[];
  /** YYYY-MM-DD, or less. */
  readonly birthDate?: string;
};

type Phrase = { readonly kind: FindingKind; readonly isPatients: boolean };

export type KnownIdentifiers = {
  /** Every beginning of a phrase; the phrase itself has what it stands for. */
  readonly phrases: ReadonlyMap<string, Phrase | undefined>;
  /** Names and towns of one word that everyday language or medicine has too: found only where they are written as names. */
  readonly ambiguous: ReadonlySet<string>;
  /** Names long enough to be known with one letter wrong, by length. */
  readonly long: ReadonlyMap<number, readonly string[]>;
  /** First letters of names, for initials beside a name. */
  readonly initials: ReadonlySet<string>;
  /** Dotted initials of a whole name, without the dots. */
  readonly monograms: ReadonlySet<string>;
};

const NAME_WORD_LENGTH_MIN = 2;
const MISSPELT_LENGTH_MIN = 6;
const MISSPELT_ANY_CASE_LENGTH_MIN = 8;
const PHRASE_LENGTH_MAX = 120;
const NUMBER_LENGTH_MIN = 4;
const ADDRESS_WORD_LENGTH_MIN = 4;
const PHONE_DIGITS_MIN = 6;

export function knownIdentifiers(people: {
  readonly patient: KnownPerson;
  readonly others: readonly KnownPerson[];
  readonly places: readonly string[];
}): KnownIdentifiers {
  const builder = createBuilder();
  builder.person(people.patient, true);
  for (const other of people.others) builder.person(other, false);
  for (const place of people.places) if (isTelling(place)) builder.phrase(place, { kind: 'place', isPatients: false });
  return builder.found;
}

const PLACE_LENGTH_MIN = 4;

/** Not Radiology, nor a bed that is called 12: those would take words and numbers out of every note. */
function isTelling(place: string): boolean {
  const compact = fold(place);
  return compact.length >= PLACE_LENGTH_MIN && /\p{L}/u.test(compact) && !isOrdinaryWord(compact);
}

function createBuilder() {
  const phrases = new Map<string, Phrase | undefined>();
  const ambiguous = new Set<string>();
  const long = new Map<number, string[]>();
  const initials = new Set<string>();
  const monograms = new Set<string>();
  const compactPhrase = (compact: string, phrase: Phrase) => {
    if (compact.length > PHRASE_LENGTH_MAX) return;
    for (let length = 1; length < compact.length; length += 1) {
      const beginning = compact.slice(0, length);
      if (!phrases.has(beginning)) phrases.set(beginning, undefined);
    }
    if (phrases.get(compact) === undefined) phrases.set(compact, phrase);
  };
  const phrase = (text: string, of: Phrase) => {
    for (const spelling of spellingsOf(text)) if (spelling.length >= 2) compactPhrase(spelling, of);
  };
  const nameWord = (word: string) => {
    for (const folded of spellingsOf(word)) {
      if (folded.length < NAME_WORD_LENGTH_MIN || TITLES.has(folded)) continue;
      compactPhrase(folded, { kind: 'name', isPatients: false });
      initials.add(folded.slice(0, 1));
      if (folded.length <= 3 || isOrdinaryWord(folded)) ambiguous.add(folded);
      else compactPhrase(`${folded}s`, { kind: 'name', isPatients: false }); // the Smiths
      if (folded.length >= MISSPELT_LENGTH_MIN) long.set(folded.length, [...(long.get(folded.length) ?? []), folded]);
    }
  };
  const add = { phrase, compactPhrase, nameWord, monograms, ambiguous };
  return {
    found: { phrases, ambiguous, long, initials, monograms },
    phrase,
    person(person: KnownPerson, isPatients: boolean) {
      for (const name of person.names) addName(name, add);
      for (const number of person.numbers) addNumber(number, isPatients, add);
      for (const line of person.addressLines) addAddressLine(line, add);
      for (const postcode of person.postcodes) phrase(postcode, { kind: 'postcode', isPatients });
      for (const phone of person.phones) addPhone(phone, add);
      for (const email of person.emails) phrase(email, { kind: 'email', isPatients });
      addBirthDate(person.birthDate, add);
    },
  };
}

type Adding = {
  readonly phrase: (text: string, of: Phrase) => void;
  readonly compactPhrase: (compact: string, of: Phrase) => void;
  readonly nameWord: (word: string) => void;
  readonly monograms: Set<string>;
  readonly ambiguous: Set<string>;
};

const NAME: Phrase = { kind: 'name', isPatients: false };

/** As it is, and with German umlauts as they are written where they cannot be. */
function spellingsOf(text: string): string[] {
  const compact = fold(text);
  if (!/[äöü]/i.test(text)) return [compact];
  return [compact, fold(text.replace(/[äöü]/gi, (letter) => `${fold(letter)}e`))];
}

const TITLES: ReadonlySet<string> = new Set(
  'mr mrs ms miss mx dr prof professor sir dame lady lord rev sister'.split(' '),
);

function addName({ family = '', given = [], text = '' }: KnownName, add: Adding): void {
  const parts = (name: string) => name.split(/[\s,.\-'’]+/).filter((part) => part !== '' && !TITLES.has(fold(part)));
  const all = [family, ...given, ...(family === '' && given.length === 0 ? parts(text) : [])];
  for (const name of all) {
    add.nameWord(name);
    for (const part of parts(name)) add.nameWord(part);
  }
  const firsts = given.map(fold).filter((one) => one !== '');
  const last = fold(family);
  const [first] = firsts;
  for (const whole of [text, `${given.join('')}${family}`, `${family}${given.join('')}`]) {
    const words = parts(whole);
    if (fold(whole).length > 3 && words.length > 0) add.phrase(words.join(''), NAME);
  }
  if (first === undefined || last === '') return;
  for (const whole of [first + last, last + first]) if (whole.length > 3) add.compactPhrase(whole, NAME);
  const letters = firsts.map((one) => one.slice(0, 1)).join('');
  for (const monogram of [first.slice(0, 1) + last.slice(0, 1), letters + last.slice(0, 1)])
    add.monograms.add(monogram);
}

function addNumber(number: string, isPatients: boolean, add: Adding): void {
  const compact = fold(number);
  if (compact.length < NUMBER_LENGTH_MIN) return;
  const kind = /^\d{10}$/.test(compact) ? 'nhs-number' : 'number';
  add.compactPhrase(compact, { kind, isPatients });
  // RXH1234567 and 1234567 are the same number at a hospital.
  const [digits] = /\d{6,}/.exec(compact) ?? [];
  if (digits !== undefined && digits !== compact) add.compactPhrase(digits, { kind, isPatients });
  const unpadded = compact.replace(/^0+/, '');
  if (/^\d{6,}$/.test(unpadded)) add.compactPhrase(unpadded, { kind, isPatients });
}

/** Found where they have a capital. */
const TOWNS_ALSO_WORDS: ReadonlySet<string> = new Set(
  'bath sale deal bury ware settle rugby wells battle beer box eye hook lancing leek mold rye sandwich slough crook dent'.split(
    ' ',
  ),
);

/** The line, and without its house number where it has words enough. */
function addAddressLine(line: string, add: Adding): void {
  const of: Phrase = { kind: 'address', isPatients: false };
  const compact = fold(line);
  if (isOrdinaryWord(compact) || TOWNS_ALSO_WORDS.has(compact)) add.ambiguous.add(compact);
  if (compact.length >= ADDRESS_WORD_LENGTH_MIN) add.phrase(line, of);
  const street = line.replace(/^\s*(flat|apartment|unit)?\s*\d+\s*[a-z]?\b[\s,/-]*/i, '');
  if (fold(street).length >= 2 * ADDRESS_WORD_LENGTH_MIN && !isOrdinaryWord(fold(street))) add.phrase(street, of);
}

function addPhone(phone: string, add: Adding): void {
  const of: Phrase = { kind: 'phone', isPatients: false };
  const digits = phone.replace(/\(0\)/g, '').replace(/\D/g, '');
  if (digits.length < PHONE_DIGITS_MIN) return;
  const national = digits.replace(/^(0044|44|0)/, '');
  const all = [digits, national, `0${national}`, `44${national}`, `440${national}`, `0044${national}`];
  for (const spelling of all) if (spelling.length >= PHONE_DIGITS_MIN) add.compactPhrase(spelling, of);
}

/** Without separators; with them the search for dates compares. */
function addBirthDate(birthDate: string | undefined, add: Adding): void {
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})/.exec(birthDate ?? '') ?? [];
  if (year === undefined || month === undefined || day === undefined) return;
  const of: Phrase = { kind: 'birth-date', isPatients: true };
  for (const spelling of [`${year}${month}${day}`, `${day}${month}${year}`]) add.compactPhrase(spelling, of);
}

const GAP = " \t\r\n\u00a0'’‘`´-‐‑–.,_/()+:;@";
const GAP_LENGTH_MAX = 4;
const WORDS_JOINED_MAX = 24;

/** `pseudonym`: stands where the patient's own number stood. */
export function findKnown(
  { text, words }: { readonly text: string; readonly words: readonly Word[] },
  known: KnownIdentifiers,
  pseudonym: string,
): Found[] {
  const found: Found[] = [];
  const misspelt = rememberingMisspellings(known);
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index];
    if (word === undefined) break;
    const phrase = longestPhrase({ text, words }, index, known);
    if (phrase !== undefined) {
      const { kind, isPatients, last } = phrase;
      const isOnlyWord =
        (kind === 'name' || kind === 'address') && last === index && !isWrittenAsName({ text, words }, index, known);
      if (!isOnlyWord && !isEponymUse({ text, words }, [index, last], OF_DISEASE)) {
        const place = kind === 'name' ? withInitials({ text, words }, { first: index, last }, known) : undefined;
        const start = place?.start ?? word.start;
        const end = place?.end ?? words[last]?.end ?? word.end;
        const replacement = isPatients && kind === 'number' ? { replacement: pseudonym } : {};
        found.push({ kind, start, end, ...replacement });
        index = last;
        continue;
      }
    }
    if (misspelt(word) && !isEponymUse({ text, words }, [index, index]))
      found.push({ kind: 'name', start: word.start, end: word.end });
  }
  return [...found, ...monograms(text, known)];
}

type Note = { readonly text: string; readonly words: readonly Word[] };

function longestPhrase(
  { text, words }: Note,
  first: number,
  { phrases }: KnownIdentifiers,
): (Phrase & { readonly last: number }) | undefined {
  let joined = '';
  let longest: (Phrase & { last: number }) | undefined;
  for (let last = first; last < words.length && last - first < WORDS_JOINED_MAX; last += 1) {
    const [before, word] = [words[last - 1], words[last]];
    if (word === undefined) break;
    if (last > first && before !== undefined && !isGap(text, [before.end, word.start], GAP, GAP_LENGTH_MAX)) break;
    joined += word.folded;
    if (!phrases.has(joined)) break;
    const phrase = phrases.get(joined);
    if (phrase !== undefined && !isNumberWithin({ text, words }, first, last)) longest = { ...phrase, last };
  }
  return longest;
}

/** 1234 of 1234.5 is a measure. */
function isNumberWithin({ text, words }: Note, first: number, last: number): boolean {
  if (words[first]?.isNumber !== true || first !== last) return false;
  const { start, end } = words[first];
  const isDigit = (at: number) => /\d/.test(text[at] ?? '');
  return (
    ((text[end] === '.' && isDigit(end + 1)) || (text[start - 1] === '.' && isDigit(start - 2))) && end - start < 6
  );
}

/** A name that is also a word, or short, counts where it has a capital. */
function isWrittenAsName({ words }: Note, index: number, { ambiguous }: KnownIdentifiers): boolean {
  const word = words[index];
  if (word === undefined || !ambiguous.has(word.folded)) return true;
  return word.shape === 'title' || word.shape === 'upper' || (word.shape === 'other' && !word.isNumber);
}

const INITIAL_GAP = ' .,\u00a0';
const INITIALS_MAX = 3;

/** J. R. before Smith, and after it. */
function withInitials(
  { text, words }: Note,
  { first, last }: { readonly first: number; readonly last: number },
  { initials }: KnownIdentifiers,
): { start: number; end: number } {
  const isInitial = (word: Word | undefined) =>
    word?.shape === 'upper' && word.folded.length === 1 && initials.has(word.folded);
  let [from, to] = [first, last];
  const near = (a: Word | undefined, b: Word | undefined) =>
    a !== undefined && b !== undefined && isGap(text, [a.end, b.start], INITIAL_GAP, 2);
  while (first - from < INITIALS_MAX && isInitial(words[from - 1]) && near(words[from - 1], words[from])) from -= 1;
  while (to - last < INITIALS_MAX && isInitial(words[to + 1]) && near(words[to], words[to + 1])) to += 1;
  return { start: words[from]?.start ?? 0, end: words[to]?.end ?? 0 };
}

/** J.S. and J. R. S.: whole names by their letters, with the dots that tell them from abbreviations. */
function monograms(text: string, { monograms: wanted }: KnownIdentifiers): Found[] {
  if (wanted.size === 0) return [];
  const found: Found[] = [];
  for (const match of text.matchAll(/(?<![\p{L}.])(?:\p{Lu}\. ?){1,4}\p{Lu}\.?(?!\p{L})/gu)) {
    if (wanted.has(fold(match[0])))
      found.push({ kind: 'name', start: match.index, end: match.index + match[0].length });
  }
  return found;
}

const MEMORY_COUNT_MAX = 20_000;

function rememberingMisspellings({ long }: KnownIdentifiers): (word: Word) => boolean {
  const memory = new Map<string, boolean>();
  const longest = Math.max(0, ...long.keys());
  return ({ folded, shape, isNumber }) => {
    if (isNumber || folded.length < MISSPELT_LENGTH_MIN - 1 || folded.length > longest + 1) return false;
    if (shape === 'lower' && folded.length < MISSPELT_ANY_CASE_LENGTH_MIN) return false;
    const kept = memory.get(folded);
    if (kept !== undefined) return kept;
    const near = [-1, 0, 1].flatMap((more) => long.get(folded.length + more) ?? []);
    const is = near.some((name) => isOneLetterOff(name, folded)) && !isOrdinaryWord(folded);
    if (memory.size >= MEMORY_COUNT_MAX) memory.clear();
    memory.set(folded, is);
    return is;
  };
}

/** One letter more, less or another, or two neighbours exchanged. */
export function isOneLetterOff(name: string, other: string): boolean {
  let start = 0;
  while (start < name.length && start < other.length && name[start] === other[start]) start += 1;
  const rest = (text: string, from: number) => text.slice(from);
  if (rest(name, start + 1) === rest(other, start + 1)) return true;
  if (rest(name, start + 1) === rest(other, start) || rest(name, start) === rest(other, start + 1)) return true;
  const isSwapped = name[start] === other[start + 1] && name[start + 1] === other[start];
  return isSwapped && rest(name, start + 2) === rest(other, start + 2);
}
