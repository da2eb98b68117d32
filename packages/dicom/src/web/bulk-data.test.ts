import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { memorySource } from '../byte-source.ts';
import { metadataJson } from '../dicom-json.ts';
import { dataSetOfJson } from '../dicom-json-reader.ts';
import { bytesElement, dataSetOf, numberElement, sequenceElement, textElement } from '../element-values.ts';
import { readPart10 } from '../part10.ts';
import { writePart10 } from '../part10-writer.ts';
import { EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from '../transfer-syntax.ts';
import { bulkDataAt, framesIn } from './bulk-data.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';

const open = (name: string, rangeBytesMin = 4096) =>
  readPart10(memorySource(readFileSync(path.join(FIXTURES, name))), rangeBytesMin);
const whole = (blocks: Iterable<Buffer> | undefined) => Buffer.concat([...(blocks ?? [])]);

/** Written and read again, so that large values lie in a source. */
function written(transferSyntaxUid: string, pixels: Buffer, bitsAllocated = 16) {
  const dataSet = dataSetOf([
    textElement('SOPClassUID', '1.2.840.10008.5.1.4.1.1.7'),
    textElement('SOPInstanceUID', '1.2.3'),
    textElement('PatientName', 'Müller^Änne'),
    sequenceElement('ReferencedImageSequence', [
      [textElement('ReferencedSOPInstanceUID', '1.2.3.4')],
      [bytesElement('EncapsulatedDocument', Buffer.from('abcdef'.repeat(1000)), 'OB')],
    ]),
    numberElement('SamplesPerPixel', 1),
    textElement('PhotometricInterpretation', 'MONOCHROME2'),
    numberElement('NumberOfFrames', 3),
    numberElement('Rows', 3),
    numberElement('Columns', 3),
    numberElement('BitsAllocated', bitsAllocated),
    numberElement('BitsStored', bitsAllocated),
    numberElement('HighBit', bitsAllocated - 1),
    numberElement('PixelRepresentation', 0),
    bytesElement('PixelData', pixels, bitsAllocated === 1 ? 'OB' : 'OW'),
  ]);
  const content = {
    dataSet,
    transferSyntax: transferSyntaxOf(transferSyntaxUid),
    source: memorySource(Buffer.alloc(0)),
  };
  return readPart10(memorySource(Buffer.concat([...writePart10(content)])), 40);
}

const PIXELS = Buffer.from(Array.from({ length: 54 }, (_, index) => index * 3));

describe('metadata', () => {
  test('name what is large by a URI that leads to it, also within sequences', () => {
    const object = written(EXPLICIT_LITTLE_ENDIAN, PIXELS);
    const json = metadataJson(object.dataSet, (where) => `/bulk/${where}`);
    assert.deepEqual(json['7FE00010'], { vr: 'OW', BulkDataURI: '/bulk/7FE00010' });
    assert.deepEqual(json['00081140']?.Value?.[1], {
      '00420011': { vr: 'OB', BulkDataURI: '/bulk/00081140.2.00420011' },
    });
    assert.equal(whole(bulkDataAt(object, '00081140.2.00420011')).toString(), 'abcdef'.repeat(1000));
    const seen: string[] = [];
    dataSetOfJson(json, (uri) => {
      seen.push(uri);
      return { kind: 'bytes', bytes: Buffer.alloc(0) };
    });
    assert.deepEqual(seen.toSorted(), ['/bulk/00081140.2.00420011', '/bulk/7FE00010']);
  });

  test('name pixels by a URI however small they are', () => {
    const { dataSet } = open('MR_small.dcm', Number.POSITIVE_INFINITY);
    const few = { ...dataSet, elements: new Map([...dataSet.elements].filter(([tag]) => tag !== 0x7fe00010)) };
    const pixels = dataSetOf([bytesElement('PixelData', Buffer.alloc(4), 'OW')]).elements;
    const json = metadataJson({ ...few, elements: new Map([...few.elements, ...pixels]) }, (where) => where);
    assert.deepEqual(json['7FE00010'], { vr: 'OW', BulkDataURI: '7FE00010' });
  });

  test('are in UTF-8, and without group lengths', () => {
    const { dataSet } = open('chrGreek.dcm');
    const json = metadataJson(dataSet, () => '');
    assert.deepEqual(json['00080005'], { vr: 'CS', Value: ['ISO_IR 192'] });
    assert.deepEqual(json['00100010']?.Value, [{ Alphabetic: 'Διονυσιος' }]);
    assert.ok(Object.keys(json).every((tag) => !tag.endsWith('0000')));
  });
});

describe('bulk data', () => {
  test('are little endian whatever the object is written in', () => {
    for (const syntax of [EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN]) {
      assert.deepEqual(whole(bulkDataAt(written(syntax, PIXELS), '7FE00010')), PIXELS);
    }
    const short = readPart10(
      memorySource(readFileSync(path.join(FIXTURES, 'MR_small_bigendian.dcm'))),
      Number.POSITIVE_INFINITY,
    );
    assert.deepEqual(whole(bulkDataAt(short, '7fe00010')), whole(bulkDataAt(open('MR_small.dcm'), '7FE00010')));
  });

  test('are none for a path that leads nowhere, to a sequence, or is none', () => {
    const object = written(EXPLICIT_LITTLE_ENDIAN, PIXELS);
    for (const wrong of [
      '00081140.3.00420011',
      '00081140.0.00420011',
      '00081140',
      '00420011',
      '',
      '7FE00010.1',
      '../etc',
      '7FE0001',
    ])
      assert.equal(bulkDataAt(object, wrong), undefined, wrong);
  });
});

describe('frames', () => {
  test('come as they stand, or brought to another syntax, one by one', () => {
    const native = written(EXPLICIT_LITTLE_ENDIAN, PIXELS);
    for (const object of [native, written(EXPLICIT_BIG_ENDIAN, PIXELS)]) {
      const { frameCount, frame } = framesIn(object, EXPLICIT_LITTLE_ENDIAN);
      assert.equal(frameCount, 3);
      assert.deepEqual(frame(1), PIXELS.subarray(18, 36));
    }
    const compressed = framesIn(native, JPEG_LOSSLESS).frame(2);
    assert.equal(compressed.readUInt16BE(0), 0xffd8);
    const rle = open('MR_small_RLE.dcm');
    assert.deepEqual(
      framesIn(rle, EXPLICIT_LITTLE_ENDIAN).frame(0),
      whole(bulkDataAt(open('MR_small.dcm'), '7FE00010')),
    );
    assert.deepEqual(framesIn(rle, rle.transferSyntax.uid).frame(0), whole(bulkDataAt(rle, '7FE00010')));
    assert.throws(() => framesIn(native, '1.2.840.10008.1.2.4.100').frame(0), { code: 'unsupported' });
  });

  test('of one bit each begin with a byte of their own', () => {
    // Three frames of nine pixels, end to end: 101010101 110000000 000000011
    const object = written(EXPLICIT_LITTLE_ENDIAN, Buffer.from([0b01010101, 0b00000111, 0b00000000, 0b00000110]), 1);
    const { frame } = framesIn(object, EXPLICIT_LITTLE_ENDIAN);
    assert.deepEqual(
      [0, 1, 2].map((index) => [...frame(index)]),
      [
        [0b01010101, 0b1],
        [0b00000011, 0b0],
        [0b10000000, 0b1],
      ],
    );
  });
});
