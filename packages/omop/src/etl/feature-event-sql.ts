/**
 * Features of images as events: what a segmentation or a report says is a measurement, or an observation where it has no value, on the
 * day of the images. It never goes to another table by the domain of its concept: a lesion that a program outlines is no diagnosis.
 */
import { STAGING_SCHEMA } from './staging-tables.ts';

/**
 * Makes `affected_feature`; expects `affected_series`. `image_row_id` is the series that the feature was found in, or, where this
 * patient has none such here, that of the object itself; NULL where that has no row either.
 */
export function affectedFeatures(): string {
  return `CREATE OR REPLACE TEMP TABLE affected_feature AS
SELECT f.*, a.person_id, r.person_key, r.resource_number, coalesce(s.start_date, o.start_date) AS start_date,
       coalesce(s.row_id, o.row_id) AS image_row_id, s.row_id IS NULL AS lacks_source
  FROM ${STAGING_SCHEMA}.image_feature f
  JOIN ${STAGING_SCHEMA}.resource r USING (resource_key)
  JOIN affected_person_number a ON a.person_key = r.person_key
  JOIN person USING (person_id)
  LEFT JOIN affected_series s ON s.person_id = a.person_id AND s.series_uid = f.source_series_uid
  LEFT JOIN affected_series o ON o.person_id = a.person_id AND o.series_uid = f.own_series_uid`;
}

/** Query: columns of events. */
export function featureEvents(): string {
  return `SELECT resource_key, ordinal, person_key, default_domain, true AS keeps_domain, type_concept_id, start_date, value_number,
       unit_text, resource_number, person_id
  FROM affected_feature WHERE image_row_id IS NOT NULL`;
}
