/**
 * In which order the rows of a CDM's tables lie in a DuckDB file of ours: by what a definition picks them by.
 *
 * DuckDB knows of each group of some 100,000 rows the smallest and largest value of every column, and leaves out groups that cannot
 * hold what is asked for. With rows of one concept beside each other, a set of concepts is read out of few groups; with the rows of
 * one person beside each other, as OHDSI's script clusters them on PostgreSQL, every group holds every concept and all are read.
 * Nothing depends on the order but the time.
 */

/** What rows are picked by first; those of the clinical tables then lie by person. */
const PICKED_BY: Readonly<Record<string, readonly string[]>> = {
  person: ['person_id'],
  observation_period: ['person_id'],
  death: ['person_id'],
  visit_occurrence: ['visit_concept_id', 'person_id'],
  visit_detail: ['visit_detail_concept_id', 'person_id'],
  condition_occurrence: ['condition_concept_id', 'person_id'],
  drug_exposure: ['drug_concept_id', 'person_id'],
  procedure_occurrence: ['procedure_concept_id', 'person_id'],
  device_exposure: ['device_concept_id', 'person_id'],
  measurement: ['measurement_concept_id', 'person_id'],
  observation: ['observation_concept_id', 'person_id'],
  specimen: ['specimen_concept_id', 'person_id'],
  drug_era: ['drug_concept_id', 'person_id'],
  dose_era: ['drug_concept_id', 'person_id'],
  condition_era: ['condition_concept_id', 'person_id'],
  concept: ['concept_id'],
  concept_ancestor: ['ancestor_concept_id', 'descendant_concept_id'],
  concept_relationship: ['concept_id_2', 'concept_id_1'],
};

/** Columns by which the rows of a table lie; none where no question picks its rows. */
export function cdmRowOrder(table: string): readonly string[] {
  return Object.hasOwn(PICKED_BY, table) ? (PICKED_BY[table] ?? []) : [];
}
