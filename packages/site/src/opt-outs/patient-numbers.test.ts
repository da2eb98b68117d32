import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dataSetOf, sequenceElement, textElement } from '@lantern/dicom';
import { nhsNumberOf, patientIdOf, patientNumbersOf } from './patient-numbers.ts';

describe('an NHS number', () => {
  it('is ten digits with the check digit of modulus 11, however they are grouped', () => {
    assert.equal(nhsNumberOf('943 476 5919'), '9434765919'); // the example of the NHS Data Dictionary
    assert.equal(nhsNumberOf('943-476-5919'), '9434765919');
    assert.equal(nhsNumberOf('9434765918'), undefined);
    assert.equal(nhsNumberOf('9434756919'), undefined); // two digits exchanged
    assert.equal(nhsNumberOf('943476591'), undefined);
  });

  it('has no check digit of ten', () => {
    // The ninth digit counts twice: 12 mod 11 = 1, which leaves 10.
    for (let digit = 0; digit < 10; digit += 1) assert.equal(nhsNumberOf(`000000006${digit}`), undefined);
    assert.equal(nhsNumberOf('0000000019'), '0000000019'); // 1 * 2 leaves 9
  });
});

describe('the numbers of a patient', () => {
  it('are all that an object names', () => {
    const dataSet = dataSetOf([
      textElement('PatientID', 'A1'),
      textElement('OtherPatientIDs', ['B2', 'C3']),
      sequenceElement('OtherPatientIDsSequence', [[textElement('PatientID', 'D4')]]),
    ]);
    assert.deepEqual(patientNumbersOf(dataSet), ['A1', 'B2', 'C3', 'D4']);
    assert.deepEqual(patientNumbersOf(dataSetOf([])), []);
  });

  it('are compared without regard to case and blanks', () => {
    assert.equal(patientIdOf(' hosp 17a '), 'HOSP17A');
    assert.equal(patientIdOf('  '), undefined);
  });
});
