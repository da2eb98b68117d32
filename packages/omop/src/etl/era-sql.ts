/**
 * Eras: spans of one condition, or of one ingredient, that are at most thirty days apart, as OHDSI's convention for the CDM has
 * them. A drug without a known ingredient (the vocabulary lacks its ancestors) has no era.
 */
import { deleteOfAffected } from './person-sql.ts';

const GAP_DAYS = 30;

/** Eras of one patient at most, so that the key of an era can be made of the patient's. */
const ERAS_PER_PERSON_MAX = 1_000_000;

export function eraStatements(): string[] {
  return [
    deleteOfAffected('condition_era'),
    `INSERT INTO condition_era (condition_era_id, person_id, condition_concept_id, condition_era_start_date, condition_era_end_date,
  condition_occurrence_count)
${eras(`SELECT person_id, condition_concept_id AS concept_id, condition_start_date AS start_date,
    greatest(coalesce(condition_end_date, condition_start_date), condition_start_date) AS end_date
  FROM condition_occurrence SEMI JOIN affected_person_number USING (person_id) WHERE condition_concept_id <> 0`)}`,
    deleteOfAffected('drug_era'),
    `INSERT INTO drug_era (drug_era_id, person_id, drug_concept_id, drug_era_start_date, drug_era_end_date, drug_exposure_count,
  gap_days)
${eras(
  `SELECT d.person_id, i.concept_id, d.drug_exposure_start_date AS start_date,
    greatest(d.drug_exposure_end_date, d.drug_exposure_start_date) AS end_date
  FROM drug_exposure d SEMI JOIN affected_person_number USING (person_id)
  JOIN concept_ancestor ca ON ca.descendant_concept_id = d.drug_concept_id
  JOIN concept i ON i.concept_id = ca.ancestor_concept_id AND i.concept_class_id = 'Ingredient' AND i.standard_concept = 'S'`,
  `, greatest(max(end_date) - min(start_date) + 1 - sum(covered_days), 0)`,
)}`,
  ];
}

/** `spans` gives person_id, concept_id, start_date and end_date; `more` further columns of an era. */
function eras(spans: string, more = ''): string {
  return `SELECT person_id * ${ERAS_PER_PERSON_MAX} + row_number() OVER (PARTITION BY person_id ORDER BY concept_id, min(start_date)),
       person_id, concept_id, min(start_date), max(end_date), count(*)${more}
FROM (
  SELECT *, sum(begins::integer) OVER in_order AS era,
         -- Days of this span that no earlier span of the patient and concept covers.
         greatest(end_date - greatest(start_date, coalesce(latest + 1, start_date)) + 1, 0) AS covered_days
  FROM (
    SELECT *, max(end_date) OVER earlier AS latest, coalesce(max(end_date) OVER earlier + ${GAP_DAYS} < start_date, true) AS begins
    FROM (${spans})
    WINDOW earlier AS (PARTITION BY person_id, concept_id ORDER BY start_date, end_date
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
  ) WINDOW in_order AS (PARTITION BY person_id, concept_id ORDER BY start_date, end_date
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
) GROUP BY person_id, concept_id, era`;
}
