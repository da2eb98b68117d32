import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { memorySource } from '../byte-source.ts';
import { DicomError } from '../dicom-error.ts';
import {
  bytesElement,
  dataSetOf,
  type ElementBuilder,
  numberElement,
  sequenceElement,
  textElement,
  withElements,
} from '../element-values.ts';
import { readPart10 } from '../part10.ts';
import { EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from '../transfer-syntax.ts';
import { presentationFunction, type Window } from './grayscale.ts';
import { jpegOf, pngOf } from './image-formats.ts';
import { decodeNatively } from './native-codecs.ts';
import { overlaysOf } from './overlay.ts';
import { openPixels } from './pixels.ts';
import { render } from './render.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
const source = memorySource(Buffer.alloc(0));

function words(...values: number[]): Buffer {
  const content = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) content.writeUInt16LE(value & 0xffff, index * 2);
  return content;
}

/** One row of 16-bit pixels. */
function image(values: readonly number[], builders: readonly ElementBuilder[] = [], samplesPerPixel = 1) {
  const dataSet = dataSetOf([
    textElement('PhotometricInterpretation', 'MONOCHROME2'),
    numberElement('SamplesPerPixel', samplesPerPixel),
    numberElement('Rows', 1),
    numberElement('Columns', values.length / samplesPerPixel),
    numberElement('BitsAllocated', 16),
    numberElement('BitsStored', 16),
    numberElement('HighBit', 15),
    numberElement('PixelRepresentation', 1),
    bytesElement('PixelData', words(...values), 'OW'),
    ...builders,
  ]);
  return { dataSet, source, transferSyntax: transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN) };
}

function shown(values: readonly number[], builders: readonly ElementBuilder[] = [], window?: Window): number[] {
  const object = image(values, builders);
  return [
    ...render(openPixels(object), { ...object, frameIndex: 0, ...(window === undefined ? {} : { window }) }).bytes,
  ];
}

const windowed = (center: number, width: number, shape?: string) => [
  numberElement('WindowCenter', center),
  numberElement('WindowWidth', width),
  ...(shape === undefined ? [] : [textElement('VOILUTFunction', shape)]),
];

describe('a window', () => {
  const at = (window: Window) => {
    const level = presentationFunction({ kind: 'window', window });
    return (value: number) => Math.round(level(value) * 255 * 1000) / 1000;
  };

  test('is linear as the examples of PS3.3 C.11.2.1.2.1 have it', () => {
    const wide = at({ center: 2048, width: 4096, shape: 'LINEAR' });
    assert.deepEqual([wide(0), wide(4095), wide(-5), wide(5000)], [0, 255, 0, 255]);
    assert.equal(wide(1000), Math.round(((1000 - 2047.5) / 4095 + 0.5) * 255 * 1000) / 1000);
    const narrow = at({ center: 2048, width: 1, shape: 'LINEAR' });
    assert.deepEqual([narrow(2047), narrow(2048)], [0, 255]);
    const hundred = at({ center: 0, width: 100, shape: 'LINEAR' });
    assert.deepEqual([hundred(-50), hundred(49)], [0, 255]);
    assert.ok(hundred(-49) > 0 && hundred(48) < 255);
  });

  test('is exactly linear, or a sigmoid, where the image says so', () => {
    const exact = at({ center: 100, width: 40, shape: 'LINEAR_EXACT' });
    assert.deepEqual([exact(80), exact(90), exact(100), exact(120)], [0, 63.75, 127.5, 255]);
    const sigmoid = at({ center: 100, width: 40, shape: 'SIGMOID' });
    assert.equal(sigmoid(100), 127.5);
    assert.equal(sigmoid(110), Math.round((255 / (1 + Math.exp(-1))) * 1000) / 1000);
    assert.deepEqual(shown([90], windowed(100, 40, 'LINEAR_EXACT')), [64]);
    assert.deepEqual(shown([110], windowed(100, 40, 'SIGMOID')), [186]);
  });

  test('of no width is refused when it is asked for, and ignored in an image', () => {
    const window = { center: 0, width: 0.5, shape: 'LINEAR' } as const;
    assert.throws(
      () => shown([1, 2], [], window),
      (thrown) => thrown instanceof DicomError && thrown.code === 'value',
    );
    assert.deepEqual(shown([10, 20, 30], windowed(20, 0)), [0, 128, 255]);
  });
});

describe('a rendered image', () => {
  test('shows modality values: rescaled, then windowed', () => {
    const rescale = [numberElement('RescaleSlope', 2), numberElement('RescaleIntercept', -1000)];
    assert.deepEqual(shown([450, 500, 550], [...rescale, ...windowed(0, 200, 'LINEAR_EXACT')]), [0, 128, 255]);
  });

  test('goes through lookup tables for modality and values of interest', () => {
    const table = (first: number, bits: number, ...outputs: number[]) => [
      numberElement('LUTDescriptor', [outputs.length, first, bits], 'SS'),
      bytesElement('LUTData', words(...outputs), 'OW'),
    ];
    const modality = sequenceElement('ModalityLUTSequence', [table(-2, 16, 100, 200, 300, 400)]);
    assert.deepEqual(shown([-5, -2, 0, 9], [modality, ...windowed(250, 400, 'LINEAR_EXACT')]), [32, 32, 159, 223]);
    const interest = sequenceElement('VOILUTSequence', [table(10, 8, 0, 51, 255)]);
    assert.deepEqual(shown([0, 10, 11, 12, 99], [interest]), [0, 0, 51, 255, 255]);
  });

  test('is inverse for MONOCHROME1, and for an inverse presentation', () => {
    const first = [textElement('PhotometricInterpretation', 'MONOCHROME1'), ...windowed(50, 100, 'LINEAR_EXACT')];
    assert.deepEqual(shown([0, 20, 100], first), [255, 204, 0]);
    assert.deepEqual(shown([0, 20, 100], [...first, textElement('PresentationLUTShape', 'INVERSE')]), [0, 51, 255]);
  });

  test('shows its whole range where it names no window, without what is padding', () => {
    const padding = [numberElement('PixelPaddingValue', -2000, 'SS')];
    assert.deepEqual(shown([-2000, 0, 50, 100], padding), [0, 0, 128, 255]);
    assert.deepEqual(shown([7, 7]), [128, 128]);
  });

  test('takes window and rescale of the frame from its functional groups', () => {
    const group = (center: number, slope: number) => [
      sequenceElement('FrameVOILUTSequence', [windowed(center, 100, 'LINEAR_EXACT')]),
      sequenceElement('PixelValueTransformationSequence', [
        [numberElement('RescaleSlope', slope), numberElement('RescaleIntercept', 0)],
      ]),
    ];
    const object = image(
      [25, 20, 25, 20],
      [
        numberElement('Columns', 2),
        numberElement('NumberOfFrames', 2),
        sequenceElement('PerFrameFunctionalGroupsSequence', [group(50, 1), group(50, 3)]),
      ],
    );
    const pixels = openPixels(object);
    const frames = [0, 1].map((frameIndex) => [...render(pixels, { ...object, frameIndex }).bytes]);
    assert.deepEqual(frames, [
      [64, 51],
      [191, 153],
    ]);
  });

  test('takes colours from a palette of sixteen bits, also of segments', () => {
    const descriptor = (name: string) => numberElement(`${name}PaletteColorLookupTableDescriptor`, [4, 1, 16], 'US');
    const data = (name: string, ...outputs: number[]) =>
      bytesElement(`${name}PaletteColorLookupTableData`, words(...outputs), 'OW');
    const blue = bytesElement('SegmentedBluePaletteColorLookupTableData', words(0, 1, 0, 1, 3, 0xffff), 'OW');
    const object = image(
      [0, 1, 2, 4],
      [
        textElement('PhotometricInterpretation', 'PALETTE COLOR'),
        ...['Red', 'Green', 'Blue'].map(descriptor),
        data('Red', 0x0100, 0x8000, 0xffff, 0x4000),
        data('Green', 0, 0, 0x2000, 0),
        blue,
      ],
    );
    const { bytes, samplesPerPixel } = render(openPixels(object), { ...object, frameIndex: 0 });
    assert.equal(samplesPerPixel, 3);
    assert.deepEqual([...bytes], [1, 0, 0, 1, 0, 0, 128, 0, 0x55, 64, 0, 255]);
  });

  test('turns luminance and chrominance into RGB', () => {
    const object = image(
      [76, 85, 255, 150, 44, 21, 29, 255, 107],
      [
        textElement('PhotometricInterpretation', 'YBR_FULL'),
        numberElement('BitsStored', 8),
        numberElement('HighBit', 7),
        numberElement('PixelRepresentation', 0),
      ],
      3,
    );
    const rgb = [...render(openPixels(object), { ...object, frameIndex: 0 }).bytes];
    const wanted = [255, 0, 0, 0, 255, 0, 0, 0, 255];
    assert.ok(
      rgb.every((level, index) => Math.abs(level - (wanted[index] ?? 0)) <= 2),
      rgb.join(),
    );
  });
});

describe('a rendered image in a file', () => {
  const file = readPart10(memorySource(readFileSync(path.join(FIXTURES, 'MR_small.dcm'))));
  const rendered = render(openPixels(file), { ...file, frameIndex: 0 });

  test('is a PNG whose rows are those of the image', () => {
    const png = pngOf(rendered);
    assert.equal(png.subarray(1, 4).toString(), 'PNG');
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [64, 64]);
    const length = png.readUInt32BE(33);
    const rows = inflateSync(png.subarray(41, 41 + length));
    const unfiltered = Buffer.alloc(64 * 64);
    for (let row = 0; row < 64; row += 1) {
      assert.equal(rows[row * 65], 2);
      for (let column = 0; column < 64; column += 1) {
        const above = row === 0 ? 0 : (unfiltered[(row - 1) * 64 + column] ?? 0);
        unfiltered[row * 64 + column] = (rows[row * 65 + 1 + column] ?? 0) + above;
      }
    }
    assert.deepEqual(unfiltered, rendered.bytes);
  });

  test('is a JPEG that decodes to nearly the same, nearer with more quality', () => {
    const difference = (quality: number) => {
      const shape = {
        rows: 64,
        columns: 64,
        samplesPerPixel: 1,
        bitsAllocated: 8,
        bitsStored: 8,
        isSigned: false,
        isPlanar: false,
        photometricInterpretation: 'MONOCHROME2',
      };
      const { bytes } = decodeNatively('DecodeJpeg', jpegOf(rendered, quality), shape);
      return bytes.reduce((sum, level, index) => sum + Math.abs(level - (rendered.bytes[index] ?? 0)), 0) / 4096;
    };
    assert.ok(difference(95) < 2, `${difference(95)}`);
    assert.ok(difference(30) > difference(95));
  });
});

describe('an overlay', () => {
  const overlay = (builders: readonly ElementBuilder[], bits: Buffer) =>
    withElements(dataSetOf([]), [
      numberElement(0x60020010, 2, 'US'),
      numberElement(0x60020011, 3, 'US'),
      textElement(0x60020040, 'R', 'CS'),
      numberElement(0x60020050, [1, -4], 'SS'),
      textElement(0x60021500, 'Lesion', 'LO'),
      bytesElement(0x60023000, bits, 'OW'),
      ...builders,
    ]);

  test('is read bit by bit, with its place and kind', () => {
    const [found, ...others] = overlaysOf(overlay([], Buffer.from([0b101_001, 0])), source);
    assert.ok(found !== undefined && others.length === 0);
    assert.deepEqual([...found.frame(0)], [1, 0, 0, 1, 0, 1]);
    assert.deepEqual(
      [found.group, found.kind, found.label, found.rows, found.columns, found.origin],
      [0x6002, 'region', 'Lesion', 2, 3, [1, -4]],
    );
  });

  test('may have frames that begin within a byte, and is refused where there are too few bits', () => {
    const [found] = overlaysOf(
      overlay([textElement(0x60020015, '3', 'IS')], Buffer.from([0b01_101_001, 0b0110])),
      source,
    );
    assert.equal(found?.frameCount, 3);
    assert.deepEqual([...(found?.frame(1) ?? [])], [1, 0, 0, 1, 1, 0]);
    assert.throws(
      () => found?.frame(2),
      (thrown) => thrown instanceof DicomError && thrown.code === 'truncated',
    );
  });
});
