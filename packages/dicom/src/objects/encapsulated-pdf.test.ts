import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derivationOf, fixture } from '../../test/derivations.ts';
import { memorySource } from '../byte-source.ts';
import { itemsOf, numberOf, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { readPart10 } from '../part10.ts';
import { part10Of } from './derived-object.ts';
import { type EncapsulatedPdf, encapsulatedPdfOf } from './encapsulated-pdf.ts';

const { dataSet: source } = fixture('MR_small.dcm');
const PDF = Buffer.from('%PDF-1.4\n%%EOF\n');
const ENCAPSULATED_DOCUMENT = 0x00420011;
const ENCAPSULATED_DOCUMENT_LENGTH = 0x00420015;

const encapsulated = (changes: Partial<EncapsulatedPdf> = {}) =>
  encapsulatedPdfOf(derivationOf(source), { pdf: PDF, title: 'Report', burnedInAnnotation: true, ...changes });
const refused = (code: string, field: string) => (thrown: unknown) =>
  thrown instanceof DicomError && thrown.code === code && thrown.message.startsWith(field);

describe('an encapsulated PDF', () => {
  test('holds the document, padded to an even length, and tells its true length', () => {
    const { dataSet } = readPart10(memorySource(part10Of(encapsulated())));
    const value = dataSet.elements.get(ENCAPSULATED_DOCUMENT)?.value;
    assert.ok(value?.kind === 'bytes');
    assert.equal(value.bytes.byteLength, 16);
    assert.equal(numberOf(dataSet, ENCAPSULATED_DOCUMENT_LENGTH), 15);
    assert.deepEqual(value.bytes.subarray(0, 15), PDF);
  });

  test('says of which document of the record it is a copy, and of what instances it was made', () => {
    const dataSet = encapsulated({ hl7InstanceIdentifier: '2.16.840.1.113883.19^42', sources: [source] });
    assert.equal(textOf(dataSet, 0x0040e001), '2.16.840.1.113883.19^42');
    const [item] = itemsOf(dataSet, 0x00420013);
    assert.ok(item !== undefined);
    assert.equal(textOf(item, 0x00081155), textOf(source, 0x00080018));
  });

  test('is refused where it is no PDF, has no title, or a title that is too long', () => {
    assert.throws(() => encapsulated({ pdf: Buffer.from('<html>') }), refused('object', 'EncapsulatedDocument'));
    assert.throws(() => encapsulated({ title: '' }), refused('object', 'DocumentTitle'));
    assert.throws(() => encapsulated({ title: 'x'.repeat(1025) }), refused('value', 'DocumentTitle (0042,0010): '));
  });
});
