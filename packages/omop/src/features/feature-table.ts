/**
 * The table of a feature specification out of the rows of its plan, in the DuckDB where they were gathered: cells as the schema of
 * the dataset has them, persons by their keys, and the numbers of the report.
 *
 * `rows` is the gathered table (feature-plan.ts), with a text `t<place>` for each column of references; `persons` has (person_id, patient, split) of those who may be used.
 */
import {
  type FeatureColumn,
  type FeatureSpecification,
  PATIENT_COLUMN_NAME,
  SPLIT_COLUMN_NAME,
} from '@lantern/contract';
import { quoteIdentifier } from '../dataset/sql-text.ts';

export type FeatureTables = { readonly rows: string; readonly persons: string };

/** One row for each person who has what must be there, in the order of the keys, which says nothing. */
export function featureTableSql({ columns }: FeatureSpecification, { rows, persons }: FeatureTables): string {
  const cells = columns.map((one, place) => `${cellOf(one, place)} AS ${quoteIdentifier(one.name)}`);
  return [
    `SELECT ${[`k.patient AS ${quoteIdentifier(PATIENT_COLUMN_NAME)}`, ...cells, `k.split AS ${quoteIdentifier(SPLIT_COLUMN_NAME)}`].join(', ')}`,
    `FROM ${rows} r JOIN ${persons} k ON k.person_id = r.person_id`,
    `WHERE ${isWhole(columns)} ORDER BY k.patient`,
  ].join('\n');
}

/** One row of numbers, in this order: persons of the cohort, of them usable, rows, test rows; of each column three. */
export function featureReportSql({ columns }: FeatureSpecification, { rows, persons }: FeatureTables): string {
  const numbers = columns.flatMap((one, place) => [
    `count(*) FILTER (WHERE k.patient IS NOT NULL AND ${cellOf(one, place)} IS NULL)`,
    `coalesce(sum(r.u${place}) FILTER (WHERE k.patient IS NOT NULL), 0)`,
    `coalesce(sum(r.r${place}) FILTER (WHERE k.patient IS NOT NULL), 0)`,
  ]);
  const whole = `k.patient IS NOT NULL AND ${isWhole(columns)}`;
  return [
    `SELECT count(*), count(k.patient), count(*) FILTER (WHERE ${whole}),`,
    `count(*) FILTER (WHERE ${whole} AND k.split = 'test')${numbers.map((one) => `, ${one}`).join('')}`,
    `FROM ${rows} r LEFT JOIN ${persons} k ON k.person_id = r.person_id`,
  ].join('\n');
}

function isWhole(columns: readonly FeatureColumn[]): string {
  const needed = columns.flatMap((one, place) =>
    'missing' in one && one.missing === 'drop-row' ? [`${cellOf(one, place)} IS NOT NULL`] : [],
  );
  return needed.length === 0 ? 'TRUE' : needed.join(' AND ');
}

const FEMALE = 8532;
const MALE = 8507;

function cellOf(feature: FeatureColumn, place: number): string {
  const value = `r.v${place}`;
  switch (feature.kind) {
    case 'sex':
      return `(CASE ${value} WHEN ${FEMALE} THEN 'female' WHEN ${MALE} THEN 'male' END)`;
    case 'age':
    case 'year':
    case 'measurement':
      return value;
    case 'image':
      if (feature.aggregation === 'reference') return `r.t${place}`;
      return feature.aggregation === 'exists' ? yesNo(value) : value;
    case 'label':
      return yesNo(value);
    default:
      return feature.range === undefined ? yesNo(value) : value;
  }
}

function yesNo(value: string): string {
  return `CAST(CAST(${value} AS INTEGER) AS VARCHAR)`;
}
