/**
 * Patients that were merged (HL7 A40, Patient.link of type "replaced-by") are one person of the CDM: the one that replaced the others,
 * over as many links as there are. What was recorded of any of them is his; each resource stays, and when a link is taken back, each
 * has a person of its own again.
 *
 * Who replaces whom of those that a CDM was made of stands in `person_survivor`, whoever is his own survivor not.
 */
import { STAGING_SCHEMA } from './staging-tables.ts';

export const SURVIVOR = `${STAGING_SCHEMA}.person_survivor`;

/** Longer is a circle: nobody in it, or before it, is replaced. */
const LINKS_MAX = 32;

/** Makes `person_survivor` of the links that are staged now. A link to somebody who is not here changes nothing. */
export function survivorStatements(): string[] {
  return [
    `DELETE FROM ${SURVIVOR}`,
    `INSERT INTO ${SURVIVOR}
WITH RECURSIVE link AS (
  SELECT resource_key AS person_key, min(survivor_key) AS survivor_key
    FROM ${STAGING_SCHEMA}.person_link l
   WHERE EXISTS (SELECT 1 FROM ${STAGING_SCHEMA}.person p WHERE p.resource_key = l.survivor_key)
   GROUP BY resource_key
), chain AS (
  SELECT person_key, survivor_key, 1 AS depth FROM link
  UNION ALL
  SELECT c.person_key, l.survivor_key, c.depth + 1 FROM chain c JOIN link l ON l.person_key = c.survivor_key
   WHERE c.depth <= ${LINKS_MAX}
)
SELECT person_key, arg_max(survivor_key, depth) FROM chain GROUP BY person_key HAVING max(depth) <= ${LINKS_MAX}`,
  ];
}

/** Adds to the table of keys `affected` all who are one person with somebody in it. */
export function wholeGroups(affected: string): string {
  return `INSERT INTO ${affected}
SELECT DISTINCT m.person_key
  FROM (SELECT coalesce(s.survivor_key, a.person_key) AS survivor_key FROM ${affected} a LEFT JOIN ${SURVIVOR} s USING (person_key))
  JOIN (SELECT person_key, survivor_key FROM ${SURVIVOR}
        UNION ALL SELECT survivor_key, survivor_key FROM ${SURVIVOR}) m USING (survivor_key)
 WHERE m.person_key NOT IN (SELECT person_key FROM ${affected})`;
}
