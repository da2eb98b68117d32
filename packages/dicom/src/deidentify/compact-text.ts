/**
 * Text as it is compared: small letters and digits alone, without accents, so that O'Neill, ONEILL and o neill are one. Each
 * character knows where it stood, so that what is found can be cut out of the original.
 */

export type CompactText = {
  readonly text: string;
  /** Index in the original of each character of `text`, and the original's length at the end. */
  readonly positions: readonly number[];
};

export function compact(original: string): CompactText {
  let text = '';
  const positions: number[] = [];
  let at = 0;
  for (const character of original) {
    const folded = fold(character);
    for (const one of folded) {
      text += one;
      for (let unit = 0; unit < one.length; unit += 1) positions.push(at);
    }
    at += character.length;
  }
  positions.push(original.length);
  return { text, positions };
}

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

function fold(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x80) {
    if (code >= 0x41 && code <= 0x5a) return character.toLowerCase();
    return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) ? character : '';
  }
  const lower = character.toLowerCase();
  return (LETTERS[lower] ?? lower).normalize('NFKD').replace(/[^\p{L}\p{N}]/gu, '');
}

/** Mueller for Müller: how German umlauts are written where they cannot be. */
export function withoutUmlauts(text: string): string {
  return text.replace(/[äöüÄÖÜ]/g, (letter) => `${fold(letter)}e`);
}
