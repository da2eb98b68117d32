import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readCirce } from './circe-reader.ts';
import type { CohortDefinition } from './definition.ts';
import { explainCohort } from './explanation.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures');

function definitionsOf(folder: string): [string, CohortDefinition][] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => [name, readCirce(readFileSync(path.join(folder, name), 'utf8'))]);
}

function cases(): [string, CohortDefinition][] {
  const folder = path.join(FIXTURES, 'omop-cohorts');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      const { cohorts } = JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as { cohorts: object };
      return Object.entries(cohorts).map(([id, one]): [string, CohortDefinition] => [
        `${name} ${id}`,
        readCirce(JSON.stringify(one)),
      ]);
    });
}

/** Another value of the same kind, as the plan would take it; undefined where there is none. */
const OTHERS: Readonly<Record<string, string>> = {
  '=': '<>',
  '<>': '=',
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  first: 'last',
  last: 'first',
  all: 'first',
  start: 'end',
  end: 'start',
  any: 'all',
  'at-least': 'at-most',
  'at-most': 'at-least',
  exactly: 'at-least',
  'all-before': 'all-after',
  'all-after': 'all-before',
  begins: 'contains',
  contains: 'begins',
  equals: 'ends',
  concept: 'visit',
};

function another(value: unknown, key: string): unknown {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'bigint') return value + 1n;
  if (typeof value === 'number') return value + 1;
  if (typeof value !== 'string' || ['kind', 'domain', 'attribute'].includes(key)) return undefined;
  if (['name', 'conceptName', 'description', 'text'].includes(key)) return `${value}, changed`;
  if (/^\d{4}-\d{2}-\d{2}$/.test(value)) return `${Number(value.slice(0, 4)) + 1}${value.slice(4)}`;
  return OTHERS[value];
}

/** Calls `check` for each leaf changed, and each list shortened, in place. */
function withEachChange(root: unknown, check: (where: string) => void, where = ''): number {
  let count = 0;
  for (const [key, value] of Object.entries(root as Record<string, unknown>)) {
    const at = `${where}.${key}`;
    if (typeof value === 'object' && value !== null) count += withEachChange(value, check, at);
    if (Array.isArray(value) && value.length > 0) {
      Object.assign(root as object, { [key]: value.slice(1) });
      check(`${at} without its first`);
      Object.assign(root as object, { [key]: value });
      count += 1;
    }
    const changed = another(value, key);
    if (changed === undefined) continue;
    Object.assign(root as object, { [key]: changed });
    check(`${at}: ${String(value)} → ${String(changed)}`);
    Object.assign(root as object, { [key]: value });
    count += 1;
  }
  return count;
}

function checkAll(definitions: readonly [string, CohortDefinition][]): number {
  let count = 0;
  for (const [name, definition] of definitions) {
    const text = explainCohort(definition).join('\n');
    count += withEachChange(definition, (where) =>
      assert.notEqual(explainCohort(definition).join('\n'), text, `${name} says nothing of ${where}`),
    );
  }
  return count;
}

const SET = { id: 3, name: 'set', expression: { items: [{ concept: { CONCEPT_ID: 5, CONCEPT_NAME: 'five' } }] } };
const GROUP = {
  Type: 'AT_MOST',
  Count: 2,
  CriteriaList: [
    {
      Criteria: { Death: { DeathSourceConcept: 3, DeathType: [{ CONCEPT_ID: 9 }], DeathTypeExclude: true } },
      StartWindow: { Start: { Days: 7, Coeff: -1 }, End: { Days: 0, Coeff: 1 }, UseIndexEnd: true, UseEventEnd: true },
      EndWindow: { Start: { Coeff: -1 }, End: { Days: 4, Coeff: 1 } },
      RestrictVisit: true,
      IgnoreObservationPeriod: true,
      Occurrence: { Type: 0, Count: 3, IsDistinct: true, CountColumn: 'START_DATE' },
    },
  ],
  DemographicCriteriaList: [
    { Age: { Value: 18, Extent: 65, Op: '!bt' }, RaceCS: { CodesetId: 3, IsExclusion: true } },
    { OccurrenceStartDate: { Value: '2001-02-03', Extent: '2002-03-04', Op: 'bt' } },
  ],
  Groups: [{ Type: 'ANY', DemographicCriteriaList: [{ Gender: [{ CONCEPT_ID: 8507, CONCEPT_NAME: 'MALE' }] }] }],
};
const EVERYTHING = {
  ConceptSets: [SET],
  PrimaryCriteria: {
    CriteriaList: [
      {
        DrugExposure: {
          CodesetId: 3,
          DrugSourceConcept: 3,
          First: true,
          StopReason: { Text: 'ended', Op: '!startsWith' },
          Quantity: { Value: 2, Extent: 4, Op: 'bt' },
          DateAdjustment: { StartWith: 'END_DATE', StartOffset: -3, EndWith: 'START_DATE', EndOffset: 8 },
          CorrelatedCriteria: GROUP,
        },
      },
      { ObservationPeriod: { UserDefinedPeriod: { StartDate: '2010-01-02', EndDate: '2011-02-03' } } },
      { Measurement: { Abnormal: true, RangeHighRatio: { Value: 1.5, Op: 'gte' } } },
      { PayerPlanPeriod: { PlanConcept: 3 } },
    ],
    ObservationWindow: { PriorDays: 365, PostDays: 1 },
    PrimaryCriteriaLimit: { Type: 'Last' },
  },
  AdditionalCriteria: GROUP,
  QualifiedLimit: { Type: 'First' },
  InclusionRules: [{ name: 'rule', description: 'why', expression: GROUP }],
  ExpressionLimit: { Type: 'Last' },
  EndStrategy: { CustomEra: { DrugCodesetId: 3, GapDays: 30, Offset: 2, DaysSupplyOverride: 28 } },
  CensoringCriteria: [{ Death: { OccurrenceStartDate: { Value: '2003-04-05', Op: 'gt' } } }],
  CollapseSettings: { CollapseType: 'ERA', EraPad: 11 },
  CensorWindow: { StartDate: '2000-01-02', EndDate: '2020-03-04' },
};

describe('a definition in words', () => {
  it('reads as English', () => {
    const found = cases().find(([name]) => name.startsWith('simple-inclusion-rule.json'));
    const [, example] =
      definitionsOf(path.join(FIXTURES, 'omop-gibleed')).find(([name]) => name === 'gi-bleed.json') ?? [];
    assert.ok(example !== undefined && found !== undefined);
    assert.deepEqual(explainCohort(example), [
      'Who enters',
      "A person may enter the cohort with any of these, while observed for at least 0 days before it starts and 0 days after; only each person's earliest such event counts:",
      "- an observation period, the person's first",
      "Nothing more is asked of these events (were it, only each person's earliest such event counts).",
      '',
      'Inclusion rules',
      'An event has to satisfy each:',
      '1. ever, observed or not',
      '  all of:',
      "  - at least 1 × a condition of concept set 0 (Gastrointestinal hemorrhage): starting from any time before (seen from the index event's start) to any time after (seen from the index event's start), also outside the observation period",
      "Of the events that remain, only each person's earliest such event counts.",
      '',
      'When a person leaves',
      'At the end of the observation period.',
      'Periods of one person that overlap or lie at most 0 days apart are one.',
      '',
      'Concept sets',
      'concept set 0 (Gastrointestinal hemorrhage):',
      '  - 192671 Gastrointestinal hemorrhage, with everything below it',
    ]);
  });

  it('says what few definitions have', () => {
    assert.ok(checkAll([['everything', readCirce(JSON.stringify(EVERYTHING))]]) > 80);
  });

  it("says every number, day, comparison and name of Circe's cases: changed, the words change", () => {
    assert.ok(checkAll(cases()) > 300);
  });

  it('says everything of the 60 phenotypes: changed, the words change', (t) => {
    const data = process.env['LANTERN_DATA_DIR'];
    const folder = path.join(data ?? '', 'omop-cohorts/phenotypes');
    if (data === undefined || !existsSync(folder)) return t.skip('LANTERN_DATA_DIR names no folder with omop-cohorts');
    const definitions = definitionsOf(folder);
    assert.equal(definitions.length, 60);
    t.diagnostic(`${checkAll(definitions)} changes`);
  });
});
