/**
 * Patients, deaths, places and staff. Places and staff are few and are made anew as a whole; patients only where something of
 * theirs changed.
 *
 * A patient without a year of birth has no row, since the CDM demands one: reading refuses the resource. An event of a patient
 * who is not there is refused by `eventStatements`.
 */
import { STAGING_SCHEMA } from './staging-tables.ts';
import { SURVIVOR } from './survivor-sql.ts';

/** FHIR's administrative gender -> concept of OMOP's Gender domain; other and unknown have no standard concept. */
const GENDER = `CASE p.gender WHEN 'male' THEN 8507 WHEN 'female' THEN 8532 ELSE 0 END`;

/** Categories of the US Office of Management and Budget, whose codes FHIR carries, as OMOP's concepts of race and ethnicity. */
const OMB_RACE: Readonly<Record<string, number>> = {
  '1002-5': 8657,
  '2028-9': 8515,
  '2054-5': 8516,
  '2076-8': 8557,
  '2106-3': 8527,
};
const OMB_ETHNICITY: Readonly<Record<string, number>> = { '2135-2': 38003563, '2186-5': 38003564 };

export function personStatements(): string[] {
  return [
    'DELETE FROM location',
    'DELETE FROM care_site',
    'DELETE FROM provider',
    `INSERT INTO location (location_id, city, state, zip, country_source_value, location_source_value)
SELECT r.resource_number, left(s.city, 50), left(s.state, 2), left(s.zip, 9), left(s.country, 80), left(s.resource_key, 50)
  FROM (SELECT resource_key, city, state, zip, country FROM ${STAGING_SCHEMA}.person
        UNION ALL SELECT resource_key, city, state, zip, country FROM ${STAGING_SCHEMA}.care_site) s
  JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
 WHERE coalesce(s.city, s.state, s.zip, s.country) IS NOT NULL`,
    `INSERT INTO care_site (care_site_id, care_site_name, place_of_service_concept_id, location_id, care_site_source_value,
  place_of_service_source_value)
SELECT r.resource_number, left(s.name, 255), 0, l.location_id, left(s.resource_key, 50), left(s.kind, 50)
  FROM ${STAGING_SCHEMA}.care_site s JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
  LEFT JOIN location l ON l.location_id = r.resource_number`,
    `INSERT INTO provider (provider_id, provider_source_value, specialty_concept_id, specialty_source_value, gender_concept_id,
  gender_source_value)
SELECT r.resource_number, left(coalesce(p.identifier, p.resource_key), 50), 0, left(p.specialty, 50), ${GENDER}, left(p.gender, 50)
  FROM ${STAGING_SCHEMA}.provider p JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)`,
    deleteOfAffected('person'),
    deleteOfAffected('death'),
    `INSERT INTO person (person_id, gender_concept_id, year_of_birth, month_of_birth, day_of_birth, birth_datetime,
  race_concept_id, ethnicity_concept_id, location_id, provider_id, care_site_id, person_source_value, gender_source_value,
  gender_source_concept_id, race_source_value, race_source_concept_id, ethnicity_source_value, ethnicity_source_concept_id)
SELECT a.person_id, ${GENDER}, year(p.birth_date::date),
       CASE WHEN p.birth_precision <> 'year' THEN month(p.birth_date::date) END,
       CASE WHEN p.birth_precision = 'day' THEN day(p.birth_date::date) END,
       CASE WHEN p.birth_precision = 'day' THEN p.birth_date::timestamp END,
       ${byCode('p.race_code', OMB_RACE)}, ${byCode('p.ethnicity_code', OMB_ETHNICITY)},
       l.location_id, d.provider_id, c.care_site_id, left(p.resource_key, 50), left(p.gender, 50), 0,
       left(p.race_code, 50), 0, left(p.ethnicity_code, 50), 0
  FROM ${STAGING_SCHEMA}.person p
  JOIN affected_person_number a ON a.person_key = p.resource_key
  ANTI JOIN ${SURVIVOR} s ON s.person_key = p.resource_key
  LEFT JOIN location l ON l.location_id = a.person_id
  ${numberOf('p.provider_key', 'provider', 'd')}
  ${numberOf('p.care_site_key', 'care_site', 'c')}`,
    `INSERT INTO death (person_id, death_date, death_datetime, death_type_concept_id)
SELECT a.person_id, p.death_date::date, p.death_at::timestamp, 32817
  FROM ${STAGING_SCHEMA}.person p JOIN affected_person_number a ON a.person_key = p.resource_key
  LEFT JOIN ${SURVIVOR} s ON s.person_key = p.resource_key
 WHERE p.death_date IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY a.person_id ORDER BY s.person_key NULLS FIRST) = 1`,
  ];
}

/**
 * Of all that was seen of a patient, from the first day to the last, but not before birth: record systems do not say when they
 * began to look.
 */
export function observationPeriodStatements(): string[] {
  return [
    deleteOfAffected('observation_period'),
    `INSERT INTO observation_period (observation_period_id, person_id, observation_period_start_date, observation_period_end_date,
  period_type_concept_id)
SELECT person_id, person_id, greatest(min(start_date), any_value(birth)), greatest(max(end_date), any_value(birth)), 32817 FROM (
  SELECT person_id, visit_start_date AS start_date, visit_end_date AS end_date FROM visit_occurrence
  UNION ALL SELECT person_id, start_date, coalesce(greatest(start_date, end_date), start_date) FROM event_row
) SEMI JOIN affected_person_number USING (person_id)
JOIN (SELECT person_id, make_date(year_of_birth, coalesce(month_of_birth, 1), coalesce(day_of_birth, 1)) AS birth FROM person)
  USING (person_id)
GROUP BY person_id`,
  ];
}

/** Takes away what a table holds of the patients that are made anew. */
export function deleteOfAffected(table: string): string {
  return `DELETE FROM ${table} WHERE person_id IN (SELECT person_id FROM remade_person)`;
}

/** Joins `table` (whose key is `<table>_id`) by the key of the resource that it was made of. */
export function numberOf(keyColumn: string, table: string, alias: string): string {
  return `LEFT JOIN ${STAGING_SCHEMA}.resource ${alias}_key ON ${alias}_key.resource_key = ${keyColumn}
  LEFT JOIN ${table} ${alias} ON ${alias}.${table}_id = ${alias}_key.resource_number`;
}

function byCode(column: string, concepts: Readonly<Record<string, number>>): string {
  const cases = Object.entries(concepts).map(([code, concept]) => `WHEN '${code}' THEN ${concept}`);
  return `CASE ${column} ${cases.join(' ')} ELSE 0 END`;
}
