/**
 * Takes what one pass of reading has brought into the staged tables: what is unchanged is left alone, what changed or was
 * deleted takes its old rows away, and the patients concerned, before and after, are listed in `affected_person`. Everything
 * after this step rebuilds these patients and nobody else.
 */
import { imageMatchStatements } from './image-match-sql.ts';
import { INCOMING_RESOURCE, incoming, STAGED, STAGING_SCHEMA } from './staging-tables.ts';
import { SURVIVOR, survivorStatements, wholeGroups } from './survivor-sql.ts';

const RESOURCE = `${STAGING_SCHEMA}.resource`;

/** Keys of the patients whose rows have to be made anew. */
const AFFECTED = 'affected_person';

/** `isRebuild`: every patient is made anew, as after a change of the vocabulary. */
export function takeOverStatements(isRebuild: boolean): string[] {
  const staged = Object.keys(STAGED);
  return [
    // Of a resource that was read twice, the later reading counts.
    `CREATE OR REPLACE TEMP TABLE changed AS
SELECT i.* FROM ${incoming('resource')} i
  LEFT JOIN ${RESOURCE} r USING (resource_key)
 WHERE (r.content_hash IS DISTINCT FROM i.content_hash OR i.is_deleted)
   AND NOT (i.is_deleted AND r.resource_key IS NULL)
QUALIFY row_number() OVER (PARTITION BY i.resource_key ORDER BY i.position DESC) = 1`,
    `CREATE OR REPLACE TEMP TABLE ${AFFECTED} AS
SELECT DISTINCT person_key FROM (
  SELECT person_key FROM changed
  UNION ALL SELECT r.person_key FROM ${RESOURCE} r SEMI JOIN changed USING (resource_key)
  -- Whoever takes a code from a resource that changed.
  UNION ALL SELECT e.person_key FROM ${STAGING_SCHEMA}.event e JOIN changed c ON c.resource_key = e.code_key
  ${isRebuild ? `UNION ALL SELECT person_key FROM ${RESOURCE}` : ''}
) WHERE person_key IS NOT NULL`,
    wholeGroups(AFFECTED), // who was one person with them
    ...staged.flatMap((table) => [
      `DELETE FROM ${STAGING_SCHEMA}.${table} WHERE resource_key IN (SELECT resource_key FROM changed)`,
      `INSERT INTO ${STAGING_SCHEMA}.${table}
SELECT i.* EXCLUDE (reading) FROM ${incoming(table)} i SEMI JOIN changed c ON c.position = i.reading AND NOT c.is_deleted`,
    ]),
    `UPDATE ${RESOURCE} SET content_hash = c.content_hash, person_key = c.person_key
  FROM changed c WHERE c.resource_key = resource.resource_key`,
    `INSERT INTO ${RESOURCE}
SELECT nextval('${STAGING_SCHEMA}.resource_numbers'), resource_key, resource_type, person_key, content_hash, 0
  FROM (SELECT * FROM changed ANTI JOIN ${RESOURCE} USING (resource_key) ORDER BY position)`,
    ...survivorStatements(),
    ...imageMatchStatements(AFFECTED),
    wholeGroups(AFFECTED), // who is one person with them now
    `CREATE OR REPLACE TEMP TABLE affected_person_number AS
SELECT p.resource_number AS person_id, r.resource_key AS person_key
  FROM ${RESOURCE} r LEFT JOIN ${SURVIVOR} s ON s.person_key = r.resource_key
  JOIN ${RESOURCE} p ON p.resource_key = coalesce(s.survivor_key, r.resource_key)
 WHERE r.resource_key IN (SELECT person_key FROM ${AFFECTED})`,
    // Also of those who were a person of their own until now.
    `CREATE OR REPLACE TEMP TABLE remade_person AS
SELECT resource_number AS person_id FROM ${RESOURCE} WHERE resource_key IN (SELECT person_key FROM ${AFFECTED})`,
  ];
}

/** Before the take-over of a source that was read whole: what is kept and was not read is gone. */
export function absentStatements(): string[] {
  return [
    `INSERT INTO ${incoming('resource')} (position, resource_key, resource_type, content_hash, is_deleted)
SELECT 0, resource_key, resource_type, '', true FROM ${RESOURCE} ANTI JOIN ${incoming('resource')} USING (resource_key)`,
  ];
}

/** After the rows were made: forgets deleted resources and the tables of this pass. */
export function finishStatements(): string[] {
  return [
    `DELETE FROM ${RESOURCE} WHERE resource_key IN (SELECT resource_key FROM changed WHERE is_deleted)`,
    ...Object.keys({ ...STAGED, resource: INCOMING_RESOURCE }).map((table) => `DROP TABLE ${incoming(table)}`),
  ];
}
