/** Periods that overlap or nearly touch become one, as eras do. `step` has person_id, start_date and end_date. */
import type { PlanSteps } from './plan-steps.ts';
import {
  addDays,
  coalesce,
  column,
  compare,
  type Expression,
  equal,
  integer,
  max,
  min,
  type Select,
} from './sql-tree.ts';

/**
 * Adds the steps for periods that end no earlier than they start; returns the last. Most persons have one, which stands for itself:
 * only the others are put in order, the costly part.
 */
export function addJoinedPeriods(steps: PlanSteps, step: string, gapDays: number): string {
  const own = (name: string) => column('s', name);
  const persons = steps.add('period_persons', {
    columns: {
      person_id: own('person_id'),
      start_date: min(own('start_date')),
      end_date: max(own('end_date')),
      period_count: { kind: 'aggregate', name: 'count', of: own('start_date') },
    },
    from: { step, as: 's' },
    groupBy: [own('person_id')],
  });
  const count = column('a', 'period_count');
  const several = steps.add('several_periods', {
    columns: { person_id: own('person_id'), start_date: own('start_date'), end_date: own('end_date') },
    from: { step, as: 's' },
    joins: [
      {
        kind: 'inner',
        source: { step: persons, as: 'a' },
        on: [equal(column('a', 'person_id'), own('person_id')), compare(count, '>', integer(1))],
      },
    ],
  });
  const alone: Select = {
    columns: {
      person_id: column('a', 'person_id'),
      start_date: column('a', 'start_date'),
      end_date: column('a', 'end_date'),
    },
    from: { step: persons, as: 'a' },
    where: [equal(count, integer(1))],
  };
  return steps.add('periods', { unionAll: [alone, joinedPeriods(several, gapDays)] });
}

/**
 * Of periods that end no earlier than they start. In the order of their starts, a joined one begins where all before end too early;
 * it ends where all that come before the next beginning end at the latest.
 */
function joinedPeriods(step: string, gapDays: number): Select {
  const person = column('s', 'person_id');
  const latest = (frame: 'before' | 'all'): Expression => ({
    kind: 'window',
    name: 'max',
    of: column('s', 'end_date'),
    partitionBy: person,
    orderBy: [{ by: column('s', 'start_date') }, { by: column('s', 'end_date') }],
    frame,
  });
  const reached: Select = {
    columns: {
      person_id: person,
      start_date: column('s', 'start_date'),
      reached_before: latest('before'),
      reached_at_last: latest('all'),
    },
    from: { step, as: 's' },
  };
  const before = column('n', 'reached_before');
  const start = column('n', 'start_date');
  const atNext: Expression = {
    kind: 'window',
    name: 'lead',
    of: before,
    partitionBy: column('n', 'person_id'),
    orderBy: [{ by: start }],
  };
  return {
    columns: {
      person_id: column('n', 'person_id'),
      start_date: start,
      end_date: coalesce(atNext, column('n', 'reached_at_last')),
    },
    from: { query: reached, as: 'n' },
    where: [{ kind: 'any', of: [{ kind: 'is-null', of: before }, compare(addDays(before, gapDays), '<', start)] }],
  };
}

/** Of rows that others wrote, which may end before they start: joined ones are numbered, and reach as far as their own rows do. */
export function joinedRows(step: string, gapDays: number): Select {
  const person = column('s', 'person_id');
  const byStart = [{ by: column('s', 'start_date') }, { by: column('s', 'end_date') }];
  const reach: Expression = {
    kind: 'window',
    name: 'max',
    of: addDays(column('s', 'end_date'), gapDays),
    partitionBy: person,
    orderBy: byStart,
    frame: 'before',
  };
  const begun: Select = {
    columns: {
      person_id: person,
      start_date: column('s', 'start_date'),
      end_date: column('s', 'end_date'),
      begins: {
        kind: 'case',
        when: compare(reach, '>=', column('s', 'start_date')),
        value: integer(0),
        otherwise: integer(1),
      },
    },
    from: { step, as: 's' },
  };
  const island: Expression = {
    kind: 'window',
    name: 'sum',
    of: column('s', 'begins'),
    partitionBy: person,
    orderBy: byStart,
    frame: 'so-far',
  };
  const numbered: Select = { allOf: 's', columns: { island }, from: { query: begun, as: 's' } };
  return {
    columns: {
      person_id: column('n', 'person_id'),
      start_date: min(column('n', 'start_date')),
      end_date: max(column('n', 'end_date')),
    },
    from: { query: numbered, as: 'n' },
    groupBy: [column('n', 'person_id'), column('n', 'island')],
  };
}
