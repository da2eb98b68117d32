/**
 * Reads the JSON header of a safetensors file that a stranger may have made.
 *
 * The grammar of a header is small, so it is scanned here instead of by `JSON.parse`: that would keep the last of two equal
 * names in silence, which lets two readers of one file see two different models. The scanner goes forward once, keeps no
 * stack, and allocates nothing that the file's claims alone can make large.
 *
 *   header = "{" [ member *( "," member ) ] "}" *" "
 *   member = "__metadata__" ":" object of strings  |  name ":" { "dtype", "shape", "data_offsets" }
 *
 * https://github.com/huggingface/safetensors#format
 */
import { AppError } from '@lantern/contract';

/** What one header member says; nothing checked yet but the grammar. */
export type HeaderMember = {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly offsets: readonly number[];
};

type Cursor = { readonly text: string; at: number };

const METADATA_NAME = '__metadata__';
const STRING_LENGTH_MAX = 65_536; // characters; names are far shorter, metadata may hold a small document
const SPACE = /[ \t\r\n]*/y;
const INTEGER = /0|[1-9][0-9]{0,15}/y; // 16 digits hold every safe integer; the safe range is checked after

export function refuseTensorFile(rule: string): AppError {
  return new AppError('tensor.invalid', `safetensors: ${rule}.`);
}

/** Scans the header text. `memberCountMax` and `rankMax` stop hostile lists as they grow. */
export function scanHeader(
  text: string,
  limits: { memberCountMax: number; rankMax: number },
): { members: HeaderMember[]; metadata: Map<string, string> } {
  const cursor = { text, at: 0 };
  const members: HeaderMember[] = [];
  const names = new Set<string>();
  let metadata = new Map<string, string>();
  scanObject(cursor, (name) => {
    if (names.has(name)) throw refuseTensorFile('a name appears twice in the header');
    names.add(name);
    if (names.size > limits.memberCountMax) throw refuseTensorFile(`more than ${limits.memberCountMax} tensors`);
    if (name === METADATA_NAME) metadata = scanMetadata(cursor, limits.memberCountMax);
    else members.push(scanMember(cursor, name, limits.rankMax));
  });
  match(cursor, SPACE);
  if (cursor.at !== text.length) throw refuseTensorFile('text after the header object');
  return { members, metadata };
}

function scanMember(cursor: Cursor, name: string, rankMax: number): HeaderMember {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  scanObject(cursor, (field) => {
    if (field === 'dtype' && dtype === undefined) dtype = scanString(cursor);
    else if (field === 'shape' && shape === undefined) shape = scanIntegers(cursor, rankMax);
    else if (field === 'data_offsets' && offsets === undefined) offsets = scanIntegers(cursor, 2);
    else throw refuseTensorFile('an unknown or repeated field in a tensor entry');
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    throw refuseTensorFile('a tensor entry lacks dtype, shape or data_offsets');
  }
  return { name, dtype, shape, offsets };
}

function scanMetadata(cursor: Cursor, countMax: number): Map<string, string> {
  const metadata = new Map<string, string>();
  scanObject(cursor, (name) => {
    if (metadata.has(name)) throw refuseTensorFile('a name appears twice in the metadata');
    if (metadata.size >= countMax) throw refuseTensorFile(`more than ${countMax} metadata entries`);
    metadata.set(name, scanString(cursor));
  });
  return metadata;
}

/** Scans an object; `onMember` is called with each name and must consume its value. */
function scanObject(cursor: Cursor, onMember: (name: string) => void): void {
  expect(cursor, '{');
  if (accept(cursor, '}')) return;
  do {
    const name = scanString(cursor);
    expect(cursor, ':');
    onMember(name);
  } while (accept(cursor, ','));
  expect(cursor, '}');
}

function scanIntegers(cursor: Cursor, countMax: number): number[] {
  const integers: number[] = [];
  expect(cursor, '[');
  if (accept(cursor, ']')) return integers;
  do {
    match(cursor, SPACE);
    const digits = match(cursor, INTEGER);
    const integer = Number(digits);
    if (digits === undefined || !Number.isSafeInteger(integer)) {
      throw refuseTensorFile('a number in the header is not an unsigned integer below 2^53');
    }
    integers.push(integer);
    if (integers.length > countMax) throw refuseTensorFile(`a list in the header is longer than ${countMax}`);
  } while (accept(cursor, ','));
  expect(cursor, ']');
  return integers;
}

function scanString(cursor: Cursor): string {
  match(cursor, SPACE);
  const { text, at: start } = cursor;
  if (text[start] !== '"') throw refuseTensorFile('the header is not JSON of the expected form');
  let end = start + 1;
  while (end < text.length && text[end] !== '"' && end - start <= STRING_LENGTH_MAX) end += text[end] === '\\' ? 2 : 1;
  if (text[end] !== '"')
    throw refuseTensorFile(`a text in the header has no end within ${STRING_LENGTH_MAX} characters`);
  cursor.at = end + 1;
  return parseString(text.slice(start, end + 1));
}

function parseString(literal: string): string {
  try {
    const value: unknown = JSON.parse(literal);
    if (typeof value === 'string' && value.isWellFormed()) return value;
  } catch (cause) {
    throw new AppError('tensor.invalid', 'safetensors: a text in the header is not a JSON string.', { cause });
  }
  throw refuseTensorFile('a text in the header has no UTF-8 form');
}

function match(cursor: Cursor, pattern: RegExp): string | undefined {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0];
  if (found !== undefined) cursor.at += found.length;
  return found;
}

function accept(cursor: Cursor, character: string): boolean {
  match(cursor, SPACE);
  if (cursor.text[cursor.at] !== character) return false;
  cursor.at += 1;
  return true;
}

function expect(cursor: Cursor, character: string): void {
  if (!accept(cursor, character)) throw refuseTensorFile('the header is not JSON of the expected form');
}
