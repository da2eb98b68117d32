/** Results of the checks, in words and sums. A check passes when at most the allowed share of its rows breaks the rule. */
import { QUALITY_CATEGORIES, type QualityCategory, type QualityCheck, type QualityRule } from './quality-rule.ts';

export type QualityStatus = 'passed' | 'failed' | 'not-applicable';

export type QualityResult = {
  readonly check: QualityCheck;
  readonly category: QualityCategory;
  readonly table: string;
  readonly field: string;
  readonly status: QualityStatus;
  /** Counts as decimal texts: a warehouse has more rows than a number of JavaScript may hold exactly. */
  readonly brokenCount: string;
  readonly checkedCount: string;
  readonly percentMax: number;
  /** What was found, for a person. */
  readonly words: string;
};

export type QualitySummary = Readonly<
  Record<QualityCategory, { readonly passed: number; readonly failed: number; readonly notApplicable: number }>
>;

/** A check that counted rows. With no row to look at it does not apply. */
export function countedResult(rule: QualityRule, brokenCount: string, checkedCount: string): QualityResult {
  const [broken, checked] = [BigInt(brokenCount), BigInt(checkedCount)];
  // broken / checked * 100 > percentMax, in whole numbers: percentMax has at most two decimals.
  const isBroken = broken * 10_000n > checked * BigInt(Math.round(rule.percentMax * 100));
  const status = checked === 0n ? 'not-applicable' : isBroken ? 'failed' : 'passed';
  return result(rule, status, brokenCount, checkedCount);
}

/** A check that the catalogue answered. */
export function answeredResult(rule: QualityRule, isPassed: boolean): QualityResult {
  return result(rule, isPassed ? 'passed' : 'failed', isPassed ? '0' : '1', '1');
}

/** A check whose table or field is not there. */
export function missingResult(rule: QualityRule): QualityResult {
  return result(rule, 'not-applicable', '0', '0');
}

function result(rule: QualityRule, status: QualityStatus, brokenCount: string, checkedCount: string): QualityResult {
  const { check, table, field, percentMax } = rule;
  const category = QUALITY_CATEGORIES[check];
  const words = wordsOf(rule, brokenCount, checkedCount);
  return { check, category, table, field, status, brokenCount, checkedCount, percentMax, words };
}

export function summarize(results: readonly QualityResult[]): QualitySummary {
  const count = (category: QualityCategory, status: QualityStatus) =>
    results.filter((found) => found.category === category && found.status === status).length;
  const sums = (category: QualityCategory) => ({
    passed: count(category, 'passed'),
    failed: count(category, 'failed'),
    notApplicable: count(category, 'not-applicable'),
  });
  return {
    Conformance: sums('Conformance'),
    Completeness: sums('Completeness'),
    Plausibility: sums('Plausibility'),
  };
}

function wordsOf(rule: QualityRule, brokenCount: string, checkedCount: string): string {
  const place = rule.field === '' ? rule.table : `${rule.table}.${rule.field}`;
  if (rule.check === 'cdmTable') return `The table ${place} has to be there.`;
  if (rule.check === 'cdmField') return `The field ${place} has to be there.`;
  if (rule.check === 'cdmDatatype') return `The field ${place} has to hold whole numbers.`;
  const share = BigInt(checkedCount) === 0n ? 0 : Number((BigInt(brokenCount) * 10_000n) / BigInt(checkedCount)) / 100;
  return `${place}: ${brokenCount} of ${checkedCount} (${share} %) ${BREACHES[rule.check](rule)}; ${rule.percentMax} % are allowed.`;
}

type Counted = Exclude<QualityCheck, 'cdmTable' | 'cdmField' | 'cdmDatatype'>;

/** What rows (or patients, or values) that break a rule are like. */
const BREACHES: Readonly<Record<Counted, (rule: QualityRule) => string>> = {
  measurePersonCompleteness: ({ table }) => `patients have no row in ${table}`,
  measureConditionEraCompleteness: () => 'patients with a condition have no era of it',
  measureObservationPeriodOverlap: () => 'patients have periods of observation that overlap or touch',
  isRequired: () => 'rows have no value where one is required',
  isPrimaryKey: () => 'rows share their key with another',
  isForeignKey: ({ arguments: [table, field] }) => `rows point to no row of ${table}.${field}`,
  fkDomain: ({ arguments: [domain] }) => `rows hold a concept of another domain than ${domain}`,
  fkClass: ({ arguments: [conceptClass] }) => `rows hold a concept of another class than ${conceptClass}`,
  isStandardValidConcept: () => 'rows hold a concept that is not standard, or no longer valid',
  measureValueCompleteness: () => 'rows have no value',
  standardConceptRecordCompleteness: () => 'rows have no standard concept (0)',
  sourceConceptRecordCompleteness: () => 'rows have no source concept (0)',
  sourceValueCompleteness: () => 'different source values have no standard concept (0)',
  plausibleValueLow: ({ arguments: [bound] }) => `rows lie below ${bound}`,
  plausibleValueHigh: ({ arguments: [bound] }) => `rows lie above ${bound}`,
  plausibleTemporalAfter: ({ arguments: [table, field] }) => `rows are earlier than ${table}.${field}`,
  plausibleDuringLife: () => 'rows are more than 60 days after death',
  withinVisitDates: () => 'rows are more than a week outside their visit',
  plausibleAfterBirth: () => 'rows are before birth',
  plausibleBeforeDeath: () => 'rows are more than 60 days after death',
  plausibleStartBeforeEnd: ({ arguments: [end] }) => `rows begin after their ${end}`,
  plausibleGender: ({ arguments: [, name, sex] }) => `rows with "${name}" are of patients who are not ${sex}`,
  plausibleGenderUseDescendants: ({ arguments: [, name, sex] }) =>
    `rows with "${name}" or what is below it are of patients who are not ${sex}`,
  plausibleUnitConceptIds: ({ arguments: [, name] }) => `rows with "${name}" have a unit that does not fit`,
};
