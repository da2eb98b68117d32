/**
 * Character sets of HL7 table 0211, as MSH-18 names them. Single bytes below 0x80 are ASCII in all of them, so that MSH can be read
 * before its character set is known.
 *
 * A message that declares none is ASCII by the standard and anything in practice. Policy: what is valid UTF-8 is read as such,
 * since other text with umlauts almost never is; else as Windows-1252, which has every byte. The message then says so.
 *
 * ISO 8859-1 is read as Windows-1252 too (WHATWG Encoding does the same): the difference are control characters that nobody sends.
 */
import { Hl7Error } from '../hl7-error.ts';

/** Names of table 0211 to labels of the WHATWG Encoding Standard. ISO IR14 and IR159 come with IR87, by escape sequences. */
const LABELS: Readonly<Record<string, string>> = {
  ASCII: 'us-ascii',
  '8859/1': 'windows-1252',
  '8859/2': 'iso-8859-2',
  '8859/3': 'iso-8859-3',
  '8859/4': 'iso-8859-4',
  '8859/5': 'iso-8859-5',
  '8859/6': 'iso-8859-6',
  '8859/7': 'iso-8859-7',
  '8859/8': 'iso-8859-8',
  '8859/9': 'iso-8859-9',
  '8859/15': 'iso-8859-15',
  UNICODE: 'utf-8',
  'UNICODE UTF-8': 'utf-8',
  'ISO IR14': 'iso-2022-jp',
  'ISO IR87': 'iso-2022-jp',
  'ISO IR159': 'iso-2022-jp',
  'GB 18030-2000': 'gb18030',
  'KS X 1001': 'euc-kr',
  'BIG-5': 'big5',
};

/** What people write instead. */
const ALIASES: Readonly<Record<string, string>> = {
  'UTF-8': 'UNICODE UTF-8',
  UTF8: 'UNICODE UTF-8',
  'UNICODE UTF8': 'UNICODE UTF-8',
  'US-ASCII': 'ASCII',
  'ISO IR6': 'ASCII',
  'ISO IR100': '8859/1',
  BIG5: 'BIG-5',
};

export type CharacterSet = {
  /** As table 0211 has it; what was read where nothing is declared. */
  readonly name: string;
  readonly isDeclared: boolean;
  readonly decode: (bytes: Uint8Array) => string;
};

const decoders = new Map<string, InstanceType<typeof TextDecoder>>();

function decoderOf(label: string): InstanceType<typeof TextDecoder> {
  const known = decoders.get(label) ?? new TextDecoder(label, { fatal: true, ignoreBOM: false });
  decoders.set(label, known);
  return known;
}

/** `declared` is MSH-18.1, empty where there is none. Throws `encoding` where its name is not known. */
export function characterSetOf(declared: string, bytes: Uint8Array): CharacterSet {
  const wanted = declared.trim().toUpperCase();
  if (wanted === '') return undeclared(bytes);
  const name = canonicalName(wanted);
  const label = LABELS[name];
  if (label === undefined) throw new Hl7Error('encoding', 'MSH-18: this character set is not known here.');
  return { name, isDeclared: true, decode: (content) => decodeAs(label, content) };
}

function canonicalName(wanted: string): string {
  const slashed = wanted.replace(/^ISO[ -]?8859[-/]/, '8859/');
  return ALIASES[slashed] ?? slashed;
}

function undeclared(bytes: Uint8Array): CharacterSet {
  try {
    decoderOf('utf-8').decode(bytes);
    return { name: 'UNICODE UTF-8', isDeclared: false, decode: (content) => decodeAs('utf-8', content) };
  } catch {
    // Not UTF-8, so it is one of the sets of one byte per sign.
    return { name: '8859/1', isDeclared: false, decode: (content) => decodeAs('windows-1252', content) };
  }
}

/** Throws `encoding` for bytes that are no characters of the set. */
function decodeAs(label: string, bytes: Uint8Array): string {
  if (label === 'us-ascii') {
    if (bytes.some((byte) => byte > 0x7f)) throw new Hl7Error('encoding', 'MSH-18 declares ASCII; a byte is none.');
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  }
  try {
    return decoderOf(label).decode(bytes);
  } catch (cause) {
    throw new Hl7Error('encoding', 'A byte sequence is none of the character set that the message is in.', { cause });
  }
}
