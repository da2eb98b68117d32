/**
 * The row account: every resource that was read ends in exactly one of four ways, and their sum is what was read.
 * - refused: it gave no row; the rule says why (no date, no such patient, entered in error, ...)
 * - unmapped: what it says has no standard concept; its row holds concept 0 and the code, or, where the kind of resource has no
 *   place in the CDM, there is no row
 * - mapped-with-warning: a row with a standard concept, and something a person should know
 * - mapped: nothing to say
 */
import { MATCH_RULES } from './image-match-sql.ts';
import { STAGING_SCHEMA } from './staging-tables.ts';

/** Writes down what the pass found of the patients it made anew. */
export function accountStatements(): string[] {
  const findings = `${STAGING_SCHEMA}.mapping_finding`;
  return [
    `DELETE FROM ${findings} WHERE person_key IN (SELECT person_key FROM affected_person)
   OR resource_key IN (SELECT resource_key FROM changed) OR rule IN (${MATCH_RULES.map((rule) => `'${rule}'`).join(', ')})`,
    `INSERT INTO ${findings} SELECT DISTINCT resource_key, person_key, severity, rule, system, code FROM new_finding`,
    `UPDATE ${STAGING_SCHEMA}.resource SET mapped_row_count = coalesce(m.row_count, 0)
  FROM (SELECT r.resource_key, n.row_count FROM ${STAGING_SCHEMA}.resource r
          LEFT JOIN (SELECT resource_key, count(*) AS row_count FROM event_row WHERE concept_id <> 0 GROUP BY resource_key) n
          USING (resource_key)
         WHERE r.person_key IN (SELECT person_key FROM affected_person)
            -- What was of a study whose patient nobody knows any more has no rows now.
            OR r.resource_key IN (SELECT resource_key FROM image_match WHERE person_key IS NULL)) m
 WHERE m.resource_key = resource.resource_key`,
  ];
}

const OUTCOMES = `WITH finding AS (
  SELECT resource_key, severity, rule, system, code FROM ${STAGING_SCHEMA}.reading_finding
  UNION ALL SELECT resource_key, severity, rule, system, code FROM ${STAGING_SCHEMA}.mapping_finding
), outcome AS (
  SELECT r.resource_key, r.resource_type,
         CASE WHEN bool_or(f.severity = 'refused') THEN 'refused'
              WHEN bool_or(f.severity = 'unmapped') AND any_value(r.mapped_row_count) = 0 THEN 'unmapped'
              WHEN count(f.severity) > 0 THEN 'mapped-with-warning'
              ELSE 'mapped' END AS outcome
    FROM ${STAGING_SCHEMA}.resource r LEFT JOIN finding f USING (resource_key)
   GROUP BY r.resource_key, r.resource_type
)`;

/** Query: resource_type, outcome, resource_count (text). */
export function accountByTypeSql(): string {
  return `${OUTCOMES}
SELECT resource_type, outcome, count(*)::varchar AS resource_count FROM outcome GROUP BY ALL ORDER BY ALL`;
}

/** Query: resource_type, severity, rule, system, code, resource_count (text); the most frequent first. */
export function accountFindingsSql(limit: number): string {
  return `${OUTCOMES}
SELECT resource_type, severity, rule, system, code, count(DISTINCT resource_key)::varchar AS resource_count
  FROM finding JOIN outcome USING (resource_key)
 GROUP BY ALL ORDER BY count(DISTINCT resource_key) DESC, resource_type, severity, rule, system, code LIMIT ${limit}`;
}
