/**
 * The protobuf wire format, as much as ONNX files need: varints, 32- and 64-bit numbers and length-delimited fields.
 *
 * The reader is for files of strangers: every length is checked against the bytes that are there, groups and reserved wire
 * types are refused, and it hands out views, so reading allocates nothing in proportion to what a file merely claims.
 *
 * https://protobuf.dev/programming-guides/encoding/
 */
import { AppError } from '@lantern/contract';

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;
const VARINT_BYTES_MAX = 10;

export type ProtoField =
  | { readonly number: number; readonly kind: 'varint'; readonly value: bigint }
  | { readonly number: number; readonly kind: 'fixed32' | 'fixed64' | 'bytes'; readonly bytes: Uint8Array };

export function refuseGraph(rule: string, cause?: unknown): AppError {
  return new AppError('bundle.invalid', `ONNX graph: ${rule}.`, { cause });
}

/** The fields of one message, in file order. Throws `bundle.invalid` when the bytes are not protobuf. */
export function* readFields(message: Uint8Array): Generator<ProtoField> {
  const cursor = { bytes: message, at: 0 };
  while (cursor.at < message.byteLength) {
    const tag = readVarint(cursor);
    const number = Number(tag >> 3n);
    if (number < 1 || number > 0x1fffffff) throw refuseGraph('a protobuf field has number 0 or above 2^29');
    switch (Number(tag & 7n)) {
      case VARINT:
        yield { number, kind: 'varint', value: readVarint(cursor) };
        break;
      case FIXED64:
        yield { number, kind: 'fixed64', bytes: take(cursor, 8) };
        break;
      case FIXED32:
        yield { number, kind: 'fixed32', bytes: take(cursor, 4) };
        break;
      case DELIMITED: {
        const length = readVarint(cursor);
        if (length > BigInt(message.byteLength)) throw refuseGraph('a protobuf field is longer than its message');
        yield { number, kind: 'bytes', bytes: take(cursor, Number(length)) };
        break;
      }
      default:
        throw refuseGraph('a protobuf field has a wire type that is not used in ONNX');
    }
  }
}

/** All varints of a packed field. */
export function readPackedVarints(bytes: Uint8Array): bigint[] {
  const cursor = { bytes, at: 0 };
  const values: bigint[] = [];
  while (cursor.at < bytes.byteLength) values.push(readVarint(cursor));
  return values;
}

type Cursor = { readonly bytes: Uint8Array; at: number };

function readVarint(cursor: Cursor): bigint {
  let value = 0n;
  for (let index = 0; index < VARINT_BYTES_MAX; index += 1) {
    const byte = cursor.bytes[cursor.at];
    if (byte === undefined) throw refuseGraph('the file ends inside a number');
    cursor.at += 1;
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw refuseGraph('a protobuf number is longer than 10 bytes');
}

function take(cursor: Cursor, length: number): Uint8Array {
  const end = cursor.at + length;
  if (end > cursor.bytes.byteLength) throw refuseGraph('a protobuf field is longer than its message');
  const taken = cursor.bytes.subarray(cursor.at, end);
  cursor.at = end;
  return taken;
}

/** Fields of a message being written; `undefined` and empty lists write nothing. */
export type FieldToWrite = Uint8Array;

/** An integer field; negative ones as 64-bit two's complement. */
export function varintField(number: number, value: number | bigint): FieldToWrite {
  return Uint8Array.from([...varint(number << 3), ...varint(BigInt.asUintN(64, BigInt(value)))]);
}

export function floatField(number: number, value: number): FieldToWrite {
  const field = new Uint8Array(5);
  field[0] = (number << 3) | FIXED32;
  new DataView(field.buffer).setFloat32(1, value, true);
  return field;
}

export function stringField(number: number, text: string): FieldToWrite {
  return bytesField(number, new TextEncoder().encode(text));
}

/** A length-delimited field: bytes, text or a message already written. */
export function bytesField(number: number, payload: Uint8Array): FieldToWrite {
  return concatenate([Uint8Array.from([...varint((number << 3) | DELIMITED), ...varint(payload.byteLength)]), payload]);
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}
