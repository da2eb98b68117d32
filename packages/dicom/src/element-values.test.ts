import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { memorySource } from './byte-source.ts';
import { type DataSet, numbersIn, textOf, textsIn } from './data-set.ts';
import { DicomError } from './dicom-error.ts';
import { dicomJson } from './dicom-json.ts';
import {
  dataSetOf,
  decimalString,
  inUnicode,
  numberElement,
  sequenceElement,
  tagElement,
  textElement,
  withElements,
} from './element-values.ts';
import { readPart10 } from './part10.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');
const PATIENT_NAME = 0x00100010;
const PATIENT_ID = 0x00100020;
const MODALITY = 0x00080060;

const fixture = (name: string): DataSet => readPart10(memorySource(readFileSync(path.join(FIXTURES, name)))).dataSet;
const refused = (code: string) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

function bytesIn(dataSet: DataSet, tag: number): Buffer | undefined {
  const value = dataSet.elements.get(tag)?.value;
  return value?.kind === 'bytes' ? value.bytes : undefined;
}

describe('a changed data set', () => {
  test('leaves the one it was made from as it was, and shares the rest with it', () => {
    const before = fixture('MR_small.dcm');
    const after = withElements(before, [textElement('PatientID', 'L-42'), { remove: PATIENT_NAME }]);
    assert.equal(textOf(after, PATIENT_ID), 'L-42');
    assert.equal(after.elements.has(PATIENT_NAME), false);
    assert.notEqual(textOf(before, PATIENT_ID), 'L-42');
    assert.equal(before.elements.has(PATIENT_NAME), true);
    assert.equal(after.elements.get(MODALITY), before.elements.get(MODALITY));
  });

  test('writes text in the character set that it has', () => {
    const before = fixture('chrGreek.dcm'); // ISO_IR 126
    const after = withElements(before, [textElement('PatientID', 'Ωμέγα')]);
    assert.deepEqual(bytesIn(after, PATIENT_ID), Buffer.from([0xd9, 0xec, 0xdd, 0xe3, 0xe1, 0x20]));
    assert.deepEqual(bytesIn(after, PATIENT_NAME), bytesIn(before, PATIENT_NAME));
  });

  test('writes Chinese in GB18030 and GBK as the file does that pydicom keeps', () => {
    for (const name of ['chrX2.dcm']) {
      const before = fixture(name);
      const after = withElements(before, [textElement('PatientName', textOf(before, PATIENT_NAME) ?? '')]);
      assert.deepEqual(bytesIn(after, PATIENT_NAME), bytesIn(before, PATIENT_NAME));
    }
  });

  test('turns to UTF-8 as a whole where its character set lacks a letter, and still reads as before', () => {
    for (const name of ['chrGreek.dcm', 'chrH31.dcm', 'chrKoreanMulti.dcm', 'chrSQEncoding.dcm', 'MR_small.dcm']) {
      const before = fixture(name);
      const after = withElements(before, [textElement('PatientID', '漢字Ω')]);
      assert.deepEqual(after.characterSets, ['ISO_IR 192']);
      assert.equal(textOf(after, PATIENT_ID), '漢字Ω');
      const [old, made] = [before, after].map((dataSet) => {
        const { '00100020': id, '00080005': set, ...rest } = dicomJson(dataSet);
        return JSON.stringify(rest, (key, value) => (key === '00080005' ? undefined : value));
      });
      assert.equal(made, old, name);
    }
  });

  test('writes numbers in its byte order', () => {
    const before = fixture('MR_small_bigendian.dcm');
    const after = withElements(before, [numberElement('Rows', 258), tagElement('FrameIncrementPointer', [0x00181063])]);
    assert.deepEqual(bytesIn(after, 0x00280010), Buffer.from([1, 2]));
    assert.deepEqual(bytesIn(after, 0x00280009), Buffer.from([0, 0x18, 0x10, 0x63]));
  });

  test('names the character set of an item that comes from elsewhere', () => {
    const item = fixture('chrFren.dcm');
    const around = dataSetOf([sequenceElement('ReferencedSeriesSequence', [item])]);
    const value = around.elements.get(0x00081115)?.value;
    assert.ok(value?.kind === 'items');
    assert.equal(textOf(value.items[0] ?? around, 0x00080005), 'ISO_IR 100');
  });

  test('is not declared to be in a character set that its texts are not in', () => {
    assert.throws(() => withElements(fixture('chrGreek.dcm'), [textElement('SpecificCharacterSet', 'ISO_IR 192')]));
    assert.equal(textOf(inUnicode(fixture('chrGreek.dcm')), PATIENT_NAME), 'Διονυσιος');
  });
});

describe('a value that breaks the rule of its VR', () => {
  for (const [name, value] of [
    ['Modality', 'mr'],
    ['PatientID', 'x'.repeat(65)],
    ['StudyDate', '2026-11-26'],
    ['StudyInstanceUID', '1.02.3'],
    ['PatientID', 'a\\b'],
    ['PatientComments', 'a\u0007'],
    ['PatientName', 'A=B=C=D'],
    ['AccessionNumber', '12345678901234567'],
    ['SliceThickness', '1,5'],
  ] as const) {
    test(`is refused: ${name} ${JSON.stringify(value).slice(0, 20)}`, () => {
      assert.throws(() => textElement(name, value), refused('value'));
    });
  }

  test('is refused where a number does not fit, by one or by sign', () => {
    const build = (name: string, value: number | bigint) => dataSetOf([numberElement(name, value)]);
    assert.throws(() => build('Rows', 65_536), refused('value'));
    assert.throws(() => build('Rows', -1), refused('value'));
    assert.throws(() => build('Rows', 1.5), refused('value'));
    assert.throws(() => build('SelectorUVValue', 2n ** 64n), refused('value'));
    assert.deepEqual(numbersIn(...elementOf(build('Rows', 65_535), 0x00280010)), [65_535]);
    assert.deepEqual(numbersIn(...elementOf(build('SelectorUVValue', 2n ** 64n - 1n), 0x00720083)), [2n ** 64n - 1n]);
  });

  test('is never quoted in what is said about it', () => {
    assert.throws(
      () => textElement('PatientName', 'Secret\u0001Name'),
      (thrown) => thrown instanceof DicomError && !thrown.message.includes('Secret'),
    );
  });
});

function elementOf(dataSet: DataSet, tag: number) {
  const element = dataSet.elements.get(tag);
  assert.ok(element !== undefined);
  return [element, dataSet.littleEndian] as const;
}

describe('a decimal string', () => {
  test('takes at most 16 characters and is as near to its number as they allow', () => {
    const cases: readonly [number, string][] = [
      [0.1, '0.1'],
      [-0.1234567890123456, '-0.1234567890123'],
      [1 / 3, '0.33333333333333'],
      [1.0e-20 / 3, '3.3333333333e-21'],
      [-123456789.1234567, '-123456789.12346'],
      [1e21, '1e+21'],
      [65536, '65536'],
    ];
    for (const [number, expected] of cases) {
      assert.equal(decimalString(number), expected);
      assert.ok(expected.length <= 16);
    }
    assert.throws(() => decimalString(Number.NaN), refused('value'));
  });

  test('is what numbers become in DS, several of them', () => {
    const dataSet = dataSetOf([numberElement('ImagePositionPatient', [-1.5, 2 / 3, 1e-7])]);
    const [element] = elementOf(dataSet, 0x00200032);
    assert.deepEqual(textsIn(element, []), ['-1.5', '0.66666666666667', '1e-7']);
  });
});
