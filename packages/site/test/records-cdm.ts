/**
 * A CDM of generated patients, of whom every count is known: planted groups around the threshold, and tokens where a record system
 * would have names. Statements for both engines.
 */

export const CONCEPTS = {
  diabetes: 201826,
  rare9: 4000009,
  rare10: 4000010,
  none: 4000099,
  metformin: 1503297,
  hba1c: 3004410,
  percent: 8554,
};
const GENDERS = [8532, 8507, 8507] as const;
export const COUNT = 400;

/** Age, sex and group of each patient follow from its number alone. */
export type RecordsOptions = {
  /** Planted in source values. */
  readonly token?: string;
  /** Numbers of patients that are not there. */
  readonly without?: ReadonlySet<number>;
  /** Added to ids of persons, which may pass 2^53. */
  readonly idBase?: bigint;
  readonly count?: number;
};

/** As hospital numbers are in person_source_value. */
export function hospitalNumberOf(index: number, token = 'H'): string {
  return `${token}${index}`;
}

export function recordsStatements(options: RecordsOptions = {}): string[] {
  const { token = 'H', without = new Set(), idBase = 1000n, count = COUNT } = options;
  const rows: Record<string, string[]> = {};
  const add = (table: string, ...values: (string | number | bigint)[]) => {
    rows[table] = [...(rows[table] ?? []), `(${values.join(', ')})`];
  };
  const text = (value: string) => `'${value}'`;
  for (let index = 0; index < count; index += 1) {
    if (without.has(index)) continue;
    const id = idBase + BigInt(index);
    const gender = GENDERS[index % 3] ?? 0;
    const birth = 1935 + (index % 60);
    add('person', id, gender, birth, 0, 0, text(hospitalNumberOf(index, token)), text(`${token}gender`));
    add('observation_period', id, id, "'2010-01-01'", "'2025-12-31'", 32817);
    const year = 2015 + (index % 8);
    const condition = (concept: number, day: string) =>
      add(
        'condition_occurrence',
        id * 100n + BigInt((rows['condition_occurrence'] ?? []).length % 100) + BigInt(concept % 7) * 1_000_000n,
        id,
        concept,
        text(day),
        32817,
        text(`${token}cond`),
      );
    condition(CONCEPTS.diabetes, `${year}-03-01`);
    if (index % 2 === 0) condition(5000001, `${year}-04-01`);
    if (index % 4 === 0) condition(5000002, `${year}-04-02`);
    if (index % 8 === 0) condition(5000003, `${year}-04-03`);
    if (index >= 100 && index < 109) condition(CONCEPTS.rare9, `${year}-05-01`);
    if (index >= 200 && index < 210) condition(CONCEPTS.rare10, `${year}-05-01`);
    if (index % 5 < 2)
      add(
        'drug_exposure',
        id,
        id,
        CONCEPTS.metformin,
        text(`${year}-06-01`),
        text(`${year}-07-01`),
        32817,
        text(`${token}drug`),
      );
    // An older value, the newest on the day of entry, and one after it that must not count.
    const value = 5 + (index % 50) / 10;
    add(
      'measurement',
      id * 3n,
      id,
      CONCEPTS.hba1c,
      text(`${year}-01-01`),
      32817,
      20,
      CONCEPTS.percent,
      text(`${token}lab`),
    );
    add(
      'measurement',
      id * 3n + 1n,
      id,
      CONCEPTS.hba1c,
      text(`${year}-03-01`),
      32817,
      value,
      CONCEPTS.percent,
      text(`${token}lab`),
    );
    add(
      'measurement',
      id * 3n + 2n,
      id,
      CONCEPTS.hba1c,
      text(`${year}-09-01`),
      32817,
      30,
      CONCEPTS.percent,
      text(`${token}lab`),
    );
    if (index % 3 !== 2)
      add(
        'image_occurrence',
        id,
        id,
        id,
        0,
        "'http://x'",
        text(`${year}-03-01`),
        text(`${token}study`),
        text(`${token}series`),
        0,
        text(index % 3 === 0 ? 'CT' : 'MR'),
      );
  }
  const named: readonly [number, string][] = [
    [CONCEPTS.diabetes, 'Type 2 diabetes mellitus'],
    [CONCEPTS.rare9, 'Rare disease of nine'],
    [CONCEPTS.rare10, 'Rare disease of ten'],
    [CONCEPTS.none, 'Disease of nobody'],
    [5000001, 'Hypertension'],
    [5000002, 'Asthma'],
    [5000003, 'Gout'],
    [CONCEPTS.metformin, 'metformin'],
    [CONCEPTS.hba1c, 'Hemoglobin A1c'],
  ];
  for (const [id, name] of named) {
    add(
      'concept',
      id,
      text(name),
      "'Condition'",
      "'SNOMED'",
      "'Clinical Finding'",
      text(String(id)),
      "'1970-01-01'",
      "'2099-12-31'",
    );
  }
  const inserts = Object.entries(rows).flatMap(([table, values]) =>
    Array.from(
      { length: Math.ceil(values.length / 200) },
      (_, part) =>
        `INSERT INTO ${table} (${COLUMNS[table]}) VALUES ${values.slice(part * 200, (part + 1) * 200).join(', ')}`,
    ),
  );
  return [IMAGES, ...inserts];
}

/** Of the Medical Imaging extension. */
const IMAGES = `CREATE TABLE image_occurrence (image_occurrence_id bigint, person_id bigint, procedure_occurrence_id bigint,
  anatomic_site_concept_id bigint, wadors_uri varchar, image_occurrence_date date, image_study_uid varchar, image_series_uid varchar,
  modality_concept_id bigint, modality_source_value varchar)`;

const COLUMNS: Readonly<Record<string, string>> = {
  person:
    'person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id, person_source_value, gender_source_value',
  observation_period:
    'observation_period_id, person_id, observation_period_start_date, observation_period_end_date, period_type_concept_id',
  condition_occurrence:
    'condition_occurrence_id, person_id, condition_concept_id, condition_start_date, condition_type_concept_id, condition_source_value',
  drug_exposure:
    'drug_exposure_id, person_id, drug_concept_id, drug_exposure_start_date, drug_exposure_end_date, drug_type_concept_id, drug_source_value',
  measurement:
    'measurement_id, person_id, measurement_concept_id, measurement_date, measurement_type_concept_id, value_as_number, unit_concept_id, measurement_source_value',
  image_occurrence:
    'image_occurrence_id, person_id, procedure_occurrence_id, anatomic_site_concept_id, wadors_uri, image_occurrence_date, image_study_uid, image_series_uid, modality_concept_id, modality_source_value',
  concept:
    'concept_id, concept_name, domain_id, vocabulary_id, concept_class_id, concept_code, valid_start_date, valid_end_date',
};

/** A cohort of everybody with a condition, whose rules ask for others. */
export function circe(concept: number, rules: readonly number[] = []): Record<string, unknown> {
  const ids = [concept, ...rules];
  return {
    ConceptSets: ids.map((id, index) => ({
      id: index,
      name: `set ${index}`,
      expression: { items: [{ concept: { CONCEPT_ID: id } }] },
    })),
    PrimaryCriteria: {
      CriteriaList: [{ ConditionOccurrence: { CodesetId: 0 } }],
      ObservationWindow: { PriorDays: 0, PostDays: 0 },
      PrimaryCriteriaLimit: { Type: 'First' },
    },
    InclusionRules: rules.map((_, index) => ({
      name: `has ${rules[index]}`,
      expression: {
        Type: 'ALL',
        CriteriaList: [
          {
            Criteria: { ConditionOccurrence: { CodesetId: index + 1 } },
            StartWindow: {
              Start: { Coeff: -1 },
              End: { Coeff: 1 },
            },
            Occurrence: { Type: 2, Count: 1 },
          },
        ],
        DemographicCriteriaList: [],
        Groups: [],
      },
    })),
  };
}
