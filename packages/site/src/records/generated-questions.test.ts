/**
 * Generated questions about cohorts of a real CDM: their sets are made by the statements of real questions, and go through the real
 * gate. 1,000 of them, 20,000 in CI, or as many as LANTERN_GENERATED_QUESTIONS says, and some through a whole site.
 *
 * The budget of questions is lifted by the policies of this test alone: it asks what an answer shows, and the budget only how many
 * there are. A few definitions give the sets, since each takes a statement; every question then has other patients left out, as
 * opt-outs do, another choice of tables and stages, another policy and another history.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Characteristic, COUNT_POLICY_DEFAULT, type CountPolicy, type ReleasedCount } from '@lantern/contract';
import {
  answerDescription,
  type CountGate,
  type DescriptionTable,
  GATHERED_COLUMNS,
  type PatientSet,
  planCohortQuestion,
  readCirceValue,
} from '@lantern/omop';
import { type EngineCdm, makeCdm } from '../../test/cdm-engines.ts';
import { CONCEPTS, circe, recordsStatements } from '../../test/records-cdm.ts';
import { RecordsSite } from '../../test/records-site.ts';
import { seededRandom } from '../../test/seeded-random.ts';
import { openCdm } from '../cdm/cdm.ts';
import { keyedHashOf } from '../questions/gated-release.ts';
import { createRecordPatients } from './record-patients.ts';
import { type CohortSets, readCohortSets } from './record-sets.ts';

const SEED = 20_261_128;
const QUESTION_COUNT = Number(
  process.env['LANTERN_GENERATED_QUESTIONS'] ?? (process.env['CI'] === 'true' ? 20_000 : 1_000),
);
const DEFINITION_COUNT = 24;
const SITE_QUESTION_COUNT = 20;
const QUESTIONS_PER_SITE = 3;
const NO_BUDGET = 1_000_000_000;
/** Every so many a question with a small set is asked again with nobody in it. */
const COMPARED_EACH = 4;
/** Conditions of so many patients, from nobody to beyond every threshold of the test. */
const GROUP_COUNT = 45;
const groupConcept = (size: number) => 4_200_000 + size;

const random = seededRandom(SEED);
const below = (count: number) => Math.floor(random() * count);
const oneOf = <T>(all: readonly [T, ...T[]]): T => all[below(all.length)] ?? all[0];

/** The groups lie across one another, so that cells of every size come of them. */
function groupStatements(): string[] {
  const rows: string[] = [];
  for (let size = 0; size < GROUP_COUNT; size += 1) {
    for (let member = 0; member < size; member += 1) {
      const person = 1000 + ((size * 37 + member * 11) % 400);
      rows.push(`(${90_000_000 + size * 1000 + member}, ${person}, ${groupConcept(size)}, '2020-05-01', 32817)`);
    }
  }
  const columns =
    'condition_occurrence_id, person_id, condition_concept_id, condition_start_date, condition_type_concept_id';
  return [`INSERT INTO condition_occurrence (${columns}) VALUES ${rows.join(', ')}`];
}

const STATEMENTS = [...recordsStatements(), ...groupStatements()];

function anyConcept(): number {
  return random() < 0.5
    ? groupConcept(below(GROUP_COUNT))
    : oneOf([CONCEPTS.diabetes, CONCEPTS.rare9, CONCEPTS.rare10, 5000001]);
}

function anyDefinition(): Record<string, unknown> {
  return circe(anyConcept(), Array.from({ length: below(3) }, anyConcept));
}

/** Every kind there is; measurements with bins of chance. */
function anyDescription(): Characteristic[] {
  const first = 4 + below(4);
  const measurement = {
    kind: 'measurement' as const,
    conceptId: String(CONCEPTS.hba1c),
    unitConceptId: String(CONCEPTS.percent),
    bounds: Array.from({ length: 2 + below(4) }, (_, index) => first + index * (0.5 + below(3) / 2) + index / 10),
  };
  return [
    { kind: 'sex' },
    { kind: 'age', bandYears: oneOf([5, 10, 20]) },
    { kind: 'year' },
    { kind: 'top-conditions', limit: 1 + below(5) },
    { kind: 'top-drugs', limit: 2 },
    { kind: 'modality' },
    { ...measurement, bounds: [...new Set(measurement.bounds)].toSorted((a, b) => a - b) },
    { kind: 'crossing', of: random() < 0.5 ? ['sex', 'age'] : ['age', 'year'] },
  ];
}

function anyPolicy(): CountPolicy {
  return {
    patientCountMin: oneOf([COUNT_POLICY_DEFAULT.patientCountMin, 10 + below(20)]),
    rounding: oneOf([5, 10]),
    noiseStdDev: oneOf([COUNT_POLICY_DEFAULT.noiseStdDev, below(9)]),
    questionsMax: NO_BUDGET,
  };
}

function gateOf(policy: CountPolicy, secret: string, history: CountGate['history']): CountGate {
  const budget = { granted: 0, charged: new Map(), shared: undefined };
  return { policy, keyedHash: keyedHashOf(secret), history, budget };
}

/* Changed sets: the same words of patients are taken out of every set of a question. */

type Change = (patients: PatientSet) => PatientSet;

function leavingOut(): Change {
  const masks = Array.from({ length: 16 }, () => (random() < 0.5 ? -1 : below(2 ** 32) | below(2 ** 32)));
  return ({ words }) => counted(words.map((word, index) => word & (masks[index] ?? -1)));
}

function counted(words: Uint32Array): PatientSet {
  let end = words.length;
  while (end > 0 && words[end - 1] === 0) end -= 1;
  let count = 0;
  for (let word of words) for (; word !== 0; word &= word - 1) count += 1;
  return { count, words: words.slice(0, end) };
}

const NOBODY: PatientSet = { count: 0, words: new Uint32Array(0) };

function changed({ total, stages, tables }: CohortSets, change: Change): CohortSets {
  return {
    total: change(total),
    stages: stages.map(change),
    tables: tables.map((one): DescriptionTable => {
      const cells = one.table.cells.map(({ label, patients }) => ({ label, patients: change(patients) }));
      return { ...one, table: { ...one.table, cells } };
    }),
  };
}

function anySets(all: CohortSets): CohortSets {
  const tables = all.tables.filter(({ table }) => random() < Math.min(0.4, 2 / table.cells.length));
  return changed({ ...all, stages: all.stages.slice(0, below(all.stages.length + 1)), tables }, leavingOut());
}

async function setsOfDefinitions(where: string, file: string): Promise<CohortSets[]> {
  const running = { schema: undefined, signal: new AbortController().signal, onProgress: () => undefined };
  const verdictsOn = async (patients: readonly unknown[]) => patients.map(() => 'may-be-used' as const);
  const patients = createRecordPatients(file, { verdictsOn });
  const all: CohortSets[] = [];
  for (let index = 0; index < DEFINITION_COUNT; index += 1) {
    const definition = readCirceValue(anyDefinition());
    const plan = planCohortQuestion({ definition, describe: anyDescription(), currentYear: 2026 });
    const cdm = await openCdm({ where, ...running });
    try {
      await patients.prepare(cdm, { open: true, state: '', lists: [] });
      await cdm.gather(plan.sql({ dialect: cdm.dialect }), GATHERED_COLUMNS);
      all.push(await readCohortSets(cdm.results, { plan, patientCountMin: 1 }));
    } finally {
      await cdm.close();
    }
  }
  return all;
}

describe(`generated questions about cohorts of a CDM, seed ${SEED}`, () => {
  let folder: string;
  let cdm: EngineCdm;
  let definitions: CohortSets[];
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lantern-generated-questions-'));
    cdm = await makeCdm('duckdb', STATEMENTS, { isStrict: false });
    definitions = await setsOfDefinitions(cdm.where, path.join(folder, 'patients.duckdb'));
  });
  after(async () => {
    await cdm?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it(`release, of ${QUESTION_COUNT}, no count from 1 to 9 and none of too few, and the same bytes for nobody and for too few`, (t) => {
    let [cellCount, releasedCount, smallCount, comparedCount] = [0, 0, 0, 0];
    for (let asked = 0; asked < QUESTION_COUNT; ) {
      const policy = anyPolicy();
      let history: CountGate['history'] = [];
      for (let one = 0; one < QUESTIONS_PER_SITE; one += 1) {
        const sets = anySets(definitions[below(definitions.length)] ?? { total: NOBODY, stages: [], tables: [] });
        const price = { key: `question ${asked}`, cost: 1 };
        const secret = `site ${asked}`;
        const answer = answerDescription(gateOf(policy, secret, history), { price, ...sets });
        assert.ok(answer.kind === 'description');
        const shown = shownOf(answer, sets);
        for (const [count, patients] of shown) {
          cellCount += 1;
          if (isSmall(patients, policy)) smallCount += 1;
          if (count.kind === 'suppressed') continue;
          releasedCount += 1;
          assert.ok(
            count.value >= 10 && count.value % 5 === 0 && count.value % policy.rounding === 0,
            `${count.value}`,
          );
          assert.ok(patients === undefined || patients.count >= policy.patientCountMin);
        }
        asked += 1;
        const isCompared = asked % COMPARED_EACH === 0 && shown.some(([, patients]) => isSmall(patients, policy));
        if (isCompared) {
          comparedCount += 1;
          const empty: Change = (patients) => (isSmall(patients, policy) ? NOBODY : patients);
          const other = answerDescription(gateOf(policy, secret, history), { price, ...changed(sets, empty) });
          assert.equal(visible(other), visible(answer));
        }
        history = [...history, ...answer.keep.answered];
      }
    }
    t.diagnostic(
      `${cellCount} cells, ${releasedCount} released, ${smallCount} of few patients, ${comparedCount} questions compared`,
    );
    assert.ok(
      releasedCount > QUESTION_COUNT / 2 && smallCount > QUESTION_COUNT / 4 && comparedCount > QUESTION_COUNT / 50,
    );
  });
});

/** Somebody, and too few to be released. */
function isSmall(patients: PatientSet | undefined, { patientCountMin }: CountPolicy): boolean {
  return patients !== undefined && patients.count > 0 && patients.count < patientCountMin;
}

type Answer = Extract<ReturnType<typeof answerDescription>, { kind: 'description' }>;

/** Every count that leaves, with the patients it is of; a total of a table has none of its own. */
function shownOf(answer: Answer, { total, stages, tables }: CohortSets): [ReleasedCount, PatientSet | undefined][] {
  return [
    [answer.total, total],
    ...answer.stages.map((count, index): [ReleasedCount, PatientSet | undefined] => [count, stages[index]]),
    ...answer.tables.flatMap(({ cells, total: whole }, index): [ReleasedCount, PatientSet | undefined][] => [
      [whole, undefined],
      ...cells.map(({ label, count }): [ReleasedCount, PatientSet | undefined] => [
        count,
        tables[index]?.table.cells.find((cell) => cell.label === label)?.patients,
      ]),
    ]),
  ];
}

/** What leaves, and not what the gate keeps. */
function visible(answer: ReturnType<typeof answerDescription>): string {
  if (answer.kind !== 'description') return answer.kind;
  const { keep: _keep, ...shown } = answer;
  return JSON.stringify(shown);
}

describe('generated questions to a whole site', () => {
  let asker: RecordsSite;
  before(async () => {
    asker = await RecordsSite.start('duckdb', 'site-records-generated', { statements: STATEMENTS });
  });
  after(() => asker?.close());

  it(`are answered ${SITE_QUESTION_COUNT} times with no count from 1 to 9, and multiples of 5 alone`, async () => {
    let released = 0;
    for (let asked = 0; asked < SITE_QUESTION_COUNT; asked += 1) {
      await asker.refill();
      const describe = anyDescription().filter(() => random() < 0.3);
      const body = await asker.cohort(anyDefinition(), describe);
      assert.equal(body.kind, 'cohort', JSON.stringify(body));
      for (const [, value] of JSON.stringify(body).matchAll(/"value":(-?[\d.]+)/g)) {
        released += 1;
        assert.ok(Number(value) >= 10 && Number(value) % 5 === 0, value);
      }
    }
    assert.ok(released > 0);
  });
});
