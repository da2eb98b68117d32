import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { memorySource } from '../byte-source.ts';
import { itemsOf } from '../data-set.ts';
import { DicomError, type DicomErrorCode } from '../dicom-error.ts';
import { bytesElement, numberElement, sequenceElement, textElement, withElements } from '../element-values.ts';
import { readPart10 } from '../part10.ts';
import type { PixelFrame } from './pixel-frame.ts';
import { openPixels, type Pixels } from './pixels.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
const IMAGES = path.join(FIXTURES, 'pixels');
/** The whole collection of which the fixtures are a part, where it is at hand. */
const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../../shared/data'),
  'dicom',
);

/** By pydicom and imagecodecs: of all stored values, by pixel, without rescale or colour conversion. */
type Expected = {
  readonly pixels?: {
    readonly lossy: boolean;
    readonly min: number;
    readonly max: number;
    readonly mean: number;
    /** Of the values as little-endian int32. */
    readonly sha256_int32le?: string;
  };
};

/**
 * Where expected.json holds colours that were converted after decoding, or bytes that were not turned round: what pydicom 3.0.2 says
 * (`pixel_array(ds, raw=True)`, by Pillow).
 */
const CORRECTED: Readonly<Record<string, NonNullable<Expected['pixels']>>> = {
  'SC_jpeg_no_color_transform.dcm': { lossy: true, min: 134, max: 252, mean: 243.9716 },
  'SC_rgb_jpeg.dcm': { lossy: true, min: 134, max: 252, mean: 243.9716 },
  'SC_rgb_small_odd_jpeg.dcm': { lossy: true, min: 78, max: 178, mean: 128 },
  'examples_ybr_color.dcm': { lossy: true, min: 0, max: 192, mean: 88.7506 },
  'SC_rgb_small_odd_big_endian.dcm': { lossy: false, min: 52, max: 176, mean: 128.7778 },
};

function framesOf({ description, frame }: Pixels): PixelFrame[] {
  return Array.from({ length: description.frameCount }, (_, index) => frame(index));
}

function open(file: string): Pixels {
  return openPixels(readPart10(memorySource(readFileSync(file)), 4096));
}

function assertPixels(file: string, expected: NonNullable<Expected['pixels']>): void {
  const sum = createHash('sha256');
  let [min, max, total, count] = [Infinity, -Infinity, 0, 0];
  for (const { values } of framesOf(open(file))) {
    sum.update(Int32Array.from(values));
    for (const value of values) {
      min = Math.min(min, value);
      max = Math.max(max, value);
      total += value;
    }
    count += values.length;
  }
  if (expected.sha256_int32le !== undefined) assert.equal(sum.digest('hex'), expected.sha256_int32le, file);
  // Decoders of lossy coding may differ in rounding (ISO/IEC 10918-2 allows one in the transform).
  const tolerance = expected.lossy ? 3 : 0;
  assert.ok(Math.abs(min - expected.min) <= tolerance, `${file}: min ${min}, not ${expected.min}`);
  assert.ok(Math.abs(max - expected.max) <= tolerance, `${file}: max ${max}, not ${expected.max}`);
  assert.ok(Math.abs(total / count - expected.mean) < (expected.lossy ? 0.6 : 0.001), `${file}: mean ${total / count}`);
}

function expectedIn(folder: string): [string, NonNullable<Expected['pixels']>][] {
  const all: Record<string, Expected> = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8'));
  return Object.entries(all).flatMap(([name, { pixels }]) => (pixels === undefined ? [] : [[name, pixels] as const]));
}

describe('pixels', () => {
  test('are decoded as pydicom and imagecodecs decode them, in each coding of the fixtures', () => {
    const expected = expectedIn(IMAGES);
    for (const [name, pixels] of expected) assertPixels(path.join(IMAGES, name), pixels);
    assert.ok(expected.length >= 10);
  });

  test('are decoded as pydicom decodes them, over the whole collection', (t) => {
    if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
    const expected = expectedIn(COLLECTION);
    for (const [name, pixels] of expected) {
      assertPixels(path.join(COLLECTION, name), CORRECTED[path.basename(name)] ?? pixels);
    }
    const hashes = expected.filter(([, { sha256_int32le }]) => sha256_int32le !== undefined).length;
    t.diagnostic(`${expected.length} images, ${hashes} of them bit for bit`);
    assert.ok(hashes >= 125, `${hashes}`);
  });
});

const fixture = (name: string) => readPart10(memorySource(readFileSync(path.join(FIXTURES, name))), 512);
const refused = (code: DicomErrorCode) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

describe('the same image', () => {
  test('has the same pixels in every transfer syntax', () => {
    const original = openPixels(fixture('MR_small.dcm')).frame(0).values;
    for (const name of [
      'MR_small_implicit.dcm',
      'MR_small_bigendian.dcm',
      'MR_small_RLE.dcm',
      'MR_small_jp2klossless.dcm',
      'pixels/MR_small_jpeg_ls_lossless.dcm',
    ]) {
      assert.deepEqual(openPixels(fixture(name)).frame(0).values, original, name);
    }
    assert.ok(original instanceof Int16Array && new Set(original).size > 500);
  });
});

describe('pixels in the bits of a cell', () => {
  const image = (changes: Parameters<typeof withElements>[1]) => {
    const file = fixture('MR_small.dcm');
    const dataSet = withElements(file.dataSet, [numberElement('Rows', 1), numberElement('Columns', 4), ...changes]);
    return openPixels({ ...file, dataSet });
  };
  const words = (...cells: number[]) => {
    const content = Buffer.alloc(cells.length * 2);
    for (const [index, cell] of cells.entries()) content.writeUInt16LE(cell, index * 2);
    return bytesElement('PixelData', content, 'OW');
  };

  test('are taken without what stands above them, and with their sign', () => {
    const stored = [
      numberElement('BitsStored', 12),
      numberElement('HighBit', 11),
      words(0xf7ff, 0x0800, 0x5fff, 0x0001),
    ];
    assert.deepEqual([...image(stored).frame(0).values], [2047, -2048, -1, 1]);
    const unsigned = image([...stored, numberElement('PixelRepresentation', 0)]);
    assert.deepEqual([...unsigned.frame(0).values], [2047, 2048, 4095, 1]);
  });

  test('are taken from where HighBit says', () => {
    const stored = [
      numberElement('BitsStored', 12),
      numberElement('HighBit', 15),
      words(0x7fff, 0x8000, 0xfff0, 0x0010),
    ];
    assert.deepEqual([...image(stored).frame(0).values], [2047, -2048, -1, 1]);
  });

  test('may be single bits, with frames that begin within a byte', () => {
    const { frame, description } = image([
      numberElement('BitsAllocated', 1),
      numberElement('BitsStored', 1),
      numberElement('HighBit', 0),
      numberElement('PixelRepresentation', 0),
      numberElement('Columns', 3),
      numberElement('NumberOfFrames', 3),
      bytesElement('PixelData', Buffer.from([0b11_001_101, 0b1]), 'OB'),
    ]);
    assert.equal(description.frameCount, 3);
    assert.deepEqual(
      [0, 1, 2].map((index) => [...frame(index).values]),
      [
        [1, 0, 1],
        [1, 0, 0],
        [1, 1, 1],
      ],
    );
  });

  test('may share their chrominance by two', () => {
    const { frame } = image([
      textElement('PhotometricInterpretation', 'YBR_FULL_422'),
      numberElement('SamplesPerPixel', 3),
      numberElement('BitsAllocated', 8),
      numberElement('BitsStored', 8),
      numberElement('HighBit', 7),
      numberElement('PixelRepresentation', 0),
      bytesElement('PixelData', Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]), 'OB'),
    ]);
    const { values, photometricInterpretation } = frame(0);
    assert.deepEqual([...values], [1, 3, 4, 2, 3, 4, 5, 7, 8, 6, 7, 8]);
    assert.equal(photometricInterpretation, 'YBR_FULL');
  });

  test('may stand plane after plane', () => {
    const { frame } = image([
      textElement('PhotometricInterpretation', 'RGB'),
      numberElement('SamplesPerPixel', 3),
      numberElement('PlanarConfiguration', 1),
      numberElement('Columns', 2),
      numberElement('PixelRepresentation', 0),
      words(1, 2, 300, 400, 5, 6),
    ]);
    assert.deepEqual([...frame(0).values], [1, 300, 5, 2, 400, 6]);
  });

  test('may be floating point numbers', () => {
    const content = Buffer.alloc(16);
    for (const [index, number] of [0.5, -2.25, 1e10, 3].entries()) content.writeFloatLE(number, index * 4);
    const { frame } = image([{ remove: 0x7fe00010 }, bytesElement('FloatPixelData', content)]);
    assert.deepEqual([...frame(0).values], [0.5, -2.25, 1e10, 3]);
  });

  test('may be those of an icon inside the image', () => {
    const file = fixture('MR_small.dcm');
    const icon = [
      textElement('PhotometricInterpretation', 'MONOCHROME2'),
      ...Object.entries({ SamplesPerPixel: 1, Rows: 2, Columns: 2, BitsAllocated: 8, BitsStored: 8, HighBit: 7 }).map(
        ([name, value]) => numberElement(name, value),
      ),
      bytesElement('PixelData', Buffer.from([9, 8, 7, 6]), 'OB'),
    ];
    const dataSet = withElements(file.dataSet, [sequenceElement('IconImageSequence', [icon])]);
    const [item] = itemsOf(dataSet, 0x00880200);
    assert.ok(item !== undefined);
    assert.deepEqual([...openPixels({ ...file, dataSet: item }).frame(0).values], [9, 8, 7, 6]);
  });
});

describe('pixels that are not as their description says', () => {
  const changed = (name: string, changes: Parameters<typeof withElements>[1]) => {
    const file = fixture(name);
    return openPixels({ ...file, dataSet: withElements(file.dataSet, changes) });
  };

  test('are refused where there are too few', () => {
    const pixels = changed('MR_small.dcm', [numberElement('Rows', 65)]);
    assert.throws(() => pixels.frame(0), refused('truncated'));
  });

  test('are refused where attributes contradict each other, lack, or are of no kind that we know', () => {
    const cases: readonly [Parameters<typeof withElements>[1], DicomErrorCode][] = [
      [[numberElement('Rows', 0)], 'malformed'],
      [[{ remove: 0x00280011 }], 'malformed'],
      [[numberElement('BitsStored', 17)], 'malformed'],
      [[numberElement('HighBit', 16)], 'malformed'],
      [[numberElement('SamplesPerPixel', 3)], 'malformed'],
      [[numberElement('BitsAllocated', 12)], 'unsupported'],
      [[textElement('PhotometricInterpretation', 'CMYK')], 'unsupported'],
      [[numberElement('NumberOfFrames', 0)], 'malformed'],
      [[numberElement('NumberOfFrames', 2_000_000)], 'limit'],
      [[{ remove: 0x7fe00010 }], 'malformed'],
    ];
    for (const [changes, code] of cases) assert.throws(() => changed('MR_small.dcm', changes), refused(code));
  });

  test('are refused before memory is taken for a size that only a header claims', () => {
    const rows = [numberElement('Rows', 65_535), numberElement('Columns', 65_535)];
    assert.throws(() => changed('MR_small.dcm', rows), refused('limit'));
    const fewer = [numberElement('Rows', 8)];
    for (const name of [
      'MR_small_jp2klossless.dcm',
      'pixels/JPGExtended.dcm',
      'pixels/MR_small_jpeg_ls_lossless.dcm',
    ]) {
      assert.throws(() => changed(name, fewer).frame(0), refused('malformed'), name);
    }
  });

  test('are refused, or decoded to an image of their size, when bytes of a frame are changed', () => {
    let state = 20261127; // a fixed seed: the same frames each time
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 8;
    };
    let refusals = 0;
    const names = [
      'MR_small_jp2klossless.dcm',
      'MR_small_RLE.dcm',
      ...['JPGExtended', 'MR_small_jpeg_ls_lossless', 'SC_rgb_jpeg_gdcm', 'SC_rgb_dcmtk_+eb+cy+np'].map(
        (name) => `pixels/${name}.dcm`,
      ),
    ];
    for (const name of names) {
      const content = readFileSync(path.join(FIXTURES, name));
      const file = readPart10(memorySource(content));
      const { description } = openPixels(file);
      const value = file.dataSet.elements.get(0x7fe00010)?.value;
      assert.ok(value?.kind === 'fragments');
      const { start, length } = value.fragments[1] ?? { start: 0, length: 0 };
      for (let round = 0; round < 60; round += 1) {
        const bytes = Buffer.from(content);
        for (let change = 0; change < 3; change += 1) bytes[start + (next() % length)] = next() & 0xff;
        try {
          const { values } = openPixels({ ...file, source: memorySource(bytes) }).frame(0);
          assert.equal(values.length, description.rows * description.columns * description.samplesPerPixel);
        } catch (caught) {
          assert.ok(caught instanceof DicomError, `${name}, round ${round}: ${String(caught)}`);
          refusals += 1;
        }
      }
    }
    assert.ok(refusals > 20, `${refusals} refused`);
    assert.equal(openPixels(fixture('MR_small_jp2klossless.dcm')).frame(0).values.length, 4096); // codecs still work
  });
});
