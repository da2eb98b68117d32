/** Numbers by which a patient may stand in a list of opt-outs, in one spelling each. */
import { type DataSet, itemsOf, tagOfKeyword, textOf, textsIn } from '@lantern/dicom';

const NHS_NUMBER_LENGTH = 10;

/** A local patient number, as it is compared: case and blanks say nothing. */
export function patientIdOf(text: string): string | undefined {
  const id = text.replaceAll(/\s+/g, '').toUpperCase();
  return id === '' ? undefined : id;
}

/** Ten digits with a valid check digit (NHS Data Dictionary, NHS NUMBER: modulus 11), without blanks and dashes; else `undefined`. */
export function nhsNumberOf(text: string): string | undefined {
  const digits = text.replaceAll(/[\s-]+/g, '');
  if (!/^\d{10}$/.test(digits)) return undefined;
  let sum = 0;
  for (let index = 0; index < NHS_NUMBER_LENGTH - 1; index += 1)
    sum += Number(digits[index]) * (NHS_NUMBER_LENGTH - index);
  const check = (11 - (sum % 11)) % 11;
  return check === Number(digits[NHS_NUMBER_LENGTH - 1]) ? digits : undefined;
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
