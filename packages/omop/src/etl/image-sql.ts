/** Series of images to rows of the Medical Imaging extension. A series is told by its UID; its images stay in the archive. */
import { deleteOfAffected } from './person-sql.ts';
import { STAGING_SCHEMA } from './staging-tables.ts';

export function imageStatements(): string[] {
  return [
    deleteOfAffected('image_occurrence'),
    `INSERT INTO image_occurrence (image_occurrence_id, person_id, procedure_occurrence_id, visit_occurrence_id,
  anatomic_site_concept_id, wadors_uri, image_occurrence_date, image_study_uid, image_series_uid, modality_concept_id,
  modality_source_value)
SELECT r.resource_number * 1000 + i.ordinal, a.person_id,
       (SELECT min(p.row_id) FROM event_row p WHERE p.resource_key = i.resource_key AND p.table_name = 'procedure_occurrence'),
       v.visit_id, 0, i.wadors_uri, i.start_date::date, i.study_uid, i.series_uid, coalesce(m.target_concept_id, 0), i.modality
  FROM ${STAGING_SCHEMA}.image i
  JOIN affected_person_number a USING (person_key)
  JOIN person USING (person_id)
  JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
  LEFT JOIN ${STAGING_SCHEMA}.resource vk ON vk.resource_key = i.visit_key
  LEFT JOIN visit_of_encounter v ON v.encounter_id = vk.resource_number
  LEFT JOIN (SELECT code, min(target_concept_id) AS target_concept_id FROM ${STAGING_SCHEMA}.code_map
              WHERE vocabulary_id = 'DICOM' GROUP BY code) m ON m.code = i.modality`,
    `INSERT INTO new_finding
SELECT DISTINCT i.resource_key, i.person_key, 'refused', 'patient.missing', NULL, NULL
  FROM ${STAGING_SCHEMA}.image i SEMI JOIN affected_person USING (person_key)
  JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
 WHERE r.resource_key NOT IN (SELECT resource_key FROM new_finding WHERE severity = 'refused')
   AND i.person_key NOT IN (SELECT person_key FROM affected_person_number JOIN person USING (person_id))`,
    `INSERT INTO new_finding
SELECT i.resource_key, i.person_key, 'warning', 'modality', 'http://dicom.nema.org/resources/ontology/DCM', i.modality
  FROM ${STAGING_SCHEMA}.image i SEMI JOIN affected_person USING (person_key)
  JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
  JOIN image_occurrence o ON o.image_occurrence_id = r.resource_number * 1000 + i.ordinal AND o.modality_concept_id = 0`,
  ];
}
