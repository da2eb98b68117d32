/**
 * The events of a criterion: person_id, event_id, start_date, end_date, visit_occurrence_id, and `counted`, the value that counts
 * where different values are counted. Rows of the clinical table, of its concept sets, the first of each person if so asked, then
 * filtered.
 */
import { AppError } from '@lantern/contract';
import type { CountColumn, Criterion, Filter, Test } from './definition.ts';
import {
  type Attribute,
  CARE_SITE,
  type Companion,
  type Domain,
  domainOf,
  PERSON,
  PROVIDER,
  VISIT,
} from './domains.ts';
import {
  addDays,
  column,
  compare,
  type Expression,
  equal,
  integer,
  type Join,
  rowNumber,
  type Select,
} from './sql-tree.ts';

const ROW = 'c';
const PERSON_ID = column(ROW, 'person_id');

export function criterionEvents(criterion: Criterion, counted: CountColumn = 'concept'): Select {
  const domain = domainOf(criterion.domain);
  const user = criterion.userPeriod;
  const conditions = criterion.filters.map((filter) => condition(filter, domain.attributes));
  const companions = new Set(criterion.filters.flatMap((filter) => companionOf(filter, domain.attributes)));
  return {
    columns: {
      person_id: PERSON_ID,
      event_id: { kind: 'to-bigint', of: domain.event },
      start_date: user.start === undefined ? column(ROW, 'start_date') : day(user.start),
      end_date: user.end === undefined ? column(ROW, 'end_date') : day(user.end),
      visit_occurrence_id: domain.hasVisit ? column(ROW, 'visit_occurrence_id') : { kind: 'null', type: 'bigint' },
      counted: countedValue(domain, counted),
    },
    from: { query: datedRows(criterion, domain), as: ROW },
    joins: joinsOf(companions),
    where: [
      ...(criterion.isFirst ? [equal(column(ROW, 'ordinal'), integer(1))] : []),
      ...[user.start, user.end].flatMap((one) => (one === undefined ? [] : contains(day(one)))),
      ...conditions,
    ],
  };
}

/** Rows of the table with the days at which they start and end. */
function datedRows(criterion: Criterion, domain: Domain): Select {
  const { conceptSet, sourceConceptSet, dateAdjustment, isFirst } = criterion;
  const adjusted = (from: 'start' | 'end', days: number) => addDays(domain[from], days);
  const isOf = (name: string, set: number | undefined): Expression[] =>
    set === undefined ? [] : [{ kind: 'in-concept-set', value: column(ROW, name), conceptSets: [set] }];
  return {
    allOf: ROW,
    columns: {
      start_date:
        dateAdjustment === undefined
          ? domain.start
          : adjusted(dateAdjustment.startFrom, dateAdjustment.startOffsetDays),
      end_date:
        dateAdjustment === undefined ? domain.end : adjusted(dateAdjustment.endFrom, dateAdjustment.endOffsetDays),
      ...(isFirst ? { ordinal: rowNumber(PERSON_ID, [{ by: domain.start }, { by: domain.event }]) } : {}),
    },
    from: { table: domain.table, as: ROW },
    where: [
      ...(domain.concept === undefined ? [] : isOf(domain.concept, conceptSet)),
      ...(domain.source === undefined ? [] : isOf(domain.source.column, sourceConceptSet)),
    ],
  };
}

function countedValue(domain: Domain, counted: CountColumn): Expression {
  switch (counted) {
    case 'concept':
      return domain.concept === undefined ? { kind: 'to-bigint', of: domain.event } : column(ROW, domain.concept);
    case 'source-concept':
      if (domain.source !== undefined) return column(ROW, domain.source.column);
      break;
    case 'visit':
      if (domain.hasVisit) return column(ROW, 'visit_occurrence_id');
      break;
    case 'visit-detail':
      if (domain.hasVisit) return column(ROW, 'visit_detail_id');
      break;
    case 'start':
      return column(ROW, 'start_date');
    case 'end':
      return column(ROW, 'end_date');
    case 'duration':
      return { kind: 'days-between', from: column(ROW, 'start_date'), to: column(ROW, 'end_date') };
    case 'quantity':
      if (domain.attributes['Quantity'] !== undefined) return column(ROW, 'quantity');
      break;
  }
  throw new AppError('input.invalid', `CountColumn: ${domain.words} has no ${counted} to be counted by.`, {
    field: 'CountColumn',
  });
}

/** The conditions of `filters`, over rows joined with `demographicJoins`. */
export function demographicConditions(
  filters: readonly Filter[],
  attributes: Readonly<Record<string, Attribute>>,
): Expression[] {
  return filters.map((filter) => condition(filter, attributes));
}

export function personJoin(personId: Expression): Join {
  return { kind: 'inner', source: { table: 'person', as: PERSON }, on: [equal(column(PERSON, 'person_id'), personId)] };
}

function companionOf({ attribute }: Filter, attributes: Readonly<Record<string, Attribute>>): Companion[] {
  const companion = attributes[attribute]?.companion;
  return companion === undefined ? [] : [companion];
}

function joinsOf(companions: ReadonlySet<Companion>): Join[] {
  const joins: Record<Companion, Join> = {
    person: personJoin(PERSON_ID),
    visit: {
      kind: 'inner',
      source: { table: 'visit_occurrence', as: VISIT },
      on: [
        equal(column(VISIT, 'visit_occurrence_id'), column(ROW, 'visit_occurrence_id')),
        equal(column(VISIT, 'person_id'), PERSON_ID),
      ],
    },
    provider: {
      kind: 'left',
      source: { table: 'provider', as: PROVIDER },
      on: [equal(column(PROVIDER, 'provider_id'), column(ROW, 'provider_id'))],
    },
    'care-site': {
      kind: 'inner',
      source: { table: 'care_site', as: CARE_SITE },
      on: [equal(column(CARE_SITE, 'care_site_id'), column(ROW, 'care_site_id'))],
    },
  };
  return [...companions].map((companion) => joins[companion]);
}

function condition({ attribute, test }: Filter, attributes: Readonly<Record<string, Attribute>>): Expression {
  const found = attributes[attribute];
  if (found === undefined) throw new AppError('internal', `No attribute ${attribute}.`);
  return conditionOn(found.value, test);
}

function conditionOn(value: Expression, test: Test): Expression {
  switch (test.kind) {
    case 'number':
      return compare(value, test.operator, { kind: 'number', value: test.value });
    case 'number-range':
      return between(value, {
        isNegated: test.isNegated,
        from: { kind: 'number', value: test.from },
        to: { kind: 'number', value: test.to },
      });
    case 'date':
      return compare(value, test.operator, day(test.value));
    case 'date-range':
      return between(value, { isNegated: test.isNegated, from: day(test.from), to: day(test.to) });
    case 'concepts':
      return negatedIf(test.isNegated, { kind: 'in', value, list: test.concepts.map(({ id }) => id) });
    case 'concept-set':
      return negatedIf(test.isNegated, { kind: 'in-concept-set', value, conceptSets: [test.conceptSet] });
    case 'text':
      return negatedIf(test.isNegated, { kind: 'matches', value, text: test.text, where: test.where });
    case 'flag':
      return value;
  }
}

function between(value: Expression, range: { isNegated: boolean; from: Expression; to: Expression }): Expression {
  const within: Expression = { kind: 'all', of: [compare(value, '>=', range.from), compare(value, '<=', range.to)] };
  return negatedIf(range.isNegated, within);
}

function negatedIf(isNegated: boolean, of: Expression): Expression {
  return isNegated ? { kind: 'not', of } : of;
}

function contains(one: Expression): Expression[] {
  return [compare(column(ROW, 'start_date'), '<=', one), compare(column(ROW, 'end_date'), '>=', one)];
}

function day(value: string): Expression {
  return { kind: 'date', value };
}
