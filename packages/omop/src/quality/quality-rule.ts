/**
 * One check of OHDSI's Data Quality Dashboard: what share of the rows of a field may break a rule. The checks and their bounds
 * are the Dashboard's own tables; how each is asked of a database stands in quality-sql.ts, how it is said in quality-report.ts.
 */
import { QUALITY_RULES } from '../generated/quality-rules.ts';

export type QualityCheck =
  | 'cdmTable'
  | 'cdmField'
  | 'cdmDatatype'
  | 'measurePersonCompleteness'
  | 'measureConditionEraCompleteness'
  | 'measureObservationPeriodOverlap'
  | 'isRequired'
  | 'isPrimaryKey'
  | 'isForeignKey'
  | 'fkDomain'
  | 'fkClass'
  | 'isStandardValidConcept'
  | 'measureValueCompleteness'
  | 'standardConceptRecordCompleteness'
  | 'sourceConceptRecordCompleteness'
  | 'sourceValueCompleteness'
  | 'plausibleValueLow'
  | 'plausibleValueHigh'
  | 'plausibleTemporalAfter'
  | 'plausibleDuringLife'
  | 'withinVisitDates'
  | 'plausibleAfterBirth'
  | 'plausibleBeforeDeath'
  | 'plausibleStartBeforeEnd'
  | 'plausibleGender'
  | 'plausibleGenderUseDescendants'
  | 'plausibleUnitConceptIds';

/** Kahn's categories, by which the Dashboard sums up. */
export type QualityCategory = 'Conformance' | 'Completeness' | 'Plausibility';

export const QUALITY_CATEGORIES: Readonly<Record<QualityCheck, QualityCategory>> = {
  cdmTable: 'Conformance',
  cdmField: 'Conformance',
  cdmDatatype: 'Conformance',
  measurePersonCompleteness: 'Completeness',
  measureConditionEraCompleteness: 'Completeness',
  measureObservationPeriodOverlap: 'Plausibility',
  isRequired: 'Conformance',
  isPrimaryKey: 'Conformance',
  isForeignKey: 'Conformance',
  fkDomain: 'Conformance',
  fkClass: 'Conformance',
  isStandardValidConcept: 'Conformance',
  measureValueCompleteness: 'Completeness',
  standardConceptRecordCompleteness: 'Completeness',
  sourceConceptRecordCompleteness: 'Completeness',
  sourceValueCompleteness: 'Completeness',
  plausibleValueLow: 'Plausibility',
  plausibleValueHigh: 'Plausibility',
  plausibleTemporalAfter: 'Plausibility',
  plausibleDuringLife: 'Plausibility',
  withinVisitDates: 'Plausibility',
  plausibleAfterBirth: 'Plausibility',
  plausibleBeforeDeath: 'Plausibility',
  plausibleStartBeforeEnd: 'Plausibility',
  plausibleGender: 'Plausibility',
  plausibleGenderUseDescendants: 'Plausibility',
  plausibleUnitConceptIds: 'Plausibility',
};

export type QualityRule = {
  readonly check: QualityCheck;
  readonly table: string;
  /** Empty for a check of a table. */
  readonly field: string;
  /** How many of a hundred rows may break the rule. */
  readonly percentMax: number;
  /** What it is compared with, as quality-sql.ts reads it. */
  readonly arguments: readonly string[];
};

/** All checks for CDM 5.4. */
export function qualityRules(): QualityRule[] {
  return QUALITY_RULES.map(([check, table, field, percentMax, ...args]) => {
    if (!isQualityCheck(check)) throw new TypeError(`The generated rules name an unknown check, ${check}.`);
    return { check, table, field, percentMax, arguments: args };
  });
}

function isQualityCheck(check: string): check is QualityCheck {
  return Object.hasOwn(QUALITY_CATEGORIES, check);
}
