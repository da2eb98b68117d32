/**
 * A plan leaves out the steps that a definition does not need: those for rules, for several ends, for several events of a person.
 * Every cohort has to come out as a few lines of arithmetic say, by the short plan and by the long one, which the same definition
 * gets with a rule that everybody satisfies and a censoring event that nobody has.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readCirce } from '@lantern/omop';
import { ENGINES, makeCdm } from '../../test/cdm-engines.ts';
import { circeSet } from '../../test/circe-sets.ts';
import { openCdm } from '../cdm/cdm.ts';
import { runCohort } from './cohort-run.ts';

const LIMITS = ['First', 'Last', 'All'] as const;
type Limit = (typeof LIMITS)[number];

/** Days since 2020-01-01, which may come before it. */
type Days = { readonly start: number; readonly end: number };
type Event = Days & { readonly id: number };
type Person = { readonly id: number; readonly periods: readonly Days[]; readonly events: readonly Event[] };

type Asked = {
  readonly primary: Limit;
  readonly included: Limit;
  readonly offset: { readonly from: 'start' | 'end'; readonly days: number } | undefined;
  readonly priorDays: number;
  readonly postDays: number;
  readonly padDays: number;
};

const SEED = 20_260_311;
const PERSON_COUNT = 40;
const CONCEPT = 1;
const NOBODYS_CONCEPT = 2;

function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Several events of a day, events that overlap or touch, and some outside every observation period. */
function makePersons(): Person[] {
  const below = randomOf(SEED);
  return Array.from({ length: PERSON_COUNT }, (_, index): Person => {
    const first = { start: below(60), end: 150 + below(60) };
    const second = { start: 230 + below(40), end: 350 + below(60) };
    const events = Array.from({ length: below(8) }, (_unused, place): Event => {
      const start = below(20) * 21;
      return { id: index * 100 + place, start, end: start + below(30) };
    });
    return { id: index + 1, periods: below(3) === 0 ? [first] : [first, second], events };
  });
}

function dayOf(days: number): string {
  return new Date(Date.UTC(2020, 0, 1) + days * 86_400_000).toISOString().slice(0, 10);
}

function statementsOf(persons: readonly Person[]): string[] {
  const concept = (id: number) =>
    `INSERT INTO concept VALUES (${id}, 'any', 'Condition', 'any', 'any', 'S', 'c${id}', '1970-01-01', '2099-12-31', NULL)`;
  return [
    concept(CONCEPT),
    concept(NOBODYS_CONCEPT),
    ...persons.flatMap(({ id, periods, events }) => [
      `INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id) VALUES (${id}, 0, 1960, 0, 0)`,
      ...periods.map(
        ({ start, end }, place) =>
          `INSERT INTO observation_period VALUES (${id * 10 + place}, ${id}, '${dayOf(start)}', '${dayOf(end)}', 0)`,
      ),
      ...events.map(
        (event) =>
          `INSERT INTO condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, condition_start_date, condition_end_date, condition_type_concept_id)
           VALUES (${event.id}, ${id}, ${CONCEPT}, '${dayOf(event.start)}', '${dayOf(event.end)}', 0)`,
      ),
    ]),
  ];
}

function circeOf(asked: Asked, isLong: boolean): string {
  const { offset } = asked;
  const everybody = { name: 'everybody', expression: { Type: 'ALL', CriteriaList: [], Groups: [] } };
  return JSON.stringify({
    ConceptSets: [circeSet(0, CONCEPT), circeSet(1, NOBODYS_CONCEPT)],
    PrimaryCriteria: {
      CriteriaList: [{ ConditionOccurrence: { CodesetId: 0 } }],
      ObservationWindow: { PriorDays: asked.priorDays, PostDays: asked.postDays },
      PrimaryCriteriaLimit: { Type: asked.primary },
    },
    QualifiedLimit: { Type: 'First' },
    ExpressionLimit: { Type: asked.included },
    InclusionRules: isLong ? [everybody] : [],
    CensoringCriteria: isLong ? [{ ConditionOccurrence: { CodesetId: 1 } }] : [],
    ...(offset === undefined
      ? {}
      : {
          EndStrategy: {
            DateOffset: { DateField: offset.from === 'start' ? 'StartDate' : 'EndDate', Offset: offset.days },
          },
        }),
    CollapseSettings: { CollapseType: 'ERA', EraPad: asked.padDays },
  });
}

type Observed = Event & { readonly observedUntil: number };

function limited(events: readonly Observed[], limit: Limit): readonly Observed[] {
  if (limit === 'All') return events;
  const day = limit === 'First' ? events[0]?.start : events.at(-1)?.start;
  return events.filter(({ start }) => start === day).slice(0, 1);
}

function expectedOf({ periods, events }: Person, asked: Asked) {
  const observed = events
    .flatMap((event) =>
      periods
        .filter(({ start, end }) => start + asked.priorDays <= event.start && event.start + asked.postDays <= end)
        .map(({ end }): Observed => ({ ...event, observedUntil: end })),
    )
    .sort((left, right) => left.start - right.start || left.id - right.id);
  const primary = limited(observed, asked.primary);
  const { offset } = asked;
  const ends = limited(primary, asked.included)
    .map(({ observedUntil, ...event }) => ({
      start: event.start,
      end: offset === undefined ? observedUntil : Math.min(observedUntil, event[offset.from] + offset.days),
    }))
    .filter(({ start, end }) => end >= start)
    .sort((left, right) => left.start - right.start || left.end - right.end);
  const entries: { start: number; end: number }[] = [];
  for (const one of ends) {
    const last = entries.at(-1);
    if (last !== undefined && last.end + asked.padDays >= one.start) last.end = Math.max(last.end, one.end);
    else entries.push({ ...one });
  }
  return { entries, qualifiedCount: primary.length };
}

function definitions(): Asked[] {
  const offsets = [undefined, { from: 'start', days: 1 }, { from: 'end', days: 0 }] as const;
  const windows = [
    { priorDays: 0, postDays: 0, padDays: 0 },
    { priorDays: 30, postDays: 10, padDays: 20 },
  ];
  return LIMITS.flatMap((primary) =>
    LIMITS.flatMap((included) =>
      offsets.flatMap((offset) => windows.map((window) => ({ primary, included, offset, ...window }))),
    ),
  );
}

for (const engine of ENGINES) {
  describe(`cohorts on ${engine}`, () => {
    it('come out the same by the short plan of a definition, by its long one, and by arithmetic', async (t) => {
      t.diagnostic(`seed ${SEED}`);
      const persons = makePersons();
      const made = await makeCdm(engine, statementsOf(persons));
      t.after(() => made.close());
      const { signal } = new AbortController();
      const cdm = await openCdm({ where: made.where, schema: undefined, signal, onProgress: () => undefined });
      t.after(() => cdm.close());
      let entryCount = 0;
      for (const asked of definitions()) {
        const expected = persons.map((person) => ({ id: person.id, ...expectedOf(person, asked) }));
        const entries = expected.flatMap(({ id, entries: own }) =>
          own.map(({ start, end }) => `${id} ${dayOf(start)} ${dayOf(end)}`),
        );
        const qualified = {
          eventCount: expected.reduce((sum, one) => sum + one.qualifiedCount, 0),
          personCount: expected.filter((one) => one.qualifiedCount > 0).length,
        };
        for (const isLong of [false, true]) {
          const run = await runCohort(cdm, readCirce(circeOf(asked, isLong)));
          const rows = await cdm.results.rows(
            `SELECT number, cohort_start_date, cohort_end_date FROM temp.result WHERE part = 'cohort'`,
          );
          const what = `${JSON.stringify(asked)}, ${isLong ? 'long' : 'short'}`;
          assert.deepEqual(rows.map((row) => row.join(' ')).sort(), entries.toSorted(), what);
          assert.deepEqual(run.qualified, qualified, what);
          assert.ok(
            run.masks.every(({ mask }) => mask === (isLong ? 1n : 0n)),
            what,
          );
        }
        entryCount += entries.length;
      }
      assert.ok(entryCount > 1000, String(entryCount));
    });
  });
}
