import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { memorySource } from '../byte-source.ts';
import {
  bytesElement,
  dataSetOf,
  type ElementBuilder,
  numberElement,
  sequenceElement,
  textElement,
} from '../element-values.ts';
import { readPart10 } from '../part10.ts';
import type { PixelSource } from '../pixel/pixels.ts';
import { EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from '../transfer-syntax.ts';
import { niftiGzOf, niftiOf } from './nifti.ts';
import { type Volume, type VolumeResult, volumeOf } from './volume.ts';

/** The whole collection of which the fixtures are a part, where it is at hand. */
const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../../shared/data'),
  'dicom',
);

/** Two rows of three pixels. Sagittal: rows run to the front (-y in LPS), columns to the feet (-z). */
const SAGITTAL = [0, -1, 0, 0, 0, -1];

function image(values: readonly number[], builders: readonly ElementBuilder[]): PixelSource {
  const content = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) content.writeInt16LE(value, index * 2);
  const dataSet = dataSetOf([
    textElement('PhotometricInterpretation', 'MONOCHROME2'),
    ...Object.entries({
      SamplesPerPixel: 1,
      Rows: 2,
      Columns: 3,
      BitsAllocated: 16,
      BitsStored: 16,
      HighBit: 15,
      PixelRepresentation: 1,
    }).map(([name, value]) => numberElement(name, value)),
    bytesElement('PixelData', content, 'OW'),
    ...builders,
  ]);
  return { dataSet, source: memorySource(Buffer.alloc(0)), transferSyntax: transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN) };
}

/** A sagittal slice `x` mm to the left, whose first pixel is at (x, 10, 20). */
const slice = (x: number, first: number, changes: readonly ElementBuilder[] = []) =>
  image(
    [first, first + 1, first + 2, first + 3, first + 4, first + 5],
    [
      textElement('SOPInstanceUID', `1.2.${Math.round((x + 1000) * 100)}`),
      numberElement('ImagePositionPatient', [x, 10, 20]),
      numberElement('ImageOrientationPatient', SAGITTAL),
      numberElement('PixelSpacing', [0.5, 0.25]), // between rows, between columns
      ...changes,
    ],
  );

function made(result: VolumeResult): Volume {
  assert.ok(result.outcome === 'volume', JSON.stringify(result));
  return result.volume;
}

function problemsOf(result: VolumeResult): readonly string[] {
  return result.outcome === 'refused' ? result.problems : [];
}

const place = ({ affine }: Volume, ...index: readonly number[]) =>
  affine.slice(0, 3).map((row) => row.reduce((sum, factor, at) => sum + factor * (index[at] ?? 1), 0));

describe('slices of a series', () => {
  test('are put in order along their normal, whatever order they come in', () => {
    const volume = made(volumeOf([slice(4, 300), slice(0, 100), slice(2, 200)]));
    // The normal of such slices points to the right, row x column = (0,-1,0) x (0,0,-1) = (1,0,0): to the left in LPS.
    assert.deepEqual([...volume.values.filter((_, index) => index % 6 === 0)], [100, 200, 300]);
    assert.deepEqual(
      volume.origins.map(({ sopInstanceUid }) => sopInstanceUid),
      ['1.2.100000', '1.2.100200', '1.2.100400'],
    );
    assert.deepEqual([volume.columns, volume.rows, volume.slices], [3, 2, 3]);
    assert.deepEqual(volume.spacing, [0.25, 0.5, 2]);
    assert.ok(volume.values instanceof Int16Array);
  });

  test('are placed by an affine in RAS: each voxel where PS3.3 C.7.6.2.1.1 has it, with the first two axes turned', () => {
    const volume = made(volumeOf([slice(0, 0), slice(2, 0), slice(4, 0)]));
    assert.deepEqual(place(volume, 0, 0, 0), [0, -10, 20]);
    assert.deepEqual(place(volume, 2, 0, 0), [0, -9.5, 20]); // two columns of 0.25 mm to the front
    assert.deepEqual(place(volume, 0, 1, 0), [0, -10, 19.5]); // a row of 0.5 mm to the feet
    assert.deepEqual(place(volume, 0, 0, 2), [-4, -10, 20]);
  });

  test('are rescaled one by one, to floating point numbers where integers do not hold them', () => {
    const rescale = (slope: number, intercept: number) => [
      numberElement('RescaleSlope', slope),
      numberElement('RescaleIntercept', intercept),
    ];
    const hounsfield = made(volumeOf([slice(0, 24, rescale(1, -1024)), slice(2, 24, rescale(2, -1024))]));
    assert.ok(hounsfield.values instanceof Int16Array);
    assert.deepEqual([hounsfield.values[0], hounsfield.values[6]], [-1000, -976]);
    const suv = made(volumeOf([slice(0, 24, rescale(1, 0)), slice(2, 25, rescale(0.5, 0))]));
    assert.ok(suv.values instanceof Float32Array);
    assert.deepEqual([suv.values[0], suv.values[6]], [24, 12.5]);
    assert.ok(made(volumeOf([slice(0, 30_000, rescale(2, 0)), slice(2, 1)])).values instanceof Float32Array);
  });

  const cases: readonly [string, readonly PixelSource[], string][] = [
    ['with one missing', [slice(0, 1), slice(2, 1), slice(6, 1), slice(8, 1), slice(10, 1)], 'missing slice'],
    ['with uneven steps', [slice(0, 1), slice(2, 1), slice(4.4, 1), slice(6.4, 1)], 'uneven spacing'],
    ['twice in one place', [slice(0, 1), slice(2, 1), slice(2, 1), slice(4, 1)], 'duplicate position'],
    [
      'of different orientation',
      [slice(0, 1), slice(2, 1, [numberElement('ImageOrientationPatient', [0, 1, 0, 0, 0, -1])])],
      'different orientation',
    ],
    [
      'of different pixel spacing',
      [slice(0, 1), slice(2, 1, [numberElement('PixelSpacing', [0.5, 0.3])])],
      'different pixel spacing',
    ],
    ['of different size', [slice(0, 1), slice(2, 1, [numberElement('Rows', 1)])], 'different size'],
    [
      'that do not say where they lie',
      [slice(0, 1), slice(2, 1, [textElement('ImagePositionPatient', '')])],
      'no geometry',
    ],
    [
      'with axes that are not at right angles',
      [slice(0, 1, [numberElement('ImageOrientationPatient', [1, 0, 0, 0.5, 0.866, 0])])],
      'no geometry',
    ],
    [
      'of a tilted gantry',
      [0, 2, 4].map((x) => slice(x, 1, [numberElement('ImagePositionPatient', [x, 10 + x / 4, 20])])),
      'sheared',
    ],
  ];
  for (const [title, slices, problem] of cases) {
    test(`${title} are refused by name`, () => assert.deepEqual(problemsOf(volumeOf(slices)), [problem]));
  }

  test('in colours are refused, and none are no volume', () => {
    const colour = image(
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
      [
        textElement('PhotometricInterpretation', 'RGB'),
        numberElement('SamplesPerPixel', 3),
        numberElement('PixelRepresentation', 0),
      ],
    );
    assert.deepEqual(problemsOf(volumeOf([colour])), ['colour']);
    assert.deepEqual(problemsOf(volumeOf([])), ['no geometry']);
  });

  test('that are tolerated say so in the volume, and a tilt is in the affine', () => {
    const tilted = [0, 2, 4].map((x) => slice(x, 1, [numberElement('ImagePositionPatient', [x, 10 + x / 4, 20])]));
    const volume = made(volumeOf(tilted, ['sheared']));
    assert.deepEqual(volume.problems, ['sheared']);
    assert.deepEqual(place(volume, 0, 0, 2), [-4, -11, 20]);
    assert.deepEqual(problemsOf(volumeOf([...tilted, slice(9, 1)], ['sheared'])), ['missing slice']);
  });

  test('may be a single one, as thick as it says', () => {
    const volume = made(volumeOf([slice(0, 1, [numberElement('SliceThickness', 3)])]));
    assert.equal(volume.spacing[2], 3);
    assert.deepEqual(place(volume, 0, 0, 1), [-3, -10, 20]);
  });
});

describe('frames of an enhanced image', () => {
  test('are placed and rescaled by their functional groups', () => {
    const frame = (x: number, slope: number) => [
      sequenceElement('PlanePositionSequence', [[numberElement('ImagePositionPatient', [x, 10, 20])]]),
      sequenceElement('PixelValueTransformationSequence', [
        [numberElement('RescaleSlope', slope), numberElement('RescaleIntercept', 1)],
      ]),
    ];
    const shared = [
      sequenceElement('PlaneOrientationSequence', [[numberElement('ImageOrientationPatient', SAGITTAL)]]),
      sequenceElement('PixelMeasuresSequence', [[numberElement('PixelSpacing', [0.5, 0.25])]]),
    ];
    const object = image(
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
      [
        numberElement('NumberOfFrames', 2),
        sequenceElement('SharedFunctionalGroupsSequence', [shared]),
        sequenceElement('PerFrameFunctionalGroupsSequence', [frame(3, 10), frame(0, 2)]),
      ],
    );
    const volume = made(volumeOf([object]));
    assert.deepEqual([...volume.values], [15, 17, 19, 21, 23, 25, 11, 21, 31, 41, 51, 61]);
    assert.deepEqual(
      volume.origins.map(({ frameIndex }) => frameIndex),
      [1, 0],
    );
    assert.equal(volume.spacing[2], 3);
  });
});

describe('a NIfTI file', () => {
  const volume = made(volumeOf([slice(0, 100), slice(2, 200), slice(4, -300)]));

  test('holds sizes, steps, place and voxels where nifti1.h has them', () => {
    const [header, voxels] = niftiOf(volume);
    assert.equal(header.byteLength, 352);
    assert.equal(header.readInt32LE(0), 348);
    assert.deepEqual(
      [0, 1, 2, 3].map((index) => header.readInt16LE(40 + index * 2)),
      [3, 3, 2, 3],
    );
    assert.deepEqual(
      [1, 2, 3].map((index) => header.readFloatLE(76 + index * 4)),
      [0.25, 0.5, 2],
    );
    assert.equal(header.readInt16LE(70), 4);
    const srow = Array.from({ length: 12 }, (_, index) => header.readFloatLE(280 + index * 4));
    assert.deepEqual(srow, volume.affine.slice(0, 3).flat());
    assert.equal(header.toString('latin1', 344, 348), 'n+1\0');
    assert.equal(voxels.readInt16LE(12 * 2), -300);
    assert.deepEqual(gunzipSync(niftiGzOf(volume)), Buffer.concat([header, voxels]));
  });

  test('has a quaternion that gives the same matrix', () => {
    const [header] = niftiOf(volume);
    const [b = 0, c = 0, d = 0] = [0, 1, 2].map((index) => header.readFloatLE(256 + index * 4));
    const a = Math.sqrt(Math.max(0, 1 - b * b - c * c - d * d));
    const factor = [0.25, 0.5, 2 * header.readFloatLE(76)]; // the handedness turns the third axis
    const rotation = [
      [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
      [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
      [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    for (const [row, values] of rotation.entries()) {
      for (const [column, value] of values.entries())
        assert.ok(Math.abs(value * (factor[column] ?? 0) - (volume.affine[row]?.[column] ?? 0)) < 1e-6);
    }
  });

  test('has no quaternion where its axes are sheared', () => {
    const tilted = [0, 2, 4].map((x) => slice(x, 1, [numberElement('ImagePositionPatient', [x, 10 + x / 2, 20])]));
    const [header] = niftiOf(made(volumeOf(tilted, ['sheared'])));
    assert.equal(header.readInt16LE(252), 0);
    assert.equal(header.readInt16LE(254), 1);
  });
});

describe('real series', () => {
  const series = (folder: string) =>
    readdirSync(path.join(COLLECTION, folder)).map((name) =>
      readPart10(memorySource(readFileSync(path.join(COLLECTION, folder, name)))),
    );

  test('give volumes with even steps', (t) => {
    if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
    const brain = made(volumeOf(series('mri-t1').toReversed()));
    assert.deepEqual([brain.slices, brain.problems], [24, []]);
    const [ordered, shuffled] = [
      brain,
      made(
        volumeOf(series('mri-t1').toSorted((a, b) => (a.dataSet.elements.size % 3) - (b.dataSet.elements.size % 3))),
      ),
    ];
    assert.deepEqual(ordered.values, shuffled.values);
    const withoutOne = series('mri-t1').filter((_, index) => index !== 7);
    assert.deepEqual(problemsOf(volumeOf(withoutOne)), ['missing slice']);
    const classic = made(volumeOf(series('dcmqi/segmentations/23x38x3/image')));
    const enhanced = made(volumeOf(series('dcmqi/segmentations/23x38x3/multiframe')));
    assert.deepEqual([...enhanced.values], [...classic.values]);
    for (const [index, value] of enhanced.affine.flat().entries())
      assert.ok(Math.abs(value - (classic.affine.flat()[index] ?? 0)) < 1e-3);
  });
});
