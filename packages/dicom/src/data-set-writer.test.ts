import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { type ByteSource, memorySource } from './byte-source.ts';
import { type DataSet, type Element, inLittleEndian } from './data-set.ts';
import { readDataSet } from './data-set-reader.ts';
import { bytesOf, encodeDataSet } from './data-set-writer.ts';
import { DicomError } from './dicom-error.ts';
import { dicomJson } from './dicom-json.ts';
import {
  bytesElement,
  dataSetOf,
  numberElement,
  sequenceElement,
  textElement,
  withElements,
} from './element-values.ts';
import { type Part10File, readPart10 } from './part10.ts';
import { tagHex } from './tag.ts';
import {
  EXPLICIT_BIG_ENDIAN,
  EXPLICIT_LITTLE_ENDIAN,
  IMPLICIT_LITTLE_ENDIAN,
  transferSyntaxOf,
} from './transfer-syntax.ts';
import type { Vr } from './vr.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');
/** The whole collection of which the fixtures are a part, where it is at hand. */
const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../shared/data'),
  'dicom',
);

/** Small enough that some values of most files stay in the source. */
const RANGE_BYTES_MIN = 512;

function filesIn(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.map((name) => path.join(folder, name)).filter((file) => isReadable(file));
}

/** What the reader refuses is the matter of its own tests. */
function isReadable(file: string): boolean {
  try {
    return readPart10(memorySource(readFileSync(file))) !== undefined;
  } catch {
    return false; // a folder, another kind of file, or a damaged one
  }
}

const read = (file: string): Part10File => readPart10(memorySource(readFileSync(file)), RANGE_BYTES_MIN);

function rewritten({ dataSet, source }: { dataSet: DataSet; source: ByteSource }, uid: string): Buffer {
  return Buffer.concat([...bytesOf(encodeDataSet(dataSet, transferSyntaxOf(uid)), source)]);
}

function readBack(content: Buffer, uid: string): { dataSet: DataSet; source: ByteSource } {
  const source = memorySource(content);
  const limits = { rangeBytesMin: RANGE_BYTES_MIN };
  return { dataSet: readDataSet(source, { start: 0, encoding: transferSyntaxOf(uid), limits }).dataSet, source };
}

/** Every value by tag, as its bytes in little endian: what must be the same in every encoding. */
function valuesOf({ dataSet, source }: { dataSet: DataSet; source: ByteSource }): Record<string, unknown> {
  const valueIn = (element: Element): unknown => {
    const { value } = element;
    const sum = (content: Buffer) => createHash('sha256').update(content).digest('hex');
    const even = (content: Buffer) => Buffer.concat([content, Buffer.alloc(content.byteLength % 2)]);
    switch (value.kind) {
      case 'bytes':
        return even(inLittleEndian(element, value.bytes, dataSet)).toString('hex');
      case 'range': {
        const content = source.bytes(value.range.start, value.range.length);
        return even(inLittleEndian(element, content, dataSet)).toString('hex');
      }
      case 'items':
        return value.items.map((item) => valuesOf({ dataSet: item, source }));
      case 'fragments':
        return value.fragments.map(({ start, length }) => sum(even(source.bytes(start, length))));
    }
  };
  const elements = [...dataSet.elements.values()].filter(({ tag }) => (tag & 0xffff) !== 0);
  return Object.fromEntries(elements.map((element) => [tagHex(element.tag), valueIn(element)]));
}

/**
 * As JSON, but for what writing puts right: no group lengths, even lengths, fragments as OB.
 */
function json(dataSet: DataSet): unknown {
  return JSON.parse(JSON.stringify(dicomJson(dataSet)), (key, value) => {
    if (/^[0-9A-F]{4}0000$/.test(key)) return undefined;
    if (key === 'omittedBytes') return value + (value % 2);
    if (key === 'InlineBinary') return evenBase64(value);
    return key === '7FE00010' && value.vr === 'OW' ? { ...value, vr: 'OB' } : value;
  });
}

function evenBase64(encoded: string): string {
  const content = Buffer.from(encoded, 'base64');
  return Buffer.concat([content, Buffer.alloc(content.byteLength % 2)]).toString('base64');
}

function assertRewritten(folder: string): { files: number; identical: number } {
  let identical = 0;
  const files = filesIn(folder);
  for (const file of files) {
    const original = read(file);
    const isEncapsulated = original.dataSet.elements.get(0x7fe00010)?.value.kind === 'fragments';
    const explicit = readBack(rewritten(original, EXPLICIT_LITTLE_ENDIAN), EXPLICIT_LITTLE_ENDIAN);
    assert.deepEqual(json(explicit.dataSet), json(original.dataSet), file);
    if (original.transferSyntax.uid !== EXPLICIT_BIG_ENDIAN)
      assert.deepEqual(valuesOf(explicit), valuesOf(original), file);
    if (!isEncapsulated) {
      const implicit = readBack(rewritten(original, IMPLICIT_LITTLE_ENDIAN), IMPLICIT_LITTLE_ENDIAN);
      assert.deepEqual(valuesOf(implicit), valuesOf(explicit), `${file} in implicit VR`);
      const big = readBack(rewritten(explicit, EXPLICIT_BIG_ENDIAN), EXPLICIT_BIG_ENDIAN);
      assert.deepEqual(json(big.dataSet), json(original.dataSet), `${file} in big endian`);
      assert.deepEqual(
        valuesOf(readBack(rewritten(big, EXPLICIT_LITTLE_ENDIAN), EXPLICIT_LITTLE_ENDIAN)),
        valuesOf(explicit),
      );
    }
    const { uid } = original.transferSyntax;
    const again = rewritten(original, uid);
    if (original.source.bytes(original.source.sizeBytes - again.byteLength, again.byteLength).equals(again))
      identical += 1;
    assert.deepEqual(rewritten(readBack(again, uid), uid), again, `${file}: a second writing changes nothing`);
  }
  return { files: files.length, identical };
}

describe('a data set that is written again', () => {
  test('holds every value in explicit, implicit and big endian encoding, for each fixture', (t) => {
    const { files, identical } = assertRewritten(FIXTURES);
    t.diagnostic(`${identical} of ${files} files come out bit for bit, having been in our form`);
    assert.ok(files >= 30 && identical >= 20, `${identical} of ${files}`);
  });

  test('holds every value in explicit, implicit and big endian encoding, over the whole collection', (t) => {
    if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
    const { files, identical } = assertRewritten(COLLECTION);
    t.diagnostic(`${identical} of ${files} files come out bit for bit, having been in our form`);
    assert.ok(files > 200 && identical > 100, `${identical} of ${files}`);
  });

  test('has the pixels that another program wrote in the other byte order', () => {
    const little = read(path.join(FIXTURES, 'MR_small.dcm'));
    const big = read(path.join(FIXTURES, 'MR_small_bigendian.dcm'));
    const turned = readBack(rewritten(big, EXPLICIT_LITTLE_ENDIAN), EXPLICIT_LITTLE_ENDIAN);
    assert.equal(valuesOf(turned)['7FE00010'], valuesOf(little)['7FE00010']);
    assert.notEqual(valuesOf(little)['7FE00010'], undefined);
  });
});

describe('an element that an encoding cannot hold as it stands', () => {
  const LUT_DATA = 0x00283006;
  const long = Buffer.alloc(0x10002, Buffer.from([1, 2]));

  const explicit = (dataSet: DataSet, uid = EXPLICIT_LITTLE_ENDIAN): DataSet =>
    readBack(rewritten({ dataSet, source: memorySource(Buffer.alloc(0)) }, uid), uid).dataSet;

  test('goes from a short length to UN, or to OW where the standard leaves the choice', () => {
    const written = explicit(
      dataSetOf([bytesElement('PatientComments', long, 'LT'), bytesElement('LUTData', long, 'US')]),
    );
    assert.equal(written.elements.get(0x00104000)?.vr, 'UN');
    assert.equal(written.elements.get(LUT_DATA)?.vr, 'OW');
  });

  test('keeps its numbers as UN, which is little endian also in big endian', () => {
    const values = Array.from({ length: 0x4001 }, (_, index) => index * 3);
    const dataSet = dataSetOf([numberElement('SelectorULValue', values)]);
    const source = memorySource(Buffer.alloc(0));
    const big = readBack(rewritten({ dataSet, source }, EXPLICIT_BIG_ENDIAN), EXPLICIT_BIG_ENDIAN);
    assert.equal(big.dataSet.elements.get(0x00720078)?.vr, 'UN');
    assert.equal(valuesOf(big)['00720078'], valuesOf({ dataSet, source })['00720078']);
  });

  test('is made even by a space in text, NUL in UIDs and bytes', () => {
    const odd = (tag: number, vr: Vr, content: string): Element => ({
      tag,
      vr,
      value: { kind: 'bytes', bytes: Buffer.from(content) },
    });
    const elements = [odd(0x00080016, 'UI', '1.2'), odd(0x00080060, 'CS', 'ABC'), odd(0x7fe00010, 'OB', 'xyz')];
    const dataSet = { ...dataSetOf([]), elements: new Map(elements.map((element) => [element.tag, element])) };
    const bytes = [...explicit(dataSet).elements.values()].map(({ value }) => value.kind === 'bytes' && value.bytes);
    assert.deepEqual(bytes, [Buffer.from('1.2\0'), Buffer.from('ABC '), Buffer.from('xyz\0')]);
  });

  test('goes to UN also where only its padding is too much for a short length', () => {
    const value = { kind: 'bytes', bytes: Buffer.alloc(0xffff, 'x') } as const;
    const added = withElements(dataSetOf([]), [() => ({ tag: 0x00104000, vr: 'LT', value })]);
    const element = explicit(added).elements.get(0x00104000);
    assert.equal(element?.vr, 'UN');
    assert.ok(element.value.kind === 'range');
    assert.equal(element.value.range.length, 0x10000);
  });

  test('is refused where fragments would stand outside explicit little endian', () => {
    const file = read(path.join(FIXTURES, 'MR_small_RLE.dcm'));
    for (const uid of [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN]) {
      assert.throws(
        () => encodeDataSet(file.dataSet, transferSyntaxOf(uid)),
        (thrown) => thrown instanceof DicomError && thrown.code === 'malformed',
      );
    }
  });

  test('comes in ascending order of tags whatever order it was added in', () => {
    const dataSet = dataSetOf([textElement('PatientID', 'B'), textElement('Modality', 'MR')]);
    assert.deepEqual([...explicit(dataSet).elements.keys()], [0x00080005, 0x00080060, 0x00100020]);
  });
});

describe('values whose VR depends on PixelRepresentation', () => {
  test('are signed in implicit VR where the pixels are, also inside items', () => {
    const dataSet = dataSetOf([
      numberElement('PixelRepresentation', 1),
      numberElement('PixelPaddingValue', -2000, 'SS'),
      sequenceElement('RealWorldValueMappingSequence', [[numberElement('RealWorldValueFirstValueMapped', -7, 'SS')]]),
    ]);
    const source = memorySource(Buffer.alloc(0));
    const implicit = readBack(rewritten({ dataSet, source }, IMPLICIT_LITTLE_ENDIAN), IMPLICIT_LITTLE_ENDIAN);
    assert.deepEqual(dicomJson(implicit.dataSet), dicomJson(dataSet));
  });
});
