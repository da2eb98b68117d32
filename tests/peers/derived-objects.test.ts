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
  type CodedConcept,
  type ContentItem,
  type ContentValue,
  container,
  contentItem,
  contentTreeOf,
  type DataSet,
  type Derivation,
  DicomError,
  encapsulatedPdfOf,
  type MeasurementGroup,
  measurementReportOf,
  memorySource,
  part10Of,
  type Relation,
  randomUid,
  readMeasurementReport,
  readPart10,
  readSegmentation,
  referenceTo,
  type Segment,
  type SegmentVoxels,
  secondaryCaptureOf,
  segmentationOf,
  segmentOnto,
  segmentVolumeOf,
  structuredReportOf,
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

/** An age that is no text of its VR is left behind; and dcentvfy compares bytes, whatever character set they are in. */
const UNLIKE = /Element=<PatientAge>|Element=<PatientName> IE=<Patient> for file <[^>]*chrH32\.dcm>/;

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

  test('is of the same patient and study as its source to dcentvfy', async () => {
    let compared = 0;
    for (const [name, sourceFile] of Object.entries(SOURCES)) {
      if ((await run('dcentvfy', [sourceFile])).output.includes('read failed')) continue; // pixels of an odd length
      const source = read(sourceFile);
      const object = encapsulatedPdfOf(derivationOf(source), { pdf: PDF, title: 'Befund', burnedInAnnotation: false });
      const { output } = await run('dcentvfy', [sourceFile, await verified('entities', object)]);
      const complaints = output.split('\n').filter((line) => /^(Error|Warning)/.test(line));
      const unexplained = complaints.filter((line) => !UNLIKE.test(line));
      assert.deepEqual(unexplained, [], name);
      compared += 1;
    }
    assert.ok(compared >= 3, `${compared} compared`);
  });

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

const sct = (value: string, meaning: string) => ({ value, scheme: 'SCT', meaning });
const ucum = (value: string, meaning: string) => ({ value, scheme: 'UCUM', meaning });

const GROUP = {
  findingCategory: sct('49755003', 'Morphologically Abnormal Structure'),
  finding: sct('27925004', 'Nodule'),
  findingSites: [{ site: sct('39607008', 'Lung'), laterality: sct('24028007', 'Right') }],
  evaluations: [
    {
      name: { value: '121403', scheme: 'DCM', meaning: 'Level of Significance' },
      value: sct('371928007', 'Not significant'),
    },
  ],
  measurements: [
    { name: sct('118565006', 'Volume'), value: 1234.5678901234567, unit: ucum('mm3', 'cubic millimeter') },
    {
      name: { value: '112031', scheme: 'DCM', meaning: 'Attenuation Coefficient' },
      value: -37.25,
      unit: ucum("[hnsf'U]", 'Hounsfield unit'),
      derivation: sct('373098007', 'Mean'),
    },
  ],
} as const satisfies Partial<MeasurementGroup>;

/** As the Python program prints it. */
const coded = (concept: CodedConcept | undefined) => (concept === undefined ? null : [concept.value, concept.scheme]);

function groupAsRead(group: MeasurementGroup) {
  return {
    tracking: [group.tracking.id, group.tracking.uid],
    finding: coded(group.finding),
    category: coded(group.findingCategory),
    sites: group.findingSites?.map(({ site, laterality }) => [coded(site), coded(laterality)]),
    measurements: group.measurements.map(({ name, value, unit, derivation }) => [
      coded(name),
      value,
      coded(unit),
      coded(derivation),
    ]),
    evaluations: group.evaluations?.map(({ name, value }) => [
      coded(name),
      typeof value === 'string' ? value : coded(value),
    ]),
  };
}

describe('a measurement report', { skip: dicomProgramsMissing || peersMissing }, () => {
  for (const series of [
    ...SERIES,
    ...(existsSync(COLLECTION) ? ['highdicom/dx_image.dcm'] : []),
    'fixtures/MR_small.dcm',
  ]) {
    test(`of ${series} passes dciodvfy and dsrdump, and says the same to highdicom`, async () => {
      const sources = imagesIn(series);
      const [source] = sources;
      assert.ok(source !== undefined);
      const references = sources.map(referenceTo);
      const [first] = references;
      assert.ok(first !== undefined);
      const frame = source.elements.has(0x00280008) ? { frameNumber: 2 } : {};
      const segmentation = referenceTo(smallSegmentation(sources));
      const points = [
        [1.5, 2],
        [7.25, 2],
        [7.25, 9.125],
        [1.5, 2],
      ] as const;
      const groups: readonly [MeasurementGroup, MeasurementGroup, MeasurementGroup] = [
        {
          ...GROUP,
          tracking: { id: 'Nodule 1, größer', uid: randomUid() },
          region: { kind: 'segment', segmentation, segmentNumber: 1, sourceImages: references },
        },
        {
          ...GROUP,
          tracking: { id: 'Nodule 2', uid: randomUid() },
          region: { kind: 'outline', outline: { graphicType: 'POLYLINE', points }, image: { ...first, ...frame } },
        },
        {
          ...GROUP,
          tracking: { id: 'All', uid: randomUid() },
          region: { kind: 'images', images: [{ ...first, ...frame }] },
        },
      ];
      const observerUid = randomUid();
      const object = measurementReportOf(derivationOf(source), {
        language: { value: 'de', scheme: 'RFC5646', meaning: 'German' },
        proceduresReported: [{ value: '24627-2', scheme: 'LN', meaning: 'CT Chest' }],
        observerUid,
        algorithm: { name: 'nodule-finder', version: '1.4.2' },
        images: sources,
        groups,
        completion: 'COMPLETE',
      });
      const file = await verified('report', object);
      const dumped = await run('dsrdump', ['+Pc', file]);
      assert.equal(dumped.exitCode, 0, dumped.output);
      assert.doesNotMatch(dumped.output, /^[EF]:/m);
      assert.match(dumped.output, /NUM:\(118565006,SCT,"Volume"\)="1234\.56789012346" \(mm3,UCUM,"cubic millimeter"\)/);
      const answer = await askPython<Record<string, unknown>>('derived_objects_peer.py', { kind: 'report', file });
      const frames = 'frameNumber' in frame ? [2] : [];
      const [segmented, outlined, imaged] = groups;
      assert.deepEqual(answer, {
        device: [observerUid, 'nodule-finder', 'Lantern', 'nodule-finder', 'L-7'],
        segment: {
          ...groupAsRead(segmented),
          reference: [segmentation.sopInstanceUid, [], [1]],
          sources: references.map(({ sopInstanceUid }) => [sopInstanceUid, [], []]),
        },
        outline: {
          ...groupAsRead(outlined),
          type: 'POLYLINE',
          points,
          reference: [first.sopInstanceUid, frames, []],
        },
        images: { ...groupAsRead(imaged), sources: [[first.sopInstanceUid, frames, []]] },
      });
    });
  }
});

describe('a structured report of any kind', { skip: dicomProgramsMissing }, () => {
  test('passes dciodvfy and dsrdump with every value type and every relation that we let through', async () => {
    const source = read(path.join(FIXTURES, 'MR_small.dcm'));
    const image = referenceTo(source);
    const { sopClassUid, sopInstanceUid } = image;
    const name = { value: '121071', scheme: 'DCM', meaning: 'Finding' };
    const values: readonly ContentValue[] = [
      { type: 'TEXT', text: 'Größe' },
      { type: 'CODE', code: name },
      { type: 'NUM', quantity: { value: 0.1 + 0.2, unit: ucum('mm', 'millimeter') } },
      { type: 'DATETIME', moment: '20260304233005.5+0100' },
      { type: 'DATE', moment: '20260304' },
      { type: 'TIME', moment: '233005' },
      { type: 'UIDREF', uid: '2.25.4' },
      { type: 'PNAME', name: 'Ärztin^Eine' },
      { type: 'IMAGE', reference: { sopClassUid, sopInstanceUid } },
      { type: 'COMPOSITE', reference: { sopClassUid, sopInstanceUid } },
      {
        type: 'SCOORD',
        graphicType: 'ELLIPSE',
        points: [
          [1, 2],
          [5, 2],
          [3, 1],
          [3, 3],
        ],
      },
      { type: 'CONTAINER', continuity: 'SEPARATE' },
    ];
    // An outline is drawn on an image, and a container holds something.
    const completed = (relation: Relation, value: ContentValue): ContentItem => {
      const [text] = values;
      assert.ok(text !== undefined);
      if (value.type === 'CONTAINER') return contentItem(relation, name, value, [contentItem('CONTAINS', name, text)]);
      const drawn = { type: 'IMAGE', reference: { sopClassUid, sopInstanceUid } } as const;
      return contentItem(
        relation,
        name,
        value,
        value.type === 'SCOORD' ? [contentItem('SELECTED FROM', undefined, drawn)] : [],
      );
    };
    const report = (children: readonly ContentItem[]) =>
      structuredReportOf(derivationOf(source), {
        root: container(undefined, name, children),
        evidence: [image],
        completion: 'PARTIAL',
      });
    const relations: readonly Relation[] = [
      'CONTAINS',
      'HAS OBS CONTEXT',
      'HAS ACQ CONTEXT',
      'HAS CONCEPT MOD',
      'HAS PROPERTIES',
      'INFERRED FROM',
      'SELECTED FROM',
    ];
    const related = relations.flatMap((relation) => values.map((value) => completed(relation, value)));
    const items = values.map((value) => {
      const outer = completed('CONTAINS', value);
      const allowed = related.filter((inner) =>
        isWritten(() => report([{ ...outer, children: [...outer.children, inner] }])),
      );
      // One item is selected from one image.
      return { ...outer, children: value.type === 'SCOORD' ? outer.children : [...outer.children, ...allowed] };
    });
    const counts = items.map(({ children }) => children.length);
    assert.deepEqual(counts, [35, 35, 44, 2, 2, 2, 2, 9, 11, 11, 1, 33]);
    const object = report(items);
    const file = await verified('any-report', object);
    const dumped = await run('dsrdump', [file]);
    assert.equal(dumped.exitCode, 0, dumped.output);
    assert.doesNotMatch(dumped.output, /^[EF]:/m);
    assert.deepEqual(contentTreeOf(read(file)).children, items);
  });
});

function isWritten(write: () => DataSet): boolean {
  try {
    return write() !== undefined;
  } catch (thrown) {
    if (thrown instanceof DicomError && thrown.message.startsWith('RelationshipType')) return false;
    throw thrown;
  }
}

describe('a report of others', { skip: peersMissing }, () => {
  for (const foreign of [
    'highdicom/sr_document.dcm',
    'highdicom/sr_document_with_multiple_groups.dcm',
    'dcmqi/sr-example/sr.dcm',
  ]) {
    test(`has every measurement that highdicom finds in it: ${foreign}`, async (t) => {
      if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
      const file = path.join(COLLECTION, foreign);
      const { groups } = readMeasurementReport(read(file));
      const ours = groups.map(({ tracking, measurements }) => [
        tracking.uid,
        measurements.map(({ name, quantity }) => [name.meaning, quantity?.value, quantity?.unit.value]),
      ]);
      const theirs = await askPython<object>('derived_objects_peer.py', { kind: 'measurements', file });
      assert.deepEqual(Object.fromEntries(ours), theirs);
      assert.ok(ours.length > 0);
    });
  }
});

function imagesIn(series: string): DataSet[] {
  if (series.startsWith('fixtures/')) return [read(path.join(FIXTURES, path.basename(series)))];
  const place = path.join(COLLECTION, series);
  if (series.endsWith('.dcm')) return [read(place)];
  return readdirSync(place).map((name) => read(path.join(place, name)));
}

function smallSegmentation(sources: readonly DataSet[]): DataSet {
  const [source] = sources;
  assert.ok(source !== undefined);
  const frameCount = sources.length * Number(textOf(source, 0x00280008) ?? 1);
  const voxels = numberIn(source, 0x00280010) * numberIn(source, 0x00280011) * frameCount;
  return segmentationOf(derivationOf(source), {
    label: 'NODULES',
    algorithm: { name: 'nodule-finder', version: '1.4.2' },
    segments: [segment('one')],
    voxels: { kind: 'labels', values: new Uint8Array(voxels).fill(1) },
    sources,
    emptyFrames: 'omit',
  });
}

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
