/**
 * A note as words: runs of letters, runs of digits, each with where it stands and how it is compared (small letters without accents).
 * Letters and digits are apart, so that RXH1234567 holds the number 1234567.
 */

export type Word = {
  readonly start: number;
  readonly end: number;
  /** Small letters, without accents; of digits the digits. */
  readonly folded: string;
  readonly isNumber: boolean;
  /** How it is written: `Title`, `UPPER`, `lower`, or anything else (also what knows no case). */
  readonly shape: 'title' | 'upper' | 'lower' | 'other';
};

const WORD = /[\p{L}\p{M}]+|\p{Nd}+/gu;

/** Letters that decomposition does not take apart. */
const LETTERS: Readonly<Record<string, string>> = {
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
  ø: 'o',
  đ: 'd',
  ł: 'l',
  ı: 'i',
  þ: 'th',
  ð: 'd',
};

export function fold(text: string): string {
  const lower = text.toLowerCase();
  if (/^[a-z0-9]*$/.test(lower)) return lower;
  return lower
    .replace(/[ßæœøđłıþð]/g, (letter) => LETTERS[letter] ?? letter)
    .normalize('NFKD')
    .replace(/[^\p{L}\p{Nd}]/gu, '');
}

export function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (const match of text.matchAll(WORD)) {
    const [written] = match;
    const isNumber = /^\p{Nd}/u.test(written);
    words.push({
      start: match.index,
      end: match.index + written.length,
      folded: fold(written),
      isNumber,
      shape: isNumber ? 'other' : shapeOf(written),
    });
  }
  return words;
}

function shapeOf(written: string): Word['shape'] {
  const [first = ''] = written;
  const rest = written.slice(first.length);
  if (!isUpper(first)) return written === written.toLowerCase() && first !== first.toUpperCase() ? 'lower' : 'other';
  if (rest === '') return 'upper';
  if (rest === rest.toLowerCase() && rest !== rest.toUpperCase()) return 'title';
  if (written === written.toUpperCase()) return 'upper';
  return 'title'; // McDonald
}

function isUpper(character: string): boolean {
  return character !== character.toLowerCase();
}

/** Whether all between two words is at most `lengthMax` characters of `allowed`. */
export function isGap(
  text: string,
  [from, to]: readonly [number, number],
  allowed: string,
  lengthMax: number,
): boolean {
  if (to - from > lengthMax) return false;
  for (let index = from; index < to; index += 1) if (!allowed.includes(text[index] ?? '')) return false;
  return true;
}
