/** Patients, staff and places of FHIR R4 as rows of the staged tables. */
import { type FhirDate, readFhirDate } from './fhir-date.ts';
import { type Json, keyOfReference, member, members, textOf } from './fhir-json.ts';
import type { ResourceStage } from './staged-resource.ts';

const US_CORE_RACE = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-race';
const US_CORE_ETHNICITY = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity';
const UK_CORE_ETHNIC_CATEGORY = 'https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-EthnicCategory';

export function readPatient(patient: Json, stage: ResourceStage): void {
  stage.belongsTo(stage.resourceKey);
  readSurvivors(patient, stage);
  const birth = readFhirDate(textOf(patient, 'birthDate'));
  if (birth === undefined) {
    stage.refuse('birth-date.missing');
    return;
  }
  const death = readDeath(patient, birth, stage);
  const race = usCoreCategory(patient, US_CORE_RACE) ?? ukCoreCategory(patient);
  const ethnicity = usCoreCategory(patient, US_CORE_ETHNICITY);
  stage.add('person', {
    gender: textOf(patient, 'gender'),
    birth_date: birth.date,
    birth_precision: birth.precision,
    death_date: death?.date,
    death_at: death?.at,
    race_code: textOf(race, 'code'),
    race_system: textOf(race, 'system'),
    ethnicity_code: textOf(ethnicity, 'code'),
    ethnicity_system: textOf(ethnicity, 'system'),
    care_site_key: keyOfReference(member(patient, 'managingOrganization')),
    provider_key: keyOfReference(member(patient, 'generalPractitioner')),
    ...addressOf(patient),
  });
  for (const identifier of members(patient, 'identifier')) {
    const value = textOf(identifier, 'value');
    if (value !== undefined) stage.add('person_identifier', { system: textOf(identifier, 'system'), value });
  }
}

function readSurvivors(patient: Json, stage: ResourceStage): void {
  for (const link of members(patient, 'link')) {
    const survivor = textOf(link, 'type') === 'replaced-by' ? keyOfReference(member(link, 'other')) : undefined;
    if (survivor === undefined) continue;
    stage.add('person_link', { survivor_key: survivor });
    stage.warn('patient.merged');
  }
}

/** A death without a date cannot stand in the CDM. */
function readDeath(patient: Json, birth: FhirDate, stage: ResourceStage): FhirDate | undefined {
  const text = textOf(patient, 'deceasedDateTime');
  const death = readFhirDate(text);
  if (text !== undefined && death === undefined) stage.warn('end.invalid');
  if (member(patient, 'deceasedBoolean') === true) stage.warn('date.missing');
  if (death === undefined || death.date >= birth.date) return death;
  stage.warn('end.before-start');
  return undefined;
}

export function readPractitioner(practitioner: Json, stage: ResourceStage): void {
  stage.add('provider', {
    identifier: textOf(practitioner, 'identifier', 'value'),
    gender: textOf(practitioner, 'gender'),
    specialty: textOf(practitioner, 'qualification', 'code', 'coding', 'code'),
  });
}

/** An Organization or a Location where care is given. */
export function readPlace(place: Json, stage: ResourceStage): void {
  stage.add('care_site', {
    name: textOf(place, 'name'),
    kind: textOf(place, 'type', 'coding', 'code'),
    ...addressOf(place),
  });
}

function addressOf(resource: Json) {
  const address = member(resource, 'address');
  return {
    city: textOf(address, 'city'),
    state: textOf(address, 'state'),
    zip: textOf(address, 'postalCode'),
    country: textOf(address, 'country'),
  };
}

/** The category of the US Office of Management and Budget within US Core's extension for race or ethnicity. */
function usCoreCategory(patient: Json, url: string): unknown {
  const extension = members(patient, 'extension').find((candidate) => textOf(candidate, 'url') === url);
  const category = members(extension, 'extension').find((part) => textOf(part, 'url') === 'ombCategory');
  return member(category, 'valueCoding');
}

function ukCoreCategory(patient: Json): unknown {
  const extension = members(patient, 'extension').find(
    (candidate) => textOf(candidate, 'url') === UK_CORE_ETHNIC_CATEGORY,
  );
  return member(extension, 'valueCodeableConcept', 'coding');
}
