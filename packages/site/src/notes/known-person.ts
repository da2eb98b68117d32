/** What a FHIR R4 Patient, RelatedPerson or Practitioner says of a person, as the de-identification of notes looks for it. */
import type { KnownName, KnownPerson } from '@lantern/omop';
import { type Json, member, members, textOf } from '../omop-etl/fhir-json.ts';

const NHS_NUMBER_SYSTEM = 'https://fhir.nhs.uk/Id/nhs-number';
const MEDICAL_RECORD = 'MR';

export function knownPersonOf(resource: Json): KnownPerson {
  const contacts = members(resource, 'telecom');
  const reached = (isWanted: (system: string | undefined) => boolean) =>
    contacts.flatMap((contact) => (isWanted(textOf(contact, 'system')) ? textsOf(textOf(contact, 'value')) : []));
  const addresses = members(resource, 'address');
  const birthDate = textOf(resource, 'birthDate');
  return {
    names: members(resource, 'name').map(nameOf),
    numbers: numbersOf(resource),
    addressLines: addresses.flatMap(linesOf),
    postcodes: addresses.flatMap((address) => textsOf(textOf(address, 'postalCode'))),
    phones: reached((system) => system !== 'email' && system !== 'url'),
    emails: reached((system) => system === 'email'),
    ...(birthDate === undefined ? {} : { birthDate }),
  };
}

/** Next of kin and the like inside a Patient. */
export function contactsOf(patient: Json): KnownPerson[] {
  return members(patient, 'contact').map((contact) => {
    const name = member(contact, 'name');
    const address = member(contact, 'address');
    return knownPersonOf({
      telecom: member(contact, 'telecom'),
      ...(name === undefined ? {} : { name: [name] }),
      ...(address === undefined ? {} : { address: [address] }),
    });
  });
}

export function numbersOf(resource: Json): string[] {
  return members(resource, 'identifier').flatMap((identifier) => textsOf(textOf(identifier, 'value')));
}

/**
 * The number under which a patient's pseudonym and shift are made: the hospital's own, which is the PatientID of its images; else
 * another that is not the NHS number, else any; without one the name of the resource.
 */
export function numberOfPatient(patient: Json, id: string): string {
  const identifiers = members(patient, 'identifier').filter((one) => textOf(one, 'value') !== undefined);
  const isMedicalRecord = (one: unknown) =>
    members(one, 'type', 'coding').some((coding) => textOf(coding, 'code') === MEDICAL_RECORD);
  const chosen =
    identifiers.find(isMedicalRecord) ??
    identifiers.find((one) => textOf(one, 'system') !== NHS_NUMBER_SYSTEM) ??
    identifiers[0];
  return textOf(chosen, 'value')?.trim() ?? `Patient/${id}`;
}

function nameOf(name: unknown): KnownName {
  const family = textOf(name, 'family');
  const text = textOf(name, 'text');
  const given = members(name, 'given').filter((one) => typeof one === 'string');
  return { given, ...(family === undefined ? {} : { family }), ...(text === undefined ? {} : { text }) };
}

function linesOf(address: unknown): string[] {
  const lines = members(address, 'line').filter((line) => typeof line === 'string');
  return [...lines, ...textsOf(textOf(address, 'city')), ...textsOf(textOf(address, 'text'))];
}

function textsOf(text: string | undefined): string[] {
  return text === undefined ? [] : [text];
}
