import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { memorySource, openFileSource } from './byte-source.ts';
import { textOf } from './data-set.ts';
import { DicomError } from './dicom-error.ts';
import { dicomJson } from './dicom-json.ts';
import { bytesElement, dataSetOf, textElement, withElements } from './element-values.ts';
import { readPart10 } from './part10.ts';
import { metaFor, writePart10 } from './part10-writer.ts';
import { EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from './transfer-syntax.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');
const DEFLATED = '1.2.840.10008.1.2.1.99';
const refused = (code: string) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

const read = (name: string) => readPart10(memorySource(readFileSync(path.join(FIXTURES, name))), 512);

describe('a written file', () => {
  test('is read as the one it came from, in each transfer syntax', () => {
    for (const name of [
      'MR_small.dcm',
      'MR_small_implicit.dcm',
      'MR_small_bigendian.dcm',
      'MR_small_RLE.dcm',
      'image_dfl.dcm',
    ]) {
      const file = read(name);
      const again = readPart10(memorySource(Buffer.concat([...writePart10(file)])), 512);
      assert.equal(again.transferSyntax.uid, file.transferSyntax.uid);
      assert.deepEqual(withoutLengths(dicomJson(again.dataSet)), withoutLengths(dicomJson(file.dataSet)), name);
    }
  });

  test('says in its meta information what it holds and who wrote it, and nothing of the old one', () => {
    const file = read('MR_small.dcm');
    const sender = withElements(file.meta, [textElement('SourceApplicationEntityTitle', 'SCANNER')]);
    const content = Buffer.concat([...writePart10({ ...file, meta: sender })]);
    assert.deepEqual(content.subarray(0, 132), Buffer.concat([Buffer.alloc(128), Buffer.from('DICM')]));
    const { meta } = readPart10(memorySource(content));
    const lengths = content.readUInt32LE(140);
    assert.equal(content.subarray(144 + lengths, 144 + lengths + 4).toString('hex'), '08000800'); // the data set begins there
    assert.equal(textOf(meta, 0x00020002), textOf(file.dataSet, 0x00080016));
    assert.equal(textOf(meta, 0x00020003), textOf(file.dataSet, 0x00080018));
    assert.equal(textOf(meta, 0x00020010), EXPLICIT_LITTLE_ENDIAN);
    assert.match(textOf(meta, 0x00020012) ?? '', /^2\.25\.\d+$/);
    assert.match(textOf(meta, 0x00020013) ?? '', /^LANTERN/);
    assert.equal(textOf(meta, 0x00020016), 'SCANNER');
    assert.deepEqual(meta.elements.get(0x00020001)?.value, { kind: 'bytes', bytes: Buffer.from([0, 1]) });
  });

  test('may be a head of ours before the bytes of a data set that came over the network', () => {
    const original = readFileSync(path.join(FIXTURES, 'MR_small.dcm'));
    const file = readPart10(memorySource(original));
    const start = 144 + original.readUInt32LE(140);
    const head = metaFor({ sopClassUid: '1.2.3', sopInstanceUid: '1.2.4', transferSyntaxUid: EXPLICIT_LITTLE_ENDIAN });
    const again = readPart10(memorySource(Buffer.concat([head, original.subarray(start)])));
    assert.deepEqual(dicomJson(again.dataSet), dicomJson(file.dataSet));
  });

  test('is deflated where its syntax says so', () => {
    const file = read('MR_small.dcm');
    const blocks = [...writePart10({ ...file, transferSyntax: transferSyntaxOf(DEFLATED) })];
    const content = Buffer.concat(blocks);
    assert.equal(content.byteLength % 2, 0);
    assert.ok(content.byteLength < 8000, `${content.byteLength} bytes`);
    assert.deepEqual(
      withoutLengths(dicomJson(readPart10(memorySource(content), 512).dataSet)),
      withoutLengths(dicomJson(file.dataSet)),
    );
  });

  test('streams what lies in a file in blocks, never as a whole', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'lantern-'));
    try {
      const pixels = Buffer.alloc(5 * 1024 * 1024 + 2, Buffer.from([1, 2, 3, 4, 5, 6, 7]));
      const dataSet = dataSetOf([
        textElement('SOPClassUID', '1.2.840.10008.5.1.4.1.1.7'),
        textElement('SOPInstanceUID', '1.2.3'),
        bytesElement('PixelData', pixels, 'OB'),
      ]);
      const transferSyntax = transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN);
      const name = path.join(folder, 'large.dcm');
      writeFileSync(
        name,
        Buffer.concat([...writePart10({ dataSet, transferSyntax, source: memorySource(Buffer.alloc(0)) })]),
      );
      const source = openFileSource(name);
      const blocks = [...writePart10(readPart10(source))];
      source.close();
      assert.ok(Math.max(...blocks.map((block) => block.byteLength)) <= 1024 * 1024);
      assert.deepEqual(Buffer.concat(blocks), readFileSync(name));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('is refused without UIDs, and with pixels in the form of another syntax', () => {
    const transferSyntax = transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN);
    const nameless = { dataSet: dataSetOf([]), transferSyntax, source: memorySource(Buffer.alloc(0)) };
    assert.throws(() => writePart10(nameless), refused('malformed'));
    assert.throws(() => writePart10({ ...read('MR_small_RLE.dcm'), transferSyntax }), refused('malformed'));
    const rle = transferSyntaxOf('1.2.840.10008.1.2.5');
    assert.throws(() => writePart10({ ...read('MR_small.dcm'), transferSyntax: rle }), refused('malformed'));
  });
});

function withoutLengths(json: object): unknown {
  return Object.fromEntries(Object.entries(json).filter(([tag]) => !tag.endsWith('0000')));
}
