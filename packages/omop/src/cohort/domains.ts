/**
 * The clinical tables that a criterion can speak of, as Circe names them, with the attributes that can be asked for. Reader and
 * plan are made from this one table; its words are what a definition is to be explained in.
 *
 * Source: the criteria of OHDSI circe-be 1.11 over OMOP CDM 5.4.
 */
import { addDays, coalesce, column, type Expression } from './sql-tree.ts';

/** Alias of the row of the clinical table, and of the rows that go with it. */
const ROW = 'c';
export const PERSON = 'p';
export const VISIT = 'v';
export const PROVIDER = 'pr';
export const CARE_SITE = 'cs';

/** What an attribute is read from besides the row itself. */
export type Companion = 'person' | 'visit' | 'provider' | 'care-site';

/** `concept-set`: the number of a set, where the others list concepts. */
export type AttributeKind = 'number' | 'date' | 'concepts' | 'concept-set' | 'text' | 'flag';

export type Attribute = {
  readonly kind: AttributeKind;
  /** In words, as in "whose quantity is at least 3". */
  readonly words: string;
  readonly value: Expression;
  readonly companion?: Companion;
  /** Circe has a second attribute, `…Exclude`, which turns the list of concepts around. */
  readonly hasExclude?: boolean;
};

export type Domain = {
  /** In words, as in "a drug exposure". */
  readonly words: string;
  readonly table: string;
  readonly event: Expression;
  /** Compared with the concept set. */
  readonly concept: string | undefined;
  readonly source: { readonly attribute: string; readonly column: string } | undefined;
  readonly start: Expression;
  readonly end: Expression;
  readonly hasVisit: boolean;
  readonly canBeFirst: boolean;
  readonly hasUserPeriod?: boolean;
  readonly attributes: Readonly<Record<string, Attribute>>;
};

const START = column(ROW, 'start_date');
const END = column(ROW, 'end_date');

function own(name: string): Expression {
  return column(ROW, name);
}

function numberOf(words: string, name: string): Attribute {
  return { kind: 'number', words, value: own(name) };
}

function conceptOf(words: string, name: string): Attribute {
  return { kind: 'concepts', words, value: own(name) };
}

function conceptSetOf(words: string, name: string): Attribute {
  return { kind: 'concept-set', words, value: own(name) };
}

function typeOf(words: string, name: string): Attribute {
  return { ...conceptOf(words, name), hasExclude: true };
}

function textOf(words: string, name: string): Attribute {
  return { kind: 'text', words, value: own(name) };
}

function ageAt(day: Expression, words: string): Attribute {
  const value: Expression = {
    kind: 'minus',
    left: { kind: 'year', date: day },
    right: column(PERSON, 'year_of_birth'),
  };
  return { kind: 'number', words, value, companion: 'person' };
}

function lengthOf(words: string): Attribute {
  return { kind: 'number', words, value: { kind: 'days-between', from: START, to: END } };
}

const START_DAY: Attribute = { kind: 'date', words: 'start', value: START };
const END_DAY: Attribute = { kind: 'date', words: 'end', value: END };
const AGE = ageAt(START, 'age (years)');
const AGES = { AgeAtStart: ageAt(START, 'age at the start (years)'), AgeAtEnd: ageAt(END, 'age at the end (years)') };
const GENDER: Attribute = {
  kind: 'concepts',
  words: 'gender',
  value: column(PERSON, 'gender_concept_id'),
  companion: 'person',
};
const PROVIDER_SPECIALTY: Attribute = {
  kind: 'concepts',
  words: 'specialty of the provider',
  value: column(PROVIDER, 'specialty_concept_id'),
  companion: 'provider',
};
const VISIT_TYPE: Attribute = {
  kind: 'concepts',
  words: 'visit',
  value: column(VISIT, 'visit_concept_id'),
  companion: 'visit',
};
const PLACE_OF_SERVICE: Attribute = {
  kind: 'concepts',
  words: 'place of service',
  value: column(CARE_SITE, 'place_of_service_concept_id'),
  companion: 'care-site',
};

const OCCURRENCE = {
  OccurrenceStartDate: START_DAY,
  OccurrenceEndDate: END_DAY,
  Age: AGE,
  Gender: GENDER,
  ProviderSpecialty: PROVIDER_SPECIALTY,
  VisitType: VISIT_TYPE,
};
const ERA = {
  EraStartDate: START_DAY,
  EraEndDate: END_DAY,
  EraLength: lengthOf('length (days)'),
  ...AGES,
  Gender: GENDER,
};
const PERIOD = {
  PeriodStartDate: START_DAY,
  PeriodEndDate: END_DAY,
  PeriodLength: lengthOf('length (days)'),
  ...AGES,
  Gender: GENDER,
};

/** An event of one day ends on the next. */
function dayAfter(start: string): Expression {
  return addDays(own(start), 1);
}

const DRUG_END = coalesce(
  own('drug_exposure_end_date'),
  addDays(own('drug_exposure_start_date'), own('days_supply')),
  dayAfter('drug_exposure_start_date'),
);

/** The parts that most tables have by the same pattern. */
function clinical(name: string, prefix: string): Pick<Domain, 'table' | 'event' | 'concept'> {
  return { table: name, event: own(`${name}_id`), concept: `${prefix}_concept_id` };
}

export const DOMAINS = {
  ConditionOccurrence: {
    words: 'a condition',
    ...clinical('condition_occurrence', 'condition'),
    source: { attribute: 'ConditionSourceConcept', column: 'condition_source_concept_id' },
    start: own('condition_start_date'),
    end: coalesce(own('condition_end_date'), dayAfter('condition_start_date')),
    hasVisit: true,
    canBeFirst: true,
    attributes: {
      ...OCCURRENCE,
      ConditionType: typeOf('type', 'condition_type_concept_id'),
      ConditionStatus: conceptOf('status', 'condition_status_concept_id'),
      StopReason: textOf('stop reason', 'stop_reason'),
    },
  },
  ConditionEra: {
    words: 'a condition era',
    ...clinical('condition_era', 'condition'),
    source: undefined,
    start: own('condition_era_start_date'),
    end: own('condition_era_end_date'),
    hasVisit: false,
    canBeFirst: true,
    attributes: { ...ERA, OccurrenceCount: numberOf('number of occurrences', 'condition_occurrence_count') },
  },
  DrugExposure: {
    words: 'a drug exposure',
    ...clinical('drug_exposure', 'drug'),
    source: { attribute: 'DrugSourceConcept', column: 'drug_source_concept_id' },
    start: own('drug_exposure_start_date'),
    end: DRUG_END,
    hasVisit: true,
    canBeFirst: true,
    attributes: {
      ...OCCURRENCE,
      DrugType: typeOf('type', 'drug_type_concept_id'),
      StopReason: textOf('stop reason', 'stop_reason'),
      Refills: numberOf('number of refills', 'refills'),
      Quantity: numberOf('quantity', 'quantity'),
      DaysSupply: numberOf('supply (days)', 'days_supply'),
      RouteConcept: conceptOf('route', 'route_concept_id'),
      EffectiveDrugDose: numberOf('effective dose', 'effective_drug_dose'),
      DoseUnit: conceptOf('unit of dose', 'dose_unit_concept_id'),
      LotNumber: textOf('lot number', 'lot_number'),
    },
  },
  DrugEra: {
    words: 'a drug era',
    ...clinical('drug_era', 'drug'),
    source: undefined,
    start: own('drug_era_start_date'),
    end: own('drug_era_end_date'),
    hasVisit: false,
    canBeFirst: true,
    attributes: {
      ...ERA,
      OccurrenceCount: numberOf('number of exposures', 'drug_exposure_count'),
      GapDays: numberOf('gap (days)', 'gap_days'),
    },
  },
  DoseEra: {
    words: 'a dose era',
    ...clinical('dose_era', 'drug'),
    source: undefined,
    start: own('dose_era_start_date'),
    end: own('dose_era_end_date'),
    hasVisit: false,
    canBeFirst: true,
    attributes: { ...ERA, Unit: conceptOf('unit', 'unit_concept_id'), DoseValue: numberOf('dose', 'dose_value') },
  },
  ProcedureOccurrence: {
    words: 'a procedure',
    ...clinical('procedure_occurrence', 'procedure'),
    source: { attribute: 'ProcedureSourceConcept', column: 'procedure_source_concept_id' },
    start: own('procedure_date'),
    end: dayAfter('procedure_date'),
    hasVisit: true,
    canBeFirst: true,
    attributes: {
      ...OCCURRENCE,
      ProcedureType: typeOf('type', 'procedure_type_concept_id'),
      Modifier: conceptOf('modifier', 'modifier_concept_id'),
      Quantity: numberOf('quantity', 'quantity'),
    },
  },
  Measurement: {
    words: 'a measurement',
    ...clinical('measurement', 'measurement'),
    source: { attribute: 'MeasurementSourceConcept', column: 'measurement_source_concept_id' },
    start: own('measurement_date'),
    end: dayAfter('measurement_date'),
    hasVisit: true,
    canBeFirst: true,
    attributes: {
      ...OCCURRENCE,
      MeasurementType: typeOf('type', 'measurement_type_concept_id'),
      Operator: conceptOf('operator', 'operator_concept_id'),
      ValueAsNumber: numberOf('value', 'value_as_number'),
      ValueAsConcept: conceptOf('value', 'value_as_concept_id'),
      Unit: conceptOf('unit', 'unit_concept_id'),
      RangeLow: numberOf('lower limit of normal', 'range_low'),
      RangeHigh: numberOf('upper limit of normal', 'range_high'),
      RangeLowRatio: ratioTo('range_low', 'ratio of value to the lower limit of normal'),
      RangeHighRatio: ratioTo('range_high', 'ratio of value to the upper limit of normal'),
      Abnormal: { kind: 'flag', words: 'outside its normal range', value: abnormal() },
    },
  },
  Observation: {
    words: 'an observation',
    ...clinical('observation', 'observation'),
    source: { attribute: 'ObservationSourceConcept', column: 'observation_source_concept_id' },
    start: own('observation_date'),
    end: dayAfter('observation_date'),
    hasVisit: true,
    canBeFirst: true,
    attributes: {
      ...OCCURRENCE,
      ObservationType: typeOf('type', 'observation_type_concept_id'),
      ValueAsNumber: numberOf('value', 'value_as_number'),
      ValueAsString: textOf('value', 'value_as_string'),
      ValueAsConcept: conceptOf('value', 'value_as_concept_id'),
      Qualifier: conceptOf('qualifier', 'qualifier_concept_id'),
      Unit: conceptOf('unit', 'unit_concept_id'),
    },
  },
  DeviceExposure: {
    words: 'a device exposure',
    ...clinical('device_exposure', 'device'),
    source: { attribute: 'DeviceSourceConcept', column: 'device_source_concept_id' },
    start: own('device_exposure_start_date'),
    end: coalesce(own('device_exposure_end_date'), dayAfter('device_exposure_start_date')),
    hasVisit: true,
    canBeFirst: true,
    attributes: {
      ...OCCURRENCE,
      DeviceType: typeOf('type', 'device_type_concept_id'),
      UniqueDeviceId: textOf('unique device id', 'unique_device_id'),
      Quantity: numberOf('quantity', 'quantity'),
    },
  },
  Specimen: {
    words: 'a specimen',
    ...clinical('specimen', 'specimen'),
    source: { attribute: 'SpecimenSourceConcept', column: 'specimen_source_concept_id' },
    start: own('specimen_date'),
    end: dayAfter('specimen_date'),
    hasVisit: false,
    canBeFirst: true,
    attributes: {
      OccurrenceStartDate: START_DAY,
      Age: AGE,
      Gender: GENDER,
      SpecimenType: typeOf('type', 'specimen_type_concept_id'),
      Quantity: numberOf('quantity', 'quantity'),
      Unit: conceptOf('unit', 'unit_concept_id'),
      AnatomicSite: conceptOf('anatomic site', 'anatomic_site_concept_id'),
      DiseaseStatus: conceptOf('disease status', 'disease_status_concept_id'),
      SourceId: textOf('source id', 'specimen_source_id'),
    },
  },
  Death: {
    words: 'a death',
    table: 'death',
    event: coalesce(own('cause_concept_id'), { kind: 'integer', value: 0n }),
    concept: 'cause_concept_id',
    source: { attribute: 'DeathSourceConcept', column: 'cause_source_concept_id' },
    start: own('death_date'),
    end: dayAfter('death_date'),
    hasVisit: false,
    canBeFirst: false,
    attributes: {
      OccurrenceStartDate: START_DAY,
      Age: AGE,
      Gender: GENDER,
      DeathType: typeOf('type', 'death_type_concept_id'),
    },
  },
  VisitOccurrence: {
    words: 'a visit',
    ...clinical('visit_occurrence', 'visit'),
    source: { attribute: 'VisitSourceConcept', column: 'visit_source_concept_id' },
    start: own('visit_start_date'),
    end: own('visit_end_date'),
    hasVisit: true,
    canBeFirst: true,
    attributes: {
      OccurrenceStartDate: START_DAY,
      OccurrenceEndDate: END_DAY,
      Age: AGE,
      Gender: GENDER,
      ProviderSpecialty: PROVIDER_SPECIALTY,
      VisitType: typeOf('type', 'visit_type_concept_id'),
      VisitLength: lengthOf('length (days)'),
      PlaceOfService: PLACE_OF_SERVICE,
    },
  },
  VisitDetail: {
    words: 'a visit detail',
    ...clinical('visit_detail', 'visit_detail'),
    source: { attribute: 'VisitDetailSourceConcept', column: 'visit_detail_source_concept_id' },
    start: own('visit_detail_start_date'),
    end: own('visit_detail_end_date'),
    hasVisit: true,
    canBeFirst: true,
    attributes: {
      VisitDetailStartDate: START_DAY,
      VisitDetailEndDate: END_DAY,
      Age: AGE,
      Gender: GENDER,
      ProviderSpecialty: PROVIDER_SPECIALTY,
      VisitDetailType: typeOf('type', 'visit_detail_type_concept_id'),
      VisitDetailLength: lengthOf('length (days)'),
      PlaceOfService: PLACE_OF_SERVICE,
    },
  },
  ObservationPeriod: {
    words: 'an observation period',
    table: 'observation_period',
    event: own('observation_period_id'),
    concept: undefined,
    source: undefined,
    start: own('observation_period_start_date'),
    end: own('observation_period_end_date'),
    hasVisit: false,
    canBeFirst: true,
    hasUserPeriod: true,
    attributes: { ...PERIOD, PeriodType: conceptOf('type', 'period_type_concept_id') },
  },
  PayerPlanPeriod: {
    words: 'a payer plan period',
    table: 'payer_plan_period',
    event: own('payer_plan_period_id'),
    concept: undefined,
    source: undefined,
    start: own('payer_plan_period_start_date'),
    end: own('payer_plan_period_end_date'),
    hasVisit: false,
    canBeFirst: true,
    hasUserPeriod: true,
    attributes: {
      ...PERIOD,
      PayerConcept: conceptSetOf('payer', 'payer_concept_id'),
      PlanConcept: conceptSetOf('plan', 'plan_concept_id'),
      SponsorConcept: conceptSetOf('sponsor', 'sponsor_concept_id'),
      StopReasonConcept: conceptSetOf('stop reason', 'stop_reason_concept_id'),
      PayerSourceConcept: conceptSetOf('payer (source)', 'payer_source_concept_id'),
      PlanSourceConcept: conceptSetOf('plan (source)', 'plan_source_concept_id'),
      SponsorSourceConcept: conceptSetOf('sponsor (source)', 'sponsor_source_concept_id'),
      StopReasonSourceConcept: conceptSetOf('stop reason (source)', 'stop_reason_source_concept_id'),
    },
  },
} as const satisfies Readonly<Record<string, Domain>>;

export type DomainName = keyof typeof DOMAINS;

/** Criteria that Circe knows and CDM 5.4 has no table for; they are refused with this reason. */
export const DOMAINS_REFUSED: Readonly<Record<string, string>> = {
  LocationRegion: 'OMOP CDM 5.4 keeps no history of locations',
};

/** Attributes of an index event's person, as Circe names them. */
export const DEMOGRAPHICS: Readonly<Record<string, Attribute>> = {
  Age: AGE,
  Gender: GENDER,
  Race: { kind: 'concepts', words: 'race', value: column(PERSON, 'race_concept_id'), companion: 'person' },
  Ethnicity: {
    kind: 'concepts',
    words: 'ethnicity',
    value: column(PERSON, 'ethnicity_concept_id'),
    companion: 'person',
  },
  OccurrenceStartDate: START_DAY,
  OccurrenceEndDate: END_DAY,
};

export function domainOf(name: DomainName): Domain {
  return DOMAINS[name];
}

export function isDomainName(name: string): name is DomainName {
  return Object.hasOwn(DOMAINS, name);
}

function ratioTo(limit: string, words: string): Attribute {
  const right: Expression = { kind: 'null-if', of: [own(limit), { kind: 'integer', value: 0n }] };
  return { kind: 'number', words, value: { kind: 'divide', left: own('value_as_number'), right } };
}

/** Below or above its limits, or called abnormally low or high (SNOMED CT 4155142, 4155143 as OMOP concepts). */
function abnormal(): Expression {
  const value = own('value_as_number');
  return {
    kind: 'any',
    of: [
      { kind: 'compare', operator: '<', left: value, right: own('range_low') },
      { kind: 'compare', operator: '>', left: value, right: own('range_high') },
      { kind: 'in', value: own('value_as_concept_id'), list: [4_155_142n, 4_155_143n] },
    ],
  };
}
