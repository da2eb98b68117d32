import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derivationOf, fixture, stack } from '../../../test/derivations.ts';
import { memorySource } from '../../byte-source.ts';
import { type DataSet, itemsOf, numbersOf, textOf } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import { tagOfKeyword } from '../../dictionary.ts';
import { numberElement, sequenceElement, textElement, withElements } from '../../element-values.ts';
import { readPart10 } from '../../part10.ts';
import { volumeOf } from '../../volume/volume.ts';
import { part10Of } from '../derived-object.ts';
import type { Segment } from './segment.ts';
import type { SegmentVoxels } from './segment-voxels.ts';
import { type Segmentation, segmentationOf } from './segmentation.ts';
import { readSegmentation, segmentOnto, segmentVolumeOf } from './segmentation-reader.ts';

const ROWS = 64;
const COLUMNS = 64;
const FRAME = ROWS * COLUMNS;
const tag = (keyword: string) => tagOfKeyword(keyword) ?? 0;

const segment = (label: string): Segment => ({
  label,
  description: `what is ${label}`,
  category: { value: '49755003', scheme: 'SCT', meaning: 'Morphologically Abnormal Structure' },
  type: { value: '27925004', scheme: 'SCT', meaning: 'Nodule' },
  typeModifiers: [{ value: '24028007', scheme: 'SCT', meaning: 'Right' }],
  anatomicRegion: { value: '39607008', scheme: 'SCT', meaning: 'Lung' },
  tracking: { id: `Nodule ${label}`, uid: '2.25.77' },
});

/** A mask that is in no way symmetric: other voxels in each slice, none in those that are named. */
function mask(slices: number, salt: number, emptySlices: readonly number[] = []): Uint8Array {
  return Uint8Array.from({ length: slices * FRAME }, (_, index) => {
    const slice = Math.floor(index / FRAME);
    return emptySlices.includes(slice) || (index * 2654435761 + salt) % 7 > 2 ? 0 : 1;
  });
}

function segmentationWith(sources: readonly DataSet[], voxels: SegmentVoxels, changes: Partial<Segmentation> = {}) {
  const [source] = sources;
  assert.ok(source !== undefined);
  return segmentationOf(derivationOf(source), {
    label: 'NODULES',
    algorithm: { name: 'nodule-finder', version: '1.4.2' },
    segments: [segment('one'), segment('two')],
    voxels,
    sources,
    emptyFrames: 'omit',
    ...changes,
  });
}

const reread = (dataSet: DataSet) => readSegmentation(readPart10(memorySource(part10Of(dataSet))));
const originsOf = (sources: readonly DataSet[]) =>
  sources.map((source) => ({ sopInstanceUid: textOf(source, tag('SOPInstanceUID')) ?? '', frameIndex: 0 }));
const refused = (field: string) => (thrown: unknown) =>
  thrown instanceof DicomError && thrown.code === 'object' && thrown.message.startsWith(field);

describe('a segmentation', () => {
  const sources = stack(5);

  test('gives every mask back bit by bit on the slices that it was made of, whatever order they are asked for in', () => {
    const masks = [mask(5, 1, [0, 3]), mask(5, 2, [4])];
    const read = reread(segmentationWith(sources, { kind: 'masks', values: masks }));
    assert.equal(read.frames.length, 3 + 4);
    const origins = originsOf(sources);
    assert.deepEqual(segmentOnto(read, 1, origins), masks[0]);
    assert.deepEqual(segmentOnto(read, 2, origins), masks[1]);
    const backwards = segmentOnto(read, 2, origins.toReversed());
    assert.deepEqual(backwards.subarray(FRAME, 2 * FRAME), masks[1]?.subarray(3 * FRAME, 4 * FRAME));
  });

  test('takes labels as one segment for each, and says that they do not overlap', () => {
    const labels = Uint16Array.from({ length: 5 * FRAME }, (_, index) => (index * 31) % 3);
    const dataSet = segmentationWith(sources, { kind: 'labels', values: labels });
    assert.equal(textOf(dataSet, tag('SegmentsOverlap')), 'NO');
    const read = reread(dataSet);
    for (const number of [1, 2]) {
      const expected = Uint8Array.from(labels, (label) => (label === number ? 1 : 0));
      assert.deepEqual(segmentOnto(read, number, originsOf(sources)), expected);
    }
  });

  test('says whether masks overlap', () => {
    const [left, right] = [mask(5, 1), mask(5, 1).map((value) => 1 - value)];
    const overlap = (values: Uint8Array[]) =>
      textOf(segmentationWith(sources, { kind: 'masks', values }), tag('SegmentsOverlap'));
    assert.equal(overlap([left, right]), 'NO');
    assert.equal(overlap([left, mask(5, 2)]), 'YES');
  });

  test('stores fractions in steps', () => {
    const values = [0, 1].map((salt) =>
      Float32Array.from({ length: 5 * FRAME }, (_, index) => ((index + salt) % 101) / 100),
    );
    const dataSet = segmentationWith(sources, { kind: 'fractions', type: 'PROBABILITY', steps: 200, values });
    const read = reread(dataSet);
    assert.equal(read.maximum, 200);
    const expected = Uint8Array.from({ length: 5 * FRAME }, (_, index) => 2 * ((index + 1) % 101));
    assert.deepEqual(segmentOnto(read, 2, originsOf(sources)), expected);
  });

  test('keeps frames without a voxel when it is told to, and when there is no other', () => {
    const values = [mask(5, 1, [0, 3]), mask(5, 2, [4])];
    assert.equal(
      reread(segmentationWith(sources, { kind: 'masks', values }, { emptyFrames: 'keep' })).frames.length,
      10,
    );
    const nothing = new Uint8Array(5 * FRAME);
    const read = reread(segmentationWith(sources, { kind: 'labels', values: nothing }));
    assert.equal(read.frames.length, 10);
    assert.deepEqual(segmentOnto(read, 2, originsOf(sources)), nothing);
  });

  test('tells again what each segment is and which algorithm found it', () => {
    const read = reread(segmentationWith(sources, { kind: 'masks', values: [mask(5, 1), mask(5, 2)] }));
    const told = { algorithmType: 'AUTOMATIC', algorithmName: 'nodule-finder', algorithmVersion: '1.4.2' };
    assert.deepEqual(read.segments, [
      { ...segment('one'), ...told, number: 1 },
      { ...segment('two'), ...told, number: 2 },
    ]);
  });

  test('is a volume in the place of its slices, with the slices between that it has no frame of', () => {
    const values = [mask(5, 1, [0, 2]), mask(5, 2, [0, 2, 4])];
    const read = reread(segmentationWith(sources, { kind: 'masks', values }));
    const volume = segmentVolumeOf(read, 2);
    assert.equal(volume.slices, 4);
    assert.deepEqual(volume.values, values[1]?.subarray(FRAME));
    const close = (a: number, b: number) => Math.abs(a - b) < 1e-6;
    assert.deepEqual(volume.spacing.slice(0, 2), [0.25, 0.5]);
    assert.ok(close(volume.spacing[2], 2.5) && close(volume.affine[2][2], 2.5), JSON.stringify(volume.affine));
    assert.ok(close(volume.affine[2][3], 6.6406 + 2.5) && close(volume.affine[0][3], 83.9063));
  });

  test('says how far its slices are apart where they all are, and else leaves each frame to say where it lies', () => {
    const voxels = (slices: number): SegmentVoxels => ({ kind: 'masks', values: [mask(slices, 1), mask(slices, 2)] });
    const even = reread(segmentationWith(sources, voxels(5))).spacingBetweenSlices ?? 0;
    assert.ok(Math.abs(even - 2.5) < 1e-6);
    const uneven = reread(
      segmentationWith(
        [0, 1, 3].flatMap((index) => sources[index] ?? []),
        voxels(3),
      ),
    );
    assert.equal(uneven.spacingBetweenSlices, undefined);
    assert.equal(segmentVolumeOf(uneven, 1).slices, 4);
  });

  test('of an image of many frames names the frames', () => {
    const [first, second] = sources;
    assert.ok(first !== undefined && second !== undefined);
    const place = (z: number) => [
      sequenceElement('PlanePositionSequence', [[numberElement('ImagePositionPatient', [1, 2, z])]]),
    ];
    const enhanced = withElements(first, [
      numberElement('NumberOfFrames', 2),
      sequenceElement('PerFrameFunctionalGroupsSequence', [place(30), place(20)]),
    ]);
    const values = [mask(2, 1), mask(2, 2, [0])];
    const dataSet = segmentationWith([enhanced], { kind: 'masks', values });
    const sourceFrames = itemsOf(dataSet, tag('PerFrameFunctionalGroupsSequence'))
      .flatMap((group) => itemsOf(group, tag('DerivationImageSequence')))
      .flatMap((item) => itemsOf(item, tag('SourceImageSequence')))
      .flatMap((item) => numbersOf(item, tag('ReferencedFrameNumber')));
    assert.deepEqual(sourceFrames, [1, 2, 2]);
    const origins = [0, 1].map((frameIndex) => ({
      sopInstanceUid: textOf(first, tag('SOPInstanceUID')) ?? '',
      frameIndex,
    }));
    assert.deepEqual(segmentOnto(reread(dataSet), 2, origins), values[1]);
    assert.deepEqual(segmentVolumeOf(reread(dataSet), 1).values.subarray(0, FRAME), values[0]?.subarray(FRAME));
  });

  test('follows the order of a volume, not that of the files that it was made of', () => {
    const shuffled = [3, 0, 4, 1, 2].flatMap((index) => sources[index] ?? []);
    const { source, transferSyntax } = fixture('MR_small.dcm');
    const result = volumeOf(shuffled.map((dataSet) => ({ dataSet, source, transferSyntax })));
    assert.ok(result.outcome === 'volume');
    const { origins } = result.volume;
    const values = [mask(5, 1), mask(5, 2)];
    const read = reread(segmentationWith(shuffled, { kind: 'masks', values }, { origins }));
    assert.deepEqual(segmentOnto(read, 1, originsOf(sources)), values[0]);
    assert.deepEqual(segmentVolumeOf(read, 1).values, values[0]);
  });

  test('numbers the places of its frames along the normal, from 1 and without a gap', () => {
    const values = [mask(5, 1, [1]), mask(5, 2, [0, 1, 3, 4])];
    const dataSet = segmentationWith(sources.toReversed(), { kind: 'masks', values });
    const groups = itemsOf(dataSet, tag('PerFrameFunctionalGroupsSequence'));
    const indices = groups.map((group) =>
      itemsOf(group, tag('FrameContentSequence')).flatMap((item) => numbersOf(item, tag('DimensionIndexValues'))),
    );
    assert.deepEqual(indices, [
      [1, 4],
      [1, 3],
      [1, 2],
      [1, 1],
      [2, 3],
    ]);
  });

  test('of a single image without a place has no geometry, and is read back onto that image', () => {
    const flat = sources.slice(0, 1).map((source) =>
      withElements(
        source,
        ['ImagePositionPatient', 'ImageOrientationPatient', 'FrameOfReferenceUID'].map((name) => ({
          remove: tag(name),
        })),
      ),
    );
    const values = [mask(1, 1), mask(1, 2)];
    const dataSet = segmentationWith(flat, { kind: 'masks', values });
    assert.equal(dataSet.elements.has(tag('FrameOfReferenceUID')), false);
    const read = reread(dataSet);
    assert.deepEqual(segmentOnto(read, 2, originsOf(flat)), values[1]);
    assert.throws(() => segmentVolumeOf(read, 1), refused('ImagePositionPatient'));
  });

  test('is refused where voxels, segments and sources do not fit each other', () => {
    const good: SegmentVoxels = { kind: 'masks', values: [mask(5, 1), mask(5, 2)] };
    const made = (voxels: SegmentVoxels, changes: Partial<Segmentation> = {}, from = sources) =>
      segmentationWith(from, voxels, changes);
    assert.throws(() => made({ kind: 'masks', values: [mask(4, 1), mask(4, 1)] }), refused('PixelData'));
    assert.throws(() => made({ kind: 'masks', values: [mask(5, 1)] }), refused('SegmentSequence'));
    assert.throws(() => made({ kind: 'labels', values: new Uint8Array(5 * FRAME).fill(3) }), refused('PixelData'));
    const fractions = [0, 1].map(() => new Float32Array(5 * FRAME));
    fractions[1]?.fill(Number.NaN, 7, 8);
    assert.throws(
      () => made({ kind: 'fractions', type: 'OCCUPANCY', steps: 255, values: fractions }),
      refused('PixelData'),
    );
    assert.throws(() => made(good, { segments: [] }), refused('SegmentSequence'));
    assert.throws(() => made(good, { sources: [] }), refused('ReferencedSeriesSequence'));
    assert.throws(
      () => made(good, { origins: [{ sopInstanceUid: '2.25.1', frameIndex: 0 }] }),
      refused('SOPInstanceUID'),
    );
    const changed = (element: ReturnType<typeof textElement>) => [
      ...sources.slice(1),
      ...sources.slice(0, 1).map((one) => withElements(one, [element])),
    ];
    assert.throws(() => made(good, { sources: changed(textElement('PatientID', 'other')) }), refused('PatientID'));
    assert.throws(
      () => made(good, { sources: changed(textElement('FrameOfReferenceUID', '2.25.1')) }),
      refused('FrameOfReferenceUID'),
    );
    assert.throws(() => made(good, { sources: changed(numberElement('Rows', 63)) }), refused('Rows'));
    const turned = numberElement('ImageOrientationPatient', [0, 1, 0, 0, 0, 1]);
    assert.throws(() => made(good, { sources: changed(turned) }), refused('ImagePositionPatient'));
  });

  test('has frames of an odd number of bits, which begin within a byte', () => {
    const small = sources.map((source) =>
      withElements(source, [numberElement('Rows', 5), numberElement('Columns', 7)]),
    );
    const values = [3, 5].map((factor) =>
      Uint8Array.from({ length: 5 * 35 }, (_, index) => ((index * factor) % 11) % 2),
    );
    const read = reread(segmentationWith(small, { kind: 'masks', values }));
    assert.deepEqual(
      [1, 2].map((number) => segmentOnto(read, number, originsOf(small))),
      values,
    );
  });

  test('is not read onto slices that it has a frame beside, as that would be lost', () => {
    const read = reread(segmentationWith(sources, { kind: 'masks', values: [mask(5, 1), mask(5, 2)] }));
    assert.throws(() => segmentOnto(read, 1, originsOf(sources.slice(1))), refused('SourceImageSequence'));
    assert.throws(() => segmentOnto(read, 3, originsOf(sources)), refused('SegmentNumber'));
    assert.throws(() => readSegmentation(fixture('MR_small.dcm')), refused('SegmentationType'));
  });
});

test('a segmentation that highdicom wrote is read: three frames of one segment, 1.25 mm apart', () => {
  const read = readSegmentation(fixture('pixels/seg_image_ct_binary.dcm'));
  assert.deepEqual(
    read.segments.map(({ number, label }) => [number, label]),
    [[1, 'first segment']],
  );
  const volume = segmentVolumeOf(read, 1);
  assert.deepEqual([volume.columns, volume.rows, volume.slices], [16, 16, 3]);
  assert.ok(Math.abs(volume.affine[2][2] - 1.25) < 1e-4 && Math.abs(volume.affine[2][3] - 103.019997) < 1e-6);
});
