/** What the CDM has to say of the patients of a cohort: queries over its tables and the step of first entries. */
import type { Characteristic, ConceptDomain } from '@lantern/contract';
import {
  column,
  compare,
  type Expression,
  equal,
  integer,
  type Join,
  type Query,
  rowNumber,
  type Select,
} from '../cohort/sql-tree.ts';
import { gatheredRows } from './gathered-rows.ts';

/** Step: person_id, entry_date. */
export const FIRST_ENTRIES = 'first_entries';

/** DICOM's codes of the modalities that are counted. */
export const MODALITIES = ['CT', 'MR', 'CR', 'DX', 'US', 'MG', 'NM', 'PT'] as const;
const DICOM_VOCABULARY = 'DICOM';

/** Where each domain lies in the CDM. */
export const CONCEPT_TABLES: Readonly<Record<ConceptDomain, { readonly table: string; readonly concept: string }>> = {
  condition: { table: 'condition_occurrence', concept: 'condition_concept_id' },
  drug: { table: 'drug_exposure', concept: 'drug_concept_id' },
  measurement: { table: 'measurement', concept: 'measurement_concept_id' },
  procedure: { table: 'procedure_occurrence', concept: 'procedure_concept_id' },
  observation: { table: 'observation', concept: 'observation_concept_id' },
};

const ENTRY = 'f';
const ENTRY_DATE = column(ENTRY, 'entry_date');

function ofCohort(personId: Expression): Join {
  return {
    kind: 'inner',
    source: { step: FIRST_ENTRIES, as: ENTRY },
    on: [equal(column(ENTRY, 'person_id'), personId)],
  };
}

/** Persons with gender, year of birth and first entry. */
export function entryRows(): Select {
  const personId = column('p', 'person_id');
  return gatheredRows(
    'entry',
    {
      personId,
      values: { code: column('p', 'gender_concept_id'), birth_year: column('p', 'year_of_birth'), day: ENTRY_DATE },
    },
    { from: { table: 'person', as: 'p' }, joins: [ofCohort(personId)] },
  );
}

/** Rows beyond those of `entryRows`, where a characteristic needs any. */
export function characteristicRows(characteristic: Characteristic, part: string): Query | undefined {
  switch (characteristic.kind) {
    case 'top-conditions':
      return conceptRows(CONCEPT_TABLES.condition, part);
    case 'top-drugs':
      return conceptRows(CONCEPT_TABLES.drug, part);
    case 'modality':
      return { unionAll: MODALITIES.map((modality, index) => modalityRows({ modality, index, part })) };
    case 'measurement':
      return measurementRows(characteristic, part);
    default:
      return undefined;
  }
}

/** Concept 0 is what nobody could map. */
function conceptRows({ table, concept }: { table: string; concept: string }, part: string): Select {
  const personId = column('t', 'person_id');
  const code = column('t', concept);
  return {
    ...gatheredRows(
      part,
      { personId, values: { code } },
      { from: { table, as: 't' }, joins: [ofCohort(personId)], where: [compare(code, '<>', integer(0))] },
    ),
    isDistinct: true,
  };
}

/** By the code that came with the image, or by its concept. */
function modalityRows({ modality, index, part }: { modality: string; index: number; part: string }): Select {
  const personId = column('t', 'person_id');
  const code = { kind: 'text' as const, value: modality };
  return {
    ...gatheredRows(
      part,
      { personId, values: { code: integer(index) } },
      {
        from: { table: 'image_occurrence', as: 't' },
        joins: [
          ofCohort(personId),
          {
            kind: 'left',
            source: { table: 'concept', as: 'n' },
            on: [
              equal(column('n', 'concept_id'), column('t', 'modality_concept_id')),
              equal(column('n', 'vocabulary_id'), { kind: 'text', value: DICOM_VOCABULARY }),
            ],
          },
        ],
        where: [
          {
            kind: 'any',
            of: [equal(column('t', 'modality_source_value'), code), equal(column('n', 'concept_code'), code)],
          },
        ],
      },
    ),
    isDistinct: true,
  };
}

/**
 * Of each patient the newest value up to the day of entry, that day included, within the observation period that the day lies in;
 * of several values of one day, that of the highest number.
 */
function measurementRows(asked: Extract<Characteristic, { kind: 'measurement' }>, part: string): Select {
  const personId = column('t', 'person_id');
  const day = column('t', 'measurement_date');
  const from = column('o', 'observation_period_start_date');
  const to = column('o', 'observation_period_end_date');
  const values: Select = {
    columns: {
      person_id: personId,
      amount: column('t', 'value_as_number'),
      place: rowNumber(personId, [
        { by: day, isDescending: true },
        { by: column('t', 'measurement_id'), isDescending: true },
      ]),
    },
    from: { table: 'measurement', as: 't' },
    joins: [
      ofCohort(personId),
      {
        kind: 'inner',
        source: { table: 'observation_period', as: 'o' },
        on: [equal(column('o', 'person_id'), personId), compare(from, '<=', ENTRY_DATE), compare(to, '>=', ENTRY_DATE)],
      },
    ],
    where: [
      equal(column('t', 'measurement_concept_id'), integer(BigInt(asked.conceptId))),
      equal(column('t', 'unit_concept_id'), integer(BigInt(asked.unitConceptId))),
      { kind: 'not', of: { kind: 'is-null', of: column('t', 'value_as_number') } },
      compare(day, '<=', ENTRY_DATE),
      compare(day, '>=', from),
    ],
  };
  return gatheredRows(
    part,
    { personId: column('v', 'person_id'), values: { amount: column('v', 'amount') } },
    { from: { query: values, as: 'v' }, where: [equal(column('v', 'place'), integer(1))] },
  );
}
