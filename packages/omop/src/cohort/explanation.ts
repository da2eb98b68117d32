/**
 * A cohort definition in plain English, all of it: whoever reads the lines knows whatever the plan does. In the order in which it is
 * worked out (definition.ts). What is nested is indented.
 */
import {
  countWords,
  criterionWords,
  dayWords,
  filterWords,
  type SetNames,
  setNames,
  setWords,
} from './criterion-words.ts';
import type {
  Bound,
  CohortDefinition,
  ConceptSetItem,
  CorrelatedCriterion,
  CountColumn,
  Criterion,
  EndStrategy,
  Group,
  InclusionRule,
  Limit,
  Period,
  Window,
} from './definition.ts';
import { DEMOGRAPHICS } from './domains.ts';

const LIMIT_WORDS: Readonly<Record<Limit, string>> = {
  all: 'every such event counts',
  first: "only each person's earliest such event counts",
  last: "only each person's latest such event counts",
};

const COLUMN_WORDS: Readonly<Record<CountColumn, string>> = {
  concept: 'concept',
  'source-concept': 'source concept',
  visit: 'visit',
  'visit-detail': 'visit detail',
  start: 'start date',
  end: 'end date',
  duration: 'duration',
  quantity: 'quantity',
};

export function explainCohort(definition: CohortDefinition): string[] {
  const names = setNames(definition);
  const { primary, additional, qualifiedLimit, inclusionRules, includedLimit, censoring } = definition;
  const observed = `observed for at least ${countWords(primary.priorDays, 'day')} before it starts and ${countWords(primary.postDays, 'day')} after`;
  return [
    'Who enters',
    `A person may enter the cohort with any of these, while ${observed}; ${LIMIT_WORDS[primary.limit]}:`,
    ...primary.criteria.flatMap((one) => criterionLines(one, names, '- ')),
    ...(additional === undefined
      ? [`Nothing more is asked of these events (were it, ${LIMIT_WORDS[qualifiedLimit]}).`]
      : [
          `Of these events are kept those for which this holds; ${LIMIT_WORDS[qualifiedLimit]}:`,
          ...indented(groupLines(additional, names)),
        ]),
    '',
    'Inclusion rules',
    ...(inclusionRules.length === 0 ? ['There are none.'] : ['An event has to satisfy each:']),
    ...inclusionRules.flatMap((rule, index) => ruleLines(rule, index, names)),
    `Of the events that remain, ${LIMIT_WORDS[includedLimit]}.`,
    '',
    'When a person leaves',
    ...endLines(definition.end, names),
    ...(censoring.length === 0 ? [] : ['Earlier, on the day on which one of these starts:']),
    ...censoring.flatMap((one) => criterionLines(one, names, '- ')),
    `Periods of one person that overlap or lie at most ${countWords(definition.eraPadDays, 'day')} apart are one.`,
    ...windowLines(definition.censorWindow),
    '',
    'Concept sets',
    ...(definition.conceptSets.length === 0 ? ['There are none.'] : []),
    ...definition.conceptSets.flatMap(({ id, items }) => [
      `${setWords(id, names)}:`,
      ...(items.length === 0 ? ['  - nothing, so that nobody is found by it'] : items.map(itemWords)),
    ]),
  ];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

function itemWords({ conceptId, conceptName, isExcluded, withDescendants, withMapped }: ConceptSetItem): string {
  const withWords = [
    ...(withDescendants ? ['everything below it'] : []),
    ...(withMapped ? ['the source concepts that map to it'] : []),
  ];
  const extent = withWords.length === 0 ? 'alone' : `with ${withWords.join(' and ')}`;
  return `  - ${isExcluded ? 'without ' : ''}${conceptId}${conceptName === '' ? '' : ` ${conceptName}`}, ${extent}`;
}

function criterionLines(criterion: Criterion, names: SetNames, lead: string): string[] {
  const words = `${lead}${criterionWords(criterion, names)}`;
  if (criterion.correlated === undefined) return [words];
  return [`${words}, for which in turn this holds:`, ...indented(groupLines(criterion.correlated, names))];
}

function ruleLines({ name, description, group }: InclusionRule, index: number, names: SetNames): string[] {
  return [
    `${index + 1}. ${name === '' ? 'Without a name' : name}`,
    ...(description === '' ? [] : [`   "${description}"`]),
    ...indented(groupLines(group, names)),
  ];
}

/** The event that a group is asked about is called the index event. */
function groupLines(group: Group, names: SetNames): string[] {
  const { criteria, demographics, groups } = group;
  const members = [
    ...criteria.flatMap((one) => correlatedLines(one, names)),
    ...demographics.map(
      (filters) => `- the person: ${filterWords(filters, DEMOGRAPHICS, names).join(', ') || 'anybody'}`,
    ),
    ...groups.flatMap((one) => {
      const [head = '', ...rest] = groupLines(one, names);
      return [`- ${head}`, ...indented(rest)];
    }),
  ];
  return [
    `${needsWords(group.needs)}:`,
    ...(members.length === 0 ? ['- nothing is asked, every event passes'] : members),
  ];
}

function needsWords(needs: Group['needs']): string {
  switch (needs.kind) {
    case 'all':
      return 'all of';
    case 'any':
      return 'any of';
    case 'at-least':
      return `at least ${needs.count} of`;
    case 'at-most':
      return `at most ${needs.count} of`;
  }
}

const OCCURRENCE_WORDS = { exactly: 'exactly', 'at-most': 'at most', 'at-least': 'at least' } as const;

function correlatedLines(one: CorrelatedCriterion, names: SetNames): string[] {
  const { kind, count, distinct } = one.occurrence;
  const often =
    distinct === undefined
      ? `${OCCURRENCE_WORDS[kind]} ${count} ×`
      : `${OCCURRENCE_WORDS[kind]} ${countWords(count, `different ${COLUMN_WORDS[distinct]}`)} among`;
  const where = [
    windowWords(one.startWindow),
    ...(one.endWindow === undefined ? [] : [windowWords(one.endWindow)]),
    ...(one.isSameVisit ? ['in the same visit'] : []),
    one.ignoresObservationPeriod ? 'also outside the observation period' : 'within the observation period',
  ];
  const [words = '', ...nested] = criterionLines(one.criterion, names, `- ${often} `);
  const place = where.filter((part) => part !== '').join(', ');
  return nested.length === 0
    ? [`${words}: ${place}`]
    : [`${words.replace(/, for which in turn this holds:$/, '')}: ${place}; for which in turn this holds:`, ...nested];
}

function windowWords({ from, to, indexDay, eventDay }: Window): string {
  const verb = eventDay === 'end' ? 'ending' : 'starting';
  const anchor = `the index event's ${indexDay}`;
  return `${verb} from ${boundWords(from, anchor)} to ${boundWords(to, anchor)}`;
}

function boundWords(bound: Bound, anchor: string): string {
  if (bound === 'all-before') return `any time before (seen from ${anchor})`;
  if (bound === 'all-after') return `any time after (seen from ${anchor})`;
  return dayWords(bound.days, anchor).replace(/^on /, 'the day of ');
}

function endLines(end: EndStrategy | undefined, names: SetNames): string[] {
  if (end === undefined) return ['At the end of the observation period.'];
  if (end.kind === 'date-offset') {
    return [`${capital(dayWords(end.days, `the ${end.from} of the event`))}, but not after the observation period.`];
  }
  const lengths =
    end.daysSupply === undefined
      ? 'each as long as it says'
      : `each taken to last ${countWords(end.daysSupply, 'day')}`;
  return [
    `At the end of continuous use of ${setWords(end.drugConceptSet, names)}: exposures, ${lengths}, at most ${countWords(end.gapDays, 'day')} apart, the last prolonged by ${countWords(end.offsetDays, 'day')}; at the latest with the observation period.`,
  ];
}

function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

function windowLines({ start, end }: Period): string[] {
  return [
    ...(start === undefined ? [] : [`What lies before ${start} is cut off.`]),
    ...(end === undefined ? [] : [`What lies after ${end} is cut off.`]),
  ];
}
