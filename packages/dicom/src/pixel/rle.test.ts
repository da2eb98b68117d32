import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DicomError } from '../dicom-error.ts';
import { decodeRle, encodeRle, type RleShape } from './rle.ts';

const gray: RleShape = { pixelCount: 10, samplesPerPixel: 1, bytesPerSample: 1, columns: 5 };

/** A frame of one segment. */
function frame(...segment: number[]): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(1, 0);
  header.writeUInt32LE(64, 4);
  return Buffer.concat([header, Buffer.from(segment)]);
}

const refused = (code: string) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

describe('RLE', () => {
  test('is decoded as PS3.5 G.3.2 has it: literal runs, repeated bytes, and 128, which says nothing', () => {
    const encoded = frame(2, 7, 8, 9, 128, 0xfd, 5, 2, 1, 2, 3); // 0xfd: four times
    assert.deepEqual([...decodeRle(encoded, gray)], [7, 8, 9, 5, 5, 5, 5, 1, 2, 3]);
  });

  test('has the most significant bytes first, and samples in order', () => {
    const shape = { pixelCount: 2, samplesPerPixel: 3, bytesPerSample: 2, columns: 2 };
    const samples = Buffer.alloc(12);
    for (const [index, value] of [0x0102, 0x0304, 0x0506, 0x0708, 0x090a, 0x0b0c].entries())
      samples.writeUInt16LE(value, index * 2);
    const encoded = encodeRle(samples, shape);
    assert.equal(encoded.readUInt32LE(0), 6);
    const first = encoded.readUInt32LE(4);
    assert.deepEqual([...encoded.subarray(first, first + 3)], [1, 0x01, 0x07]); // high bytes of the first sample
    assert.deepEqual(decodeRle(encoded, shape), samples);
  });

  test('gives back what was encoded, whatever it was, in segments of even length', () => {
    let state = 7; // a fixed seed
    for (let round = 0; round < 300; round += 1) {
      const columns = 1 + (round % 300);
      const shape = { pixelCount: columns * 3, samplesPerPixel: 1, bytesPerSample: 1, columns };
      const samples = Buffer.alloc(shape.pixelCount);
      for (let at = 0; at < samples.byteLength; at += 1) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        samples[at] = state >>> 30 === 0 ? state >>> 24 : (samples[at - 1] ?? 0); // runs of some length
      }
      const encoded = encodeRle(samples, shape);
      assert.equal(encoded.byteLength % 2, 0);
      assert.deepEqual(decodeRle(encoded, shape), samples, `${columns} columns`);
    }
  });

  test('does not run over the end of a row', () => {
    const encoded = encodeRle(Buffer.alloc(10, 3), gray);
    assert.deepEqual([...encoded.subarray(64)], [0xfc, 3, 0xfc, 3]);
  });

  test('that ends early, names other segments, or points outside is refused', () => {
    assert.throws(() => decodeRle(frame(2, 7, 8, 9), gray), refused('truncated'));
    assert.throws(() => decodeRle(frame(0xf7, 1), { ...gray, samplesPerPixel: 3 }), refused('malformed'));
    const outside = frame(0xf7, 1);
    outside.writeUInt32LE(9000, 4);
    assert.throws(() => decodeRle(outside, gray), refused('malformed'));
    assert.throws(() => decodeRle(Buffer.alloc(10), gray), refused('malformed'));
  });

  test('that holds more than the image is cut, not written beyond it', () => {
    assert.deepEqual([...decodeRle(frame(0x81, 4), gray)], Array(10).fill(4));
  });
});
