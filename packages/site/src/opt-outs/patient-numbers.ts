/** Numbers by which a patient may stand in a list of opt-outs, in one spelling each. */
import { type DataSet, itemsOf, tagOfKeyword, textOf, textsIn } from '@lantern/dicom';
import { isNhsNumber } from '@lantern/omop';

/** A local patient number, as it is compared: case and blanks say nothing. */
export function patientIdOf(text: string): string | undefined {
  const id = text.replaceAll(/\s+/g, '').toUpperCase();
  return id === '' ? undefined : id;
}

/** Ten digits with a valid check digit (NHS Data Dictionary, NHS NUMBER: modulus 11), without blanks and dashes; else `undefined`. */
export function nhsNumberOf(text: string): string | undefined {
  const digits = text.replaceAll(/[\s-]+/g, '');
  return isNhsNumber(digits) ? digits : undefined;
}

const OTHER_PATIENT_IDS_SEQUENCE = tagOfKeyword('OtherPatientIDsSequence') ?? 0;
const PATIENT_ID = tagOfKeyword('PatientID') ?? 0;
const OTHER_PATIENT_IDS = tagOfKeyword('OtherPatientIDs') ?? 0;

/** Every number of the patient that an object names. */
export function patientNumbersOf(dataSet: DataSet): string[] {
  const others = itemsOf(dataSet, OTHER_PATIENT_IDS_SEQUENCE).map((item) => textOf(item, PATIENT_ID));
  const retired = dataSet.elements.get(OTHER_PATIENT_IDS);
  const oldOthers = retired === undefined ? [] : textsIn(retired, dataSet.characterSets);
  return [textOf(dataSet, PATIENT_ID), ...oldOthers, ...others].filter((text) => text !== undefined);
}
