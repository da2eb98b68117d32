/**
 * Whose the studies of an archive of images are. A study names its patient by a number and the authority that gave it; a Patient has
 * such numbers as identifiers. One patient who has it is matched; nobody, or two, is said, and the study has no rows. All studies are
 * matched anew in every pass, since it is patients who come, go and are merged; it is one join. What segmentations and reports of a
 * study say is its patient's.
 */
import { STAGING_SCHEMA } from './staging-tables.ts';
import { SURVIVOR } from './survivor-sql.ts';

const RESOURCE = `${STAGING_SCHEMA}.resource`;

/** Rules of findings that are made anew in every pass. */
export const MATCH_RULES = [
  'patient.identifier-missing',
  'patient.authority',
  'patient.unmatched',
  'patient.ambiguous',
  'patient.differs',
  'study.missing',
] as const;

type MatchRule = (typeof MATCH_RULES)[number];
const rule = (name: MatchRule): string => `'${name}'`;

/** After the staged tables were taken over: `image_match`, and whoever gains or loses a study is affected. */
export function imageMatchStatements(affected: string): string[] {
  return [
    `CREATE OR REPLACE TEMP TABLE image_match AS
WITH study AS (
  SELECT DISTINCT resource_key, study_uid, patient_id, patient_id_system FROM ${STAGING_SCHEMA}.image WHERE is_archived
), holder AS (
  SELECT DISTINCT i.system, i.value, coalesce(s.survivor_key, i.resource_key) AS person_key
    FROM ${STAGING_SCHEMA}.person_identifier i SEMI JOIN ${STAGING_SCHEMA}.person USING (resource_key)
    LEFT JOIN ${SURVIVOR} s ON s.person_key = i.resource_key
), matched AS (
  SELECT s.resource_key, s.study_uid, any_value(s.patient_id) AS patient_id, any_value(s.patient_id_system) AS patient_id_system,
         count(h.person_key) AS holder_count, min(h.person_key) AS person_key
    FROM study s LEFT JOIN holder h ON h.value = s.patient_id AND h.system = s.patient_id_system
   GROUP BY s.resource_key, s.study_uid
), judged AS (
  SELECT m.resource_key, m.person_key,
         CASE WHEN m.patient_id IS NULL THEN ${rule('patient.identifier-missing')}
              WHEN m.patient_id_system IS NULL THEN ${rule('patient.authority')}
              WHEN m.holder_count = 0 THEN ${rule('patient.unmatched')}
              WHEN m.holder_count > 1 THEN ${rule('patient.ambiguous')}
              -- The record system says that the study is somebody else's.
              WHEN EXISTS (SELECT 1 FROM ${STAGING_SCHEMA}.image f LEFT JOIN ${SURVIVOR} s ON s.person_key = f.person_key
                            WHERE f.study_uid = m.study_uid AND f.is_archived IS NOT TRUE
                              AND coalesce(s.survivor_key, f.person_key) <> m.person_key) THEN ${rule('patient.differs')} END AS rule
    FROM matched m
), study_match AS (
  SELECT resource_key, rule, CASE WHEN rule IS NULL THEN person_key END AS person_key FROM judged
)
SELECT * FROM study_match
UNION ALL
SELECT f.resource_key, CASE WHEN m.resource_key IS NULL THEN ${rule('study.missing')} ELSE m.rule END, m.person_key
  FROM (SELECT DISTINCT resource_key, study_key FROM ${STAGING_SCHEMA}.image_feature) f
  LEFT JOIN study_match m ON m.resource_key = f.study_key`,
    `INSERT INTO ${affected}
SELECT DISTINCT person_key FROM (
  SELECT unnest([r.person_key, m.person_key]) AS person_key FROM ${RESOURCE} r JOIN image_match m USING (resource_key)
   WHERE r.person_key IS DISTINCT FROM m.person_key
) WHERE person_key IS NOT NULL AND person_key NOT IN (SELECT person_key FROM ${affected})`,
    `UPDATE ${RESOURCE} SET person_key = m.person_key FROM image_match m
 WHERE m.resource_key = resource.resource_key AND resource.person_key IS DISTINCT FROM m.person_key`,
  ];
}

export function imageMatchFindings(): string {
  return `INSERT INTO new_finding
SELECT resource_key, NULL, 'unmapped', rule, NULL, NULL FROM image_match WHERE rule IS NOT NULL`;
}
