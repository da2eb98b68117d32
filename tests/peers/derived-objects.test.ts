/**
 * Objects that we derive, beside programs of others: David Clunie's dciodvfy (Debian: dicom3tools) must find no error and no warning
 * but those named here, DCMTK must read them, and pydicom and highdicom must find in them what we put in.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import {
  type CapturedPixels,
  type DataSet,
  type Derivation,
  encapsulatedPdfOf,
  memorySource,
  part10Of,
  randomUid,
  readPart10,
  readSegmentation,
  type Segment,
  type SegmentVoxels,
  secondaryCaptureOf,
  segmentationOf,
  segmentOnto,
  segmentVolumeOf,
  textOf,
  volumeOf,
} from '@lantern/dicom';
import { dicomProgramsMissing, run } from './dicom-programs.ts';
import { askPython, peersMissing } from './python.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const FIXTURES = path.join(ROOT, 'fixtures/dicom');
const COLLECTION = path.join(process.env['LANTERN_DATA_DIR'] ?? path.resolve(ROOT, '../shared/data'), 'dicom');
const folder = mkdtempSync(path.join(tmpdir(), 'lantern-derived-'));
after(() => rmSync(folder, { recursive: true }));

const open = (file: string) => readPart10(memorySource(readFileSync(file)));
const read = (file: string): DataSet => open(file).dataSet;

/** A plain MR, one in big endian, one with a name in three Japanese scripts; and the collection's, where it is at hand. */
const SOURCES: Readonly<Record<string, string>> = {
  'an MR slice': path.join(FIXTURES, 'MR_small.dcm'),
  'a slice in big endian': path.join(FIXTURES, 'MR_small_bigendian.dcm'),
  'a Japanese patient': path.join(FIXTURES, 'chrH32.dcm'),
  ...(existsSync(COLLECTION)
    ? {
        'a CT slice': path.join(COLLECTION, 'dcmqi/segmentations/ct-3slice/01.dcm'),
        'an MR slice that breaks rules': path.join(COLLECTION, 'mri-t1/N2D_0181.dcm'), // age and numbers of wrong length
        'a chest x-ray': path.join(COLLECTION, 'highdicom/dx_image.dcm'),
      }
    : {}),
};

/** Warnings that are not ours to answer, or that say what is so. */
const EXPLAINED = [
  'Retired Person Name form', // names are copied as the source has them
  'would be needed to build DICOMDIR', // StudyDate or StudyID that the source lacks
  'Unrecognized defined term = <THORAX>', // BodyPartExamined is copied too
  'Laterality(0020,0060)> - is only permitted to be empty when actually unknown', // the source does not say whether it is paired
];

function derivationOf(source: DataSet): Derivation {
  return {
    source,
    equipment: {
      manufacturer: 'Lantern',
      modelName: 'nodule-finder',
      serialNumber: 'L-7',
      softwareVersions: ['1.4.2'],
    },
    series: { number: 901, description: 'Result of nodule-finder, für Ärzte' },
    instanceNumber: 1,
    now: new Date(),
    newUid: randomUid,
  };
}

/** The name of the file that holds the object, when dciodvfy has found nothing in it. */
async function verified(name: string, dataSet: DataSet): Promise<string> {
  const file = path.join(folder, `${name}.dcm`);
  writeFileSync(file, part10Of(dataSet));
  const { output } = await run('dciodvfy', ['-new', file]);
  const complaints = output.split('\n').filter((line) => /^(Error|Warning)/.test(line));
  const unexplained = complaints.filter((line) => !EXPLAINED.some((known) => line.includes(known)));
  assert.deepEqual(unexplained, [], name);
  const dumped = await run('dcmdump', ['-q', file]);
  assert.equal(dumped.exitCode, 0, dumped.output);
  return file;
}

const PIXELS: Readonly<Record<string, CapturedPixels>> = {
  'grey of 8 bits': { kind: 'grey8', frames: [Uint8Array.from({ length: 15 }, (_, index) => index * 17)] },
  'grey of 12 bits': {
    kind: 'grey16',
    bitsStored: 12,
    frames: [Uint16Array.from({ length: 15 }, (_, index) => index * 273)],
  },
  colour: { kind: 'rgb', frames: [Uint8Array.from({ length: 45 }, (_, index) => index * 5)] },
  'three frames of 8 bits': {
    kind: 'grey8',
    frames: [1, 2, 3].map((step) => Uint8Array.from({ length: 15 }, (_, index) => index * step)),
  },
  'two frames of 16 bits': {
    kind: 'grey16',
    bitsStored: 16,
    frames: [4369, 77].map((step) => Uint16Array.from({ length: 15 }, (_, index) => index * step)),
  },
  'two frames in colour': {
    kind: 'rgb',
    frames: [5, 3].map((step) => Uint8Array.from({ length: 45 }, (_, index) => index * step)),
  },
};

describe('a secondary capture', { skip: dicomProgramsMissing || peersMissing }, () => {
  for (const [name, pixels] of Object.entries(PIXELS)) {
    test(`passes dciodvfy for every source, and pydicom reads the pixels that we wrote: ${name}`, async () => {
      let file = '';
      for (const source of Object.values(SOURCES).map(read)) {
        const capture = secondaryCaptureOf(derivationOf(source), {
          rows: 3,
          columns: 5,
          pixels,
          conversionType: 'WSD',
          burnedInAnnotation: false,
          derivationDescription: 'Nodules outlined',
          sources: [source],
        });
        file = await verified(`capture-${name}`, capture);
      }
      const answer = await askPython<{ shape: number[]; values: number[] }>('derived_objects_peer.py', {
        kind: 'image',
        file,
      });
      const frames = pixels.frames.length === 1 ? [] : [pixels.frames.length];
      assert.deepEqual(answer.shape, [...frames, 3, 5, ...(pixels.kind === 'rgb' ? [3] : [])]);
      assert.deepEqual(
        answer.values,
        pixels.frames.flatMap((frame) => [...frame]),
      );
    });
  }
});

/** The least PDF that has a page; of odd length. */
const PDF = Buffer.from(
  '%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n' +
    '3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n',
);

describe('an encapsulated PDF', { skip: dicomProgramsMissing || peersMissing }, () => {
  for (const [name, file] of Object.entries(SOURCES)) {
    test(`passes dciodvfy, and dcm2pdf takes the same document out of it: ${name}`, async () => {
      const source = read(file);
      assert.equal(PDF.byteLength % 2, 1);
      const object = encapsulatedPdfOf(derivationOf(source), {
        pdf: PDF,
        title: 'Befund für Ärzte',
        conceptName: { value: '18748-4', scheme: 'LN', meaning: 'Diagnostic imaging study' },
        burnedInAnnotation: true,
        sources: [source],
      });
      const written = await verified('document', object);
      const extracted = path.join(folder, 'document.pdf');
      assert.equal((await run('dcm2pdf', [written, extracted])).exitCode, 0);
      assert.deepEqual(readFileSync(extracted), PDF);
      const answer = await askPython<object>('derived_objects_peer.py', { kind: 'document', file: written });
      assert.deepEqual(
        { ...answer, patient: undefined },
        { title: 'Befund für Ärzte', length: PDF.byteLength, patient: undefined },
      );
    });
  }

  test('has the name of a patient in every script that the source has it in', async () => {
    const source = read(path.join(FIXTURES, 'chrH32.dcm'));
    const object = encapsulatedPdfOf(derivationOf(source), { pdf: PDF, title: 'Befund', burnedInAnnotation: false });
    const file = await verified('japanese', object);
    const { patient } = await askPython<{ patient: string }>('derived_objects_peer.py', { kind: 'document', file });
    assert.equal(patient, 'ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう');
  });
});

/** Series and an image of many frames, whose volumes are segmented; the last one has frames of an odd number of voxels. */
const SERIES = existsSync(COLLECTION)
  ? [
      'dcmqi/segmentations/ct-3slice',
      'mri-t1',
      'dcmqi/segmentations/23x38x3/image',
      'dcmqi/segmentations/23x38x3/multiframe',
    ]
  : [];

const segment = (label: string): Segment => ({
  label,
  category: { value: '49755003', scheme: 'SCT', meaning: 'Morphologically Abnormal Structure' },
  type: { value: '27925004', scheme: 'SCT', meaning: 'Nodule' },
  anatomicRegion: { value: '39607008', scheme: 'SCT', meaning: 'Lung' },
  tracking: { id: label, uid: randomUid() },
});

/** No slice is like another; the first of the first segment is empty. */
function voxelsFor(kind: SegmentVoxels['kind'], frameVoxels: number, slices: number): SegmentVoxels {
  const salted = (salt: number) => (_: unknown, index: number) =>
    salt === 1 && index < frameVoxels ? 0 : (Math.imul(index, 2654435761) >>> (10 + salt)) % 256;
  const bytes = [1, 2].map((salt) => Uint8Array.from({ length: frameVoxels * slices }, salted(salt)));
  switch (kind) {
    case 'labels':
      return { kind, values: bytes[0]?.map((value) => value % 3) ?? new Uint8Array() };
    case 'masks':
      return { kind, values: bytes.map((values) => values.map((value) => (value > 150 ? 1 : 0))) };
    case 'fractions':
      return {
        kind,
        type: 'PROBABILITY',
        steps: 255,
        values: bytes.map((values) => Float32Array.from(values, (value) => value / 255)),
      };
  }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

type SegmentationAnswer = {
  readonly digests: readonly string[];
  readonly counts: readonly number[];
  readonly segments: readonly Record<string, unknown>[];
};
type VolumeAnswer = {
  readonly distance: number;
  readonly different: number;
  readonly size: number[];
  readonly count: number;
};

async function assertSameVolume(file: string, segmentNumber: number): Promise<void> {
  const { values, rows, columns, slices, affine } = segmentVolumeOf(readSegmentation(open(file)), segmentNumber);
  const raw = path.join(folder, 'values.raw');
  writeFileSync(raw, values);
  const answer = await askPython<VolumeAnswer>('derived_objects_peer.py', {
    kind: 'volume',
    file,
    segment: segmentNumber,
    values: raw,
    shape: [slices, rows, columns],
    affine,
  });
  assert.ok(answer.distance < 0.01, `${answer.distance} voxels apart`);
  assert.equal(answer.different, 0);
  assert.ok(answer.count > 0 && answer.size[0] === answer.size[1], JSON.stringify(answer));
}

describe('a segmentation', { skip: dicomProgramsMissing || peersMissing }, () => {
  for (const series of SERIES) {
    for (const kind of ['labels', 'masks', 'fractions'] as const) {
      test(`of ${series} passes dciodvfy, and highdicom has every voxel where we have it: ${kind}`, async () => {
        const objects = readdirSync(path.join(COLLECTION, series)).map((name) =>
          open(path.join(COLLECTION, series, name)),
        );
        const result = volumeOf(objects);
        assert.ok(result.outcome === 'volume');
        const { origins, rows, columns, slices } = result.volume;
        const sources = objects.map(({ dataSet }) => dataSet);
        const [source] = sources;
        assert.ok(source !== undefined);
        const segments = [segment('one'), segment('two')];
        const voxels = voxelsFor(kind, rows * columns, slices);
        const algorithm = { name: 'nodule-finder', version: '1.4.2' };
        const object = segmentationOf(derivationOf(source), {
          label: 'NODULES',
          algorithm,
          segments,
          voxels,
          sources,
          origins,
          emptyFrames: 'omit',
        });
        const file = await verified(`segmentation-${kind}`, object);
        const ours = [1, 2].map((number) => segmentOnto(readSegmentation(open(file)), number, origins));
        const answer = await askPython<SegmentationAnswer>('derived_objects_peer.py', {
          kind: 'segmentation',
          file,
          origins,
        });
        assert.deepEqual(answer.digests, ours.map(sha256));
        assert.deepEqual(ours, asStored(voxels));
        assert.ok(answer.counts.every((count) => count > 0));
        assert.deepEqual(
          answer.segments,
          segments.map(({ label, category, type, tracking }, index) => ({
            number: index + 1,
            label,
            category: category.value,
            type: type.value,
            algorithm: ['AUTOMATIC', 'nodule-finder', '1.4.2'],
            tracking: [tracking?.id, tracking?.uid],
          })),
        );
        await assertSameVolume(file, 2);
      });
    }
  }

  test('of a chest x-ray, which has no place, passes dciodvfy and is the same to highdicom', async (t) => {
    if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
    const source = read(path.join(COLLECTION, 'highdicom/dx_image.dcm'));
    const [rows, columns] = [numberIn(source, 0x00280010), numberIn(source, 0x00280011)];
    const voxels = voxelsFor('masks', rows * columns, 1);
    assert.ok(voxels.kind === 'masks');
    const second = voxels.values[1] ?? new Uint8Array();
    const object = segmentationOf(derivationOf(source), {
      label: 'EFFUSION',
      algorithm: { name: 'nodule-finder', version: '1.4.2' },
      segments: [segment('one')],
      voxels: { kind: 'masks', values: [second] },
      sources: [source],
      emptyFrames: 'omit',
    });
    const file = await verified('segmentation-x-ray', object);
    const origins = [{ sopInstanceUid: textOf(source, 0x00080018) ?? '', frameIndex: 0 }];
    const answer = await askPython<SegmentationAnswer>('derived_objects_peer.py', {
      kind: 'segmentation',
      file,
      origins,
    });
    assert.deepEqual(answer.digests, [sha256(second)]);
    assert.deepEqual(segmentOnto(readSegmentation(open(file)), 1, origins), second);
  });

  for (const foreign of [
    'highdicom/seg_image_ct_binary.dcm',
    'highdicom/seg_image_ct_binary_overlap.dcm',
    'highdicom/seg_image_ct_true_fractional.dcm',
    'dcmqi/sr-example/seg.dcm',
    'dcmqi/segmentations/24x38x3/seg/label.seg',
  ]) {
    test(`of others is read as highdicom reads it: ${foreign}`, async (t) => {
      if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
      const file = path.join(COLLECTION, foreign);
      for (const { number } of readSegmentation(open(file)).segments) await assertSameVolume(file, number);
    });
  }
});

/** What a reader must find: 0 and 1, or fractions in 255 steps. */
function asStored(voxels: SegmentVoxels): Uint8Array[] {
  switch (voxels.kind) {
    case 'labels':
      return [1, 2].map((label) => Uint8Array.from(voxels.values, (value) => (value === label ? 1 : 0)));
    case 'masks':
      return [...voxels.values];
    case 'fractions':
      return voxels.values.map((values) => Uint8Array.from(values, (value) => Math.round(value * 255)));
  }
}

function numberIn(dataSet: DataSet, tag: number): number {
  const value = dataSet.elements.get(tag)?.value;
  assert.ok(value?.kind === 'bytes');
  return value.bytes.readUInt16LE(0);
}
