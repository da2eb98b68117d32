/**
 * Series of images to rows of the Medical Imaging extension. A series is told by its UID; its images stay in the archive.
 *
 * A series that the archive has and the record system speaks of as well is one row: what the archive saw counts, and of the record
 * system's ImagingStudy the encounter and the procedure. Without these, the visit is the only one of that day, and the procedure the
 * only one that carries the accession number of the study.
 */
import { imageMatchFindings } from './image-match-sql.ts';
import { MODALITY_PROCEDURE_CODES } from './imaging-codes.ts';
import { deleteOfAffected } from './person-sql.ts';
import { STAGING_SCHEMA } from './staging-tables.ts';
import { SURVIVOR } from './survivor-sql.ts';

const DCM = 'http://dicom.nema.org/resources/ontology/DCM';

/** `affected_series`: of each patient who is made anew the series of images, with the number of their row. */
export function seriesStatements(): string[] {
  return [affectedSeries()];
}

/** After `seriesStatements` and the events. */
export function imageStatements(): string[] {
  return [deleteOfAffected('image_occurrence'), occurrences(), ...findings()];
}

function affectedSeries(): string {
  return `CREATE OR REPLACE TEMP TABLE affected_series AS
WITH of_person AS (
  SELECT i.* REPLACE (coalesce(s.survivor_key, i.person_key, m.person_key) AS person_key)
    FROM ${STAGING_SCHEMA}.image i LEFT JOIN image_match m USING (resource_key)
    LEFT JOIN ${SURVIVOR} s ON s.person_key = i.person_key
), spoken_of AS (
  SELECT person_key, study_uid, min(visit_key) AS visit_key, min(procedure_key) AS procedure_key
    FROM of_person WHERE is_archived IS NOT TRUE GROUP BY ALL
)
SELECT i.* REPLACE (coalesce(i.visit_key, f.visit_key) AS visit_key, coalesce(i.procedure_key, f.procedure_key) AS procedure_key),
       a.person_id, r.resource_number * 1000 + i.ordinal AS row_id
  FROM of_person i
  JOIN affected_person_number a ON a.person_key = i.person_key
  JOIN person USING (person_id)
  JOIN ${STAGING_SCHEMA}.resource r ON r.resource_key = i.resource_key
  LEFT JOIN spoken_of f ON f.person_key = i.person_key AND f.study_uid = i.study_uid
QUALIFY row_number() OVER (PARTITION BY a.person_id, coalesce(i.series_uid, i.resource_key || ' ' || i.ordinal)
                           ORDER BY i.is_archived DESC NULLS LAST, r.resource_number, i.ordinal) = 1`;
}

function occurrences(): string {
  const procedures = Object.entries(MODALITY_PROCEDURE_CODES).map(([modality, code]) => `('${modality}', '${code}')`);
  const concepts = (vocabulary: string) =>
    `(SELECT code, min(target_concept_id) AS concept_id FROM ${STAGING_SCHEMA}.code_map
       WHERE vocabulary_id = '${vocabulary}' GROUP BY code)`;
  return `INSERT INTO image_occurrence (image_occurrence_id, person_id, procedure_occurrence_id, visit_occurrence_id,
  anatomic_site_concept_id, wadors_uri, image_occurrence_date, image_study_uid, image_series_uid, modality_concept_id,
  modality_source_value)
WITH snomed AS ${concepts('SNOMED')}, by_accession AS (
  SELECT e.person_id, n.value AS accession_number,
         CASE WHEN count(DISTINCT e.row_id) = 1 THEN min(e.row_id) END AS row_id
    FROM event_row e JOIN ${STAGING_SCHEMA}.event_identifier n USING (resource_key)
   WHERE e.table_name = 'procedure_occurrence' GROUP BY ALL
), by_day AS (
  SELECT s.row_id, CASE WHEN count(*) = 1 THEN min(v.visit_occurrence_id) END AS visit_id
    FROM affected_series s JOIN visit_occurrence v ON v.person_id = s.person_id
     AND s.start_date::date BETWEEN v.visit_start_date AND v.visit_end_date
   WHERE s.is_archived GROUP BY s.row_id
)
SELECT i.row_id, i.person_id,
       coalesce((SELECT min(p.row_id) FROM event_row p
                  WHERE p.resource_key = i.procedure_key AND p.table_name = 'procedure_occurrence'), n.row_id),
       coalesce(v.visit_id, d.visit_id), coalesce(b.concept_id, 0), i.wadors_uri, i.start_date::date, i.study_uid, i.series_uid,
       coalesce(m.concept_id, s.concept_id, 0), i.modality
  FROM affected_series i
  LEFT JOIN ${STAGING_SCHEMA}.resource vk ON vk.resource_key = i.visit_key
  LEFT JOIN visit_of_encounter v ON v.encounter_id = vk.resource_number
  LEFT JOIN by_day d ON d.row_id = i.row_id
  LEFT JOIN by_accession n ON n.person_id = i.person_id AND n.accession_number = i.accession_number
  LEFT JOIN snomed b ON b.code = i.body_site_code AND i.body_site_system = 'http://snomed.info/sct'
  LEFT JOIN ${concepts('DICOM')} m ON m.code = i.modality
  LEFT JOIN (VALUES ${procedures.join(', ')}) p(modality, code) ON p.modality = i.modality
  LEFT JOIN snomed s ON s.code = p.code`;
}

function findings(): string[] {
  const warning = (rule: string, codes: string, where: string) => `INSERT INTO new_finding
SELECT s.resource_key, s.person_key, 'warning', '${rule}', ${codes}
  FROM affected_series s JOIN image_occurrence o ON o.image_occurrence_id = s.row_id WHERE ${where}`;
  return [
    imageMatchFindings(),
    `INSERT INTO new_finding
SELECT DISTINCT i.resource_key, i.person_key, 'refused', 'patient.missing', NULL, NULL
  FROM ${STAGING_SCHEMA}.image i SEMI JOIN affected_person USING (person_key)
  JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
 WHERE r.resource_key NOT IN (SELECT resource_key FROM new_finding WHERE severity = 'refused')
   AND i.person_key NOT IN (SELECT person_key FROM affected_person_number JOIN person USING (person_id))`,
    warning('modality', `'${DCM}', s.modality`, 'o.modality_concept_id = 0'),
    warning(
      'body-part',
      's.body_site_system, s.body_site_code',
      's.body_site_code IS NOT NULL AND o.anatomic_site_concept_id = 0',
    ),
  ];
}
