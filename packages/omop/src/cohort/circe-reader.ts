/**
 * Reads a cohort definition as ATLAS writes it: OHDSI's Circe JSON (circe-be 1.11). Whatever is not understood is refused by name;
 * a definition that is read means what its author meant.
 */

import { readCriterion } from './circe-criterion.ts';
import { readFilters, readPeriod } from './circe-filters.ts';
import type {
  Bound,
  CohortDefinition,
  ConceptSet,
  ConceptSetItem,
  CorrelatedCriterion,
  CountColumn,
  EndStrategy,
  Filter,
  Group,
  InclusionRule,
  Limit,
  Window,
} from './definition.ts';
import { DEMOGRAPHICS } from './domains.ts';
import { JsonFields, refuse } from './json-fields.ts';

/** A mask of rules is a 64-bit number. */
const RULE_COUNT_MAX = 62;
/** Deeper ones are no work of a person. */
const GROUP_DEPTH_MAX = 20;

/** Each becomes steps of a statement, and databases take minutes to plan thousands; the largest we know of has some hundred. */
const CRITERION_COUNT_MAX = 1000;

const LIMITS: Readonly<Record<string, Limit>> = {
  FIRST: 'first',
  EARLIEST: 'first',
  LAST: 'last',
  LATEST: 'last',
  ALL: 'all',
};
const COUNT_COLUMNS: Readonly<Record<string, CountColumn>> = {
  DOMAIN_CONCEPT: 'concept',
  DOMAIN_SOURCE_CONCEPT: 'source-concept',
  VISIT_ID: 'visit',
  VISIT_DETAIL_ID: 'visit-detail',
  START_DATE: 'start',
  END_DATE: 'end',
  DURATION: 'duration',
  QUANTITY: 'quantity',
};

/** Throws `input.invalid` naming field and rule. */
export function readCirce(text: string): CohortDefinition {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('', 'is no JSON.');
  }
  return readCirceValue(value);
}

export function readCirceValue(value: unknown): CohortDefinition {
  const fields = new JsonFields(value, '');
  fields.pass('Title', 'title', 'cdmVersionRange');
  const definition: CohortDefinition = {
    conceptSets: fields.list('ConceptSets', readConceptSet),
    primary: readPrimary(fields.required('PrimaryCriteria')),
    additional: optionalGroup(fields, 'AdditionalCriteria'),
    qualifiedLimit: readLimit(fields.object('QualifiedLimit')),
    inclusionRules: fields.list('InclusionRules', readRule),
    includedLimit: readLimit(fields.object('ExpressionLimit')),
    end: readEnd(fields.object('EndStrategy')),
    censoring: fields.list('CensoringCriteria', (one, path) => readCriterion(one, path, readGroupAt(1))),
    eraPadDays: readCollapse(fields.object('CollapseSettings')),
    censorWindow: readPeriod(fields.object('CensorWindow')),
  };
  fields.end();
  if (definition.inclusionRules.length > RULE_COUNT_MAX) {
    throw refuse('InclusionRules', `there are more than ${RULE_COUNT_MAX} rules.`);
  }
  if (criterionCount(definition) > CRITERION_COUNT_MAX) {
    throw refuse('', `has more than ${CRITERION_COUNT_MAX} criteria.`);
  }
  return definition;
}

/** Of all criteria, wherever they stand. */
function criterionCount(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const below = Object.values(value).reduce((sum: number, child: unknown) => sum + criterionCount(child), 0);
  return below + ('domain' in value ? 1 : 0);
}

function readPrimary(fields: JsonFields): CohortDefinition['primary'] {
  const criteria = fields.list('CriteriaList', (one, path) => readCriterion(one, path, readGroupAt(1)));
  if (criteria.length === 0) throw refuse(fields.pathOf('CriteriaList'), 'names no event that begins the cohort.');
  const window = fields.object('ObservationWindow');
  const primary = {
    criteria,
    priorDays: window?.integer('PriorDays') ?? 0,
    postDays: window?.integer('PostDays') ?? 0,
    limit: readLimit(fields.object('PrimaryCriteriaLimit')),
  };
  window?.end();
  fields.end();
  return primary;
}

function readConceptSet(value: unknown, path: string): ConceptSet {
  const fields = new JsonFields(value, path);
  const id = fields.integer('id');
  if (id === undefined) throw refuse(fields.pathOf('id'), 'is missing.');
  const name = fields.text('name') ?? '';
  const expression = fields.required('expression');
  const items = expression.list('items', readItem);
  expression.end();
  fields.pass('createdBy', 'createdDate', 'modifiedBy', 'modifiedDate', 'hasWriteAccess', 'tags', 'description');
  fields.end();
  return { id, name, items };
}

function readItem(value: unknown, path: string): ConceptSetItem {
  const fields = new JsonFields(value, path);
  const concept = fields.required('concept');
  const conceptId = concept.integer('CONCEPT_ID');
  if (conceptId === undefined) throw refuse(concept.pathOf('CONCEPT_ID'), 'is missing.');
  const item = {
    conceptId: BigInt(conceptId),
    conceptName: concept.text('CONCEPT_NAME') ?? '',
    isExcluded: fields.flag('isExcluded'),
    withDescendants: fields.flag('includeDescendants'),
    withMapped: fields.flag('includeMapped'),
  };
  fields.end();
  return item;
}

function readLimit(fields: JsonFields | undefined): Limit {
  const limit = fields?.oneOf('Type', LIMITS, 'all') ?? 'all';
  fields?.end();
  return limit;
}

function readRule(value: unknown, path: string): InclusionRule {
  const fields = new JsonFields(value, path);
  const rule = {
    name: fields.text('name') ?? '',
    description: fields.text('description') ?? '',
    group: readGroup(fields.take('expression') ?? {}, fields.pathOf('expression'), 1),
  };
  fields.end();
  return rule;
}

/** One that asks for nothing is none. */
function optionalGroup(fields: JsonFields, name: string): Group | undefined {
  const value = fields.take(name);
  if (value === undefined) return undefined;
  const group = readGroup(value, fields.pathOf(name), 1);
  return group.criteria.length + group.demographics.length + group.groups.length === 0 ? undefined : group;
}

function readGroupAt(depth: number) {
  return (value: unknown, path: string) => readGroup(value, path, depth);
}

function readGroup(value: unknown, path: string, depth: number): Group {
  if (depth > GROUP_DEPTH_MAX) throw refuse(path, `lies more than ${GROUP_DEPTH_MAX} groups deep.`);
  const fields = new JsonFields(value, path);
  const group: Group = {
    needs: readNeeds(fields),
    criteria: fields.list('CriteriaList', (one, at) => readCorrelated(one, at, depth)),
    demographics: fields.list('DemographicCriteriaList', readDemographic),
    groups: fields.list('Groups', readGroupAt(depth + 1)),
  };
  fields.end();
  return group;
}

function readNeeds(fields: JsonFields): Group['needs'] {
  const kinds = { ALL: 'all', ANY: 'any', AT_LEAST: 'at-least', AT_MOST: 'at-most' } as const;
  const kind = fields.oneOf('Type', kinds, 'all');
  const count = fields.integer('Count');
  if (kind === 'all' || kind === 'any') return { kind };
  if (count === undefined || count < 0) throw refuse(fields.pathOf('Count'), 'must be a number, 0 or more.');
  return { kind, count };
}

function readCorrelated(value: unknown, path: string, depth: number): CorrelatedCriterion {
  const fields = new JsonFields(value, path);
  const criterion = readCriterion(fields.take('Criteria'), fields.pathOf('Criteria'), readGroupAt(depth + 1));
  const isIgnorant = fields.flag('IgnoreObservationPeriod');
  const endWindow = fields.object('EndWindow');
  const startWindow = fields.object('StartWindow');
  const correlated: CorrelatedCriterion = {
    criterion,
    startWindow: startWindow === undefined ? ALWAYS : readWindow(startWindow, 'start'),
    // Circe's older definitions leave this out of the end window and mean the end of the event.
    endWindow: endWindow === undefined ? undefined : readWindow(endWindow, 'end'),
    isSameVisit: fields.flag('RestrictVisit'),
    ignoresObservationPeriod: isIgnorant,
    occurrence: readOccurrence(fields.required('Occurrence')),
  };
  fields.end();
  return correlated;
}

const ALWAYS: Window = { from: 'all-before', to: 'all-after', indexDay: 'start', eventDay: 'start' };

function readWindow(fields: JsonFields, eventDay: 'start' | 'end'): Window {
  const usesEventEnd = fields.has('UseEventEnd') ? fields.flag('UseEventEnd') : eventDay === 'end';
  const window: Window = {
    from: readBound(fields.required('Start')),
    to: readBound(fields.required('End')),
    indexDay: fields.flag('UseIndexEnd') ? 'end' : 'start',
    eventDay: usesEventEnd ? 'end' : 'start',
  };
  fields.pass('UseEventEnd');
  fields.end();
  return window;
}

function readBound(fields: JsonFields): Bound {
  assertDays(fields, 'TimeUnit');
  const days = fields.integer('Days');
  const coefficient = fields.integer('Coeff');
  fields.end();
  if (coefficient !== 1 && coefficient !== -1) throw refuse(fields.pathOf('Coeff'), 'must be 1 or -1.');
  if (days === undefined) return coefficient === -1 ? 'all-before' : 'all-after';
  return { days: coefficient * days };
}

/** A variant of Circe measures in other units too; its values beside them (`…UnitValue`) are refused as unknown. */
function assertDays(fields: JsonFields, name: string): void {
  if ((fields.text(name) ?? 'day') !== 'day') throw refuse(fields.pathOf(name), 'only days are known here.');
}

function readOccurrence(fields: JsonFields): CorrelatedCriterion['occurrence'] {
  const kinds = ['exactly', 'at-most', 'at-least'] as const;
  const kind = kinds[fields.integer('Type') ?? -1];
  if (kind === undefined) throw refuse(fields.pathOf('Type'), 'must be 0 (exactly), 1 (at most) or 2 (at least).');
  const count = fields.integer('Count');
  if (count === undefined || count < 0) throw refuse(fields.pathOf('Count'), 'must be a number, 0 or more.');
  const countColumn = fields.oneOf('CountColumn', COUNT_COLUMNS, 'concept');
  const isDistinct = fields.flag('IsDistinct');
  fields.end();
  return { kind, count, distinct: isDistinct ? countColumn : undefined };
}

function readDemographic(value: unknown, path: string): readonly Filter[] {
  const fields = new JsonFields(value, path);
  const filters = readFilters(fields, DEMOGRAPHICS);
  fields.end();
  return filters;
}

function readEnd(fields: JsonFields | undefined): EndStrategy | undefined {
  const offset = fields?.object('DateOffset');
  const era = fields?.object('CustomEra');
  fields?.end();
  if (offset !== undefined) {
    const days = { STARTDATE: 'start', ENDDATE: 'end' } as const;
    const strategy: EndStrategy = {
      kind: 'date-offset',
      from: offset.oneOf('DateField', days, 'start'),
      days: offset.integer('Offset') ?? 0,
    };
    assertDays(offset, 'OffsetUnit');
    offset.end();
    return strategy;
  }
  if (era === undefined) return undefined;
  const drugConceptSet = era.integer('DrugCodesetId');
  if (drugConceptSet === undefined) throw refuse(era.pathOf('DrugCodesetId'), 'is missing.');
  const strategy: EndStrategy = {
    kind: 'custom-era',
    drugConceptSet,
    gapDays: era.integer('GapDays') ?? 0,
    offsetDays: era.integer('Offset') ?? 0,
    daysSupply: era.integer('DaysSupplyOverride'),
  };
  assertDays(era, 'GapUnit');
  assertDays(era, 'OffsetUnit');
  era.end();
  return strategy;
}

function readCollapse(fields: JsonFields | undefined): number {
  fields?.oneOf('CollapseType', { ERA: 'era' }, 'era');
  const days = fields?.integer('EraPad') ?? 0;
  if (fields !== undefined) assertDays(fields, 'EraPadUnit');
  fields?.end();
  return days;
}
