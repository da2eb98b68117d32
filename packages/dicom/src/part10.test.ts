import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { memorySource, openFileSource } from './byte-source.ts';
import { numbersIn, textOf } from './data-set.ts';
import { DicomError, type DicomErrorCode } from './dicom-error.ts';
import { dicomJson } from './dicom-json.ts';
import { type Part10File, readHead, readPart10 } from './part10.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');
/** The whole collection of which the fixtures are a part, where it is at hand. */
const COLLECTION = process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../shared/data');

const DEFLATED = '1.2.840.10008.1.2.1.99';
const TEXT_TAGS = {
  modality: 0x00080060,
  patientID: 0x00100020,
  photometricInterpretation: 0x00280004,
  sOPClassUID: 0x00080016,
  sOPInstanceUID: 0x00080018,
  studyInstanceUID: 0x0020000d,
} as const;
const NUMBER_TAGS = {
  bitsAllocated: 0x00280100,
  bitsStored: 0x00280101,
  columns: 0x00280011,
  pixelRepresentation: 0x00280103,
  rows: 0x00280010,
  samplesPerPixel: 0x00280002,
} as const;

type Expected = Readonly<Record<string, string | number>>;

/** Files that end within an element, or are something else: what they must be refused with. */
const REFUSED: Readonly<Record<string, DicomErrorCode>> = {
  'MR_truncated.dcm': 'truncated',
  'rtplan_truncated.dcm': 'truncated',
  'DICOMDIR-nooffset': 'truncated',
  'no_meta.dcm': 'malformed',
  README: 'malformed',
};

function assertReadAs(file: string, expected: Expected): void {
  const source = openFileSource(file);
  try {
    const refused = REFUSED[path.basename(file)];
    if (refused !== undefined) {
      assert.throws(() => readPart10(source), fails(refused), file);
      return;
    }
    const { dataSet, transferSyntax } = readPart10(source);
    for (const [name, tag] of Object.entries(TEXT_TAGS)) {
      if (name in expected) assert.equal(textOf(dataSet, tag) ?? '', expected[name], `${file} ${name}`);
    }
    for (const [name, tag] of Object.entries(NUMBER_TAGS)) {
      const element = dataSet.elements.get(tag);
      const [number] = element === undefined ? [] : numbersIn(element, dataSet.littleEndian);
      if (name in expected) assert.equal(number, expected[name], `${file} ${name}`);
    }
    // pydicom drops component groups that are empty at the end.
    const name = (textOf(dataSet, 0x00100010) ?? '').replace(/=+$/, '');
    if ('patientName' in expected) assert.equal(name, expected['patientName'], file);
    assert.equal(dataSet.elements.size, expected['topLevelElements'], `${file}: elements`);
    if (expected['transferSyntax'] !== '') assert.equal(transferSyntax.uid, expected['transferSyntax'], file);
  } finally {
    source.close();
  }
}

const fails = (code: DicomErrorCode) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

function expectedIn(file: string): Readonly<Record<string, Expected>> {
  return JSON.parse(readFileSync(file, 'utf8'));
}

describe('a DICOM file', () => {
  test('is read as pydicom reads it, in every transfer syntax, character set and odd form of the fixtures', () => {
    const expected = expectedIn(path.join(FIXTURES, 'expected.json'));
    const files = readdirSync(FIXTURES).filter((name) => name.endsWith('.dcm'));
    assert.deepEqual(files.toSorted(), Object.keys(expected).toSorted());
    for (const [name, facts] of Object.entries(expected)) assertReadAs(path.join(FIXTURES, name), facts);
  });

  test('is read as pydicom reads it, over the whole collection', (t) => {
    const folder = path.join(COLLECTION, 'dicom');
    if (!existsSync(folder)) return t.skip(`the collection is not at hand (LANTERN_DATA_DIR names its folder)`);
    const expected = expectedIn(path.join(folder, 'expected.json'));
    for (const [name, facts] of Object.entries(expected)) assertReadAs(path.join(folder, name), facts);
    assert.ok(Object.keys(expected).length > 200);
  });

  test('gives the same elements from memory as from disk', () => {
    for (const name of ['MR_small.dcm', 'reportsi.dcm', 'chrH31.dcm', 'MR_small_RLE.dcm']) {
      const file = path.join(FIXTURES, name);
      const source = openFileSource(file);
      const fromDisk = dicomJson(readPart10(source).dataSet);
      source.close();
      assert.deepEqual(dicomJson(readPart10(memorySource(readFileSync(file))).dataSet), fromDisk);
    }
  });

  test('keeps large values in the source, and their range holds their bytes', () => {
    const content = readFileSync(path.join(FIXTURES, 'MR_small.dcm'));
    const { dataSet, source } = readPart10(memorySource(content), 1024);
    const whole = readPart10(memorySource(content), Number.POSITIVE_INFINITY).dataSet;
    const value = dataSet.elements.get(0x7fe00010)?.value;
    const inline = whole.elements.get(0x7fe00010)?.value;
    assert.ok(value?.kind === 'range' && inline?.kind === 'bytes');
    assert.equal(value.range.length, 64 * 64 * 2);
    assert.deepEqual(source.bytes(value.range.start, value.range.length), inline.bytes);
  });
});

describe('a hostile file', () => {
  const meta = (uid: string) => element('00020010', 'UI', Buffer.from(uid.padEnd(uid.length + (uid.length % 2), '\0')));
  const file = (body: Buffer, uid = '1.2.840.10008.1.2.1') =>
    Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), meta(uid), body]);
  const read = (body: Buffer, uid?: string): Part10File => readPart10(memorySource(file(body, uid)));

  test('that is cut anywhere is refused or read up to the cut, and never read beyond it', () => {
    const whole = readFileSync(path.join(FIXTURES, 'reportsi.dcm'));
    const { size } = readPart10(memorySource(whole)).dataSet.elements;
    let refused = 0;
    for (let length = 132; length < whole.byteLength; length += 7) {
      try {
        assert.ok(readPart10(memorySource(whole.subarray(0, length))).dataSet.elements.size < size);
      } catch (caught) {
        assert.ok(caught instanceof DicomError, String(caught));
        refused += 1;
      }
    }
    assert.ok(refused > 100);
  });

  test('that claims a length beyond its end is refused before memory is taken', () => {
    const claim = Buffer.concat([Buffer.from('e07f10004f420000', 'hex'), Buffer.from('f0ffffff', 'hex')]);
    assert.throws(() => read(claim), fails('truncated'));
  });

  test('that nests without end is refused', () => {
    const open = Buffer.concat([
      Buffer.from('08004011', 'hex'),
      Buffer.from('SQ\0\0'),
      Buffer.from('fffffffffeff00e0ffffffff', 'hex'),
    ]);
    assert.throws(() => read(Buffer.concat(Array.from({ length: 5000 }, () => open))), fails('limit'));
  });

  test('that has more elements and items than any object is refused before it is read to its end', () => {
    assert.throws(() => read(emptyItems(2_000_000)), fails('limit'));
  });

  test('that inflates to more than may be held is refused', () => {
    const bomb = deflateRawSync(Buffer.alloc(300 * 1024 * 1024));
    assert.ok(bomb.byteLength < 512 * 1024);
    assert.throws(() => read(bomb, DEFLATED), fails('limit'));
  });

  test('that holds an item where an element must stand, or the other way round, is refused', () => {
    assert.throws(() => read(Buffer.from('feff00e004000000aabbccdd', 'hex')), fails('malformed'));
    const sequence = Buffer.concat([
      Buffer.from('08004011', 'hex'),
      Buffer.from('SQ\0\0'),
      Buffer.from('08000000', 'hex'),
    ]);
    assert.throws(
      () => read(Buffer.concat([sequence, element('00080060', 'CS', Buffer.from(''))])),
      fails('malformed'),
    );
  });
});

describe('the beginning of a data set', () => {
  const elements = Buffer.concat([
    element('00080060', 'CS', Buffer.from('MR')),
    element('00100020', 'LO', Buffer.from('P1')),
  ]);
  const pixels = Buffer.alloc(2 * 1024 * 1024);
  const long = Buffer.concat([Buffer.from('e07f10004f570000', 'hex'), Buffer.from('00002000', 'hex'), pixels]);
  const headOf = (bytes: Buffer, isWhole: boolean, uid = '1.2.840.10008.1.2.1') =>
    readHead(memorySource(bytes), {
      start: 0,
      isWhole,
      transferSyntaxUid: uid,
      rangeBytesMin: 64 * 1024,
      stopsAt: (tag) => tag >= 0x7fe00000,
    }).elements.size;

  test('is not taken for its end where the source ends between two elements', () => {
    const whole = Buffer.concat([elements, long]);
    for (let length = 8; length < elements.byteLength + 12; length += 1) {
      assert.throws(() => headOf(whole.subarray(0, length), false), fails('truncated'), `${length} bytes`);
    }
    assert.equal(headOf(whole.subarray(0, elements.byteLength + 12), false), 2);
    assert.equal(headOf(elements, true), 2);
  });

  test('is read of a deflated one without inflating all of it, also where only its beginning is there', () => {
    const deflated = deflateRawSync(Buffer.concat([elements, randomised(200_000), long]));
    assert.ok(deflated.byteLength > 150_000);
    assert.equal(headOf(deflated, true, DEFLATED), 2 + 4);
    assert.throws(() => headOf(deflated.subarray(0, 50_000), false, DEFLATED), fails('truncated'));
    assert.throws(() => headOf(deflated.subarray(0, 50_000), true, DEFLATED), fails('truncated'));
    const followedByBomb = deflateRawSync(Buffer.concat([elements, Buffer.alloc(600 * 1024 * 1024, 0xf0)]));
    assert.equal(headOf(followedByBomb, true, DEFLATED), 2);
  });

  test('that inflates without end, or has elements without end, is refused', () => {
    const claim = Buffer.from('08001100554e0000f0ffff7f', 'hex'); // of two gigabytes
    const bomb = deflateRawSync(Buffer.concat([claim, Buffer.alloc(300 * 1024 * 1024)]));
    assert.throws(() => headOf(bomb, true, DEFLATED), fails('limit'));
    assert.throws(() => headOf(emptyItems(250_000), true), fails('limit'));
  });

  /** Four elements that do not deflate. */
  function randomised(bytes: number): Buffer {
    return Buffer.concat([0, 2, 4, 6].map((number) => element(`0019100${number}`, 'OB', randomBytes(bytes / 4), true)));
  }
});

/** An explicit little endian element with a two-byte length. */
function element(hexTag: string, vr: string, value: Buffer, isLong = false): Buffer {
  const head = Buffer.alloc(isLong ? 12 : 8);
  head.writeUInt16LE(Number.parseInt(hexTag.slice(0, 4), 16), 0);
  head.writeUInt16LE(Number.parseInt(hexTag.slice(4), 16), 2);
  head.write(vr, 4, 'latin1');
  if (isLong) head.writeUInt32LE(value.byteLength, 8);
  else head.writeUInt16LE(value.byteLength, 6);
  return Buffer.concat([head, value]);
}

/** A sequence of them. */
function emptyItems(count: number): Buffer {
  const head = Buffer.from('0800401153510000ffffffff', 'hex');
  return Buffer.concat([head, Buffer.alloc(8 * count, Buffer.from('feff00e000000000', 'hex'))]);
}
