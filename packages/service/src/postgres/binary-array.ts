/**
 * Lists as parameters of a statement (`${textArray(names)}::text[]`) in PostgreSQL's binary form.
 *
 * The driver writes a list as one text, in which every quote of every element is escaped, and the server takes it apart character by
 * character. For many rows at once, or long texts, that costs more than the rows: here both sides copy bytes.
 *
 * The form is that of array_send and array_recv in PostgreSQL's src/backend/utils/adt/arrayfuncs.c: how many dimensions, whether
 * there are nulls, the type, length and first index, then each element with its length, or -1 for null.
 */

/** PostgreSQL type ids, from its catalogue pg_type. */
const OID = { boolean: 16, bigint: 20, integer: 23, text: 25, double: 701, timestamptz: 1184 } as const;

const HEAD_BYTES = 20;
const LENGTH_BYTES = 4;
const NULL_LENGTH = -1;
/** A UTF-16 unit becomes at most three bytes of UTF-8. */
const UTF8_BYTES_MAX = 3;

/** 1970 in milliseconds since 2000-01-01, from which PostgreSQL counts microseconds. */
const EPOCH_MS = 946_684_800_000n;
const INFINITY = 2n ** 63n - 1n;
const MINUS_INFINITY = -(2n ** 63n);

function writeHead(view: DataView, oid: number, count: number): void {
  view.setInt32(0, 1);
  view.setInt32(4, 1); // nulls may be among them
  view.setInt32(8, oid);
  view.setInt32(12, count);
  view.setInt32(16, 1);
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** No element: no dimension either. */
function emptyArray(oid: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeInt32BE(oid, 8);
  return bytes;
}

export function textArray(values: readonly (string | null)[]): Buffer {
  if (values.length === 0) return emptyArray(OID.text);
  let size = HEAD_BYTES;
  for (const value of values) size += LENGTH_BYTES + (value === null ? 0 : value.length * UTF8_BYTES_MAX);
  const bytes = Buffer.allocUnsafe(size);
  const view = viewOf(bytes);
  writeHead(view, OID.text, values.length);
  let at = HEAD_BYTES;
  for (const value of values) {
    const length = value === null ? 0 : bytes.write(value, at + LENGTH_BYTES);
    view.setInt32(at, value === null ? NULL_LENGTH : length);
    at += LENGTH_BYTES + length;
  }
  return bytes.subarray(0, at);
}

type Fixed<T> = {
  readonly oid: number;
  readonly width: number;
  readonly put: (view: DataView, at: number, value: T) => void;
};

function fixedArray<T>(values: readonly (T | null)[], { oid, width, put }: Fixed<T>): Buffer {
  if (values.length === 0) return emptyArray(oid);
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + values.length * (LENGTH_BYTES + width));
  const view = viewOf(bytes);
  writeHead(view, oid, values.length);
  let at = HEAD_BYTES;
  for (const value of values) {
    view.setInt32(at, value === null ? NULL_LENGTH : width);
    at += LENGTH_BYTES;
    if (value === null) continue;
    put(view, at, value);
    at += width;
  }
  return bytes.subarray(0, at);
}

const INTEGER: Fixed<number> = { oid: OID.integer, width: 4, put: (view, at, value) => view.setInt32(at, value) };
const BIGINT: Fixed<bigint> = { oid: OID.bigint, width: 8, put: (view, at, value) => view.setBigInt64(at, value) };
const DOUBLE: Fixed<number> = { oid: OID.double, width: 8, put: (view, at, value) => view.setFloat64(at, value) };
const BOOLEAN: Fixed<boolean> = {
  oid: OID.boolean,
  width: 1,
  put: (view, at, value) => view.setUint8(at, value ? 1 : 0),
};
const TIME: Fixed<number> = {
  oid: OID.timestamptz,
  width: 8,
  put: (view, at, value) => view.setBigInt64(at, microseconds(value)),
};

function microseconds(ms: number): bigint {
  if (!Number.isFinite(ms)) return ms < 0 ? MINUS_INFINITY : INFINITY;
  return (BigInt(Math.trunc(ms)) - EPOCH_MS) * 1000n;
}

export function integerArray(values: readonly (number | null)[]): Buffer {
  return fixedArray(values, INTEGER);
}

export function bigintArray(values: readonly bigint[]): Buffer {
  return fixedArray(values, BIGINT);
}

export function doubleArray(values: readonly (number | null)[]): Buffer {
  return fixedArray(values, DOUBLE);
}

export function booleanArray(values: readonly boolean[]): Buffer {
  return fixedArray(values, BOOLEAN);
}

/** Milliseconds since 1970; infinite ones are `infinity` and `-infinity`. */
export function timeArray(values: readonly number[]): Buffer {
  return fixedArray(values, TIME);
}
