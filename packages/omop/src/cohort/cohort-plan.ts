/**
 * From a definition to a plan: named steps, each a query over the CDM and the steps before it, in the order that definition.ts
 * describes. A plan is data and knows no database; `cohortSql` and its sisters print it.
 *
 * Where Circe leaves open which of several events of one day is the first, ours is: by criterion, then by the number of the event.
 * So both databases find the same one.
 *
 * A plan holds no step whose outcome the definition already tells: without inclusion rules every event has the mask 0, after a limit
 * to the first or last each person has one event and one period. Most phenotypes are so simple that these steps were their price.
 */
import { AppError } from '@lantern/contract';
import { addConceptSets } from './concept-set-plan.ts';
import type { CohortDefinition, Limit } from './definition.ts';
import { addEnds, hasSeveralEnds } from './end-plan.ts';
import { addEvents, addGroup, sameEvent } from './group-plan.ts';
import { joinedPeriods } from './joined-periods.ts';
import { PlanSteps } from './plan-steps.ts';
import { withSharedRows } from './shared-rows.ts';
import { type PrintOptions, printPlan } from './sql-printer.ts';
import {
  addDays,
  column,
  compare,
  type Expression,
  equal,
  integer,
  min,
  type Order,
  type Query,
  rowNumber,
  type Select,
  type Source,
  type Step,
} from './sql-tree.ts';

export type CohortPlan = {
  readonly steps: readonly Step[];
  /** subject_id, cohort_start_date, cohort_end_date. */
  readonly cohort: Query;
  /**
   * mode_id, inclusion_rule_mask, person_count: how many events (mode 0), or persons by their best event (mode 1), satisfy just the
   * rules whose bits are set.
   */
  readonly inclusion: Query;
  /** person_id, mask: the rules that the best event of each person satisfies. */
  readonly masks: Query;
  /** lost_count: persons whose periods all lie outside the censor window. */
  readonly censored: Query;
};

const EVENT = 'e';
const PERSON_ID = column(EVENT, 'person_id');

export function planCohort(definition: CohortDefinition): CohortPlan {
  const steps = new PlanSteps();
  addConceptSets(steps, definition);
  const vocabularyStepCount = steps.all.length;
  const { qualified, rules, periods, cohort } = addCohort(steps, definition);
  const { events, persons } = addMasks(steps, qualified, rules);
  return {
    steps: withSharedRows(steps.all, vocabularyStepCount),
    cohort,
    inclusion: {
      unionAll: [countedMasks({ step: events, as: 'b' }, 0), countedMasks({ query: persons, as: 'b' }, 1)],
    },
    masks: persons,
    censored: lostCount(periods, cohort),
  };
}

/**
 * The steps of one cohort among others, over concept sets that are a step already; `cohort`: subject_id, cohort_start_date,
 * cohort_end_date. Throws `input.invalid` where a criterion names a set that the definition does not have.
 */
export function addCohort(steps: PlanSteps, definition: CohortDefinition): CohortSteps {
  checkConceptSets(definition);
  const primary = addPrimary(steps, definition);
  const qualified = addQualified(steps, definition, primary);
  const rules = addRules(steps, definition, qualified);
  const included = addIncluded(steps, definition, { qualified, rules });
  const periods = addPeriods(steps, definition, addEnds(steps, definition, included));
  return { qualified, rules, periods, cohort: censoredPeriods(definition, periods) };
}

/** Whether one person can have several qualified events, and several that are included. */
function haveSeveral(definition: CohortDefinition): { readonly qualified: boolean; readonly included: boolean } {
  const { primary, additional, qualifiedLimit, includedLimit } = definition;
  const qualified = primary.limit === 'all' && (additional === undefined || qualifiedLimit === 'all');
  return { qualified, included: qualified && includedLimit === 'all' };
}

/** Whether any step after the primary events tells those of one person apart. */
function areToldApart(definition: CohortDefinition): boolean {
  const { additional, inclusionRules, includedLimit } = definition;
  return additional !== undefined || inclusionRules.length > 0 || includedLimit !== 'all' || hasSeveralEnds(definition);
}

type CohortSteps = {
  readonly qualified: string;
  readonly rules: string | undefined;
  readonly periods: string;
  readonly cohort: Select;
};

export function cohortSql(plan: CohortPlan, options: PrintOptions): string {
  return printPlan(plan.steps, plan.cohort, options);
}

/**
 * Everything that a cohort is asked for in one statement, so that each step is worked out once:
 *
 *   part          number                amount        cohort_start_date, cohort_end_date
 *   'cohort'      subject_id            null          of each period
 *   'inclusion'   mask of rules         count         null; mode_id is 0 for events, 1 for persons
 *   'censored'    null                  lost_count    null
 */
export function cohortRunSql(plan: CohortPlan, options: PrintOptions): string {
  return printPlan(plan.steps, runQuery(plan), options);
}

function runQuery({ cohort, inclusion, censored }: CohortPlan): Query {
  const part = (name: string, query: Query, columns: Partial<Record<RunColumn, Expression>>): Select => ({
    columns: { part: { kind: 'text', value: name }, ...NO_VALUES, ...columns },
    from: { query, as: 'a' },
  });
  const own = (name: string) => column('a', name);
  const period = { cohort_start_date: own('cohort_start_date'), cohort_end_date: own('cohort_end_date') };
  return {
    unionAll: [
      part('cohort', cohort, { number: { kind: 'to-bigint', of: own('subject_id') }, ...period }),
      part('inclusion', inclusion, {
        mode_id: own('mode_id'),
        number: own('inclusion_rule_mask'),
        amount: own('person_count'),
      }),
      part('censored', censored, { amount: own('lost_count') }),
    ],
  };
}

type RunColumn = 'mode_id' | 'number' | 'amount' | 'cohort_start_date' | 'cohort_end_date';

const NO_VALUES: Readonly<Record<RunColumn, Expression>> = {
  mode_id: { kind: 'null', type: 'integer' },
  number: { kind: 'null', type: 'bigint' },
  amount: { kind: 'null', type: 'bigint' },
  cohort_start_date: { kind: 'null', type: 'date' },
  cohort_end_date: { kind: 'null', type: 'date' },
};

/** A set that a criterion names and nobody defined would be an empty one: a cohort of nobody, or of everybody. */
function checkConceptSets(definition: CohortDefinition): void {
  const known = new Set(definition.conceptSets.map(({ id }) => id));
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, child] of Object.entries(value)) {
      const isReference = CONCEPT_SET_FIELDS.has(name) && typeof child === 'number';
      if (isReference && !known.has(child)) {
        throw new AppError('input.invalid', `ConceptSets: there is no concept set ${child}, which a criterion names.`, {
          field: 'ConceptSets',
        });
      }
      visit(child);
    }
  };
  visit(definition);
}

/** Wherever they stand in a definition. */
export const CONCEPT_SET_FIELDS: ReadonlySet<string> = new Set(['conceptSet', 'sourceConceptSet', 'drugConceptSet']);

/** person_id, event_id, start_date, end_date, visit_occurrence_id, op_start_date, op_end_date. */
function addPrimary(steps: PlanSteps, definition: CohortDefinition): string {
  const { criteria, priorDays, postDays, limit } = definition.primary;
  const all = criteria.map((criterion) => addEvents(steps, criterion));
  const found = steps.add('found_events', {
    unionAll: all.map(
      (step, place): Select => ({
        allOf: 'f',
        columns: { place: integer(place) },
        from: { step, as: 'f' },
      }),
    ),
  });
  const start = column(EVENT, 'start_date');
  const opStart = column('o', 'observation_period_start_date');
  const opEnd = column('o', 'observation_period_end_date');
  const tie = [{ by: column(EVENT, 'place') }, { by: column(EVENT, 'event_id') }];
  const observed = steps.add('observed_events', {
    columns: {
      person_id: PERSON_ID,
      event_id: areToldApart(definition) ? rowNumber(PERSON_ID, [{ by: start }, ...tie]) : column(EVENT, 'event_id'),
      start_date: start,
      end_date: column(EVENT, 'end_date'),
      visit_occurrence_id: column(EVENT, 'visit_occurrence_id'),
      op_start_date: opStart,
      op_end_date: opEnd,
      ...(limit === 'all' ? {} : { ordinal: rowNumber(PERSON_ID, [inOrder(start, limit), ...tie]) }),
    },
    from: { step: found, as: EVENT },
    joins: [
      {
        kind: 'inner',
        source: { table: 'observation_period', as: 'o' },
        on: [equal(column('o', 'person_id'), PERSON_ID), compare(opStart, '<=', start), compare(opEnd, '>=', start)],
      },
    ],
    where: [
      ...(priorDays === 0 ? [] : [compare(addDays(opStart, priorDays), '<=', start)]),
      ...(postDays === 0 ? [] : [compare(addDays(start, postDays), '<=', opEnd)]),
    ],
  });
  return limit === 'all' ? observed : steps.add('primary_events', limited(observed));
}

function inOrder(by: Expression, limit: Limit): Order {
  return { by, isDescending: limit === 'last' };
}

/** Those that are the first or last of their person; `step` has the order as `ordinal`. */
function limited(step: string): Select {
  return {
    columns: eventColumns(EVENT),
    from: { step, as: EVENT },
    where: [equal(column(EVENT, 'ordinal'), integer(1))],
  };
}

function eventColumns(of: string): Record<string, Expression> {
  const names = [
    'person_id',
    'event_id',
    'start_date',
    'end_date',
    'visit_occurrence_id',
    'op_start_date',
    'op_end_date',
  ];
  return Object.fromEntries(names.map((name) => [name, column(of, name)]));
}

function ranked(of: string, limit: Limit): Record<string, Expression> {
  if (limit === 'all') return eventColumns(of);
  const ordinal = rowNumber(column(of, 'person_id'), [
    inOrder(column(of, 'start_date'), limit),
    { by: column(of, 'event_id') },
  ]);
  return { ...eventColumns(of), ordinal };
}

/** The limit of qualified events counts only where there is something to qualify for. */
function addQualified(steps: PlanSteps, { additional, qualifiedLimit }: CohortDefinition, primary: string): string {
  if (additional === undefined) return primary;
  const group = addGroup(steps, additional, primary);
  const matching = steps.add('matching_events', {
    columns: ranked(EVENT, qualifiedLimit),
    from: { step: primary, as: EVENT },
    joins: [{ kind: 'inner', source: { step: group, as: 'g' }, on: sameEvent('g', EVENT) }],
  });
  return qualifiedLimit === 'all' ? matching : steps.add('qualified_events', limited(matching));
}

/** person_id, event_id, rule, bit: the rules that an event satisfies. Undefined where there are none. */
function addRules(steps: PlanSteps, { inclusionRules }: CohortDefinition, qualified: string): string | undefined {
  if (inclusionRules.length === 0) return undefined;
  const groups = inclusionRules.map(({ group }) => addGroup(steps, group, qualified));
  return steps.add('inclusion_events', {
    unionAll: groups.map(
      (step, rule): Select => ({
        columns: {
          person_id: column('g', 'person_id'),
          event_id: column('g', 'event_id'),
          rule: integer(rule),
          bit: { kind: 'to-bigint', of: integer(1n << BigInt(rule)) },
        },
        from: { step, as: 'g' },
      }),
    ),
  });
}

type Ruled = { readonly qualified: string; readonly rules: string | undefined };

function addIncluded(steps: PlanSteps, definition: CohortDefinition, { qualified, rules }: Ruled): string {
  const limit = haveSeveral(definition).qualified ? definition.includedLimit : 'all';
  const passing: Select = { columns: ranked(EVENT, limit), from: { step: qualified, as: EVENT } };
  if (rules === undefined) {
    return limit === 'all' ? qualified : steps.add('included_events', limited(steps.add('passing_events', passing)));
  }
  const satisfying: Source = { query: satisfyingAll(rules, definition.inclusionRules.length), as: 'r' };
  const step = steps.add('passing_events', {
    ...passing,
    joins: [{ kind: 'inner', source: satisfying, on: sameEvent('r', EVENT) }],
  });
  return limit === 'all' ? step : steps.add('included_events', limited(step));
}

function satisfyingAll(rules: string, count: number): Select {
  const keys = { person_id: column('r', 'person_id'), event_id: column('r', 'event_id') };
  return {
    columns: keys,
    from: { step: rules, as: 'r' },
    groupBy: Object.values(keys),
    // A group gives an event once, so that no rule is counted twice.
    having: equal({ kind: 'aggregate', name: 'count', of: column('r', 'rule') }, integer(count)),
  };
}

/** person_id, start_date, end_date: periods that overlap, or lie no further apart than the padding, are one. */
function addPeriods(steps: PlanSteps, definition: CohortDefinition, ends: string): string {
  if (!haveSeveral(definition).included) return ends;
  return steps.add('periods', joinedPeriods(ends, definition.eraPadDays));
}

function censoredPeriods({ censorWindow }: CohortDefinition, periods: string): Select {
  const start = column('w', 'start_date');
  const end = column('w', 'end_date');
  const from: Expression | undefined =
    censorWindow.start === undefined ? undefined : { kind: 'date', value: censorWindow.start };
  const to: Expression | undefined =
    censorWindow.end === undefined ? undefined : { kind: 'date', value: censorWindow.end };
  const cohortStart: Expression =
    from === undefined ? start : { kind: 'case', when: compare(start, '>', from), value: start, otherwise: from };
  const cohortEnd: Expression =
    to === undefined ? end : { kind: 'case', when: compare(end, '<', to), value: end, otherwise: to };
  const isCut = from !== undefined || to !== undefined;
  return {
    columns: { subject_id: column('w', 'person_id'), cohort_start_date: cohortStart, cohort_end_date: cohortEnd },
    from: { step: periods, as: 'w' },
    where: isCut ? [compare(cohortStart, '<=', cohortEnd)] : [],
  };
}

type Masks = {
  /** Step with person_id and mask of every qualified event. */
  readonly events: string;
  /** person_id, mask: of each person that of the best event. */
  readonly persons: Query;
};

function addMasks(steps: PlanSteps, qualified: string, rules: string | undefined): Masks {
  const person = column('k', 'person_id');
  const mask = column('k', 'mask');
  if (rules === undefined) {
    const none: Expression = { kind: 'to-bigint', of: integer(0) };
    const events = steps.add('inclusion_masks', {
      columns: { person_id: PERSON_ID, mask: none },
      from: { step: qualified, as: EVENT },
    });
    return {
      events,
      persons: { isDistinct: true, columns: { person_id: person, mask }, from: { step: events, as: 'k' } },
    };
  }
  const events = steps.add('inclusion_masks', ruleMasks(qualified, rules));
  const best = rowNumber(person, [
    { by: column('k', 'rule_count'), isDescending: true },
    { by: column('k', 'first_rule') },
    { by: column('k', 'start_date') },
    { by: column('k', 'event_id') },
  ]);
  const ranks: Select = { columns: { person_id: person, mask, rank: best }, from: { step: events, as: 'k' } };
  return {
    events,
    persons: {
      columns: { person_id: column('b', 'person_id'), mask: column('b', 'mask') },
      from: { query: ranks, as: 'b' },
      where: [equal(column('b', 'rank'), integer(1))],
    },
  };
}

/** With what tells which event of a person is the best: the one that satisfies most rules, and of those the earliest rule. */
function ruleMasks(qualified: string, rules: string): Select {
  const keys = { person_id: PERSON_ID, event_id: column(EVENT, 'event_id') };
  const rule = column('r', 'rule');
  return {
    columns: {
      ...keys,
      start_date: min(column(EVENT, 'start_date')),
      mask: {
        kind: 'to-bigint',
        of: { kind: 'coalesce', of: [{ kind: 'aggregate', name: 'sum', of: column('r', 'bit') }, integer(0)] },
      },
      // A group gives an event once, so that no rule is counted twice.
      rule_count: { kind: 'aggregate', name: 'count', of: rule },
      first_rule: { kind: 'coalesce', of: [min(rule), integer(0)] },
    },
    from: { step: qualified, as: EVENT },
    joins: [{ kind: 'left', source: { step: rules, as: 'r' }, on: sameEvent('r', EVENT) }],
    groupBy: Object.values(keys),
  };
}

/** Events are counted as they are (mode 0); of a person the one event that satisfies most (mode 1). */
function countedMasks(from: Source, mode: 0 | 1): Select {
  return {
    columns: {
      mode_id: integer(mode),
      inclusion_rule_mask: column('b', 'mask'),
      person_count: { kind: 'aggregate', name: 'count', of: column('b', 'person_id') },
    },
    from,
    groupBy: [column('b', 'mask')],
  };
}

function lostCount(periods: string, cohort: Select): Query {
  // Nothing is lost where nothing is cut.
  if ((cohort.where ?? []).length === 0) {
    const none: Expression = { kind: 'to-bigint', of: column('w', 'lost_count') };
    return { columns: { lost_count: none }, from: { values: [[0n]], names: ['lost_count'], as: 'w' } };
  }
  const lost: Expression = {
    kind: 'aggregate',
    name: 'count',
    isDistinct: true,
    of: column('w', 'person_id'),
  };
  return {
    columns: { lost_count: lost },
    from: { step: periods, as: 'w' },
    joins: [
      {
        kind: 'left',
        source: { query: { ...cohort, columns: { subject_id: column('w', 'person_id') } }, as: 'k' },
        on: [equal(column('k', 'subject_id'), column('w', 'person_id'))],
      },
    ],
    where: [{ kind: 'is-null', of: column('k', 'subject_id') }],
  };
}
