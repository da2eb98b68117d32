/**
 * Groups: which index events have around them what a group asks for. Index events are a step with person_id, event_id, start_date,
 * end_date, visit_occurrence_id, op_start_date and op_end_date; a group becomes a step with person_id and event_id of those that
 * satisfy it.
 */
import { criterionEvents, demographicConditions, personJoin } from './criterion-plan.ts';
import type { Bound, CorrelatedCriterion, CountColumn, Criterion, Filter, Group, Window } from './definition.ts';
import { DEMOGRAPHICS } from './domains.ts';
import type { PlanSteps } from './plan-steps.ts';
import {
  addDays,
  type Comparison,
  column,
  compare,
  type Expression,
  equal,
  integer,
  type Query,
  type Select,
} from './sql-tree.ts';

/** As the rows of index events are called where they are read; demographic attributes are read from `c`. */
const INDEX = 'i';
const EVENT = 'e';
const MEMBER = 'm';
const ROW = 'c';

/** Adds the steps of a group over the step `index`; returns the name of the last. */
export function addGroup(steps: PlanSteps, group: Group, index: string): string {
  const members: Query[] = [
    ...group.criteria.map((one) => correlated(steps, one, index)),
    ...group.demographics.map((filters) => demographic(filters, index)),
    ...group.groups.map((one): Select => {
      const step = addGroup(steps, one, index);
      return { columns: keysOf('g'), from: { step, as: 'g' } };
    }),
  ];
  return steps.add('group', members.length === 0 ? allOf(index) : counted(group, members, index));
}

/** Each member yields an event once, and only such as are in the index. */
function counted({ needs }: Group, members: readonly Query[], index: string): Query {
  const isZeroEnough = needs.kind === 'at-most' || (needs.kind === 'at-least' && needs.count === 0);
  const [operator, count] = neededCount(needs, members.length);
  const [only] = members;
  if (!isZeroEnough && only !== undefined && members.length === 1 && (needs.kind !== 'at-least' || needs.count === 1)) {
    return only;
  }
  const union: Query = { unionAll: members.map((query, member) => numbered(query, member)) };
  const having = (isDistinct: boolean): Expression =>
    compare({ kind: 'aggregate', name: 'count', isDistinct, of: column(MEMBER, 'member') }, operator, integer(count));
  if (!isZeroEnough) {
    const keys = keysOf(MEMBER);
    return { columns: keys, from: { query: union, as: MEMBER }, groupBy: Object.values(keys), having: having(false) };
  }
  return {
    columns: keysOf(INDEX),
    from: { step: index, as: INDEX },
    joins: [{ kind: 'left', source: { query: union, as: MEMBER }, on: sameEvent(MEMBER, INDEX) }],
    groupBy: Object.values(keysOf(INDEX)),
    having: having(true), // an event that starts in two observation periods stands in the index twice
  };
}

function numbered(query: Query, member: number): Select {
  return { columns: { ...keysOf('q'), member: integer(member) }, from: { query, as: 'q' } };
}

function neededCount(needs: Group['needs'], memberCount: number): [Comparison, number] {
  switch (needs.kind) {
    case 'all':
      return ['=', memberCount];
    case 'any':
      return ['>', 0];
    case 'at-least':
      return ['>=', needs.count];
    case 'at-most':
      return ['<=', needs.count];
  }
}

function demographic(filters: readonly Filter[], index: string): Select {
  return {
    isDistinct: true,
    columns: keysOf(ROW),
    from: { step: index, as: ROW },
    joins: [personJoin(column(ROW, 'person_id'))],
    where: demographicConditions(filters, DEMOGRAPHICS),
  };
}

const OCCURRENCE_OPERATORS = { exactly: '=', 'at-most': '<=', 'at-least': '>=' } as const;

function correlated(steps: PlanSteps, one: CorrelatedCriterion, index: string): Select {
  const { kind, count, distinct } = one.occurrence;
  const events = addEvents(steps, one.criterion, { counting: distinct, around: index });
  return {
    columns: keysOf(INDEX),
    from: { step: index, as: INDEX },
    joins: [
      {
        kind: kind === 'at-most' || count === 0 ? 'left' : 'inner',
        source: { step: events, as: EVENT },
        on: [equal(column(EVENT, 'person_id'), column(INDEX, 'person_id')), ...placement(one)],
      },
    ],
    groupBy: Object.values(keysOf(INDEX)),
    having: compare(
      {
        kind: 'aggregate',
        name: 'count',
        isDistinct: distinct !== undefined,
        of: column(EVENT, distinct === undefined ? 'event_id' : 'counted'),
      },
      OCCURRENCE_OPERATORS[kind],
      integer(count),
    ),
  };
}

/** Where an event has to lie around its index event. */
function placement(one: CorrelatedCriterion): Expression[] {
  const { startWindow, endWindow, isSameVisit, ignoresObservationPeriod } = one;
  const start = column(EVENT, 'start_date');
  const observed = [
    compare(start, '>=', column(INDEX, 'op_start_date')),
    compare(start, '<=', column(INDEX, 'op_end_date')),
  ];
  return [
    ...(ignoresObservationPeriod ? [] : observed),
    ...within(startWindow, ignoresObservationPeriod),
    ...(endWindow === undefined ? [] : within(endWindow, ignoresObservationPeriod)),
    ...(isSameVisit ? [equal(column(EVENT, 'visit_occurrence_id'), column(INDEX, 'visit_occurrence_id'))] : []),
  ];
}

function within(window: Window, ignoresObservationPeriod: boolean): Expression[] {
  const eventDay = column(EVENT, window.eventDay === 'end' ? 'end_date' : 'start_date');
  const indexDay = column(INDEX, window.indexDay === 'end' ? 'end_date' : 'start_date');
  const limit = (bound: Bound, operator: Comparison): Expression[] => {
    if (typeof bound === 'object') return [compare(eventDay, operator, addDays(indexDay, bound.days))];
    if (ignoresObservationPeriod) return [];
    return [compare(eventDay, operator, column(INDEX, bound === 'all-before' ? 'op_start_date' : 'op_end_date'))];
  };
  return [...limit(window.from, '>='), ...limit(window.to, '<=')];
}

type EventUse = {
  readonly counting?: CountColumn | undefined;
  /** Step of the events around which these are looked for. */
  readonly around?: string;
};

/** Adds the events of a criterion, those alone around which its own group is satisfied; returns the step. */
export function addEvents(steps: PlanSteps, criterion: Criterion, { counting, around }: EventUse = {}): string {
  const all = steps.add('events', criterionEvents(criterion, counting));
  if (criterion.correlated === undefined) return all;
  const events = around === undefined ? all : steps.add('events_of_persons', ofSamePersons(all, around));
  const index = steps.add('index_events', withObservationPeriod(events));
  const group = addGroup(steps, criterion.correlated, index);
  return steps.add('correlated_events', {
    allOf: EVENT,
    columns: {},
    from: { step: events, as: EVENT },
    joins: [{ kind: 'inner', source: { step: group, as: 'g' }, on: sameEvent('g', EVENT) }],
  });
}

/** A group is costly; whoever has nothing in the index needs none. */
function ofSamePersons(events: string, index: string): Select {
  const persons: Query = {
    isDistinct: true,
    columns: { person_id: column(INDEX, 'person_id') },
    from: { step: index, as: INDEX },
  };
  return {
    allOf: EVENT,
    columns: {},
    from: { step: events, as: EVENT },
    joins: [
      {
        kind: 'inner',
        source: { query: persons, as: 'p' },
        on: [equal(column('p', 'person_id'), column(EVENT, 'person_id'))],
      },
    ],
  };
}

/** Events with the observation period in which they start; without one they are no index events. */
function withObservationPeriod(events: string): Select {
  const start = column(EVENT, 'start_date');
  const opStart = column('o', 'observation_period_start_date');
  const opEnd = column('o', 'observation_period_end_date');
  return {
    allOf: EVENT,
    columns: { op_start_date: opStart, op_end_date: opEnd },
    from: { step: events, as: EVENT },
    joins: [
      {
        kind: 'inner',
        source: { table: 'observation_period', as: 'o' },
        on: [
          equal(column('o', 'person_id'), column(EVENT, 'person_id')),
          compare(opStart, '<=', start),
          compare(opEnd, '>=', start),
        ],
      },
    ],
  };
}

function allOf(index: string): Select {
  return { isDistinct: true, columns: keysOf(INDEX), from: { step: index, as: INDEX } };
}

export function sameEvent(left: string, right: string): Expression[] {
  return [
    equal(column(left, 'person_id'), column(right, 'person_id')),
    equal(column(left, 'event_id'), column(right, 'event_id')),
  ];
}

function keysOf(of: string): Record<'person_id' | 'event_id', Expression> {
  return { person_id: column(of, 'person_id'), event_id: column(of, 'event_id') };
}
