/**
 * `image_feature` of the Medical Imaging extension: which row of `measurement` or `observation` was found in which images, of what, where
 * on the body, and by which program. Its number is that of the row that it points to.
 *
 * Features with one tracking UID are of one finding, over all objects of the patient, and share the number of the first.
 */
import { oneMeaning } from './event-sql.ts';
import { deleteOfAffected } from './person-sql.ts';

/** Concepts of the tables of the CDM, of OMOP's vocabulary CDM. */
const MEASUREMENT_TABLE = 1147330;
const OBSERVATION_TABLE = 1147304;

/** After the events and `image_occurrence`. */
export function imageFeatureStatements(): string[] {
  return [deleteOfAffected('image_feature'), ...features(), ...findings()];
}

function features(): string[] {
  const meant = (alias: string, column: string) =>
    `CASE WHEN ${alias}.code IS NOT NULL THEN ${alias}.concept_id END AS ${column}`;
  return [
    `CREATE OR REPLACE TEMP TABLE feature_row AS
SELECT e.row_id, e.table_name, e.concept_id, f.*, ${meant('g', 'finding_concept_id')}, g.system AS finding_system,
       g.code AS finding_code, ${meant('b', 'site_concept_id')}, b.system AS site_system, b.code AS site_code,
       min(f.resource_number) OVER (PARTITION BY f.person_id, coalesce(f.tracking_uid, f.resource_key)) AS finding_number
  FROM affected_feature f JOIN event_row e ON e.resource_key = f.resource_key AND e.ordinal = f.ordinal
  LEFT JOIN ${oneMeaning('finding')} g ON g.resource_key = f.resource_key AND g.ordinal = f.ordinal
  LEFT JOIN ${oneMeaning('site')} b ON b.resource_key = f.resource_key AND b.ordinal = f.ordinal`,
    `INSERT INTO image_feature (image_feature_id, person_id, image_occurrence_id, image_feature_event_field_concept_id,
  image_feature_event_id, image_feature_concept_id, image_feature_type_concept_id, image_finding_concept_id, image_finding_id,
  anatomic_site_concept_id, alg_system, alg_datetime)
SELECT row_id, person_id, image_row_id, CASE table_name WHEN 'measurement' THEN ${MEASUREMENT_TABLE} ELSE ${OBSERVATION_TABLE} END,
       row_id, concept_id, type_concept_id, finding_concept_id, finding_number, site_concept_id, alg_system, alg_at::timestamp
  FROM feature_row`,
  ];
}

function findings(): string[] {
  const finding = (
    severity: string,
    rule: string,
    codes: string,
    from: string,
    where: string,
  ) => `INSERT INTO new_finding
SELECT resource_key, person_key, '${severity}', '${rule}', ${codes} FROM ${from} WHERE ${where}`;
  return [
    finding('refused', 'image.missing', 'NULL, NULL', 'affected_feature', 'image_row_id IS NULL'),
    finding('warning', 'source-image.missing', 'NULL, NULL', 'feature_row', 'lacks_source'),
    finding('warning', 'finding', 'finding_system, finding_code', 'feature_row', 'finding_concept_id = 0'),
    finding('warning', 'body-part', 'site_system, site_code', 'feature_row', 'site_concept_id = 0'),
  ];
}
