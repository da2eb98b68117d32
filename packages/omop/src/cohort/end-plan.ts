/**
 * When an included event's period ends: the earliest of what the end strategy says, the end of the observation period, and the
 * censoring events. With a date offset the observation period bounds the end itself.
 */

import type { CohortDefinition, EndStrategy } from './definition.ts';
import { addEvents, sameEvent } from './group-plan.ts';
import { joinedRows } from './joined-periods.ts';
import type { PlanSteps } from './plan-steps.ts';
import {
  addDays,
  coalesce,
  column,
  compare,
  type Expression,
  equal,
  min,
  type Query,
  type Select,
} from './sql-tree.ts';

const EVENT = 'e';
const KEYS = { person_id: column(EVENT, 'person_id'), event_id: column(EVENT, 'event_id') };

/** Whether more than one day can end an included event. */
export function hasSeveralEnds({ end, censoring }: CohortDefinition): boolean {
  return end?.kind === 'custom-era' || censoring.length > 0;
}

/** person_id, start_date, end_date of each included event. */
export function addEnds(steps: PlanSteps, definition: CohortDefinition, included: string): string {
  const { end, censoring } = definition;
  const observed: Select = {
    columns: { ...KEYS, end_date: column(EVENT, 'op_end_date') },
    from: { step: included, as: EVENT },
  };
  if (!hasSeveralEnds(definition))
    return addOnlyEnd(steps, end?.kind === 'date-offset' ? dateOffset(end, included) : observed);
  const ends: Query[] = [
    ...(end?.kind === 'date-offset' ? [dateOffset(end, included)] : [observed]),
    ...(end?.kind === 'custom-era' ? [customEra(steps, end, included)] : []),
    ...censoring.map((criterion) => firstAfter(addEvents(steps, criterion), included)),
  ];
  const all = steps.add('ends', { unionAll: ends });
  return steps.add('event_periods', {
    columns: {
      person_id: KEYS.person_id,
      start_date: column(EVENT, 'start_date'),
      end_date: min(column('x', 'end_date')),
    },
    from: { step: included, as: EVENT },
    groupBy: [...Object.values(KEYS), column(EVENT, 'start_date')],
    joins: [
      {
        kind: 'inner',
        source: { step: all, as: 'x' },
        on: [...sameEvent('x', EVENT), compare(column('x', 'end_date'), '>=', column(EVENT, 'start_date'))],
      },
    ],
  });
}

/** Of events that have one end each. */
function addOnlyEnd(steps: PlanSteps, { columns, ...rest }: Select): string {
  const ends = steps.add('ends', {
    ...rest,
    columns: { ...columns, start_date: column(EVENT, 'start_date') },
  });
  const start = column('x', 'start_date');
  const end = column('x', 'end_date');
  return steps.add('event_periods', {
    columns: { person_id: column('x', 'person_id'), start_date: start, end_date: end },
    from: { step: ends, as: 'x' },
    where: [compare(end, '>=', start)],
  });
}

function dateOffset(strategy: Extract<EndStrategy, { kind: 'date-offset' }>, included: string): Select {
  const day = addDays(column(EVENT, strategy.from === 'start' ? 'start_date' : 'end_date'), strategy.days);
  const opEnd = column(EVENT, 'op_end_date');
  return {
    columns: { ...KEYS, end_date: { kind: 'case', when: compare(day, '>', opEnd), value: opEnd, otherwise: day } },
    from: { step: included, as: EVENT },
  };
}

function firstAfter(events: string, included: string): Select {
  const start = column('x', 'start_date');
  return {
    columns: { ...KEYS, end_date: min(start) },
    from: { step: included, as: EVENT },
    joins: [
      {
        kind: 'inner',
        source: { step: events, as: 'x' },
        on: [
          equal(column('x', 'person_id'), KEYS.person_id),
          compare(start, '>=', column(EVENT, 'start_date')),
          compare(start, '<=', column(EVENT, 'op_end_date')),
        ],
      },
    ],
    groupBy: Object.values(KEYS),
  };
}

/** Exposures to the drugs that lie at most the gap apart are one era; an event ends with the era in which it starts. */
function customEra(steps: PlanSteps, strategy: Extract<EndStrategy, { kind: 'custom-era' }>, included: string): Select {
  const exposures = steps.add('era_exposures', {
    unionAll: ['drug_concept_id', 'drug_source_concept_id'].map((name) => exposuresBy(name, strategy)),
  });
  const eras = steps.add('drug_eras', joinedRows(exposures, strategy.gapDays));
  const end = addDays(column('x', 'end_date'), strategy.offsetDays);
  const start = column(EVENT, 'start_date');
  return {
    columns: { ...KEYS, end_date: end },
    from: { step: included, as: EVENT },
    joins: [
      {
        kind: 'inner',
        source: { step: eras, as: 'x' },
        on: [
          equal(column('x', 'person_id'), KEYS.person_id),
          compare(start, '>=', column('x', 'start_date')),
          compare(start, '<=', end),
        ],
      },
    ],
  };
}

function exposuresBy(
  name: string,
  { daysSupply, drugConceptSet }: Extract<EndStrategy, { kind: 'custom-era' }>,
): Select {
  const start = column('d', 'drug_exposure_start_date');
  const end: Expression =
    daysSupply === undefined
      ? coalesce(column('d', 'drug_exposure_end_date'), addDays(start, column('d', 'days_supply')), addDays(start, 1))
      : addDays(start, daysSupply);
  return {
    columns: { person_id: column('d', 'person_id'), start_date: start, end_date: end },
    from: { table: 'drug_exposure', as: 'd' },
    where: [{ kind: 'in-concept-set', value: column('d', name), conceptSets: [drugConceptSet] }],
  };
}
