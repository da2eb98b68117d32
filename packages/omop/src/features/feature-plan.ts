/**
 * From a feature specification to a plan over a CDM: the cohort and its index days, a step or more for each column, and one row for
 * each person. A plan is data and knows no database; `featureSql` prints it, as a cohort's is.
 *
 *   person_id, index_date
 *   v0, v1, …   the value of each column as DOUBLE; null where it is missing. 0 and 1 for no and yes, the concept for the sex
 *   u0, u1, …   how many values of the person were left out because of their unit
 *   r0, r1, …   how many because they lie beyond the range
 *
 * Means are sums in the order of day and row: so both databases give the same bits, each time.
 */
import { AppError, type FeatureColumn, type FeatureSpecification } from '@lantern/contract';
import { readCirceValue } from '../cohort/circe-reader.ts';
import { addCohort } from '../cohort/cohort-plan.ts';
import { addConceptSets } from '../cohort/concept-set-plan.ts';
import type { CohortDefinition } from '../cohort/definition.ts';
import { type CdmNeeds, neededColumns } from '../cohort/plan-needs.ts';
import { PlanSteps } from '../cohort/plan-steps.ts';
import { withSharedRows } from '../cohort/shared-rows.ts';
import { type PrintOptions, printPlan } from '../cohort/sql-printer.ts';
import {
  coalesce,
  column,
  type Expression,
  equal,
  integer,
  type Join,
  max,
  min,
  type Query,
  type Select,
  type Step,
} from '../cohort/sql-tree.ts';
import { ConceptSetNumbers } from './concept-set-numbers.ts';
import { addMeasurement } from './measurement-plan.ts';
import { INDEX, inWindow, outside, within } from './row-values.ts';
import type { UnitConversions } from './unit-conversion.ts';

export type FeatureTablePlan = {
  readonly steps: readonly Step[];
  readonly rows: Query;
  readonly needs: CdmNeeds;
  /** Everything whose concepts the vocabulary has to know. */
  readonly conceptSets: CohortDefinition['conceptSets'];
};

/** `conversionsOf`: how values of other units become those of a unit. Throws `input.invalid` for a cohort that is not understood. */
export function planFeatureTable(
  specification: FeatureSpecification,
  conversionsOf: (unit: string) => UnitConversions,
): FeatureTablePlan {
  const { columns } = specification;
  const numbers = new ConceptSetNumbers();
  const cohort = numbers.take(definitionAt(specification.cohort, '/cohort'));
  const prepared = columns.map((one, place) => prepare(one, numbers, `/columns/${place}`));
  const steps = new PlanSteps();
  addConceptSets(steps, { conceptSets: numbers.all });
  const vocabularyStepCount = steps.all.length;
  const index = addIndex(steps, cohort, specification.index);
  const cells = prepared.map((one) => addColumn(steps, index, one, conversionsOf));
  const rows: Select = {
    columns: {
      person_id: { kind: 'to-bigint', of: column(INDEX, 'person_id') },
      index_date: column(INDEX, 'index_date'),
      ...Object.fromEntries(cells.flatMap((cell, place) => named(cell, place))),
    },
    from: { step: index, as: INDEX },
    joins: [
      {
        kind: 'inner',
        source: { table: 'person', as: PERSON },
        on: [equal(column(PERSON, 'person_id'), column(INDEX, 'person_id'))],
      },
      ...cells.flatMap(({ join }) => (join === undefined ? [] : [join])),
    ],
  };
  return {
    steps: withSharedRows(steps.all, vocabularyStepCount),
    rows,
    needs: neededColumns([...steps.all.map(({ query }) => query), rows]),
    conceptSets: numbers.all,
  };
}

export function featureSql({ steps, rows }: FeatureTablePlan, options: PrintOptions): string {
  return printPlan(steps, rows, { ...options, isEachStepMadeOnce: options.dialect === 'postgres' });
}

/** Types of the rows, as they are gathered. */
export function featureRowColumns({ columns }: FeatureSpecification): Record<string, string> {
  const cells = columns.flatMap((_, place): [string, string][] => [
    [`v${place}`, 'DOUBLE'],
    [`u${place}`, 'BIGINT'],
    [`r${place}`, 'BIGINT'],
  ]);
  return { person_id: 'BIGINT', index_date: 'DATE', ...Object.fromEntries(cells) };
}

const PERSON = 'p';

type Cell = {
  readonly value: Expression;
  readonly unitLeftOut?: Expression;
  readonly rangeLeftOut?: Expression;
  readonly join?: Join;
};

function named({ value, unitLeftOut, rangeLeftOut }: Cell, place: number): [string, Expression][] {
  const count = (of: Expression | undefined): Expression => ({ kind: 'to-bigint', of: of ?? integer(0) });
  return [
    [`v${place}`, { kind: 'to-double', of: value }],
    [`u${place}`, count(unitLeftOut)],
    [`r${place}`, count(rangeLeftOut)],
  ];
}

/** Faults of a definition are told with the place where it stands. */
function definitionAt(circe: Record<string, unknown>, at: string): CohortDefinition {
  try {
    return readCirceValue(circe);
  } catch (caught) {
    if (!(caught instanceof AppError) || caught.code !== 'input.invalid') throw caught;
    throw new AppError('input.invalid', `Feature specification: field ${at}: ${caught.message}`, { field: at });
  }
}

type Prepared =
  | { readonly kind: 'person'; readonly feature: Extract<FeatureColumn, { kind: 'age' | 'year' | 'sex' }> }
  /** Of views and images: filled in once the rows are gathered. */
  | { readonly kind: 'later' }
  | { readonly kind: 'label'; readonly feature: LabelFeature; readonly cohort: CohortDefinition }
  | { readonly kind: 'rows'; readonly feature: RowsFeature; readonly conceptSet: number };

type LabelFeature = Extract<FeatureColumn, { kind: 'label' }>;
type RowsFeature = Extract<FeatureColumn, { concepts: string[] }>;
type EventFeature = Exclude<RowsFeature, { kind: 'measurement' }>;

function prepare(feature: FeatureColumn, numbers: ConceptSetNumbers, at: string): Prepared {
  switch (feature.kind) {
    case 'age':
    case 'year':
    case 'sex':
      return { kind: 'person', feature };
    case 'view':
    case 'image':
      return { kind: 'later' };
    case 'label':
      return { kind: 'label', feature, cohort: numbers.take(definitionAt(feature.cohort, `${at}/cohort`)) };
    default: {
      const { concepts: conceptIds, withDescendants } = feature;
      return { kind: 'rows', feature, conceptSet: numbers.add({ conceptIds, withDescendants }) };
    }
  }
}

/** person_id, index_date: one row for each person of the cohort. */
function addIndex(steps: PlanSteps, cohort: CohortDefinition, which: FeatureSpecification['index']): string {
  const periods = steps.add('cohort_periods', addCohort(steps, cohort).cohort);
  const day = column('k', 'cohort_start_date');
  return steps.add('index_days', {
    columns: { person_id: column('k', 'subject_id'), index_date: which === 'first-entry' ? min(day) : max(day) },
    from: { step: periods, as: 'k' },
    groupBy: [column('k', 'subject_id')],
  });
}

function addColumn(
  steps: PlanSteps,
  index: string,
  prepared: Prepared,
  conversionsOf: (unit: string) => UnitConversions,
): Cell {
  switch (prepared.kind) {
    case 'person':
      return personCell(prepared.feature);
    case 'later':
      return { value: { kind: 'null', type: 'double precision' } };
    case 'label':
      return yesNoCell(addLabel(steps, index, prepared));
    case 'rows': {
      const { feature, conceptSet } = prepared;
      if (feature.kind !== 'measurement') return eventCell(steps, index, { feature, conceptSet });
      const step = addMeasurement(steps, index, { feature, conceptSet, conversions: conversionsOf(feature.unit) });
      const count = (name: string) => coalesce(column(step, name), integer(0));
      const value = column(step, 'value');
      if (feature.aggregation === 'count')
        return { ...ranged(coalesce(value, integer(0)), feature), join: joined(step) };
      return {
        value,
        unitLeftOut: count('unit_left_out'),
        rangeLeftOut: count('range_left_out'),
        join: joined(step),
      };
    }
  }
}

function personCell(feature: Extract<Prepared, { kind: 'person' }>['feature']): Cell {
  const year: Expression = { kind: 'year', date: column(INDEX, 'index_date') };
  switch (feature.kind) {
    case 'sex':
      return { value: column(PERSON, 'gender_concept_id') };
    case 'year':
      return ranged(year, feature);
    case 'age':
      return ranged({ kind: 'minus', left: year, right: column(PERSON, 'year_of_birth') }, feature);
  }
}

/** One value of a person: missing, and counted, where it lies beyond the range. */
function ranged(value: Expression, { range }: { range: { min: number; max: number } }): Cell {
  const beyond = outside(value, range);
  return {
    value: within(value, range),
    rangeLeftOut: { kind: 'case', when: beyond, value: integer(1), otherwise: integer(0) },
  };
}

/** Steps have names of their own, which are their aliases too. */
function joined(step: string): Join {
  return {
    kind: 'left',
    source: { step, as: step },
    on: [equal(column(step, 'person_id'), column(INDEX, 'person_id'))],
  };
}

function yesNoCell(step: string): Cell {
  const value: Expression = {
    kind: 'case',
    when: { kind: 'is-null', of: column(step, 'person_id') },
    value: integer(0),
    otherwise: integer(1),
  };
  return { value, join: joined(step) };
}

function addLabel(steps: PlanSteps, index: string, { feature, cohort }: Extract<Prepared, { kind: 'label' }>): string {
  const periods = steps.add('label_periods', addCohort(steps, cohort).cohort);
  const day = column('k', 'cohort_start_date');
  return steps.add('label_found', {
    columns: { person_id: column(INDEX, 'person_id') },
    from: { step: periods, as: 'k' },
    joins: [
      {
        kind: 'inner',
        source: { step: index, as: INDEX },
        on: [equal(column(INDEX, 'person_id'), column('k', 'subject_id')), ...inWindow(day, feature.window)],
      },
    ],
    isDistinct: true,
  });
}

/** Rows of a domain: table, number, concept, day of the beginning. */
const DOMAINS = {
  condition: ['condition_occurrence', 'condition_occurrence_id', 'condition_concept_id', 'condition_start_date'],
  drug: ['drug_exposure', 'drug_exposure_id', 'drug_concept_id', 'drug_exposure_start_date'],
  procedure: ['procedure_occurrence', 'procedure_occurrence_id', 'procedure_concept_id', 'procedure_date'],
  observation: ['observation', 'observation_id', 'observation_concept_id', 'observation_date'],
} as const satisfies Record<EventFeature['kind'], readonly [string, string, string, string]>;

function eventCell(
  steps: PlanSteps,
  index: string,
  { feature, conceptSet }: { feature: EventFeature; conceptSet: number },
): Cell {
  const [table, number, concept, day] = DOMAINS[feature.kind];
  const row = (name: string) => column('c', name);
  const step = steps.add(`${feature.kind}_rows`, {
    columns: {
      person_id: column(INDEX, 'person_id'),
      value: { kind: 'aggregate', name: 'count', of: row(number) },
    },
    from: { table, as: 'c' },
    joins: [
      {
        kind: 'inner',
        source: { step: index, as: INDEX },
        on: [equal(column(INDEX, 'person_id'), row('person_id')), ...inWindow(row(day), feature.window)],
      },
    ],
    where: [{ kind: 'in-concept-set', value: row(concept), conceptSets: [conceptSet] }],
    groupBy: [column(INDEX, 'person_id')],
  });
  if (feature.range === undefined) return yesNoCell(step);
  return { ...ranged(coalesce(column(step, 'value'), integer(0)), { range: feature.range }), join: joined(step) };
}
