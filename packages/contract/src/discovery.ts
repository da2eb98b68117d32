/**
 * Questions about the records of a hospital (its OMOP CDM): how many patients are in a cohort and what they are like, and which
 * concepts the records hold at all. Every number of an answer passed the site's disclosure gate.
 *
 * A cohort is a definition of OHDSI's Circe JSON, which the hub passes on unread; each site reads it, and refuses what it does not
 * understand by name. Ids of concepts are texts: they may be greater than 2^53.
 */
import { type Static, Type } from 'typebox';
import { canonicalJson } from './canonical-json.ts';
import { DatasetNameSchema } from './dataset.ts';
import { ReleasedCountSchema, ReleasedTableSchema } from './disclosure.ts';
import { AppError } from './errors.ts';

/** The dataset under which a site answers for its records, unless it says otherwise. */
export const RECORDS_DATASET_DEFAULT = 'records';

const DEFINITION_BYTES_MAX = 512 * 1024; // forty times the largest phenotype of OHDSI's library; sixteen tasks fit into one poll
const CHARACTERISTIC_COUNT_MAX = 12;
const TOP_COUNT_MAX = 20; // each of them costs a question of the budget
const CONCEPT_COUNT_MAX = 100;
const ATTRITION_COUNT_MAX = 62; // rules of a definition
const MEASUREMENT_BOUND_COUNT_MAX = 20;

const ConceptIdSchema = Type.String({ pattern: '^(0|[1-9][0-9]{0,18})$', description: 'id of a concept, in decimal' });

const kind = <const K extends string>(name: K) => ({ kind: Type.Literal(name) });
const closed = { additionalProperties: false } as const;

/** What a crossing can be of; ages are in bands of 20 years there. */
const CrossedSchema = Type.Union([Type.Literal('sex'), Type.Literal('age'), Type.Literal('year')]);

/**
 * What is asked of the patients of a cohort, each at his first entry into it.
 *
 * age, year       at that day; age as the difference of the years
 * top-conditions  concepts that most patients have, whenever recorded; a patient may stand behind several
 * modality        of images, whenever made
 * measurement     the newest value in the unit, on the day of entry or before it, within the period of observation of that day
 */
export const CharacteristicSchema = Type.Union([
  Type.Object(kind('sex'), closed),
  Type.Object({ ...kind('age'), bandYears: Type.Union([Type.Literal(5), Type.Literal(10), Type.Literal(20)]) }, closed),
  Type.Object(kind('year'), closed),
  Type.Object({ ...kind('top-conditions'), limit: Type.Integer({ minimum: 1, maximum: TOP_COUNT_MAX }) }, closed),
  Type.Object({ ...kind('top-drugs'), limit: Type.Integer({ minimum: 1, maximum: TOP_COUNT_MAX }) }, closed),
  Type.Object(kind('modality'), closed),
  Type.Object(
    {
      ...kind('measurement'),
      conceptId: ConceptIdSchema,
      unitConceptId: ConceptIdSchema,
      bounds: Type.Array(Type.Number(), {
        minItems: 2,
        maxItems: MEASUREMENT_BOUND_COUNT_MAX,
        description: 'rising; each begins a bin that ends below the next',
      }),
    },
    closed,
  ),
  Type.Object(
    { ...kind('crossing'), of: Type.Array(CrossedSchema, { minItems: 2, maxItems: 2, uniqueItems: true }) },
    closed,
  ),
]);
export type Characteristic = Static<typeof CharacteristicSchema>;
export type Crossed = Static<typeof CrossedSchema>;

export const CohortSchema = Type.Object(
  {
    definition: Type.Record(Type.String(), Type.Unknown(), { description: 'Circe JSON, as ATLAS writes it' }),
    describe: Type.Array(CharacteristicSchema, { maxItems: CHARACTERISTIC_COUNT_MAX, uniqueItems: true }),
  },
  closed,
);
export type Cohort = Static<typeof CohortSchema>;

export const ConceptDomainSchema = Type.Union([
  Type.Literal('condition'),
  Type.Literal('drug'),
  Type.Literal('measurement'),
  Type.Literal('procedure'),
  Type.Literal('observation'),
]);
export type ConceptDomain = Static<typeof ConceptDomainSchema>;

/** Which concepts of a domain most patients have; `search`: only those whose name holds this text, in whatever case. */
export const ConceptsSchema = Type.Object(
  {
    domain: ConceptDomainSchema,
    search: Type.Optional(Type.String({ minLength: 2, maxLength: 100 })),
    limit: Type.Integer({ minimum: 1, maximum: CONCEPT_COUNT_MAX }),
  },
  closed,
);
export type Concepts = Static<typeof ConceptsSchema>;

export const CohortQuestionSchema = Type.Object({ dataset: DatasetNameSchema, cohort: CohortSchema }, closed);
export const ConceptsQuestionSchema = Type.Object({ dataset: DatasetNameSchema, concepts: ConceptsSchema }, closed);

const questionsLeft = Type.Integer({ minimum: 0 });

/** `attrition`: patients who satisfy this rule of the definition and every one before it, by their best event. */
export const CohortAnswerSchema = Type.Object(
  {
    ...kind('cohort'),
    total: ReleasedCountSchema,
    attrition: Type.Array(Type.Object({ rule: Type.String({ maxLength: 500 }), count: ReleasedCountSchema }, closed), {
      maxItems: ATTRITION_COUNT_MAX,
    }),
    tables: Type.Array(ReleasedTableSchema, { maxItems: CHARACTERISTIC_COUNT_MAX }),
    questionsLeft,
  },
  closed,
);

/** Only concepts whose count was released are named at all. */
export const ConceptsAnswerSchema = Type.Object(
  {
    ...kind('concepts'),
    concepts: Type.Array(
      Type.Object(
        {
          conceptId: ConceptIdSchema,
          name: Type.Optional(Type.String({ maxLength: 255 })),
          count: ReleasedCountSchema,
        },
        closed,
      ),
      { maxItems: CONCEPT_COUNT_MAX },
    ),
    questionsLeft,
  },
  closed,
);

/**
 * A sum over sites of what they released. It is not the number of patients: `withheldSites` gave no number here, and a patient may
 * be at two hospitals.
 */
const ReleasedSumSchema = Type.Object(
  {
    value: Type.Integer({ minimum: 0 }),
    releasedSites: Type.Integer({ minimum: 0 }),
    withheldSites: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type ReleasedSum = Static<typeof ReleasedSumSchema>;

const SummedTableSchema = Type.Object(
  {
    column: Type.String({ maxLength: 64 }),
    cells: Type.Array(
      Type.Object(
        {
          label: Type.String({ maxLength: 200 }),
          meaning: Type.Optional(Type.String({ maxLength: 255 })),
          sum: ReleasedSumSchema,
        },
        closed,
      ),
    ),
  },
  closed,
);
export type SummedTable = Static<typeof SummedTableSchema>;

/** Over the sites that answered; the others refused, failed, or have not answered yet. */
export const DiscoverySumsSchema = Type.Object(
  {
    answeredSites: Type.Integer({ minimum: 0 }),
    otherSites: Type.Integer({ minimum: 0 }),
    total: Type.Optional(ReleasedSumSchema),
    attrition: Type.Array(Type.Object({ rule: Type.String({ maxLength: 500 }), sum: ReleasedSumSchema }, closed)),
    tables: Type.Array(SummedTableSchema),
  },
  closed,
);
export type DiscoverySums = Static<typeof DiscoverySumsSchema>;

/** What the schemas cannot say; throws `input.invalid` naming the field. */
export function assertCohort({ definition, describe }: Cohort): void {
  const field = '/cohort/definition';
  const text = canonicalJson(definition);
  if (new TextEncoder().encode(text).length > DEFINITION_BYTES_MAX) {
    throw new AppError('input.invalid', `${field}: is larger than ${DEFINITION_BYTES_MAX} bytes.`, { field });
  }
  // No database of ours keeps such a text, and none of theirs compares with it.
  if (text.includes('\\u0000')) throw new AppError('input.invalid', `${field}: holds a NUL character.`, { field });
  for (const [index, characteristic] of describe.entries()) {
    if (characteristic.kind !== 'measurement') continue;
    const { bounds } = characteristic;
    if (bounds.every((bound, place) => place === 0 || bound > (bounds[place - 1] ?? bound))) continue;
    const at = `/cohort/describe/${index}/bounds`;
    throw new AppError('input.invalid', `${at}: must rise.`, { field: at });
  }
}
