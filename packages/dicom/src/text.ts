/**
 * Text in the character sets of DICOM (PS3.3 C.12.1.1.2, PS3.5 6.1), also with code extensions (ISO 2022 escapes).
 *
 * Without escapes a value is in the first set of SpecificCharacterSet. An designation designates another set until the end of the
 * value, line or component, where the first is in force again (PS3.5 6.1.2.5.3).
 */

/** Defined term -> the WHATWG label of a decoder that agrees with it. */
const DECODERS: Readonly<Record<string, string>> = {
  '': 'latin1',
  'ISO_IR 6': 'latin1',
  'ISO_IR 100': 'latin1',
  'ISO_IR 101': 'iso-8859-2',
  'ISO_IR 109': 'iso-8859-3',
  'ISO_IR 110': 'iso-8859-4',
  'ISO_IR 126': 'iso-8859-7',
  'ISO_IR 127': 'iso-8859-6',
  'ISO_IR 138': 'iso-8859-8',
  'ISO_IR 144': 'iso-8859-5',
  'ISO_IR 148': 'windows-1254', // ISO 8859-9 with C1 controls replaced, which DICOM text does not hold
  'ISO_IR 203': 'iso-8859-15',
  'ISO_IR 166': 'windows-874', // TIS 620-2533
  'ISO_IR 13': 'shift_jis', // its single bytes are JIS X 0201
  'ISO_IR 149': 'euc-kr',
  'ISO_IR 58': 'gbk',
  'ISO_IR 192': 'utf-8',
  GB18030: 'gb18030',
  GBK: 'gbk',
};

/** Bytes after ESC -> decoder; `high`: the set is seven-bit in G0, and its decoder wants the high bit set. */
const ESCAPES: Readonly<Record<string, { readonly label: string; readonly high?: boolean; readonly prefix?: number }>> =
  {
    '(B': { label: 'latin1' },
    '(J': { label: 'shift_jis' },
    ')I': { label: 'shift_jis' },
    '-A': { label: 'latin1' },
    '-B': { label: 'iso-8859-2' },
    '-C': { label: 'iso-8859-3' },
    '-D': { label: 'iso-8859-4' },
    '-F': { label: 'iso-8859-7' },
    '-G': { label: 'iso-8859-6' },
    '-H': { label: 'iso-8859-8' },
    '-L': { label: 'iso-8859-5' },
    '-M': { label: 'windows-1254' },
    '-T': { label: 'windows-874' },
    '-b': { label: 'iso-8859-15' },
    $B: { label: 'euc-jp', high: true },
    '$(D': { label: 'euc-jp', high: true, prefix: 0x8f },
    '$)C': { label: 'euc-kr' },
    '$)A': { label: 'gbk' },
  };

const ESC = 0x1b;
/** Backslash, caret, equals sign, and line ends put the first character set back in force. */
const RESETS: ReadonlySet<number> = new Set([0x5c, 0x5e, 0x3d, 0x0a, 0x0c, 0x0d]);

/** Bytes of a value as text. Unknown terms are read as ISO 8859-1, so that nothing is lost; invalid bytes become U+FFFD. */
export function decodeText(bytes: Buffer, characterSets: readonly string[]): string {
  const label = labelOf(characterSets[0] ?? '');
  if (!bytes.includes(ESC)) return decode(bytes, label);
  return decodeEscaped(bytes, label);
}

function labelOf(term: string): string {
  return DECODERS[term.replace(/^ISO 2022 IR /, 'ISO_IR ').trim()] ?? 'latin1';
}

function decode(bytes: Uint8Array, label: string): string {
  return label === 'latin1' ? Buffer.from(bytes).toString('latin1') : new TextDecoder(label).decode(bytes);
}

type Designated = (typeof ESCAPES)[string];

function decodeEscaped(bytes: Buffer, initial: string): string {
  let text = '';
  let start = 0;
  let current: Designated = { label: initial };
  const flush = (end: number) => {
    if (end > start) text += decode(shifted(bytes.subarray(start, end), current), current.label);
  };
  for (let at = 0; at < bytes.byteLength; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === ESC) {
      const designation = [3, 2]
        .map((length) => bytes.toString('latin1', at + 1, at + 1 + length))
        .find((name) => name in ESCAPES);
      if (designation === undefined) continue; // not one of DICOM's: left in the text
      flush(at);
      current = ESCAPES[designation] ?? current;
      start = at + 1 + designation.length;
      at = start - 1;
    } else if (RESETS.has(byte) && !isSecondByte(current)) {
      flush(at);
      current = { label: initial };
      start = at;
    }
  }
  flush(bytes.byteLength);
  return text;
}

/** In a two-byte set of G0 these bytes are halves of characters; such text goes back to a one-byte set before it ends. */
function isSecondByte({ high }: Designated): boolean {
  return high === true;
}

function shifted(bytes: Buffer, { high, prefix }: Designated): Uint8Array {
  if (high !== true) return bytes;
  const raised = Uint8Array.from(bytes, (byte) => (byte > 0x20 ? byte | 0x80 : byte));
  if (prefix === undefined) return raised;
  const prefixed: number[] = [];
  for (let at = 0; at < raised.length; at += 2) prefixed.push(prefix, raised[at] ?? 0, raised[at + 1] ?? 0);
  return Uint8Array.from(prefixed);
}

const encoders = new Map<string, ReadonlyMap<string, number>>();

/**
 * Text in the first of `characterSets`, without code extensions; `undefined` where that set lacks a character. Letters with a code
 * of four bytes in GB18030 count as lacking.
 */
export function encodeText(text: string, characterSets: readonly string[]): Buffer | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what every set has in common
  if (/^[\x00-\x7f]*$/.test(text)) return Buffer.from(text, 'latin1');
  const term = characterSets[0] ?? '';
  const label = labelOf(term);
  if (label === 'utf-8') return Buffer.from(text, 'utf8');
  if (!isNamed(term) || term === '' || /IR 6$/.test(term)) return undefined; // ASCII alone
  const codes = encoderOf(label);
  const bytes: number[] = [];
  for (const character of text) {
    const code = codes.get(character);
    if (code === undefined) return undefined;
    if (code > 0xff) bytes.push(code >>> 8);
    bytes.push(code & 0xff);
  }
  return Buffer.from(bytes);
}

function isNamed(term: string): boolean {
  return term.replace(/^ISO 2022 IR /, 'ISO_IR ').trim() in DECODERS;
}

/** Character -> code of one or two bytes, from what the decoder makes of each code. */
function encoderOf(label: string): ReadonlyMap<string, number> {
  const known = encoders.get(label);
  if (known !== undefined) return known;
  const codes = new Map<string, number>();
  const decoder = label === 'latin1' ? undefined : new TextDecoder(label, { fatal: true });
  const add = (bytes: Uint8Array, code: number) => {
    try {
      const character = decoder === undefined ? String.fromCharCode(code) : decoder.decode(bytes);
      if ([...character].length === 1 && !codes.has(character)) codes.set(character, code);
    } catch {
      // No character has this code.
    }
  };
  for (let code = 0; code < 0x100; code += 1) add(Uint8Array.of(code), code);
  if (MULTI_BYTE.has(label)) {
    for (let code = 0x8140; code < 0xff00; code += 1) add(Uint8Array.of(code >>> 8, code & 0xff), code);
  }
  encoders.set(label, codes);
  return codes;
}

const MULTI_BYTE: ReadonlySet<string> = new Set(['gbk', 'gb18030']);
