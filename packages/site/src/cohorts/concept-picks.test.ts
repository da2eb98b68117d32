/** Rows picked by sets of concepts, of a table and of what stands beside it, and groups inside of groups: who is found, by hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readCirce } from '@lantern/omop';
import { ENGINES, type Engine, makeCdm } from '../../test/cdm-engines.ts';
import { circeSet } from '../../test/circe-sets.ts';
import { openCdm } from '../cdm/cdm.ts';
import { runCohort } from './cohort-run.ts';

const [ILL, SPECIALTY, INPATIENT, PROCEDURE, WOMAN] = [1, 2, 3, 4, 8532];
const [OTHER, MAN] = [9, 8507];
const SETS = { ill: 0, specialty: 1, inpatient: 2, procedure: 3, woman: 4 };
const DAY = '2020-06-01';

type Person = {
  readonly gender: number;
  readonly illness?: number;
  readonly specialty?: number;
  readonly visit: number;
  readonly procedureDay?: string;
};

const PERSONS: Readonly<Record<number, Person>> = {
  1: { gender: WOMAN, illness: ILL, specialty: SPECIALTY, visit: INPATIENT },
  2: { gender: WOMAN, illness: ILL, specialty: OTHER, visit: INPATIENT },
  3: { gender: WOMAN, illness: ILL, visit: INPATIENT, procedureDay: DAY },
  4: { gender: MAN, illness: ILL, specialty: SPECIALTY, visit: INPATIENT, procedureDay: '2020-08-01' },
  5: { gender: WOMAN, illness: ILL, specialty: SPECIALTY, visit: OTHER, procedureDay: DAY },
  6: { gender: WOMAN, illness: OTHER, specialty: SPECIALTY, visit: INPATIENT },
  7: { gender: WOMAN, visit: INPATIENT, procedureDay: DAY },
};

function statementsOf(id: number, { gender, illness, specialty, visit, procedureDay }: Person): string[] {
  return [
    `INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id) VALUES (${id}, ${gender}, 1960, 0, 0)`,
    `INSERT INTO observation_period VALUES (${id}, ${id}, '2019-01-01', '2021-12-31', 0)`,
    `INSERT INTO provider (provider_id, specialty_concept_id) VALUES (${id}, ${specialty ?? 0})`,
    `INSERT INTO visit_occurrence (visit_occurrence_id, person_id, visit_concept_id, visit_start_date, visit_end_date, visit_type_concept_id)
     VALUES (${id}, ${id}, ${visit}, '${DAY}', '${DAY}', 0)`,
    ...(illness === undefined
      ? []
      : [
          `INSERT INTO condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, condition_start_date, condition_type_concept_id, provider_id, visit_occurrence_id)
           VALUES (${id}, ${id}, ${illness}, '${DAY}', 0, ${specialty === undefined ? 'NULL' : id}, ${id})`,
        ]),
    ...(procedureDay === undefined
      ? []
      : [
          `INSERT INTO procedure_occurrence (procedure_occurrence_id, person_id, procedure_concept_id, procedure_date, procedure_type_concept_id)
           VALUES (${id}, ${id}, ${PROCEDURE}, '${procedureDay}', 0)`,
        ]),
  ];
}

function conceptStatements(): string[] {
  return [ILL, SPECIALTY, INPATIENT, PROCEDURE, WOMAN, OTHER, MAN].map(
    (id) =>
      `INSERT INTO concept VALUES (${id}, 'any', 'any', 'any', 'any', 'S', 'c${id}', '1970-01-01', '2099-12-31', NULL)`,
  );
}

function circeOf(illness: object, rules: readonly object[] = []): string {
  return JSON.stringify({
    ConceptSets: [
      circeSet(SETS.ill, ILL),
      circeSet(SETS.specialty, SPECIALTY),
      circeSet(SETS.inpatient, INPATIENT),
      circeSet(SETS.procedure, PROCEDURE),
      circeSet(SETS.woman, WOMAN),
    ],
    PrimaryCriteria: {
      CriteriaList: [{ ConditionOccurrence: { CodesetId: SETS.ill, ...illness } }],
      ObservationWindow: { PriorDays: 0, PostDays: 0 },
      PrimaryCriteriaLimit: { Type: 'All' },
    },
    QualifiedLimit: { Type: 'All' },
    ExpressionLimit: { Type: 'All' },
    InclusionRules: rules.map((expression) => ({ name: 'rule', expression })),
    CensoringCriteria: [],
    CollapseSettings: { CollapseType: 'ERA', EraPad: 0 },
  });
}

const picked = (conceptSet: number) => ({ CodesetId: conceptSet, IsExclusion: false });
const days = (count: number) => ({ Start: { Days: count, Coeff: -1 }, End: { Days: count, Coeff: 1 } });

/** So many procedures, of those that have a visit within two days of them. */
function withProcedures(occurrence: { Type: number; Count: number }): object {
  const visit = {
    Criteria: { VisitOccurrence: { CodesetId: SETS.inpatient } },
    StartWindow: days(2),
    Occurrence: { Type: 2, Count: 1 },
  };
  const procedure = {
    ProcedureOccurrence: {
      CodesetId: SETS.procedure,
      CorrelatedCriteria: { Type: 'ALL', CriteriaList: [visit], DemographicCriteriaList: [], Groups: [] },
    },
  };
  const one = { Criteria: procedure, StartWindow: days(365), Occurrence: occurrence };
  return { Type: 'ALL', CriteriaList: [one], DemographicCriteriaList: [], Groups: [] };
}

const EVERYBODY_ILL = [1, 2, 3, 4, 5];

const ASKED: readonly { readonly what: string; readonly circe: string; readonly persons: readonly number[] }[] = [
  { what: 'a set of the table itself', circe: circeOf({}), persons: EVERYBODY_ILL },
  {
    what: 'a set of the provider, whom a row may lack',
    circe: circeOf({ ProviderSpecialtyCS: picked(SETS.specialty) }),
    persons: [1, 4, 5],
  },
  {
    what: 'sets of provider, visit and person',
    circe: circeOf({
      ProviderSpecialtyCS: picked(SETS.specialty),
      VisitTypeCS: picked(SETS.inpatient),
      GenderCS: picked(SETS.woman),
    }),
    persons: [1],
  },
  {
    what: 'a set that is excluded',
    circe: circeOf({ GenderCS: { CodesetId: SETS.woman, IsExclusion: true } }),
    persons: [4],
  },
  {
    what: 'a group inside of a group, at least once',
    circe: circeOf({}, [withProcedures({ Type: 2, Count: 1 })]),
    persons: [3],
  },
  {
    what: 'a group inside of a group, never',
    circe: circeOf({}, [withProcedures({ Type: 0, Count: 0 })]),
    persons: [1, 2, 4, 5],
  },
];

async function personsOf(engine: Engine): Promise<Map<string, number[]>> {
  const statements = Object.entries(PERSONS).flatMap(([id, person]) => statementsOf(Number(id), person));
  const made = await makeCdm(engine, [...conceptStatements(), ...statements]);
  const { signal } = new AbortController();
  const cdm = await openCdm({ where: made.where, schema: undefined, signal, onProgress: () => undefined });
  try {
    const found = new Map<string, number[]>();
    for (const { what, circe } of ASKED) {
      await runCohort(cdm, readCirce(circe));
      const rows = await cdm.results.rows(`SELECT number FROM temp.result WHERE part = 'cohort' ORDER BY 1`);
      found.set(
        what,
        rows.map(([number]) => Number(number)),
      );
    }
    return found;
  } finally {
    await cdm.close();
    await made.close();
  }
}

for (const engine of ENGINES) {
  describe(`what is picked by concepts on ${engine}`, () => {
    it('is what stands in the rows, once each', async () => {
      const found = await personsOf(engine);
      for (const { what, persons } of ASKED) assert.deepEqual(found.get(what), persons, what);
    });
  });
}
