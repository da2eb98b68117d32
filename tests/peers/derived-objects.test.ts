/**
 * Objects that we derive, beside programs of others: David Clunie's dciodvfy (Debian: dicom3tools) must find no error and no warning
 * but those named here, DCMTK must read them, and pydicom and highdicom must find in them what we put in.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
  secondaryCaptureOf,
} from '@lantern/dicom';
import { dicomProgramsMissing, run } from './dicom-programs.ts';
import { askPython, peersMissing } from './python.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const FIXTURES = path.join(ROOT, 'fixtures/dicom');
const COLLECTION = path.join(process.env['LANTERN_DATA_DIR'] ?? path.resolve(ROOT, '../shared/data'), 'dicom');
const folder = mkdtempSync(path.join(tmpdir(), 'lantern-derived-'));
after(() => rmSync(folder, { recursive: true }));

const read = (file: string): DataSet => readPart10(memorySource(readFileSync(file))).dataSet;

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
