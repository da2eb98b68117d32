/**
 * Events to rows: a code is looked up, the domain of its standard concept decides the table (that is OMOP's rule, not the type
 * of the resource), units and coded values are looked up as well, and what has no meaning in the vocabulary keeps its code in a
 * row with concept 0.
 *
 * An event whose code maps to several standard concepts gives a row for each. The key of a row is its resource's number times
 * a thousand plus the row's place in the resource, so it is the same whenever it is made again.
 */
import { featureEvents } from './feature-event-sql.ts';
import { CODING_SCHEME_PREFIX } from './imaging-codes.ts';
import { deleteOfAffected } from './person-sql.ts';
import { STAGING_SCHEMA } from './staging-tables.ts';

/** Rows one resource may give; its components times the concepts each maps to. */
export const ROWS_PER_RESOURCE_MAX = 999;

/** Domains with a table of their own; of all others (Meas Value, Geography, ...) the row is an observation, as OHDSI says. */
const DOMAIN_TABLES: Readonly<Record<string, string>> = {
  Condition: 'condition_occurrence',
  Drug: 'drug_exposure',
  Procedure: 'procedure_occurrence',
  Measurement: 'measurement',
  Device: 'device_exposure',
  Specimen: 'specimen',
  Observation: 'observation',
};

/** Columns that every table of events has: name in the table without its prefix -> column of `event_row`. */
const SHARED = { person_id: 'person_id' } as const;
const IN_VISIT = {
  provider_id: 'provider_id',
  visit_occurrence_id: 'visit_occurrence_id',
  visit_detail_id: 'visit_detail_id',
} as const;
const VALUE = {
  value_as_number: 'value_number',
  value_as_concept_id: 'value_concept_id',
  unit_concept_id: 'unit_concept_id',
  unit_source_value: 'left(unit_source_value, 50)',
  value_source_value: 'left(value_source_value, 50)',
} as const;

/** CDM table -> its columns, each as an expression over `event_row`. */
const COLUMNS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  condition_occurrence: {
    condition_occurrence_id: 'row_id',
    ...SHARED,
    condition_concept_id: 'concept_id',
    condition_start_date: 'start_date',
    condition_start_datetime: 'start_at',
    condition_end_date: 'end_date',
    condition_end_datetime: 'end_at',
    condition_type_concept_id: 'type_concept_id',
    condition_status_concept_id: 'CASE WHEN status IS NOT NULL THEN 0 END',
    condition_status_source_value: 'left(status, 50)',
    condition_source_value: 'left(source_value, 50)',
    condition_source_concept_id: 'source_concept_id',
    ...IN_VISIT,
  },
  drug_exposure: {
    drug_exposure_id: 'row_id',
    ...SHARED,
    drug_concept_id: 'concept_id',
    drug_exposure_start_date: 'start_date',
    drug_exposure_start_datetime: 'start_at',
    drug_exposure_end_date: 'coalesce(end_date, start_date + greatest(coalesce(days_supply, 1) - 1, 0))',
    drug_exposure_end_datetime: 'end_at',
    drug_type_concept_id: 'type_concept_id',
    stop_reason: 'left(stop_reason, 20)',
    refills: 'refills',
    quantity: 'quantity',
    days_supply: 'days_supply',
    sig: 'sig',
    route_concept_id: 'route_concept_id',
    route_source_value: 'left(route_source_value, 50)',
    drug_source_value: 'left(source_value, 50)',
    drug_source_concept_id: 'source_concept_id',
    ...IN_VISIT,
  },
  procedure_occurrence: {
    procedure_occurrence_id: 'row_id',
    ...SHARED,
    procedure_concept_id: 'concept_id',
    procedure_date: 'start_date',
    procedure_datetime: 'start_at',
    procedure_end_date: 'end_date',
    procedure_end_datetime: 'end_at',
    procedure_type_concept_id: 'type_concept_id',
    quantity: 'quantity::integer',
    procedure_source_value: 'left(source_value, 50)',
    procedure_source_concept_id: 'source_concept_id',
    ...IN_VISIT,
  },
  measurement: {
    measurement_id: 'row_id',
    ...SHARED,
    measurement_concept_id: 'concept_id',
    measurement_date: 'start_date',
    measurement_datetime: 'start_at',
    measurement_type_concept_id: 'type_concept_id',
    operator_concept_id: `CASE value_operator WHEN '<' THEN 4171756 WHEN '<=' THEN 4171754 WHEN '>=' THEN 4171755
      WHEN '>' THEN 4172704 END`,
    ...VALUE,
    unit_source_concept_id: 'unit_source_concept_id',
    range_low: 'range_low',
    range_high: 'range_high',
    measurement_source_value: 'left(source_value, 50)',
    measurement_source_concept_id: 'source_concept_id',
    ...IN_VISIT,
  },
  observation: {
    observation_id: 'row_id',
    ...SHARED,
    observation_concept_id: 'concept_id',
    observation_date: 'start_date',
    observation_datetime: 'start_at',
    observation_type_concept_id: 'type_concept_id',
    ...VALUE,
    value_as_string: 'left(value_text, 60)',
    observation_source_value: 'left(source_value, 50)',
    observation_source_concept_id: 'source_concept_id',
    ...IN_VISIT,
  },
  device_exposure: {
    device_exposure_id: 'row_id',
    ...SHARED,
    device_concept_id: 'concept_id',
    device_exposure_start_date: 'start_date',
    device_exposure_start_datetime: 'start_at',
    device_exposure_end_date: 'end_date',
    device_exposure_end_datetime: 'end_at',
    device_type_concept_id: 'type_concept_id',
    quantity: 'quantity::integer',
    device_source_value: 'left(source_value, 50)',
    device_source_concept_id: 'source_concept_id',
    ...IN_VISIT,
  },
  specimen: {
    specimen_id: 'row_id',
    ...SHARED,
    specimen_concept_id: 'concept_id',
    specimen_type_concept_id: 'type_concept_id',
    specimen_date: 'start_date',
    specimen_datetime: 'start_at',
    quantity: 'quantity',
    specimen_source_value: 'left(source_value, 50)',
  },
};

/** Tables that hold a value; in the others a value has no place. */
const TABLES_WITH_VALUE = "('measurement', 'observation')";

export function eventStatements(): string[] {
  return [affectedEvents(), codings(), meanings(), eventRows(), ...inserts(), ...findings()];
}

function affectedEvents(): string {
  return `CREATE OR REPLACE TEMP TABLE affected_event AS
SELECT e.*, r.resource_number, a.person_id FROM ${STAGING_SCHEMA}.event e
  JOIN affected_person_number a USING (person_key)
  JOIN person USING (person_id)
  JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
UNION ALL BY NAME
${featureEvents()}`;
}

/** A coding scheme of DICOM that FHIR has no name for is looked up by its designator, which a map of the site's own may know. */
const OF_SCHEME = `CASE WHEN starts_with(c.system, '${CODING_SCHEME_PREFIX}') THEN substr(c.system, ${CODING_SCHEME_PREFIX.length + 1}) END`;

/** Codes of each event, also those that stand in a resource it points to, with their vocabulary. */
function codings(): string {
  const code = (
    join: string,
  ) => `SELECT e.resource_key, e.ordinal, c.role, c.position, c.system, c.code, coalesce(s.vocabulary_id, ${OF_SCHEME}) AS vocabulary_id
  FROM affected_event e JOIN ${STAGING_SCHEMA}.event_code c ON ${join}
  LEFT JOIN ${STAGING_SCHEMA}.code_system s USING (system)`;
  return `CREATE OR REPLACE TEMP TABLE coding AS
${code('c.resource_key = e.resource_key AND c.ordinal = e.ordinal')}
UNION ALL
${code("c.resource_key = e.code_key AND c.ordinal = 0 AND c.role = 'code'")}`;
}

/** Of each role of an event the first coding that has a meaning, with all its meanings; else its first coding, with concept 0. */
function meanings(): string {
  return `CREATE OR REPLACE TEMP TABLE meaning AS
WITH looked_up AS (
  SELECT c.*, m.source_concept_id, m.target_concept_id, m.target_domain_id FROM coding c
    LEFT JOIN ${STAGING_SCHEMA}.code_map m ON m.vocabulary_id = c.vocabulary_id AND m.code = c.code
), chosen AS (
  SELECT *, coalesce(min(position) FILTER (target_concept_id IS NOT NULL) OVER one, min(position) OVER one) AS chosen_position
    FROM looked_up WINDOW one AS (PARTITION BY resource_key, ordinal, role)
)
SELECT resource_key, ordinal, role, system, code, coalesce(source_concept_id, 0) AS source_concept_id,
       coalesce(target_concept_id, 0) AS concept_id, target_domain_id AS domain_id
  FROM chosen WHERE position = chosen_position`;
}

/** Of each event one meaning of the role, where a code has several always the same. */
export function oneMeaning(role: string): string {
  return `(SELECT DISTINCT ON (resource_key, ordinal) * FROM meaning WHERE role = '${role}'
       ORDER BY resource_key, ordinal, concept_id)`;
}

function eventRows(): string {
  const tables = Object.entries(DOMAIN_TABLES).map(([domain, table]) => `WHEN '${domain}' THEN '${table}'`);
  return `CREATE OR REPLACE TEMP TABLE event_row AS
SELECT e.resource_number * ${ROWS_PER_RESOURCE_MAX + 1} + row_number() OVER (
         PARTITION BY e.resource_key ORDER BY e.ordinal, c.concept_id) AS row_id,
       e.resource_key, e.resource_number, e.ordinal, e.person_key, e.person_id, p.provider_id,
       v.visit_id AS visit_occurrence_id, v.encounter_id AS visit_detail_id, e.visit_key,
       coalesce(c.concept_id, 0) AS concept_id, coalesce(c.source_concept_id, 0) AS source_concept_id,
       coalesce(c.code, e.code_text) AS source_value, c.system AS code_system, c.code,
       CASE CASE WHEN e.keeps_domain THEN e.default_domain ELSE coalesce(c.domain_id, e.default_domain) END
         ${tables.join(' ')} ELSE 'observation' END AS table_name,
       e.start_date::date AS start_date, e.start_at::timestamp AS start_at, e.end_date::date AS end_date,
       e.end_at::timestamp AS end_at, e.type_concept_id, e.value_number, e.value_text, e.value_operator,
       CASE WHEN w.code IS NOT NULL THEN w.concept_id END AS value_concept_id, w.code AS value_code, w.system AS value_system,
       coalesce(w.code, e.value_text, e.value_number::varchar) AS value_source_value,
       CASE WHEN u.code IS NOT NULL THEN u.concept_id END AS unit_concept_id, u.code AS unit_code,
       coalesce(u.code, e.unit_text) AS unit_source_value, u.source_concept_id AS unit_source_concept_id,
       CASE WHEN t.code IS NOT NULL THEN t.concept_id END AS route_concept_id, t.code AS route_source_value,
       e.range_low, e.range_high, e.quantity, e.days_supply, e.refills, e.sig, e.status, e.stop_reason
  FROM affected_event e
  LEFT JOIN meaning c ON c.resource_key = e.resource_key AND c.ordinal = e.ordinal AND c.role = 'code'
  LEFT JOIN ${oneMeaning('value')} w ON w.resource_key = e.resource_key AND w.ordinal = e.ordinal
  LEFT JOIN ${oneMeaning('unit')} u ON u.resource_key = e.resource_key AND u.ordinal = e.ordinal
  LEFT JOIN ${oneMeaning('route')} t ON t.resource_key = e.resource_key AND t.ordinal = e.ordinal
  LEFT JOIN ${STAGING_SCHEMA}.resource vk ON vk.resource_key = e.visit_key
  LEFT JOIN visit_of_encounter v ON v.encounter_id = vk.resource_number
  LEFT JOIN ${STAGING_SCHEMA}.resource pk ON pk.resource_key = e.provider_key
  LEFT JOIN provider p ON p.provider_id = pk.resource_number`;
}

function inserts(): string[] {
  return Object.entries(COLUMNS).flatMap(([table, columns]) => [
    deleteOfAffected(table),
    `INSERT INTO ${table} (${Object.keys(columns).join(', ')})
SELECT ${Object.values(columns).join(', ')} FROM event_row WHERE table_name = '${table}'`,
  ]);
}

function findings(): string[] {
  const finding = (severity: string, rule: string, where: string, code = 'NULL, NULL') => `INSERT INTO new_finding
SELECT resource_key, person_key, '${severity}', '${rule}', ${code} FROM event_row WHERE ${where}`;
  return [
    `INSERT INTO new_finding
SELECT DISTINCT e.resource_key, e.person_key, 'refused', 'patient.missing', NULL, NULL
  FROM ${STAGING_SCHEMA}.event e SEMI JOIN affected_person USING (person_key)
  ANTI JOIN affected_event a ON a.resource_key = e.resource_key`,
    finding('unmapped', 'code', 'concept_id = 0 AND code IS NOT NULL', 'code_system, code'),
    finding('unmapped', 'code.text-only', 'concept_id = 0 AND code IS NULL'),
    finding('warning', 'unit', 'unit_concept_id = 0', "'http://unitsofmeasure.org', unit_code"),
    finding('warning', 'value', 'value_concept_id = 0', 'value_system, value_code'),
    finding(
      'warning',
      'value.no-place',
      `table_name NOT IN ${TABLES_WITH_VALUE} AND coalesce(value_number::varchar, value_text, value_code) IS NOT NULL`,
    ),
    finding('warning', 'encounter.missing', 'visit_key IS NOT NULL AND visit_occurrence_id IS NULL'),
    `INSERT INTO new_finding
SELECT e.resource_key, e.person_key, 'warning', 'date.before-birth', NULL, NULL
  FROM event_row e JOIN person p USING (person_id) WHERE year(e.start_date) < p.year_of_birth`,
    `INSERT INTO new_finding
SELECT e.resource_key, e.person_key, 'warning', 'date.after-death', NULL, NULL
  FROM event_row e JOIN death d USING (person_id) WHERE e.start_date > d.death_date + 60`,
  ];
}
