/**
 * What is asked: pairs of kinds of questions that differ in how many patients they are about, and in nothing that the asker does not
 * know already. Each place below is one where an engine that reads data may take a short way when it finds nothing.
 */
import type { DatasetSchema, Filter, SiteTask } from '@lantern/contract';
import { circe } from '../../packages/site/test/records-cdm.ts';

/** Numbers of patients of the sets below the threshold: each as often as the others. */
const SMALL_COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 9] as const;
/** Categories and concepts of each kind. */
const SIGN_COUNT = 36;
const MARK_MAX = 1000;
const SIGNS_OF_SMALL = 1_000_000;
const COMMON = 'common';
const FIRST_EMPTY_CONCEPT = 4_100_000;
const FIRST_SMALL_CONCEPT = 4_200_000;
const COMMON_CONCEPT = 5_000_001;

const indexes = Array.from({ length: SIGN_COUNT }, (_, index) => index);
const smallCount = (index: number) => SMALL_COUNTS[index % SMALL_COUNTS.length] ?? 1;

export type Kind = 'nobody' | 'few' | 'many';
/** The body of a task; what names the message is added by whoever sends it. */
export type Question =
  | { readonly kind: 'count'; readonly dataset: string; readonly filter: Filter }
  | {
      readonly kind: 'cohort';
      readonly dataset: string;
      readonly cohort: Extract<SiteTask, { kind: 'cohort' }>['cohort'];
    };

export type Place = {
  readonly name: string;
  readonly questions: Readonly<Record<Kind, readonly Question[]>>;
};

const signOf = (kind: 'empty' | 'small', index: number) => `${kind}${index}`;

export const SCHEMA: DatasetSchema = {
  name: 'timed',
  title: 'Generated patients',
  description: 'Numbers of nobody.',
  missingMarks: [''],
  columns: [
    { kind: 'patient-key', name: 'patient', description: 'number of the patient' },
    {
      kind: 'number',
      name: 'mark',
      description: 'a number that is spread evenly, and has a few large values',
      unit: '1',
      range: { min: 0, max: 10 * SIGNS_OF_SMALL },
      missingAllowed: false,
    },
    {
      kind: 'category',
      name: 'sign',
      description: 'common, or a sign of few or none',
      missingAllowed: false,
      categories: [COMMON, ...indexes.flatMap((index) => [signOf('empty', index), signOf('small', index)])].map(
        (value) => ({ value, meaning: value }),
      ),
    },
  ],
};

/** Patients with a sign that few have, and those whose mark is above all others, lie anywhere in the file. */
export function datasetCsv(patientCount: number, random: () => number): string {
  const signs = new Map<number, string>();
  const marks = new Map<number, number>();
  const somebody = () => Math.floor(random() * patientCount);
  for (const index of indexes) {
    const wanted = signs.size + smallCount(index);
    while (signs.size < wanted) {
      const patient = somebody();
      if (!signs.has(patient)) signs.set(patient, signOf('small', index));
    }
  }
  for (const count of SMALL_COUNTS) {
    let patient = somebody();
    while (marks.has(patient)) patient = somebody();
    marks.set(patient, SIGNS_OF_SMALL - count);
  }
  const lines = ['patient,mark,sign'];
  for (let patient = 0; patient < patientCount; patient += 1) {
    const mark = marks.get(patient) ?? Math.floor(random() * MARK_MAX);
    lines.push(`p${patient},${mark},${signs.get(patient) ?? COMMON}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Statements that make a CDM: each person has ten common conditions, over which a definition has to go. */
export function cdmStatements(personCount: number): string[] {
  const conditions = `condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, condition_start_date,
  condition_type_concept_id)`;
  const rare = indexes.flatMap((index) =>
    Array.from({ length: smallCount(index) }, (_, patient) => {
      const person = 1 + ((index * 7919 + patient * 104_729) % personCount);
      return `(${100_000_000 + index * 100 + patient}, ${person}, ${FIRST_SMALL_CONCEPT + index}, '2018-05-01', 32817)`;
    }),
  );
  const concepts = [COMMON_CONCEPT, ...indexes.flatMap((at) => [FIRST_EMPTY_CONCEPT + at, FIRST_SMALL_CONCEPT + at])];
  return [
    `INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id, person_source_value)
SELECT i, CASE i % 2 WHEN 0 THEN 8507 ELSE 8532 END, 1930 + i % 70, 0, 0, 'H' || i FROM range(1, ${personCount + 1}) t(i)`,
    `INSERT INTO observation_period (observation_period_id, person_id, observation_period_start_date, observation_period_end_date,
  period_type_concept_id) SELECT i, i, '2010-01-01', '2025-12-31', 32817 FROM range(1, ${personCount + 1}) t(i)`,
    `INSERT INTO ${conditions}
SELECT i * 10 + j, i, ${COMMON_CONCEPT}, DATE '2015-01-01' + (i * 31 + j * 97)::integer % 3000, 32817
  FROM range(1, ${personCount + 1}) t(i), range(10) u(j)`,
    `INSERT INTO ${conditions} VALUES ${rare.join(', ')}`,
    `INSERT INTO concept (concept_id, concept_name, domain_id, vocabulary_id, concept_class_id, concept_code, valid_start_date,
  valid_end_date) VALUES ${concepts
    .map((id) => `(${id}, 'c${id}', 'Condition', 'SNOMED', 'Clinical Finding', '${id}', '1970-01-01', '2099-12-31')`)
    .join(', ')}`,
  ];
}

const counted = (filter: Filter): Question => ({ kind: 'count', dataset: SCHEMA.name, filter });
const signed = (...values: string[]) => counted({ kind: 'in', column: 'sign', values });
const above = (value: number) => counted({ kind: 'compare', column: 'mark', operator: '>', value });

/** `salt` is another wording of the same set. */
function cohort(concept: number, salt: number): Question {
  const text = JSON.stringify(circe(concept, [COMMON_CONCEPT])).replace('"set 0"', `"set of wording ${salt}"`);
  return { kind: 'cohort', dataset: 'records', cohort: { definition: JSON.parse(text), describe: [] } };
}

/** Work of another size: every condition of everybody, looked at for each of many rules. */
const heavy = (salt: number): Question => ({
  kind: 'cohort',
  dataset: 'records',
  cohort: {
    definition: JSON.parse(
      JSON.stringify(circe(COMMON_CONCEPT, Array(HEAVY_RULE_COUNT).fill(COMMON_CONCEPT))).replace(
        '"set 0"',
        `"set of wording ${salt}"`,
      ),
    ),
    describe: [{ kind: 'sex' }],
  },
});
const HEAVY_RULE_COUNT = 16;

/** `wordingCount` questions of both kinds, all worded differently. */
export function placesOf(wordingCount: number): Place[] {
  const wordings = Array.from({ length: wordingCount }, (_, index) => index);
  const first = (index: number) => index % (SIGN_COUNT / 2);
  const second = (index: number) => SIGN_COUNT / 2 + (Math.floor((2 * index) / SIGN_COUNT) % (SIGN_COUNT / 2));
  const many = wordings.slice(0, Math.ceil(wordingCount / 8));
  return [
    {
      name: 'a category that nobody has',
      questions: {
        nobody: wordings.map((index) => signed(signOf('empty', first(index)), signOf('empty', second(index)))),
        few: wordings.map((index) => signed(signOf('small', first(index)), signOf('empty', second(index)))),
        many: many.map((index) => signed(COMMON, signOf('empty', first(index)), signOf('empty', second(index)))),
      },
    },
    {
      name: 'above the largest value there is',
      questions: {
        nobody: wordings.map((index) => above(SIGNS_OF_SMALL + index)),
        // All that lie above the others, but for none to eight of them: 9 to 1 patients.
        few: wordings.map((index) => above(SIGNS_OF_SMALL - 1 - smallCount(index) - Math.floor(index / 9) / 128)),
        many: many.map((index) => above(MARK_MAX / 2 + index / 128)),
      },
    },
    {
      name: 'a cohort by a concept that nobody has',
      questions: {
        nobody: wordings.map((index) => cohort(FIRST_EMPTY_CONCEPT + (index % SIGN_COUNT), index)),
        few: wordings.map((index) => cohort(FIRST_SMALL_CONCEPT + (index % SIGN_COUNT), index)),
        many: many.map(heavy),
      },
    },
  ];
}
