/**
 * A message of HL7 v2 (ER7), taken apart as far as somebody asks: segments and fields at once, what lies inside a field when it is
 * read. Its bytes are never changed; what cannot be understood is still there.
 *
 * Values know three cases (2.5.3): absent (`undefined`), explicitly deleted (`null`, two quotation marks), and a text.
 *
 * Segments end with CR. CRLF is taken as well, and LF where what follows looks like a segment; any other LF belongs to a value, as
 * senders of reports write it.
 */
import { Hl7Error } from '../hl7-error.ts';
import { type CharacterSet, characterSetOf } from './character-set.ts';
import { type Delimiters, readDelimiters } from './delimiters.ts';
import { resolveEscapes } from './escapes.ts';
import { FIELD_COUNT_MAX, MESSAGE_BYTES_MAX, SEGMENT_COUNT_MAX } from './limits.ts';

export type Value = string | null | undefined;

/** `fields[n]` is field n as it stands in the message, escapes and all; `fields[0]` is the name. MSH-1 is the separator. */
export type Segment = { readonly name: string; readonly fields: readonly string[] };

export type Message = {
  readonly delimiters: Delimiters;
  readonly characterSet: CharacterSet;
  readonly segments: readonly Segment[];
};

/** Where a value stands: repetition, component and subcomponent count from 1 and are 1 where absent. */
export type Place = {
  readonly field: number;
  readonly repetition?: number;
  readonly component?: number;
  readonly subcomponent?: number;
};

const NULL = '""';
const FIRST_LINE_BYTES_MAX = 64 * 1024;

/** Throws `malformed`, `encoding`, `limit`. */
export function parseMessage(bytes: Uint8Array): Message {
  if (bytes.byteLength > MESSAGE_BYTES_MAX) {
    throw new Hl7Error('limit', `A message has at most ${MESSAGE_BYTES_MAX} bytes.`);
  }
  const content = withoutMark(bytes);
  const characterSet = declaredSet(content);
  const text = characterSet.decode(content);
  const delimiters = readDelimiters(text);
  const segments: Segment[] = [];
  for (const line of linesOf(text, delimiters.field)) {
    if (segments.length >= SEGMENT_COUNT_MAX) {
      throw new Hl7Error('limit', `A message has at most ${SEGMENT_COUNT_MAX} segments.`);
    }
    const segment = parseSegment(line, delimiters);
    if (segment.name === 'MSH' && segments.length > 0) throw new Hl7Error('malformed', 'There is a second MSH.');
    segments.push(segment);
  }
  return { delimiters, characterSet, segments };
}

const lineEnds = new Map<string, RegExp>();

/** Where a line ends; compiled once for each separator of fields that is met, of which there are 32 at most. */
function lineEnd(separator: string): RegExp {
  const known = lineEnds.get(separator);
  if (known !== undefined) return known;
  const sign = separator.replace(/[^\w\s]/, '\\$&');
  const made = new RegExp(`\\r\\n?|\\n(?=[A-Z][A-Z0-9]{2}(?:${sign}|[\\r\\n]|$)|\\n|$)`);
  lineEnds.set(separator, made);
  return made;
}

/** Lines of a message or a file, without empty ones; `separator` is that of fields. */
export function linesOf(text: string, separator: string): string[] {
  // With CR alone, as the standard has it, there is nothing to look for.
  const lines = text.includes('\n') ? text.split(lineEnd(separator)) : text.split('\r');
  return lines.filter((line) => line !== '' && line !== '\n');
}

/** The mark that some Windows programs write before UTF-8. */
function withoutMark(bytes: Uint8Array): Uint8Array {
  const isMarked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return isMarked ? bytes.subarray(3) : bytes;
}

function declaredSet(bytes: Uint8Array): CharacterSet {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, FIRST_LINE_BYTES_MAX));
  const line = head.toString('latin1').split(/[\r\n]/, 1)[0] ?? '';
  const { field, repetition } = readDelimiters(line);
  // MSH-1 is the separator itself, so that MSH-18 is the seventeenth piece after the name. Its repetitions are further sets.
  const [declared = ''] = (line.split(field, 18)[17] ?? '').split(repetition, 1);
  return characterSetOf(declared, bytes);
}

function parseSegment(line: string, delimiters: Delimiters): Segment {
  const pieces = line.split(delimiters.field, FIELD_COUNT_MAX + 2);
  if (pieces.length > FIELD_COUNT_MAX + 1) {
    throw new Hl7Error('limit', `A segment has at most ${FIELD_COUNT_MAX} fields.`);
  }
  const [name = ''] = pieces;
  if (!/^[A-Z][A-Z0-9]{2}$/.test(name)) {
    throw new Hl7Error('malformed', 'A segment does not begin with a name of three letters or digits.');
  }
  if (name === 'MSH') pieces.splice(1, 0, delimiters.field);
  return { name, fields: pieces };
}

export function segmentsOf(message: Message, name: string): Segment[] {
  return message.segments.filter((segment) => segment.name === name);
}

export function firstSegment(message: Message, name: string): Segment | undefined {
  return message.segments.find((segment) => segment.name === name);
}

/** The repetitions of a field as they stand there; none where it is empty. MSH-1 and MSH-2 are not taken apart. */
export function repetitionsOf(message: Message, segment: Segment, field: number): string[] {
  const raw = segment.fields[field] ?? '';
  if (raw === '') return [];
  if (segment.name === 'MSH' && field <= 2) return [raw];
  return raw.split(message.delimiters.repetition);
}

/** Component `component` of a repetition, or subcomponent of a component, as it stands there; components count from 1. */
export function partOf(raw: string, separator: string | undefined, part: number): string {
  if (separator === undefined || !raw.includes(separator)) return part === 1 ? raw : '';
  return raw.split(separator)[part - 1] ?? '';
}

/** The value of a leaf, escapes resolved. */
export function decodeValue(message: Message, raw: string): Value {
  if (raw === '') return undefined;
  if (raw === NULL) return null;
  return resolveEscapes(raw, message.delimiters, message.characterSet.decode);
}

export function valueAt(message: Message, segment: Segment, place: Place): Value {
  const { field, repetition = 1, component = 1, subcomponent = 1 } = place;
  const raw = repetitionsOf(message, segment, field)[repetition - 1] ?? '';
  if (segment.name === 'MSH' && field <= 2) return raw;
  const { delimiters } = message;
  const inner = partOf(raw, delimiters.component, component);
  return decodeValue(message, partOf(inner, delimiters.subcomponent, subcomponent));
}

/** The text of a leaf; empty where it is absent or deleted. */
export function textAt(message: Message, segment: Segment, place: Place): string {
  return valueAt(message, segment, place) ?? '';
}
