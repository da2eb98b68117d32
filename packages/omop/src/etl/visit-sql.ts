/**
 * Visits out of encounters. Each encounter stays as a visit detail; what a patient would call one stay is one visit:
 * - inpatient encounters at one care site that overlap or follow within a day;
 * - an emergency encounter that ends at most a day before such a stay, or in it, belongs to it (concept 262);
 * - outpatient encounters of one kind at one care site on one day.
 * The number of a visit is the smallest of its encounters', so it stays as long as its first encounter does.
 */
import { deleteOfAffected, numberOf } from './person-sql.ts';
import { STAGING_SCHEMA } from './staging-tables.ts';

const OUTPATIENT = 9202;
const EMERGENCY = 9203;
const INPATIENT = 9201;
const EMERGENCY_AND_INPATIENT = 262;

/** HL7's ActEncounterCode -> concept of OMOP's Visit domain. */
const VISIT_CONCEPTS: Readonly<Record<string, number>> = {
  AMB: OUTPATIENT,
  SS: OUTPATIENT,
  EMER: EMERGENCY,
  IMP: INPATIENT,
  ACUTE: INPATIENT,
  NONAC: INPATIENT,
  OBSENC: 581385,
  HH: 581476,
  FLD: 38004353,
  VR: 5083,
};

export function visitStatements(): string[] {
  return [encounters(), stays(), visitOfEncounter(), ...visitRows(), ...findings()];
}

function encounters(): string {
  const concepts = Object.entries(VISIT_CONCEPTS).map(([code, concept]) => `WHEN '${code}' THEN ${concept}`);
  return `CREATE OR REPLACE TEMP TABLE encounter AS
SELECT r.resource_number AS encounter_id, v.resource_key, a.person_id, a.person_key, v.class_code,
       CASE v.class_code ${concepts.join(' ')} ELSE 0 END AS concept_id,
       v.start_date::date AS start_date, v.start_at::timestamp AS start_at,
       coalesce(v.end_date, v.start_date)::date AS end_date, coalesce(v.end_at, v.start_at)::timestamp AS end_at,
       d.provider_id, c.care_site_id, v.admitted_from, v.discharged_to
  FROM ${STAGING_SCHEMA}.visit v
  JOIN affected_person_number a USING (person_key)
  JOIN person USING (person_id)
  JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
  ${numberOf('v.provider_key', 'provider', 'd')}
  ${numberOf('v.care_site_key', 'care_site', 'c')}`;
}

/** Islands of inpatient encounters: a new one begins where the day after the latest end so far is still before the start. */
function stays(): string {
  return `CREATE OR REPLACE TEMP TABLE stay AS
WITH marked AS (
  SELECT *, coalesce(max(end_date) OVER earlier + 1 < start_date, true) AS begins FROM encounter
   WHERE concept_id = ${INPATIENT}
  WINDOW earlier AS (PARTITION BY person_id, care_site_id ORDER BY start_date, end_date, encounter_id
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), numbered AS (
  SELECT *, sum(begins::integer) OVER (PARTITION BY person_id, care_site_id ORDER BY start_date, end_date, encounter_id) AS island
    FROM marked
)
SELECT encounter_id, person_id, min(encounter_id) OVER one AS visit_id,
       min(start_date) OVER one AS start_date, max(end_date) OVER one AS end_date
  FROM numbered WINDOW one AS (PARTITION BY person_id, care_site_id, island)`;
}

function visitOfEncounter(): string {
  return `CREATE OR REPLACE TEMP TABLE visit_of_encounter AS
WITH emergency AS (
  SELECT e.encounter_id, min(s.visit_id) AS visit_id FROM encounter e
    JOIN stay s ON s.person_id = e.person_id AND e.start_date <= s.end_date AND e.end_date + 1 >= s.start_date
   WHERE e.concept_id = ${EMERGENCY} GROUP BY e.encounter_id
)
SELECT e.encounter_id,
       coalesce(s.visit_id, m.visit_id,
                CASE WHEN e.concept_id = ${OUTPATIENT} AND e.start_date = e.end_date THEN
                  min(e.encounter_id) OVER (PARTITION BY e.person_id, e.care_site_id, e.concept_id, e.start_date,
                                                         e.start_date = e.end_date) END,
                e.encounter_id) AS group_id
  FROM encounter e LEFT JOIN stay s USING (encounter_id) LEFT JOIN emergency m USING (encounter_id)`;
}

function visitRows(): string[] {
  return [
    `CREATE OR REPLACE TEMP TABLE visit_of_encounter AS
SELECT encounter_id, min(encounter_id) OVER (PARTITION BY group_id) AS visit_id FROM visit_of_encounter`,
    deleteOfAffected('visit_occurrence'),
    deleteOfAffected('visit_detail'),
    `INSERT INTO visit_occurrence (visit_occurrence_id, person_id, visit_concept_id, visit_start_date, visit_start_datetime,
  visit_end_date, visit_end_datetime, visit_type_concept_id, provider_id, care_site_id, visit_source_value,
  visit_source_concept_id, admitted_from_concept_id, admitted_from_source_value, discharged_to_concept_id,
  discharged_to_source_value, preceding_visit_occurrence_id)
SELECT visit_id, person_id,
       CASE WHEN bool_or(concept_id = ${INPATIENT}) AND bool_or(concept_id = ${EMERGENCY}) THEN ${EMERGENCY_AND_INPATIENT}
            WHEN bool_or(concept_id = ${INPATIENT}) THEN ${INPATIENT} ELSE min_by(concept_id, encounter_id) END,
       min(start_date), min(start_at), max(end_date), max(end_at), 32817,
       min_by(provider_id, start_at), min_by(care_site_id, start_at), left(min_by(class_code, start_date), 50), 0,
       CASE WHEN count(admitted_from) > 0 THEN 0 END, left(min_by(admitted_from, start_date), 50),
       CASE WHEN count(discharged_to) > 0 THEN 0 END, left(max_by(discharged_to, end_date), 50),
       lag(visit_id) OVER (PARTITION BY person_id ORDER BY min(start_date), visit_id)
  FROM encounter JOIN visit_of_encounter USING (encounter_id) GROUP BY visit_id, person_id`,
    `INSERT INTO visit_detail (visit_detail_id, person_id, visit_detail_concept_id, visit_detail_start_date,
  visit_detail_start_datetime, visit_detail_end_date, visit_detail_end_datetime, visit_detail_type_concept_id, provider_id,
  care_site_id, visit_detail_source_value, visit_detail_source_concept_id, visit_occurrence_id)
SELECT encounter_id, person_id, concept_id, start_date, start_at, end_date, end_at, 32817, provider_id, care_site_id,
       left(class_code, 50), 0, visit_id
  FROM encounter JOIN visit_of_encounter USING (encounter_id)`,
  ];
}

function findings(): string[] {
  return [
    `INSERT INTO new_finding
SELECT resource_key, person_key, 'unmapped', 'encounter.class', 'http://terminology.hl7.org/CodeSystem/v3-ActCode', class_code
  FROM encounter WHERE concept_id = 0`,
    `INSERT INTO new_finding
SELECT v.resource_key, v.person_key, 'refused', 'patient.missing', NULL, NULL
  FROM ${STAGING_SCHEMA}.visit v SEMI JOIN affected_person USING (person_key)
  ANTI JOIN encounter e ON e.resource_key = v.resource_key`,
  ];
}
