/**
 * Cleaning of free text (PS3.15 E.3.5) by what may stay, not by what must go: words of the standard's own vocabulary, small numbers
 * and measures. No list of names is complete; a list of words of radiology need not be.
 */
import { DESCRIPTOR_WORD_LINES } from '../generated/descriptor-words.ts';

let words: ReadonlySet<string> | undefined;

/** `word` in small letters. */
export function isKnownWord(word: string): boolean {
  words ??= new Set(DESCRIPTOR_WORD_LINES.split(/\s/));
  return words.has(word);
}

/** T1, L5, C7, 3D, B30f; 5mm, 120kV: letters and at most three digits, no more. */
const CODE = /^[a-z]{0,2}\d{1,3}[a-z]{0,2}$/;
/** A number of more digits may be one of the patient's, or a year. */
const NUMBER = /^(\d{1,3}|[a-z])$/; // and single letters
const OMISSION = '_';

/** Digits with what dates, times and telephone numbers have between them. */
const DIGIT_GROUPS = /\d[\d ./:()-]*\d/g;
const DIGIT_COUNT_MAX = 5;

/** The text with everything else replaced by an underscore; a single one where no word remains. */
export function knownWordsOf(text: string): string {
  const withoutNumbers = text.replace(DIGIT_GROUPS, (group) =>
    group.replace(/\D/g, '').length > DIGIT_COUNT_MAX ? OMISSION : group,
  );
  const cleaned = withoutNumbers
    .replace(/[\p{L}\p{N}\p{M}]+/gu, (word) => (isAllowed(word) ? word : OMISSION))
    .replace(/[^\x20-\x7e\r\n\t\f]/g, ' ');
  return /[a-z0-9]/i.test(cleaned) ? cleaned : OMISSION;
}

function isAllowed(word: string): boolean {
  const lower = word.toLowerCase();
  return NUMBER.test(lower) || isKnownWord(lower) || CODE.test(lower);
}
