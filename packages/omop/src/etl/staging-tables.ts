/**
 * What a record system holds, in rows that no longer depend on its format: the contract between those who read resources
 * (of FHIR, say) and the statements that make a CDM of them. Kept beside the CDM in a schema of its own, so that a change of
 * one resource rebuilds the rows of its patient alone, and so that each resource can be accounted for.
 *
 * A key is the resource's type and id, "Observation/17". It becomes a number (`resource.resource_number`) from which all
 * keys of the CDM follow; numbers are of 64 bits, never leave the engine as numbers, and stay with their resource for good.
 */

export const STAGING_SCHEMA = 'etl';

type ColumnType = 'varchar' | 'double' | 'integer' | 'boolean' | 'bigint';

/** Tables that a reader fills. Dates are "2026-11-27", moments "2026-11-27 08:15:00" in the time of the place, both checked. */
export const STAGED = {
  person: {
    resource_key: 'varchar',
    gender: 'varchar',
    birth_date: 'varchar',
    /** How much of the date was given: "year", "month" or "day". */
    birth_precision: 'varchar',
    death_date: 'varchar',
    death_at: 'varchar',
    race_code: 'varchar',
    race_system: 'varchar',
    ethnicity_code: 'varchar',
    ethnicity_system: 'varchar',
    care_site_key: 'varchar',
    provider_key: 'varchar',
    city: 'varchar',
    state: 'varchar',
    zip: 'varchar',
    country: 'varchar',
  },
  /** Another patient who is the same person and goes on for this one. */
  person_link: { resource_key: 'varchar', survivor_key: 'varchar' },
  person_identifier: { resource_key: 'varchar', system: 'varchar', value: 'varchar' },
  provider: { resource_key: 'varchar', identifier: 'varchar', gender: 'varchar', specialty: 'varchar' },
  care_site: {
    resource_key: 'varchar',
    name: 'varchar',
    kind: 'varchar',
    city: 'varchar',
    state: 'varchar',
    zip: 'varchar',
    country: 'varchar',
  },
  visit: {
    resource_key: 'varchar',
    person_key: 'varchar',
    class_code: 'varchar',
    start_date: 'varchar',
    start_at: 'varchar',
    end_date: 'varchar',
    end_at: 'varchar',
    provider_key: 'varchar',
    care_site_key: 'varchar',
    admitted_from: 'varchar',
    discharged_to: 'varchar',
  },
  event: {
    resource_key: 'varchar',
    /** From 0: a resource may hold several events, as a blood pressure does. */
    ordinal: 'integer',
    person_key: 'varchar',
    visit_key: 'varchar',
    provider_key: 'varchar',
    /** The table it goes to when no standard concept says otherwise, by its domain. */
    default_domain: 'varchar',
    /** True where the domain of the concept must not move it: an allergy to a drug is not an exposure. */
    keeps_domain: 'boolean',
    /** Where the code stands in another resource: "Medication/3". */
    code_key: 'varchar',
    code_text: 'varchar',
    type_concept_id: 'integer',
    start_date: 'varchar',
    start_at: 'varchar',
    end_date: 'varchar',
    end_at: 'varchar',
    value_number: 'double',
    value_text: 'varchar',
    /** "<", "<=", ">", ">=" or nothing. */
    value_operator: 'varchar',
    unit_text: 'varchar',
    range_low: 'double',
    range_high: 'double',
    quantity: 'double',
    days_supply: 'integer',
    refills: 'integer',
    sig: 'varchar',
    status: 'varchar',
    stop_reason: 'varchar',
  },
  /**
   * Codes of an event or an image's feature, or of a resource that others take their code from (ordinal 0). `role` is code, value,
   * unit or route, and of features finding and site.
   */
  event_code: {
    resource_key: 'varchar',
    ordinal: 'integer',
    role: 'varchar',
    position: 'integer',
    system: 'varchar',
    code: 'varchar',
  },
  /** Identifiers of procedures and reports, of which one may be the accession number of a study. */
  event_identifier: { resource_key: 'varchar', value: 'varchar' },
  /** One series of images, as a record system speaks of it or as an archive has it; of the archive's the patient is looked up. */
  image: {
    resource_key: 'varchar',
    ordinal: 'integer',
    person_key: 'varchar',
    visit_key: 'varchar',
    study_uid: 'varchar',
    series_uid: 'varchar',
    modality: 'varchar',
    start_date: 'varchar',
    wadors_uri: 'varchar',
    is_archived: 'boolean',
    patient_id: 'varchar',
    /** The system of identifiers that its authority means. */
    patient_id_system: 'varchar',
    accession_number: 'varchar',
    procedure_key: 'varchar',
    body_site_system: 'varchar',
    body_site_code: 'varchar',
  },
  /**
   * What a segmentation or a measurement report of the archive says of images: a value, or without one what was found. A resource is
   * one segment or one group of measurements; whose it is, and when it was seen, its study says.
   */
  image_feature: {
    resource_key: 'varchar',
    ordinal: 'integer',
    /** Of the archived study that the object belongs to. */
    study_key: 'varchar',
    /** Of the object, and of the images that it speaks of. */
    own_series_uid: 'varchar',
    source_series_uid: 'varchar',
    /** The same wherever the same thing is spoken of. */
    tracking_uid: 'varchar',
    /** Measurement or Observation. */
    default_domain: 'varchar',
    type_concept_id: 'integer',
    value_number: 'double',
    unit_text: 'varchar',
    /** Name and version of the program that found it, and when. */
    alg_system: 'varchar',
    alg_at: 'varchar',
  },
  /** What a reader found: `severity` is warning, unmapped or refused. */
  reading_finding: {
    resource_key: 'varchar',
    severity: 'varchar',
    rule: 'varchar',
    system: 'varchar',
    code: 'varchar',
  },
} as const satisfies Record<string, Record<string, ColumnType>>;

export type StagedTable = keyof typeof STAGED;

type TypeOf = { varchar: string; double: number; integer: number; boolean: boolean; bigint: bigint };

/** A row for a staged table; a column that is left out is NULL. */
export type StagedRow<Table extends StagedTable> = {
  readonly [Column in keyof (typeof STAGED)[Table]]?:
    | ((typeof STAGED)[Table][Column] extends ColumnType ? TypeOf[(typeof STAGED)[Table][Column]] : never)
    | undefined;
};

/** One line for each resource that was read. */
export const INCOMING_RESOURCE = {
  /** Order of reading: of two with one key the later counts. */
  position: 'bigint',
  resource_key: 'varchar',
  resource_type: 'varchar',
  person_key: 'varchar',
  content_hash: 'varchar',
  is_deleted: 'boolean',
} as const satisfies Record<string, ColumnType>;

const MAPPING_TABLES = {
  resource: {
    resource_number: 'bigint',
    resource_key: 'varchar',
    resource_type: 'varchar',
    person_key: 'varchar',
    content_hash: 'varchar',
    /** How many rows with a standard concept it gave. */
    mapped_row_count: 'bigint',
  },
  mapping_finding: {
    resource_key: 'varchar',
    person_key: 'varchar',
    severity: 'varchar',
    rule: 'varchar',
    system: 'varchar',
    code: 'varchar',
  },
  /** What a code of a source vocabulary means: one line for each standard concept it maps to. */
  code_map: {
    vocabulary_id: 'varchar',
    code: 'varchar',
    source_concept_id: 'bigint',
    target_concept_id: 'bigint',
    target_domain_id: 'varchar',
  },
  code_system: { system: 'varchar', vocabulary_id: 'varchar' },
  /** Of whoever was merged into another: see survivor-sql.ts. */
  person_survivor: { person_key: 'varchar', survivor_key: 'varchar' },
  /** How far each source was read, and what else whoever runs the passes has to know: written in the transaction of a pass. */
  source_state: { name: 'varchar', value: 'varchar' },
} as const satisfies Record<string, Record<string, ColumnType>>;

/** The Medical Imaging extension (Park et al. 2024), which CDM 5.4 does not hold itself. */
const IMAGING_EXTENSION = {
  image_occurrence: {
    image_occurrence_id: 'bigint',
    person_id: 'bigint',
    procedure_occurrence_id: 'bigint',
    visit_occurrence_id: 'bigint',
    anatomic_site_concept_id: 'bigint',
    wadors_uri: 'varchar',
    local_path: 'varchar',
    image_occurrence_date: 'date',
    image_study_uid: 'varchar',
    image_series_uid: 'varchar',
    modality_concept_id: 'bigint',
    modality_source_value: 'varchar',
  },
  image_feature: {
    image_feature_id: 'bigint',
    person_id: 'bigint',
    image_occurrence_id: 'bigint',
    image_feature_event_field_concept_id: 'bigint',
    image_feature_event_id: 'bigint',
    image_feature_concept_id: 'bigint',
    image_feature_type_concept_id: 'bigint',
    image_finding_concept_id: 'bigint',
    image_finding_id: 'bigint',
    anatomic_site_concept_id: 'bigint',
    alg_system: 'varchar',
    alg_datetime: 'timestamp',
  },
} as const;

/**
 * Makes what is missing of the staging schema and the imaging extension; harmless when all is there.
 *
 * firstNumber  number of the first resource of a CDM that is new, where numbers below it were given before
 */
export function stagingStatements(firstNumber = 1n): string[] {
  const tables = { ...STAGED, ...MAPPING_TABLES };
  return [
    `CREATE SCHEMA IF NOT EXISTS ${STAGING_SCHEMA}`,
    `CREATE SEQUENCE IF NOT EXISTS ${STAGING_SCHEMA}.resource_numbers START ${firstNumber}`,
    ...Object.entries(tables).map(([table, columns]) => createTable(`${STAGING_SCHEMA}.${table}`, columns)),
    // Of a CDM that was made when a series had fewer columns; they stand at the end.
    ...Object.entries(STAGED.image).map(
      ([column, type]) => `ALTER TABLE ${STAGING_SCHEMA}.image ADD COLUMN IF NOT EXISTS ${column} ${type}`,
    ),
    ...Object.entries(IMAGING_EXTENSION).map(([table, columns]) => createTable(table, columns)),
  ];
}

/** Empty tables for one pass of reading, dropped when it has been taken over. */
export function incomingStatements(): string[] {
  return [
    ...Object.entries({ ...incomingTables(), resource: INCOMING_RESOURCE }).flatMap(([table, columns]) => [
      `DROP TABLE IF EXISTS ${incoming(table)}`,
      createTable(incoming(table), columns),
    ]),
  ];
}

/** Columns of what is read for a staged table: at the end its place in the order of reading, which tells two readings of a resource. */
export function incomingColumns(table: StagedTable): Readonly<Record<string, ColumnType>> {
  return { ...STAGED[table], reading: 'bigint' };
}

function incomingTables(): Readonly<Record<string, Readonly<Record<string, ColumnType>>>> {
  const tables = Object.keys(STAGED) as StagedTable[];
  return Object.fromEntries(tables.map((table) => [table, incomingColumns(table)]));
}

/** Name of the table that holds what one pass has read for `table`. */
export function incoming(table: string): string {
  return `${STAGING_SCHEMA}.incoming_${table}`;
}

function createTable(name: string, columns: Readonly<Record<string, string>>): string {
  const list = Object.entries(columns).map(([column, type]) => `${column} ${type}`);
  return `CREATE TABLE IF NOT EXISTS ${name} (${list.join(', ')})`;
}
