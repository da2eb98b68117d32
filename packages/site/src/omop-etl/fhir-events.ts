/**
 * Events of FHIR R4 (conditions, drugs, procedures, observations, images, encounters) as rows of the staged tables. Which table
 * of the CDM an event goes to is decided later, by the domain of its concept; here stands what the resource says.
 */
import { ROWS_PER_RESOURCE_MAX } from '@lantern/omop';
import { type FhirDate, readFhirDate } from './fhir-date.ts';
import {
  containedOf,
  type Json,
  keyOfReference,
  member,
  members,
  numberOf,
  textOf,
  wholeNumberOf,
} from './fhir-json.ts';
import type { ResourceStage } from './staged-resource.ts';

/** OMOP's Type Concept domain: where a row comes from. */
const EHR = 32817;
const EHR_ADMINISTRATION = 32818;
const EHR_DISPENSING = 32825;
const EHR_PRESCRIPTION = 32838;
const PATIENT_SELF_REPORT = 32865;

/** How many components of a resource are looked at, below the rows it may give, since each may map to several concepts. */
const COMPONENTS_MAX = 200;

type EventKind = {
  readonly domain: string;
  readonly typeConceptId: number;
  /** Where the date of the event may stand, the best first. */
  readonly starts: readonly (readonly string[])[];
  readonly ends: readonly (readonly string[])[];
  readonly code: readonly string[];
  readonly patient: 'subject' | 'patient';
  readonly encounter: 'encounter' | 'context';
  readonly provider: readonly string[];
  readonly keepsDomain?: boolean;
  /** Values of `status` with which it never happened, or is known to be wrong. */
  readonly refusedStatus: readonly string[];
};

const REPORTED = { patient: 'subject', encounter: 'encounter', refusedStatus: ['entered-in-error'] } as const;

const EVENT_KINDS: Readonly<Record<string, EventKind>> = {
  Condition: {
    ...REPORTED,
    domain: 'Condition',
    typeConceptId: EHR,
    starts: [['onsetDateTime'], ['onsetPeriod', 'start'], ['recordedDate']],
    ends: [['abatementDateTime'], ['abatementPeriod', 'end'], ['onsetPeriod', 'end']],
    code: ['code'],
    provider: ['recorder'],
  },
  AllergyIntolerance: {
    ...REPORTED,
    domain: 'Observation',
    keepsDomain: true,
    typeConceptId: EHR,
    patient: 'patient',
    starts: [['onsetDateTime'], ['onsetPeriod', 'start'], ['recordedDate']],
    ends: [],
    code: ['code'],
    provider: ['recorder'],
  },
  Procedure: {
    ...REPORTED,
    domain: 'Procedure',
    typeConceptId: EHR,
    starts: [['performedDateTime'], ['performedPeriod', 'start']],
    ends: [['performedPeriod', 'end']],
    code: ['code'],
    provider: ['performer', 'actor'],
    refusedStatus: ['entered-in-error', 'not-done', 'preparation'],
  },
  Observation: {
    ...REPORTED,
    domain: 'Measurement',
    typeConceptId: EHR,
    starts: [['effectiveDateTime'], ['effectivePeriod', 'start'], ['effectiveInstant'], ['issued']],
    ends: [],
    code: ['code'],
    provider: ['performer'],
    refusedStatus: ['entered-in-error', 'cancelled', 'registered'],
  },
  DiagnosticReport: {
    ...REPORTED,
    domain: 'Procedure',
    typeConceptId: EHR,
    starts: [['effectiveDateTime'], ['effectivePeriod', 'start'], ['issued']],
    ends: [],
    code: ['code'],
    provider: ['performer'],
    refusedStatus: ['entered-in-error', 'cancelled', 'registered'],
  },
  MedicationRequest: {
    ...REPORTED,
    domain: 'Drug',
    typeConceptId: EHR_PRESCRIPTION,
    starts: [['dispenseRequest', 'validityPeriod', 'start'], ['authoredOn']],
    ends: [],
    code: ['medicationCodeableConcept'],
    provider: ['requester'],
    refusedStatus: ['entered-in-error', 'cancelled', 'draft'],
  },
  MedicationAdministration: {
    ...REPORTED,
    encounter: 'context',
    domain: 'Drug',
    typeConceptId: EHR_ADMINISTRATION,
    starts: [['effectiveDateTime'], ['effectivePeriod', 'start']],
    ends: [['effectivePeriod', 'end']],
    code: ['medicationCodeableConcept'],
    provider: ['performer', 'actor'],
    refusedStatus: ['entered-in-error', 'not-done'],
  },
  MedicationDispense: {
    ...REPORTED,
    encounter: 'context',
    domain: 'Drug',
    typeConceptId: EHR_DISPENSING,
    starts: [['whenHandedOver'], ['whenPrepared']],
    ends: [],
    code: ['medicationCodeableConcept'],
    provider: ['performer', 'actor'],
    refusedStatus: ['entered-in-error', 'cancelled', 'declined', 'preparation'],
  },
  MedicationStatement: {
    ...REPORTED,
    encounter: 'context',
    domain: 'Drug',
    typeConceptId: PATIENT_SELF_REPORT,
    starts: [['effectiveDateTime'], ['effectivePeriod', 'start'], ['dateAsserted']],
    ends: [['effectivePeriod', 'end']],
    code: ['medicationCodeableConcept'],
    provider: [],
    refusedStatus: ['entered-in-error', 'not-taken', 'intended'],
  },
  Immunization: {
    ...REPORTED,
    patient: 'patient',
    domain: 'Drug',
    typeConceptId: EHR_ADMINISTRATION,
    starts: [['occurrenceDateTime']],
    ends: [],
    code: ['vaccineCode'],
    provider: ['performer', 'actor'],
    refusedStatus: ['entered-in-error', 'not-done'],
  },
  Specimen: {
    ...REPORTED,
    domain: 'Specimen',
    typeConceptId: EHR,
    starts: [['collection', 'collectedDateTime'], ['collection', 'collectedPeriod', 'start'], ['receivedTime']],
    ends: [],
    code: ['type'],
    provider: [],
    refusedStatus: ['entered-in-error', 'unavailable'],
  },
};

export const EVENT_RESOURCE_TYPES: readonly string[] = Object.keys(EVENT_KINDS);

export function readEvent(resourceType: string, resource: Json, stage: ResourceStage): void {
  const kind = EVENT_KINDS[resourceType];
  const personKey = personOf(resource, kind?.patient ?? 'subject', stage);
  if (kind === undefined || personKey === undefined) return;
  const refused = refusedStatusOf(resource, kind);
  if (refused !== undefined) {
    stage.refuse('status', refused);
    return;
  }
  const start = firstDate(resource, kind.starts);
  if (start === undefined) {
    stage.refuse('date.missing');
    return;
  }
  if (start.precision !== 'day') stage.warn('date.not-exact');
  const end = endOf(resource, kind, start, stage);
  const components = resourceType === 'Observation' ? members(resource, 'component') : [];
  if (components.length > Math.min(COMPONENTS_MAX, ROWS_PER_RESOURCE_MAX)) {
    stage.refuse('component.too-many');
    return;
  }
  const shared = {
    person_key: personKey,
    visit_key: keyOfReference(member(resource, kind.encounter)),
    provider_key: keyOfReference(member(resource, ...kind.provider)),
    keeps_domain: kind.keepsDomain === true,
    type_concept_id: kind.typeConceptId,
    start_date: start.date,
    start_at: start.at,
    end_date: end?.date,
    end_at: end?.at,
    status: textOf(resource, 'clinicalStatus', 'coding', 'code') ?? textOf(resource, 'status'),
    ...drugDetails(resource, kind),
  };
  if (kind.domain === 'Procedure') {
    for (const identifier of members(resource, 'identifier')) {
      const value = textOf(identifier, 'value');
      if (value !== undefined) stage.add('event_identifier', { value });
    }
  }
  // A panel whose values stand in its components alone says nothing by itself.
  const holders = components.length > 0 && !hasValue(resource) ? components : [resource, ...components];
  for (const [ordinal, holder] of holders.entries()) {
    const code = codeOf(resource, holder, kind);
    if (code.key === undefined && code.text === undefined && code.codings.length === 0) {
      if (holder === resource) stage.refuse('code.missing');
      else stage.warn('code.missing');
      continue;
    }
    stage.add('event', {
      ...shared,
      ordinal,
      default_domain: defaultDomainOf(resource, holder, kind),
      code_key: code.key,
      code_text: code.text,
      ...valueColumns(holder, stage),
    });
    addCodes(stage, ordinal, 'code', code.codings);
    addCodes(stage, ordinal, 'value', members(holder, 'valueCodeableConcept', 'coding'));
    addCodes(stage, ordinal, 'unit', unitOf(holder));
    addCodes(stage, ordinal, 'route', members(resource, 'dosageInstruction', 'route', 'coding'));
  }
}

export function readEncounter(encounter: Json, stage: ResourceStage): void {
  const personKey = personOf(encounter, 'subject', stage);
  if (personKey === undefined) return;
  const status = textOf(encounter, 'status');
  if (status !== undefined && ['cancelled', 'entered-in-error', 'planned'].includes(status)) {
    stage.refuse('status', status);
    return;
  }
  const start = readFhirDate(textOf(encounter, 'period', 'start'));
  if (start === undefined) {
    stage.refuse('date.missing');
    return;
  }
  if (start.precision !== 'day') stage.warn('date.not-exact');
  const end = laterThan(start, textOf(encounter, 'period', 'end'), stage);
  stage.add('visit', {
    person_key: personKey,
    class_code: textOf(encounter, 'class', 'code'),
    start_date: start.date,
    start_at: start.at,
    end_date: end?.date,
    end_at: end?.at,
    provider_key: keyOfReference(member(encounter, 'participant', 'individual')),
    care_site_key: keyOfReference(member(encounter, 'serviceProvider')),
    admitted_from: textOf(encounter, 'hospitalization', 'admitSource', 'coding', 'code'),
    discharged_to: textOf(encounter, 'hospitalization', 'dischargeDisposition', 'coding', 'code'),
  });
}

export function readImagingStudy(study: Json, stage: ResourceStage): void {
  const personKey = personOf(study, 'subject', stage);
  if (personKey === undefined) return;
  const status = textOf(study, 'status');
  if (status === 'entered-in-error' || status === 'cancelled') {
    stage.refuse('status', status);
    return;
  }
  const series = members(study, 'series');
  if (series.length === 0) {
    stage.refuse('series.missing');
    return;
  }
  if (series.length > ROWS_PER_RESOURCE_MAX) {
    stage.refuse('component.too-many');
    return;
  }
  const started = textOf(study, 'started');
  for (const [ordinal, one] of series.entries()) {
    const start = readFhirDate(textOf(one, 'started') ?? started);
    if (start === undefined) {
      stage.warn('date.missing');
      continue;
    }
    stage.add('image', {
      ordinal,
      person_key: personKey,
      visit_key: keyOfReference(member(study, 'encounter')),
      study_uid: studyUidOf(study),
      series_uid: textOf(one, 'uid'),
      modality: textOf(one, 'modality', 'code'),
      start_date: start.date,
      is_archived: false,
      procedure_key: keyOfReference(member(study, 'procedureReference')),
      body_site_system: textOf(one, 'bodySite', 'system'),
      body_site_code: textOf(one, 'bodySite', 'code'),
    });
  }
}

/** A Medication is no event; others take their code from it. */
export function readMedication(medication: Json, stage: ResourceStage): void {
  addCodes(stage, 0, 'code', members(medication, 'code', 'coding'));
}

function studyUidOf(study: Json): string | undefined {
  const uids = members(study, 'identifier').map((identifier) => textOf(identifier, 'value'));
  return uids.find((value) => value?.startsWith('urn:oid:'))?.slice('urn:oid:'.length);
}

function personOf(resource: Json, name: string, stage: ResourceStage): string | undefined {
  const key = keyOfReference(member(resource, name));
  if (key?.startsWith('Patient/') === true) {
    stage.belongsTo(key);
    return key;
  }
  stage.refuse('patient.reference-missing');
  return undefined;
}

/** Only of conditions and allergies, which have no status but two of their own. */
function refusedStatusOf(resource: Json, kind: EventKind): string | undefined {
  const verification = textOf(resource, 'verificationStatus', 'coding', 'code');
  if (verification === 'entered-in-error' || verification === 'refuted') return verification;
  const status = textOf(resource, 'status');
  if (status !== undefined && kind.refusedStatus.includes(status)) return status;
  const intent = textOf(resource, 'intent');
  return intent === 'plan' || intent === 'proposal' ? intent : undefined;
}

function firstDate(resource: Json, paths: readonly (readonly string[])[]): FhirDate | undefined {
  for (const path of paths) {
    const date = readFhirDate(textOf(resource, ...path));
    if (date !== undefined) return date;
  }
  return undefined;
}

function endOf(resource: Json, kind: EventKind, start: FhirDate, stage: ResourceStage): FhirDate | undefined {
  const text = kind.ends.map((path) => textOf(resource, ...path)).find((found) => found !== undefined);
  return laterThan(start, text, stage);
}

/** The end, unless it is no date or lies before the start: then nothing, and a warning. */
function laterThan(start: FhirDate, text: string | undefined, stage: ResourceStage): FhirDate | undefined {
  if (text === undefined) return undefined;
  const end = readFhirDate(text);
  if (end === undefined) stage.warn('end.invalid');
  else if (end.date < start.date) stage.warn('end.before-start');
  else return end;
  return undefined;
}

type Code = {
  readonly codings: readonly unknown[];
  readonly text: string | undefined;
  readonly key: string | undefined;
};

/** A medication's code may stand in the resource, in one that it contains, or in another. */
function codeOf(resource: Json, holder: unknown, kind: EventKind): Code {
  const name = holder === resource ? kind.code : ['code'];
  const concept = member(holder, ...name);
  const reference = member(holder, 'medicationReference');
  const contained = member(containedOf(resource, reference), 'code');
  return {
    codings: members(concept ?? contained, 'coding').filter((coding) => textOf(coding, 'code') !== undefined),
    text: textOf(concept ?? contained, 'text'),
    key: keyOfReference(reference),
  };
}

function hasValue(holder: unknown): boolean {
  return ['valueQuantity', 'valueCodeableConcept', 'valueString', 'valueInteger', 'valueBoolean', 'valueDateTime'].some(
    (name) => member(holder, name) !== undefined,
  );
}

/** Without a concept to say otherwise, what was seen by a laboratory or has a number is a measurement. */
function defaultDomainOf(resource: Json, holder: unknown, kind: EventKind): string {
  if (kind.domain !== 'Measurement') return kind.domain;
  const category = textOf(resource, 'category', 'coding', 'code');
  const isMeasured = numberOf(holder, 'valueQuantity', 'value') !== undefined;
  return isMeasured || category === 'laboratory' || category === 'vital-signs' ? 'Measurement' : 'Observation';
}

function valueColumns(holder: unknown, stage: ResourceStage) {
  const quantity = member(holder, 'valueQuantity');
  const number = numberOf(quantity, 'value') ?? numberOf(holder, 'valueInteger');
  if (quantity !== undefined && number === undefined) stage.warn('value.invalid');
  const truth = member(holder, 'valueBoolean');
  const text =
    textOf(holder, 'valueString') ??
    textOf(holder, 'valueDateTime') ??
    textOf(holder, 'valueTime') ??
    textOf(holder, 'valueCodeableConcept', 'text') ??
    (typeof truth === 'boolean' ? String(truth) : undefined);
  return {
    value_number: number,
    value_text: text,
    value_operator: textOf(quantity, 'comparator'),
    unit_text: textOf(quantity, 'unit'),
    range_low: numberOf(holder, 'referenceRange', 'low', 'value'),
    range_high: numberOf(holder, 'referenceRange', 'high', 'value'),
  };
}

function unitOf(holder: unknown): readonly unknown[] {
  const quantity = member(holder, 'valueQuantity');
  return textOf(quantity, 'code') === undefined ? [] : [quantity];
}

function drugDetails(resource: Json, kind: EventKind) {
  if (kind.domain !== 'Drug') return {};
  const dispense = member(resource, 'dispenseRequest') ?? resource;
  const supply = member(dispense, 'expectedSupplyDuration') ?? member(resource, 'daysSupply');
  const days = textOf(supply, 'code') === 'd' ? numberOf(supply, 'value') : undefined;
  return {
    quantity: numberOf(dispense, 'quantity', 'value') ?? numberOf(resource, 'doseQuantity', 'value'),
    days_supply: days === undefined ? undefined : Math.round(days),
    refills: wholeNumberOf(dispense, 'numberOfRepeatsAllowed'),
    sig: textOf(resource, 'dosageInstruction', 'text'),
    stop_reason: textOf(resource, 'statusReason', 'coding', 'code'),
  };
}

function addCodes(stage: ResourceStage, ordinal: number, role: string, codings: readonly unknown[]): void {
  codings.forEach((coding, position) => {
    const code = textOf(coding, 'code');
    if (code !== undefined) {
      stage.add('event_code', { ordinal, role, position, system: textOf(coding, 'system'), code });
    }
  });
}
