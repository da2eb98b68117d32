import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derivationOf, fixture } from '../../test/derivations.ts';
import { memorySource } from '../byte-source.ts';
import { type DataSet, itemsOf, textOf, textsIn } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { dicomJson } from '../dicom-json.ts';
import { tagOfKeyword } from '../dictionary.ts';
import { bytesElement, numberElement, sequenceElement, textElement, withElements } from '../element-values.ts';
import { readPart10 } from '../part10.ts';
import { type Derivation, derivedObject, PROCESSING_EQUIPMENT, part10Of } from './derived-object.ts';
import { uidOfUuid } from './uuid-uid.ts';

const KIND = { sopClassUid: '1.2.840.10008.5.1.4.1.1.7', modality: 'OT' };
const made = (derivation: Derivation) => derivedObject(derivation, KIND, []);
const tag = (keyword: string) => tagOfKeyword(keyword) ?? 0;
const text = (dataSet: DataSet, keyword: string) => textOf(dataSet, tag(keyword));

const refusedWith =
  (code: string, field: string, ...secrets: readonly string[]) =>
  (thrown: unknown) =>
    thrown instanceof DicomError &&
    thrown.code === code &&
    thrown.message.startsWith(field) &&
    secrets.every((secret) => !thrown.message.includes(secret));

describe('an object that is derived', () => {
  const { dataSet: source } = fixture('MR_small.dcm');

  test('is of the patient and the study of its source, and has a series and an instance of its own', () => {
    const object = made(derivationOf(source));
    for (const keyword of ['PatientName', 'PatientID', 'StudyInstanceUID', 'StudyDate', 'StudyTime'])
      assert.equal(text(object, keyword), text(source, keyword), keyword);
    assert.equal(text(object, 'SeriesInstanceUID'), '2.25.9002');
    assert.equal(text(object, 'SOPInstanceUID'), '2.25.9001');
    assert.equal(text(object, 'SeriesNumber'), '901');
    assert.equal(text(object, 'InstanceNumber'), '3');
    assert.equal(object.elements.has(tag('PixelData')), false);
    assert.equal(object.elements.has(tag('EchoTime')), false);
  });

  test('has each attribute of type 2 of patient and study, empty where the source knows nothing', () => {
    const bare = withElements(
      source,
      ['PatientName', 'PatientSex', 'PatientBirthDate', 'AccessionNumber', 'StudyID', 'ReferringPhysicianName'].map(
        (keyword) => ({ remove: tag(keyword) }),
      ),
    );
    const json = dicomJson(made(derivationOf(bare)));
    for (const hex of ['00100010', '00100030', '00100040', '00080050', '00200010', '00080090'])
      assert.deepEqual(Object.keys(json[hex] ?? {}), ['vr'], hex);
  });

  test('keeps a series and an instance UID that are given, so that a result made again is the same instance', () => {
    const series = { instanceUid: '2.25.5', number: 1 };
    const object = made(derivationOf(source, { series, sopInstanceUid: '2.25.6' }));
    assert.equal(text(object, 'SeriesInstanceUID'), '2.25.5');
    assert.equal(text(object, 'SOPInstanceUID'), '2.25.6');
    assert.equal(text(readPart10(memorySource(part10Of(object))).meta, 'MediaStorageSOPInstanceUID'), '2.25.6');
  });

  test('is in UTF-8, whatever the source is in, and whatever its byte order', () => {
    for (const name of ['chrH32.dcm', 'chrGreek.dcm', 'chrKoreanMulti.dcm', 'chrX2.dcm', 'MR_small_bigendian.dcm']) {
      const other = fixture(name).dataSet;
      const object = readPart10(memorySource(part10Of(made(derivationOf(other))))).dataSet;
      assert.equal(text(object, 'SpecificCharacterSet'), 'ISO_IR 192');
      assert.equal(text(object, 'PatientName'), text(other, 'PatientName'), name);
    }
  });

  test('leaves behind what breaks a rule and is not needed, and keeps what identifies the patient as it stands', () => {
    const age = bytesElement('PatientAge', Buffer.from('42'), 'AS');
    const birthDate = bytesElement('PatientBirthDate', Buffer.from('1966-01-01'), 'DA');
    const object = made(derivationOf(withElements(source, [age, birthDate])));
    assert.equal(object.elements.has(tag('PatientAge')), false);
    assert.equal(text(object, 'PatientBirthDate'), '1966-01-01');
  });

  test('gives elements that came without a VR theirs again', () => {
    const unknown = { tag: tag('PatientID'), vr: 'UN', value: { kind: 'bytes', bytes: Buffer.from('L-1 ') } } as const;
    const object = made(derivationOf(withElements(source, [() => unknown])));
    assert.equal(object.elements.get(tag('PatientID'))?.vr, 'LO');
    assert.equal(text(object, 'PatientID'), 'L-1');
  });

  test('says its time in the zone of the source', () => {
    for (const [offset, date, time] of [
      ['+0200', '20260305', '013005.078'],
      ['-0330', '20260304', '200005.078'],
    ] as const) {
      const object = made(derivationOf(withElements(source, [textElement('TimezoneOffsetFromUTC', offset)])));
      assert.equal(text(object, 'ContentDate'), date);
      assert.equal(text(object, 'ContentTime'), time);
      assert.equal(text(object, 'TimezoneOffsetFromUTC'), offset);
    }
  });

  test('names the program as its equipment, and the scanner and further programs as contributing', () => {
    const { equipment } = derivationOf(source);
    const platform = { ...equipment, modelName: 'platform', purpose: PROCESSING_EQUIPMENT };
    const object = made(derivationOf(source, { contributing: [platform] }));
    assert.equal(text(object, 'ManufacturerModelName'), 'nodule-finder');
    const items = itemsOf(object, tag('ContributingEquipmentSequence'));
    assert.deepEqual(
      items.map((item) => [
        text(item, 'Manufacturer'),
        itemsOf(item, tag('PurposeOfReferenceCodeSequence')).map((code) => text(code, 'CodeValue')),
      ]),
      [
        [text(source, 'Manufacturer'), ['109101']],
        ['Maker', ['109102']],
      ],
    );
  });

  test('is refused where a text is too long for its VR, naming the field and the rule but not the text', () => {
    const description = 'x'.repeat(65);
    const series = { number: 1, description };
    assert.throws(
      () => made(derivationOf(source, { series })),
      refusedWith('value', 'SeriesDescription (0008,103E): a value of LO has at most 64 characters', description),
    );
    const equipment = { ...derivationOf(source).equipment, manufacturer: '' };
    assert.throws(() => made(derivationOf(source, { equipment })), refusedWith('object', 'Manufacturer'));
    assert.throws(() => made(derivationOf(source, { instanceNumber: 1.5 })), refusedWith('object', 'InstanceNumber'));
  });

  test('is refused where it would take the place of its source or stand in its series', () => {
    const series = { number: 1, instanceUid: text(source, 'SeriesInstanceUID') ?? '' };
    assert.throws(() => made(derivationOf(source, { series })), refusedWith('object', 'SeriesInstanceUID'));
    const sopInstanceUid = text(source, 'SOPInstanceUID') ?? '';
    assert.throws(() => made(derivationOf(source, { sopInstanceUid })), refusedWith('object', 'SOPInstanceUID'));
  });

  test('is refused where its source is of no study', () => {
    const stray = withElements(source, [{ remove: tag('StudyInstanceUID') }]);
    assert.throws(() => made(derivationOf(stray)), refusedWith('object', 'StudyInstanceUID'));
  });

  test('takes a clinical trial over as a whole', () => {
    const trial = withElements(source, [
      textElement('ClinicalTrialSponsorName', 'Sponsor'),
      textElement('ClinicalTrialProtocolID', 'P-1'),
      textElement('ClinicalTrialSubjectID', 'S-1'),
    ]);
    assert.equal(text(made(derivationOf(trial)), 'ClinicalTrialSubjectID'), 'S-1');
    const partial = withElements(source, [textElement('ClinicalTrialSubjectID', 'S-1')]);
    assert.equal(made(derivationOf(partial)).elements.has(tag('ClinicalTrialSubjectID')), false);
  });

  test('copies sequences with all that is in them', () => {
    const procedure = sequenceElement('ProcedureCodeSequence', [
      [textElement('CodeValue', '24627-2'), textElement('CodingSchemeDesignator', 'LN'), numberElement('Rows', 258)],
    ]);
    const object = made(derivationOf(withElements(fixture('MR_small_bigendian.dcm').dataSet, [procedure])));
    const [item] = itemsOf(object, tag('ProcedureCodeSequence'));
    assert.ok(item !== undefined);
    assert.equal(text(item, 'CodeValue'), '24627-2');
    const rows = item.elements.get(tag('Rows'))?.value;
    assert.ok(rows?.kind === 'bytes');
    assert.deepEqual(rows.bytes, Buffer.from([2, 1]));
    const texts = [...object.elements.values()].flatMap((element) => textsIn(element, object.characterSets));
    assert.ok(texts.length > 10);
  });
});

test('a UID of a UUID is its number after 2.25', () => {
  // The example of PS3.5 B.2.
  const uid = uidOfUuid('f81d4fae-7dec-11d0-a765-00a0c91e6bf6');
  assert.equal(uid, '2.25.329800735698586629295641978511506172918');
});
