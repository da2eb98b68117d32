/**
 * The part of Structured Field Values (RFC 8941) that HTTP Message Signatures need: dictionaries whose members are byte
 * sequences or inner lists of strings, with parameters.
 *
 * Stricter than the RFC in one point: a key that occurs twice is refused instead of "the last one wins", because two
 * readers that pick differently would check different signatures.
 */
import { AppError } from '@lantern/contract';

export type BareItem =
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'token'; readonly value: string }
  | { readonly kind: 'integer'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'bytes'; readonly value: Uint8Array };
export type Parameters = ReadonlyMap<string, BareItem>;
export type Item = { readonly kind: 'item'; readonly item: BareItem; readonly parameters: Parameters };
export type InnerList = { readonly kind: 'list'; readonly items: readonly Item[]; readonly parameters: Parameters };
export type Dictionary = ReadonlyMap<string, Item | InnerList>;

const FIELD_LENGTH_MAX = 8192; // a Signature-Input of ours is about 250 characters
const MEMBER_COUNT_MAX = 16; // members of a dictionary, items of a list, parameters of an item

class Reader {
  readonly #text: string;
  readonly #fieldName: string;
  #index = 0;

  constructor(fieldName: string, text: string) {
    this.#fieldName = fieldName;
    this.#text = text;
  }

  refuse(rule: string): AppError {
    return new AppError('signature.malformed', `${this.#fieldName}: ${rule} at character ${this.#index}.`, {
      field: this.#fieldName,
    });
  }

  get done(): boolean {
    return this.#index >= this.#text.length;
  }

  take(literal: string): boolean {
    if (!this.#text.startsWith(literal, this.#index)) return false;
    this.#index += literal.length;
    return true;
  }

  /** Takes what the sticky pattern matches here. */
  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#index;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#index += found.length;
    return found;
  }

  expect(literal: string): void {
    if (!this.take(literal)) throw this.refuse(`expected "${literal}"`);
  }
}

function readKey(reader: Reader): string {
  const key = reader.match(/[a-z*][a-z0-9_.*-]*/y);
  if (key === undefined) throw reader.refuse('expected a key');
  return key;
}

function readBytes(reader: Reader): Uint8Array {
  const text = reader.match(/[A-Za-z0-9+/=]*/y) ?? '';
  reader.expect(':');
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw reader.refuse('a byte sequence is not canonical base64');
  return bytes;
}

function readBareItem(reader: Reader): BareItem {
  const quoted = reader.match(/"(?:[ !#-[\]-~]|\\["\\])*"/y);
  if (quoted !== undefined) return { kind: 'string', value: quoted.slice(1, -1).replace(/\\(["\\])/g, '$1') };
  const digits = reader.match(/-?[0-9]{1,15}(?![0-9.])/y);
  if (digits !== undefined) return { kind: 'integer', value: Number(digits) };
  if (reader.take('?1')) return { kind: 'boolean', value: true };
  if (reader.take('?0')) return { kind: 'boolean', value: false };
  if (reader.take(':')) return { kind: 'bytes', value: readBytes(reader) };
  const token = reader.match(/[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*/y);
  if (token !== undefined) return { kind: 'token', value: token };
  throw reader.refuse('expected a string, integer, boolean, token or byte sequence');
}

function readParameters(reader: Reader): Parameters {
  const parameters = new Map<string, BareItem>();
  while (reader.take(';')) {
    reader.match(/ */y);
    const key = readKey(reader);
    if (parameters.has(key)) throw reader.refuse(`parameter "${key}" occurs twice`);
    parameters.set(key, reader.take('=') ? readBareItem(reader) : { kind: 'boolean', value: true });
    if (parameters.size > MEMBER_COUNT_MAX) throw reader.refuse(`more than ${MEMBER_COUNT_MAX} parameters`);
  }
  return parameters;
}

function readItem(reader: Reader): Item {
  return { kind: 'item', item: readBareItem(reader), parameters: readParameters(reader) };
}

function readInnerList(reader: Reader): InnerList {
  const items: Item[] = [];
  for (;;) {
    reader.match(/ */y);
    if (reader.take(')')) return { kind: 'list', items, parameters: readParameters(reader) };
    if (items.length > 0 && reader.match(/(?<= )/y) === undefined) throw reader.refuse('expected a space');
    items.push(readItem(reader));
    if (items.length > MEMBER_COUNT_MAX) throw reader.refuse(`more than ${MEMBER_COUNT_MAX} items`);
  }
}

/** Parses a dictionary; whatever does not follow the grammar to the last character is `signature.malformed`. */
export function parseDictionary(fieldName: string, text: string): Dictionary {
  const reader = new Reader(fieldName, text);
  if (text.length > FIELD_LENGTH_MAX) throw reader.refuse(`longer than ${FIELD_LENGTH_MAX} characters, refused`);
  const members = new Map<string, Item | InnerList>();
  reader.match(/ */y);
  for (;;) {
    const key = readKey(reader);
    if (members.has(key)) throw reader.refuse(`label "${key}" occurs twice`);
    reader.expect('=');
    members.set(key, reader.take('(') ? readInnerList(reader) : readItem(reader));
    if (members.size > MEMBER_COUNT_MAX) throw reader.refuse(`more than ${MEMBER_COUNT_MAX} members`);
    reader.match(/[ \t]*/y);
    if (reader.done) return members;
    reader.expect(',');
    reader.match(/[ \t]*/y);
  }
}

function serialiseBareItem(item: BareItem): string {
  switch (item.kind) {
    case 'string':
      return `"${item.value.replace(/["\\]/g, '\\$&')}"`;
    case 'token':
      return item.value;
    case 'integer':
      return String(item.value);
    case 'boolean':
      return item.value ? '?1' : '?0';
    case 'bytes':
      return `:${Buffer.from(item.value).toString('base64')}:`;
  }
}

function serialiseParameters(parameters: Parameters): string {
  return [...parameters]
    .map(([key, item]) => (item.kind === 'boolean' && item.value ? `;${key}` : `;${key}=${serialiseBareItem(item)}`))
    .join('');
}

function serialiseItem(item: Item): string {
  return serialiseBareItem(item.item) + serialiseParameters(item.parameters);
}

/** The strict form of RFC 8941 section 4.1.1.1, in the order in which items and parameters were read or built. */
export function serialiseInnerList(list: InnerList): string {
  return `(${list.items.map(serialiseItem).join(' ')})${serialiseParameters(list.parameters)}`;
}
