/**
 * A CDM of made-up persons, the same for the same seed, large enough to measure on.
 *
 * Concepts are those that the definitions ask for, each with some below it, in a share of the rows of their table; the others come
 * from a background. Both are skewed: few concepts are common. So are persons: some have many rows, most have few. Rows lie as
 * `lantern omop load` lays them, and have the texts and keys beside them that a hospital's have.
 */
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { type CohortDefinition, cdmRowOrder, cdmTableStatements, namedConcepts } from '@lantern/omop';

export type SyntheticOptions = {
  readonly file: string;
  readonly definitions: readonly CohortDefinition[];
  readonly personCount: number;
  readonly rowsPerPerson: number;
  readonly seed: number;
};

/** Share of a person's rows, and share of those whose concept some definition asks for. */
const TABLES = [
  { table: 'visit_occurrence', prefix: 'visit', domain: 'VisitOccurrence', share: 0.06, named: 1 },
  { table: 'condition_occurrence', prefix: 'condition', domain: 'ConditionOccurrence', share: 0.16, named: 0.15 },
  { table: 'drug_exposure', prefix: 'drug', domain: 'DrugExposure', share: 0.22, named: 0.1 },
  { table: 'procedure_occurrence', prefix: 'procedure', domain: 'ProcedureOccurrence', share: 0.1, named: 0.1 },
  { table: 'measurement', prefix: 'measurement', domain: 'Measurement', share: 0.29, named: 0.02 },
  { table: 'observation', prefix: 'observation', domain: 'Observation', share: 0.09, named: 0.1 },
  { table: 'drug_era', prefix: 'drug', domain: 'DrugEra', share: 0.04, named: 0.2 },
  { table: 'condition_era', prefix: 'condition', domain: 'ConditionEra', share: 0.03, named: 0.1 },
  { table: 'dose_era', prefix: 'drug', domain: 'DoseEra', share: 0.01, named: 0.5 },
] as const;
type Made = (typeof TABLES)[number];

const BELOW_EACH = 4;
const BELOW_FIRST = 2_100_000_000;
const BACKGROUND_FIRST = 1_000_000_000;
const BACKGROUND_COUNT = 200_000;
/** Ancestors of each concept of the background. */
const BACKGROUND_ANCESTORS = 10;

export async function makeSyntheticCdm(options: SyntheticOptions): Promise<void> {
  const instance = await DuckDBInstance.create(options.file);
  const connection = await instance.connect();
  for (const statement of cdmTableStatements()) await connection.run(statement);
  await makeVocabulary(connection, options.definitions);
  await makePersons(connection, options);
  for (const made of TABLES) await makeEvents(connection, made, options);
  await makeDeaths(connection, options);
  await connection.run('DROP TABLE named; DROP TABLE persons');
  await connection.run('CHECKPOINT');
  connection.closeSync();
  instance.closeSync();
}

/** Rows by table, of those that are filled here. */
export async function rowCounts(file: string): Promise<Record<string, number>> {
  const instance = await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const filled = ['person', 'observation_period', 'death', 'concept', 'concept_ancestor'];
  const counts: Record<string, number> = {};
  for (const name of [...filled, ...TABLES.map(({ table }) => table)]) {
    const [[count] = []] = (await connection.runAndReadAll(`SELECT count(*) FROM ${name}`)).getRows();
    counts[name] = Number(count);
  }
  connection.closeSync();
  instance.closeSync();
  return counts;
}

/** Of the sets that criteria of a domain ask for. */
function conceptsByDomain(definitions: readonly CohortDefinition[]): Map<string, Set<bigint>> {
  const found = new Map<string, Set<bigint>>();
  for (const definition of definitions) {
    const sets = new Map(definition.conceptSets.map(({ id, items }) => [id, items]));
    const visit = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      if ('domain' in value && 'conceptSet' in value) {
        const own = found.get(String(value.domain)) ?? new Set();
        found.set(String(value.domain), own);
        for (const item of sets.get(Number(value.conceptSet)) ?? []) if (!item.isExcluded) own.add(item.conceptId);
      }
      for (const child of Object.values(value)) visit(child);
    };
    visit(definition);
  }
  return found;
}

async function makeVocabulary(connection: DuckDBConnection, definitions: readonly CohortDefinition[]): Promise<void> {
  const named = [...new Set(definitions.flatMap((one) => namedConcepts(one).map(({ id }) => id)))];
  await connection.run('CREATE TABLE named (domain VARCHAR, concept_id BIGINT, place INTEGER)');
  for (const [domain, ids] of conceptsByDomain(definitions)) {
    if (ids.size === 0) continue;
    const below = [...ids].flatMap((id) => Array.from({ length: BELOW_EACH }, (_, n) => belowId(named.indexOf(id), n)));
    // Shuffled by their hash: which is common and which is rare follows from the place.
    await connection.run(
      `INSERT INTO named SELECT '${domain}', id, row_number() OVER (ORDER BY hash(id)) - 1 FROM (SELECT unnest([${[...ids, ...below].join(', ')}]) AS id)`,
    );
  }
  const concept = `'made up' AS concept_name, 'any' AS domain_id, 'any' AS vocabulary_id, 'any' AS concept_class_id, 'S' AS standard_concept, CAST(id AS VARCHAR) AS concept_code, DATE '1970-01-01', DATE '2099-12-31', NULL`;
  const all = [
    ...named,
    ...named.flatMap((_, place) => Array.from({ length: BELOW_EACH }, (_, n) => belowId(place, n))),
  ];
  await connection.run(
    `INSERT INTO concept SELECT id, ${concept} FROM (
       SELECT unnest([${all.join(', ')}]) AS id UNION ALL SELECT ${BACKGROUND_FIRST} + range FROM range(${BACKGROUND_COUNT})
     ) ORDER BY 1`,
  );
  const pairs = named.flatMap((id, place) => [
    `(${id}, ${id})`,
    ...Array.from({ length: BELOW_EACH }, (_, n) => `(${id}, ${belowId(place, n)})`),
  ]);
  await connection.run(
    `INSERT INTO concept_ancestor SELECT a, d, 0, 1 FROM (VALUES ${pairs.join(', ')}) t(a, d)
     UNION ALL SELECT ${BACKGROUND_FIRST} + hash(d, n) % ${BACKGROUND_COUNT}, ${BACKGROUND_FIRST} + d, 1, 1
     FROM range(${BACKGROUND_COUNT}) r(d), range(${BACKGROUND_ANCESTORS}) s(n) ORDER BY 1, 2`,
  );
}

function belowId(place: number, n: number): number {
  return BELOW_FIRST + place * BELOW_EACH + n;
}

/** From 0 to below 1, the same for the same values. */
function chance(seed: number, salt: string, ...values: readonly string[]): string {
  return `((hash(${[String(seed), `'${salt}'`, ...values].join(', ')}) % 1000003) / 1000003.0)`;
}

async function makePersons(connection: DuckDBConnection, { personCount, seed }: SyntheticOptions): Promise<void> {
  const of = (salt: string) => chance(seed, salt, 'range');
  await connection.run(
    `CREATE TABLE persons AS SELECT range + 1 AS person_id,
       DATE '2008-01-01' + CAST(floor(3000 * ${of('start')}) AS INTEGER) AS start_date,
       CAST(400 + floor(3000 * ${of('length')}) AS INTEGER) AS day_count,
       -ln(1 - ${of('activity')}) AS activity
     FROM range(${personCount})`,
  );
  await connection.run(
    `INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id, person_source_value)
     SELECT person_id, CASE WHEN ${chance(seed, 'sex', 'person_id')} < 0.5 THEN 8507 ELSE 8532 END,
       CAST(1925 + floor(90 * ${chance(seed, 'born', 'person_id')}) AS INTEGER), 0, 0, 'P' || person_id FROM persons`,
  );
  await connection.run(
    `INSERT INTO observation_period SELECT person_id, person_id, start_date, start_date + day_count, 32817 FROM persons`,
  );
}

async function makeDeaths(connection: DuckDBConnection, { seed }: SyntheticOptions): Promise<void> {
  await connection.run(
    `INSERT INTO death (person_id, death_date, death_type_concept_id)
     SELECT person_id, start_date + day_count, 32817 FROM persons WHERE ${chance(seed, 'death', 'person_id')} < 0.05`,
  );
}

async function makeEvents(connection: DuckDBConnection, made: Made, options: SyntheticOptions): Promise<void> {
  const { table, prefix, domain, share, named } = made;
  const { seed, rowsPerPerson } = options;
  const of = (salt: string) => chance(seed, `${table} ${salt}`, 'person_id', 'i');
  const fields = (await connection.runAndReadAll(`SELECT column_name FROM (DESCRIBE ${table})`)).getRows().map(String);
  const day = `start_date + CAST(floor(day_count * ${of('day')}) AS INTEGER)`;
  const source = `'source ' || (i * 7919 % 5000)`;
  const values: Readonly<Record<string, string>> = {
    person_id: 'person_id',
    [`${prefix}_concept_id`]: 'concept_id',
    [`${prefix}_type_concept_id`]: '32817',
    visit_occurrence_id: 'person_id * 65536 + i % 8',
    provider_id: 'person_id % 5000',
    [`${prefix}_source_value`]: source,
    [`${prefix}_source_concept_id`]: 'concept_id',
    [`${prefix}_start_date`]: 'day',
    [`${prefix}_end_date`]: 'day + CAST(i % 9 AS INTEGER)',
    [`${prefix}_date`]: 'day',
    [`${table}_start_date`]: 'day',
    [`${table}_end_date`]: 'day + CAST(i % 30 AS INTEGER)',
    days_supply: '30',
    quantity: '1',
    unit_concept_id: '8840',
    value_as_number: `200 * ${of('value')}`,
    value_as_concept_id: `CASE WHEN i % 3 = 0 THEN 4181412 END`,
    dose_value: `50 * ${of('value')}`,
    drug_exposure_count: '1',
    condition_occurrence_count: '1',
    gap_days: '0',
    [`${table}_id`]: 'person_id * 65536 + i',
  };
  const columns = fields.filter((name) => values[name] !== undefined);
  const place = `CAST(floor(named_count * pow(${of('which')}, 3)) AS INTEGER)`;
  const background = `${BACKGROUND_FIRST} + CAST(floor(${BACKGROUND_COUNT} * pow(${of('other')}, 6)) AS BIGINT)`;
  await connection.run(
    `INSERT INTO ${table} (${columns.join(', ')})
     WITH own AS (SELECT * FROM named WHERE domain = '${domain}'),
     rows AS (
       SELECT person_id, start_date, day_count,
         unnest(range(CAST(least(60000, ceil(${rowsPerPerson * share} * activity)) AS BIGINT))) AS i
       FROM persons),
     placed AS (
       SELECT *, ${day} AS day, CASE WHEN ${of('named')} < ${named} THEN ${place} ELSE -1 END AS place
       FROM rows, (SELECT count(*) AS named_count FROM own)),
     found AS (
       SELECT placed.*, coalesce(own.concept_id, ${background}) AS concept_id FROM placed LEFT JOIN own USING (place))
     SELECT * FROM (SELECT ${columns.map((name) => `${values[name]} AS ${name}`).join(', ')} FROM found)
     ORDER BY ${cdmRowOrder(table).join(', ')}`,
  );
}
