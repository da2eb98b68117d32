/** A criterion in plain English, from the words of domains.ts: "a drug exposure of [3] Celecoxib, whose age (years) is at least 18". */
import type { CohortDefinition, Criterion, DateAdjustment, Filter, Test } from './definition.ts';
import { type Attribute, domainOf } from './domains.ts';
import type { Comparison } from './sql-tree.ts';

const COMPARISON_WORDS: Readonly<Record<Comparison, string>> = {
  '=': 'is',
  '<>': 'is not',
  '<': 'is less than',
  '<=': 'is at most',
  '>': 'is more than',
  '>=': 'is at least',
};

const DATE_WORDS: Readonly<Record<Comparison, string>> = {
  '=': 'is on',
  '<>': 'is not on',
  '<': 'is before',
  '<=': 'is on or before',
  '>': 'is after',
  '>=': 'is on or after',
};

const TEXT_WORDS = { begins: 'begins with', ends: 'ends with', contains: 'contains', equals: 'is' } as const;

/** Names of the concept sets by number. */
export type SetNames = ReadonlyMap<number, string>;

export function setNames({ conceptSets }: CohortDefinition): SetNames {
  return new Map(conceptSets.map(({ id, name }) => [id, name]));
}

export function setWords(id: number, names: SetNames): string {
  const name = names.get(id) ?? '';
  return name === '' ? `concept set ${id}` : `concept set ${id} (${name})`;
}

/** Without the criterion's own group, which takes lines of its own. */
export function criterionWords(criterion: Criterion, names: SetNames): string {
  const domain = domainOf(criterion.domain);
  const { conceptSet, sourceConceptSet, userPeriod } = criterion;
  const parts = [
    ...(sourceConceptSet === undefined ? [] : [`whose source concept is in ${setWords(sourceConceptSet, names)}`]),
    ...filterWords(criterion.filters, domain.attributes, names),
    ...adjustmentWords(criterion.dateAdjustment),
    ...(userPeriod.start === undefined ? [] : [`which holds ${userPeriod.start}, taken as its start`]),
    ...(userPeriod.end === undefined ? [] : [`which holds ${userPeriod.end}, taken as its end`]),
  ];
  const of = conceptSet === undefined ? '' : ` of ${setWords(conceptSet, names)}`;
  const first = criterion.isFirst ? ", the person's first," : '';
  return [`${domain.words}${of}${first}`, ...parts].join(', ').replaceAll(',,', ',').replace(/,$/, '');
}

export function filterWords(
  filters: readonly Filter[],
  attributes: Readonly<Record<string, Attribute>>,
  names: SetNames,
): string[] {
  return filters.map(({ attribute, test }) => {
    const words = attributes[attribute]?.words ?? attribute;
    return test.kind === 'flag' ? `which is ${words}` : `whose ${words} ${testWords(test, names)}`;
  });
}

function testWords(test: Exclude<Test, { kind: 'flag' }>, names: SetNames): string {
  switch (test.kind) {
    case 'number':
      return `${COMPARISON_WORDS[test.operator]} ${test.value}`;
    case 'number-range':
    case 'date-range':
      return `is ${test.isNegated ? 'not ' : ''}from ${test.from} to ${test.to}`;
    case 'date':
      return `${DATE_WORDS[test.operator]} ${test.value}`;
    case 'concepts': {
      const listed = test.concepts.map(({ id, name }) => (name === '' ? String(id) : `${id} ${name}`)).join(' or ');
      return `is ${test.isNegated ? 'not ' : ''}${listed}`;
    }
    case 'concept-set':
      return `is ${test.isNegated ? 'not ' : ''}in ${setWords(test.conceptSet, names)}`;
    case 'text':
      return test.isNegated
        ? `does not match: ${TEXT_WORDS[test.where]} "${test.text}"`
        : `${TEXT_WORDS[test.where]} "${test.text}"`;
  }
}

function adjustmentWords(adjustment: DateAdjustment | undefined): string[] {
  if (adjustment === undefined) return [];
  const { startFrom, startOffsetDays, endFrom, endOffsetDays } = adjustment;
  const from = dayWords(startOffsetDays, `its ${startFrom}`);
  return [`taken to start ${from} and to end ${dayWords(endOffsetDays, `its ${endFrom}`)}`];
}

/** "30 days before its start", "on its start". */
export function dayWords(days: number, anchor: string): string {
  if (days === 0) return `on ${anchor}`;
  return `${countWords(Math.abs(days), 'day')} ${days < 0 ? 'before' : 'after'} ${anchor}`;
}

export function countWords(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
