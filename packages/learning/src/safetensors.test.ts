import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AppError } from '@lantern/contract';
import {
  decodeTensors,
  elementCount,
  encodeHeader,
  encodeTensors,
  headerBytesNeeded,
  parseHeader,
  requireTensors,
} from './safetensors.ts';

const vector = (name: string) => readFileSync(new URL(`../test/vectors/${name}`, import.meta.url));

/** A file whose header is this text, followed by `dataBytes` zero bytes. */
function fileOf(header: string | Uint8Array, dataBytes = 0): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  file.set(json, 8);
  return file;
}

function refused(file: Uint8Array, rule: RegExp, fileSizeBytes: number | undefined = file.byteLength): void {
  assert.throws(
    () => parseHeader(file, {}, fileSizeBytes),
    (error) => error instanceof AppError && error.code === 'tensor.invalid' && rule.test(error.message),
    String(rule),
  );
}

const entry = (shape: string, offsets: string, dtype = 'F32') =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

test('a file written by the Python package is read with its names, shapes, numbers and metadata', () => {
  const bytes = vector('mixed.safetensors');
  const layout = parseHeader(bytes, {}, bytes.byteLength);
  assert.deepEqual(
    layout.tensors.map(({ name, dtype, shape }) => [name, dtype, shape]),
    [
      ['step', 'I64', []],
      ['moment', 'F64', [2]],
      ['empty', 'F32', [0, 4]],
      ['layers.0.bias', 'F32', [2]],
      ['layers.0.weight', 'F32', [2, 3]],
    ],
  );
  assert.deepEqual(layout.metadata, { 'made-by': 'safetensors 0.8.0', quote: 'a "b" é' });
  const tensors = decodeTensors(bytes);
  assert.deepEqual(
    tensors.get('layers.0.weight')?.data,
    Float32Array.of(1.5, -2.25, 3, 0.1, 1e-30, -7e20),
    'row-major, little-endian',
  );
  assert.deepEqual(tensors.get('moment')?.data, Float64Array.of(1 / 3, -1e300));
  assert.deepEqual(tensors.get('step')?.data, BigInt64Array.of(-9007199254740993n));
  assert.equal(tensors.get('empty')?.data.length, 0);
});

test('what we write is read back, does not depend on the order of the tensors, and begins its data at a multiple of 8', () => {
  const weight = { dtype: 'F32', shape: [2, 1], data: Float32Array.of(3, -4.5) } as const;
  const moment = { dtype: 'F64', shape: [], data: Float64Array.of(1e-300) } as const;
  const bytes = encodeTensors({ 'b.weight': weight, a: moment }, { run: 'x' });
  assert.deepEqual(bytes, encodeTensors({ a: moment, 'b.weight': weight }, { run: 'x' }));
  const layout = parseHeader(bytes, {}, bytes.byteLength);
  assert.equal(layout.dataOffset % 8, 0);
  assert.deepEqual(layout.metadata, { run: 'x' });
  assert.deepEqual(
    [...decodeTensors(bytes)],
    [
      ['a', moment],
      ['b.weight', weight],
    ],
  );
});

test('tensors at an odd address are copied, not misread', () => {
  const bytes = encodeTensors({ w: { dtype: 'F32', shape: [1], data: Float32Array.of(2.5) } });
  const shifted = new Uint8Array(bytes.byteLength + 1);
  shifted.set(bytes, 1);
  assert.deepEqual(decodeTensors(shifted.subarray(1)).get('w')?.data, Float32Array.of(2.5));
  const buffer = Buffer.from(shifted.buffer, 1); // whose slice() would share memory instead of copying
  assert.deepEqual(decodeTensors(buffer).get('w')?.data, Float32Array.of(2.5));
});

test('a header alone can be parsed before the data has arrived', () => {
  const bytes = vector('mixed.safetensors');
  const needed = headerBytesNeeded(bytes.subarray(0, 8));
  const layout = parseHeader(bytes.subarray(0, needed));
  assert.equal(layout.sizeBytes, bytes.byteLength);
  assert.equal(layout.dataOffset, needed);
});

test('a dtype of the format that we do not compute with is refused by name, and read when a limit allows it', () => {
  const bytes = vector('half.safetensors');
  refused(bytes, /half is F16/);
  assert.equal(parseHeader(bytes, { dtypes: ['F16', 'F32'] }).tensors.length, 2);
});

test('header lengths that lie are refused before anything is allocated', () => {
  const huge = new Uint8Array(16);
  new DataView(huge.buffer).setBigUint64(0, 2n ** 63n, true);
  refused(huge, /header longer than/);
  const beyond = fileOf('{}');
  new DataView(beyond.buffer).setBigUint64(0, 400n, true);
  refused(beyond, /shorter than its header/);
  refused(new Uint8Array(7), /8 bytes/);
  refused(fileOf(''), /below 2/);
});

test('holes, overlaps, wrong sizes, missing bytes and trailing bytes are refused', () => {
  refused(fileOf(`{"a":${entry('[1]', '[0,4]')},"b":${entry('[1]', '[8,12]')}}`, 12), /hole or overlaps/);
  refused(fileOf(`{"a":${entry('[2]', '[0,8]')},"b":${entry('[1]', '[4,8]')}}`, 8), /hole or overlaps/);
  refused(fileOf(`{"a":${entry('[1]', '[4,8]')}}`, 8), /hole or overlaps/);
  refused(fileOf(`{"a":${entry('[3]', '[0,8]')}}`, 8), /not its shape/);
  refused(fileOf(`{"a":${entry('[1]', '[4,0]')}}`, 8), /rising/);
  refused(fileOf(`{"a":${entry('[1]', '[0]')}}`, 8), /rising/);
  refused(fileOf(`{"a":${entry('[2]', '[0,8]')}}`, 7), /its header says/);
  refused(fileOf(`{"a":${entry('[2]', '[0,8]')}}`, 9), /its header says/);
});

test('duplicate names are refused, also when the second is spelled with an escape', () => {
  refused(fileOf(`{"a":${entry('[1]', '[0,4]')},"a":${entry('[1]', '[0,4]')}}`, 4), /appears twice/);
  refused(fileOf(`{"a":${entry('[1]', '[0,4]')},"\\u0061":${entry('[1]', '[0,4]')}}`, 4), /appears twice/);
  refused(fileOf('{"__metadata__":{"k":"1","k":"2"}}'), /metadata/);
  refused(fileOf(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), /repeated field/);
});

test('shapes that overflow, fractions, signs and unknown dtypes are refused', () => {
  refused(fileOf(`{"a":${entry('[4294967296,4294967296]', '[0,0]')}}`), /too large to address/);
  refused(fileOf(`{"a":${entry('[9007199254740993]', '[0,0]')}}`), /unsigned integer/);
  refused(fileOf(`{"a":${entry('[-1]', '[0,4]')}}`, 4), /unsigned integer/);
  refused(fileOf(`{"a":${entry('[1.5]', '[0,6]')}}`, 6), /expected form/);
  refused(fileOf(`{"a":${entry('[1]', '[0,4]', 'C64')}}`, 4), /does not know/);
  refused(fileOf(`{"a":${entry('[1]', '[0,4]', 'toString')}}`, 4), /does not know/);
  refused(fileOf(`{"a":${entry('[1,1,1,1,1,1,1,1,1]', '[0,4]')}}`, 4), /longer than 8/);
});

test('text that is not the header grammar is refused', () => {
  refused(fileOf('[]'), /does not begin/);
  refused(fileOf(' {}'), /does not begin/);
  refused(fileOf('{} {}'), /text after/);
  refused(fileOf('{"a":1}'), /expected form/);
  refused(fileOf(`{"a":{"dtype":"F32","shape":[1]}}`), /lacks/);
  refused(fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), /unknown/);
  refused(fileOf('{"__metadata__":{"k":1}}'), /expected form/);
  refused(fileOf('{"a\n":{}}'), /JSON string/);
  refused(fileOf(`{"${'x'.repeat(70_000)}":{}}`), /no end within/);
  refused(fileOf(`{"\\ud800":${entry('[1]', '[0,4]')}}`, 4), /UTF-8 form/);
  refused(fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not UTF-8/);
});

test('names too long and too many tensors are refused', () => {
  refused(fileOf(`{"${'x'.repeat(257)}":${entry('[1]', '[0,4]')}}`, 4), /longer than 256/);
  refused(fileOf(`{"":${entry('[1]', '[0,4]')}}`, 4), /empty/);
  const many = Array.from({ length: 4 }, (_, index) => `"t${index}":${entry('[0]', '[0,0]')}`);
  const file = fileOf(`{${many.join(',')}}`);
  assert.throws(() => parseHeader(file, { tensorCountMax: 3 }), /more than 3 tensors/);
  assert.throws(() => parseHeader(vector('mixed.safetensors'), { sizeBytesMax: 447 }), /larger than 447/);
});

test('every truncation and every single altered byte of a real header is either refused or harmless', () => {
  const original = vector('mixed.safetensors');
  const needed = headerBytesNeeded(original);
  for (let at = 0; at < needed; at += 1) {
    assert.throws(() => parseHeader(original.subarray(0, at)), AppError);
    const altered = Uint8Array.from(original);
    altered[at] = (altered[at] ?? 0) ^ 0x15;
    try {
      const layout = parseHeader(altered, {}, altered.byteLength);
      assert.equal(layout.sizeBytes, altered.byteLength);
    } catch (error) {
      assert.ok(error instanceof AppError && error.code === 'tensor.invalid', String(error));
    }
  }
});

test('writing refuses data that does not fill its shape, and two tensors of one name', () => {
  const short = { dtype: 'F32', shape: [3], data: Float32Array.of(1, 2) } as const;
  assert.throws(() => encodeTensors({ a: short }), /tensor a has 2 elements/);
  const twice = { name: 'a', dtype: 'F32', shape: [1] } as const;
  assert.throws(() => encodeHeader([twice, twice]), /one name/);
  assert.equal(elementCount([]), 1);
  assert.equal(elementCount([3, 0, 5]), 0);
});

test('an update must hold exactly the tensors asked for, and the refusal names the tensor', () => {
  const layout = parseHeader(encodeHeader([{ name: 'w', dtype: 'F32', shape: [2, 3] }]));
  requireTensors(layout, [{ name: 'w', shape: [2, 3] }]);
  const wrong = (expected: { name: string; shape: number[] }[], rule: RegExp) =>
    assert.throws(
      () => requireTensors(layout, expected),
      (error) => error instanceof AppError && error.code === 'update.invalid' && rule.test(error.message),
    );
  wrong([{ name: 'w', shape: [3, 2] }], /w has shape \[2,3\], asked was \[3,2\]/);
  wrong([], /w was not asked for/);
  wrong([{ name: 'v', shape: [1] }], /v is missing/);
  const double = parseHeader(encodeHeader([{ name: 'w', dtype: 'F64', shape: [1] }]));
  assert.throws(() => requireTensors(double, [{ name: 'w', shape: [1] }]), /w is not F32/);
});
