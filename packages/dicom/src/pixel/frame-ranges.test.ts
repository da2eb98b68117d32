import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { memorySource } from '../byte-source.ts';
import { DicomError } from '../dicom-error.ts';
import { bytesElement, dataSetOf, withElements } from '../element-values.ts';
import { frameRanges } from './frame-ranges.ts';

const SOI = [0xff, 0xd8];

/** Encapsulated pixel data of these fragments, the offset table first; offsets are counted as items are written. */
function encapsulated(
  table: readonly number[],
  fragments: readonly (readonly number[])[],
  extended?: readonly number[],
) {
  const basic = Buffer.alloc(table.length * 4);
  for (const [index, offset] of table.entries()) basic.writeUInt32LE(offset, index * 4);
  const parts: Buffer[] = [];
  const ranges = [basic, ...fragments.map((bytes) => Buffer.from(bytes))].map((content) => {
    parts.push(Buffer.alloc(8), content); // an item header, which nobody reads again
    const end = parts.reduce((sum, part) => sum + part.byteLength, 0);
    return { start: end - content.byteLength, length: content.byteLength };
  });
  const long = Buffer.alloc((extended?.length ?? 0) * 8);
  for (const [index, offset] of (extended ?? []).entries()) long.writeBigUInt64LE(BigInt(offset), index * 8);
  const dataSet = withElements(dataSetOf(extended === undefined ? [] : [bytesElement('ExtendedOffsetTable', long)]), [
    () => ({ tag: 0x7fe00010, vr: 'OB', value: { kind: 'fragments', fragments: ranges } }),
  ]);
  const source = memorySource(Buffer.concat(parts));
  return (frameCount: number) =>
    frameRanges(dataSet, source, frameCount).map((frame) =>
      frame.map(({ start }) => ranges.findIndex((range) => range.start === start) - 1),
    );
}

const malformed = (thrown: unknown) => thrown instanceof DicomError && thrown.code === 'malformed';

describe('the fragments of a frame', () => {
  test('are all where there is one frame', () => {
    assert.deepEqual(encapsulated([0], [SOI, [1, 2], [3, 4]])(1), [[0, 1, 2]]);
  });

  test('are those from its offset on, where there is a table', () => {
    assert.deepEqual(
      encapsulated(
        [0, 20],
        [
          [1, 1],
          [2, 2],
          [3, 3],
          [4, 4],
        ],
      )(2),
      [
        [0, 1],
        [2, 3],
      ],
    );
    assert.deepEqual(
      encapsulated(
        [],
        [
          [1, 1],
          [2, 2],
          [3, 3],
          [4, 4],
        ],
        [0, 30],
      )(2),
      [[0, 1, 2], [3]],
    );
  });

  test('are one each without a table, where there are as many', () => {
    assert.deepEqual(encapsulated([], [SOI, SOI, SOI])(3), [[0], [1], [2]]);
  });

  test('are those from the beginning of a codestream to the next, where nothing else tells', () => {
    assert.deepEqual(encapsulated([], [SOI, [9, 9], [0xff, 0x4f], [8, 8], [7, 7]])(2), [
      [0, 1],
      [2, 3, 4],
    ]);
  });

  test('are found without a table that points between fragments or is not in order', () => {
    assert.deepEqual(encapsulated([0, 11], [SOI, SOI])(2), [[0], [1]]);
    assert.deepEqual(encapsulated([10, 0], [SOI, SOI])(2), [[0], [1]]);
  });

  test('are refused where they cannot be told apart', () => {
    assert.throws(() => encapsulated([], [SOI, [1, 1], [2, 2]])(2), malformed);
    assert.throws(() => encapsulated([], [SOI])(2), malformed);
    assert.throws(() => encapsulated([], [])(1), malformed);
  });
});
