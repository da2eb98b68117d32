/**
 * What the codes of record systems mean: names of code systems as FHIR spells them, and the statements that make one table of
 * meanings (`etl.code_map`) out of whichever vocabulary files a site has.
 */
import { quoteLiteral } from '../dataset/sql-text.ts';
import { STAGING_SCHEMA } from './staging-tables.ts';

/** FHIR's name of a code system -> `vocabulary_id` of OMOP. */
const CODE_SYSTEMS: Readonly<Record<string, string>> = {
  'http://snomed.info/sct': 'SNOMED',
  'http://loinc.org': 'LOINC',
  'http://www.nlm.nih.gov/research/umls/rxnorm': 'RxNorm',
  'http://hl7.org/fhir/sid/cvx': 'CVX',
  'http://hl7.org/fhir/sid/ndc': 'NDC',
  'http://unitsofmeasure.org': 'UCUM',
  'http://hl7.org/fhir/sid/icd-10': 'ICD10',
  'http://hl7.org/fhir/sid/icd-10-cm': 'ICD10CM',
  'http://hl7.org/fhir/sid/icd-9-cm': 'ICD9CM',
  'http://www.whocc.no/atc': 'ATC',
  'https://dmd.nhs.uk': 'dm+d',
  'https://fhir.hl7.org.uk/CodeSystem/OPCS-4': 'OPCS4',
  'https://fhir.nhs.uk/Id/opcs-4': 'OPCS4',
  'http://read.info/readv2': 'Read',
  'http://dicom.nema.org/resources/ontology/DCM': 'DICOM',
};

/** Tables of a vocabulary that are taken over as they are. */
export const VOCABULARY_TABLES = [
  'concept',
  'concept_ancestor',
  'concept_class',
  'concept_relationship',
  'concept_synonym',
  'domain',
  'drug_strength',
  'relationship',
  'source_to_concept_map',
  'vocabulary',
] as const;

/**
 * Statements that replace the meanings. Standard concepts mean themselves; others what `Maps to` says, or a map from source
 * to standard, or the site's own `source_to_concept_map`, which goes before both. Expects the vocabulary tables filled, and
 * `etl.source_to_standard` where such a file came (see `sourceToStandardStatements`).
 */
export function codeMapStatements(): string[] {
  const systems = Object.entries(CODE_SYSTEMS).map(
    ([system, vocabulary]) => `(${quoteLiteral(system)}, ${quoteLiteral(vocabulary)})`,
  );
  return [
    `DELETE FROM ${STAGING_SCHEMA}.code_system`,
    `INSERT INTO ${STAGING_SCHEMA}.code_system VALUES ${systems.join(', ')}`,
    `DELETE FROM ${STAGING_SCHEMA}.code_map`,
    `INSERT INTO ${STAGING_SCHEMA}.code_map
WITH meaning AS (
  SELECT m.source_vocabulary_id AS vocabulary_id, m.source_code AS code, m.source_concept_id, m.target_concept_id,
         1 AS preference
    FROM source_to_concept_map m
   WHERE m.invalid_reason IS NULL AND m.target_concept_id <> 0
  UNION ALL
  SELECT s.vocabulary_id, s.concept_code, s.concept_id, t.concept_id, 2
    FROM concept s
    JOIN concept_relationship r ON r.concept_id_1 = s.concept_id AND r.relationship_id = 'Maps to' AND r.invalid_reason IS NULL
    JOIN concept t ON t.concept_id = r.concept_id_2 AND t.standard_concept = 'S'
  UNION ALL
  SELECT vocabulary_id, code, source_concept_id, target_concept_id, 3
    FROM ${STAGING_SCHEMA}.source_to_standard
  UNION ALL
  SELECT vocabulary_id, concept_code, concept_id, concept_id, 4
    FROM concept WHERE standard_concept = 'S'
), preferred AS (
  SELECT vocabulary_id, code, min(preference) AS preference FROM meaning GROUP BY ALL
)
SELECT DISTINCT m.vocabulary_id, m.code, m.source_concept_id, m.target_concept_id, c.domain_id
  FROM meaning m JOIN preferred USING (vocabulary_id, code, preference)
  JOIN concept c ON c.concept_id = m.target_concept_id`,
  ];
}

/**
 * Statements that take a map from source to standard as OHDSI's tutorials have it. Its target concepts, where the vocabulary
 * does not hold them, become concepts, so that no row of the CDM points at nothing.
 *
 * `relation` is what to read from, e.g. `read_csv('map.csv.gz', all_varchar = true)`; undefined leaves the map empty.
 */
export function sourceToStandardStatements(relation: string | undefined): string[] {
  const table = `${STAGING_SCHEMA}.source_to_standard`;
  const create = `CREATE OR REPLACE TABLE ${table} (vocabulary_id varchar, code varchar, source_concept_id bigint,
  target_concept_id bigint)`;
  if (relation === undefined) return [create];
  const isValid = `target_standard_concept = 'S' AND target_invalid_reason IS NULL`;
  return [
    create,
    `INSERT INTO ${table}
SELECT DISTINCT source_vocabulary_id, source_code, source_concept_id::bigint, target_concept_id::bigint
  FROM ${relation} WHERE ${isValid}
-- Where files of several editions were merged, a code that one of them still holds valid keeps that meaning alone.
QUALIFY rank() OVER (PARTITION BY source_vocabulary_id, source_code ORDER BY source_invalid_reason IS NOT NULL) = 1`,
    `INSERT INTO concept (concept_id, concept_name, domain_id, vocabulary_id, concept_class_id, standard_concept, concept_code,
  valid_start_date, valid_end_date)
SELECT target_concept_id::bigint, any_value(target_concept_name), any_value(target_domain_id), any_value(target_vocabulary_id),
       any_value(target_concept_class_id), 'S',
       coalesce(any_value(source_code) FILTER (source_concept_id = target_concept_id), ''), DATE '1970-01-01', DATE '2099-12-31'
  FROM ${relation}
 WHERE ${isValid} AND target_concept_id::bigint NOT IN (SELECT concept_id FROM concept)
 GROUP BY target_concept_id`,
  ];
}
