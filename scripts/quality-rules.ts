/**
 * Writes packages/omop/src/generated/quality-rules.ts from the tables of OHDSI's Data Quality Dashboard (Apache 2.0):
 *
 *   LANTERN_DATA_DIR=… node scripts/quality-rules.ts
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';

const data = process.env['LANTERN_DATA_DIR'];
if (data === undefined) throw new Error('LANTERN_DATA_DIR names no folder.');
const folder = path.join(data, 'omop-cdm-5.4');
const target = path.resolve(import.meta.dirname, '../packages/omop/src/generated/quality-rules.ts');
const connection = await (await DuckDBInstance.create(':memory:')).connect();

type Row = Readonly<Record<string, string>>;

async function rowsOf(level: string): Promise<Row[]> {
  const file = path.join(folder, `dqd_OMOP_CDMv5.4_${level}_Level.csv`);
  const sql = `SELECT * FROM read_csv($1, all_varchar = true, nullstr = '', header = true)`;
  const reader = await connection.runAndReadAll(sql, [file]);
  return reader
    .getRowObjects()
    .map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, String(value ?? '')])));
}

/** Argument of a check in a row, where it has one: the table and field it is compared with, a bound, a list. */
const FIELD_ARGUMENTS: Readonly<Record<string, (row: Row) => readonly string[]>> = {
  isForeignKey: (row) => [lower(row, 'fkTableName'), lower(row, 'fkFieldName')],
  fkDomain: (row) => [row['fkDomain'] ?? ''],
  fkClass: (row) => [row['fkClass'] ?? ''],
  sourceValueCompleteness: (row) => [lower(row, 'standardConceptFieldName')],
  plausibleValueLow: (row) => [row['plausibleValueLow'] ?? ''],
  plausibleValueHigh: (row) => [row['plausibleValueHigh'] ?? ''],
  plausibleTemporalAfter: (row) => [
    lower(row, 'plausibleTemporalAfterTableName'),
    lower(row, 'plausibleTemporalAfterFieldName'),
  ],
  plausibleStartBeforeEnd: (row) => [lower(row, 'plausibleStartBeforeEndFieldName')],
};
const FIELD_CHECKS = [
  'isRequired',
  'isPrimaryKey',
  'isForeignKey',
  'fkDomain',
  'fkClass',
  'isStandardValidConcept',
  'measureValueCompleteness',
  'standardConceptRecordCompleteness',
  'sourceConceptRecordCompleteness',
  'sourceValueCompleteness',
  'plausibleValueLow',
  'plausibleValueHigh',
  'plausibleTemporalAfter',
  'plausibleDuringLife',
  'withinVisitDates',
  'plausibleAfterBirth',
  'plausibleBeforeDeath',
  'plausibleStartBeforeEnd',
];
const TABLE_CHECKS = [
  'measurePersonCompleteness',
  'measureConditionEraCompleteness',
  'measureObservationPeriodOverlap',
];
const CONCEPT_CHECKS = ['plausibleGender', 'plausibleGenderUseDescendants', 'plausibleUnitConceptIds'];

function lower(row: Row, name: string): string {
  return (row[name] ?? '').toLowerCase();
}

/** A check applies where its column says Yes, or holds a bound or list; where another check shares the switch, see `isForeignKey`. */
function applies(row: Row, check: string): boolean {
  const value = row[check] ?? '';
  return value !== '' && value !== 'No';
}

const rules: unknown[] = [];
for (const row of await rowsOf('Table')) {
  const table = lower(row, 'cdmTableName');
  rules.push(['cdmTable', table, '', 0]);
  for (const check of TABLE_CHECKS) {
    if (applies(row, check)) rules.push([check, table, '', Number(row[`${check}Threshold`])]);
  }
}
for (const row of await rowsOf('Field')) {
  const [table, field] = [lower(row, 'cdmTableName'), lower(row, 'cdmFieldName')];
  rules.push(['cdmField', table, field, 0]);
  if (lower(row, 'cdmDatatype') === 'integer') rules.push(['cdmDatatype', table, field, 0]);
  for (const check of FIELD_CHECKS) {
    if (!applies(row, check)) continue;
    rules.push([check, table, field, Number(row[`${check}Threshold`]), ...(FIELD_ARGUMENTS[check]?.(row) ?? [])]);
  }
}
for (const row of await rowsOf('Concept')) {
  for (const check of CONCEPT_CHECKS) {
    if (!applies(row, check)) continue;
    const place = [lower(row, 'cdmTableName'), lower(row, 'cdmFieldName')];
    rules.push([check, ...place, Number(row[`${check}Threshold`]), row['conceptId'], row['conceptName'], row[check]]);
  }
}
writeFileSync(
  target,
  `/** Checks of OHDSI's Data Quality Dashboard for CDM 5.4; made by scripts/quality-rules.ts, not by hand. */
export const QUALITY_RULES: readonly (readonly [string, string, string, number, ...string[]])[] = [
${rules.map((rule) => JSON.stringify(rule)).join(',\n')},
];
`,
);
