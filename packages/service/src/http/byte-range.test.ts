import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseByteRange } from './byte-range.ts';

test('a single range is read as RFC 9110 section 14.1.2 gives it', () => {
  const read = (header: string | undefined) => parseByteRange(header, 1000);
  assert.deepEqual(read('bytes=0-499'), { start: 0, end: 500, contentRange: 'bytes 0-499/1000' });
  assert.deepEqual(read('bytes=500-'), { start: 500, end: 1000, contentRange: 'bytes 500-999/1000' });
  assert.deepEqual(read('bytes=-200'), { start: 800, end: 1000, contentRange: 'bytes 800-999/1000' });
  assert.deepEqual(read('bytes=900-4711'), { start: 900, end: 1000, contentRange: 'bytes 900-999/1000' });
  assert.deepEqual(read('bytes=-4711'), { start: 0, end: 1000, contentRange: 'bytes 0-999/1000' });
});

test('a range of a form that a server may ignore gives the whole object', () => {
  for (const header of [
    undefined,
    '',
    'bytes=-',
    'bytes=0-1,5-6',
    'items=0-1',
    'bytes=a-b',
    'bytes=1e2-',
    'bytes = 0-1',
  ]) {
    assert.equal(parseByteRange(header, 1000), undefined, String(header));
  }
});

test('a range outside the object is refused', () => {
  for (const [header, sizeBytes] of [
    ['bytes=1000-', 1000],
    ['bytes=7-6', 1000],
    ['bytes=-0', 1000],
    ['bytes=0-', 0],
  ] as const) {
    assert.throws(() => parseByteRange(header, sizeBytes), { code: 'input.range-invalid', field: 'range' }, header);
  }
});
