/**
 * Statistics of an approved run (sums, gradients, Hessians, weight updates, evaluation histograms) stay exact: rounding a
 * Hessian would destroy the analysis. They pass only when enough patients stand behind every one of them:
 *
 *   patient-count           at least `patientCountMin` patients
 *   parameter-row-ratio     parameters / patients at most `parameterRowRatioMax` (0.33): an over-parameterised fit is a copy
 *                           of its rows. Patients, not rows: a hundred visits of one person are one person
 *   category-patient-count  each category, and each numeric column apart from its most common value, is held by at least
 *                           `categoryPatientCountMin` patients; so both sides of a two-valued column are covered
 *                           with Newton statistics also each combination of two columns, and of a column and the label: the
 *                           first Hessian and gradient hold these tables exactly (`dataset/pair-counts.ts`)
 *   label-stratum           the same for the patients with and without the label
 *   near-duplicate-rows     not nearly the rows of an earlier run: `released-rows.ts`
 *
 * The rules and defaults follow DataSHIELD's filters (subset 3, glm ratio 0.33) with the higher threshold of this system.
 * A site relaxes them only in its signed decision, which is handed in as the policy. A category that nobody holds is refused
 * like one that three hold: the refusal must not tell them apart. No finding carries a number counted from patients.
 */
import type { DisclosureFinding, EvaluationMetrics, RunStatisticsPolicy } from '@lantern/contract';
import { PAIRED_COLUMN_COUNT_MAX, type PairSize } from '../dataset/pair-counts.ts';

/** Patients [distinct persons] behind a part of the rows. `subject`: "column", "column=category", or the label's side. */
export type StratumSize = { readonly subject: string; readonly patientCount: number };

/**
 * What the rules look at, counted on the complete training rows. `parameterCount` includes the intercept.
 *
 * pairs  the tables of two columns, where the statistics hold them; 'too-many' to be looked at; `undefined`: not held
 */
export type RunFacts = {
  readonly patientCount: number;
  readonly parameterCount: number;
  readonly categories: readonly StratumSize[];
  readonly labelStrata: readonly StratumSize[];
  readonly pairs?: readonly PairSize[] | 'too-many' | undefined;
};

export type RunStatisticsVerdict =
  | { readonly kind: 'released' }
  | { readonly kind: 'refused'; readonly findings: readonly DisclosureFinding[] };

/** Every broken rule at once, so that a governance lead sees the whole price of a relaxation. */
export function checkRunStatistics(facts: RunFacts, policy: RunStatisticsPolicy): RunStatisticsVerdict {
  const findings = [
    ...checkPatientCount(facts.patientCount, policy),
    ...checkParameterRatio(facts, policy),
    ...checkStrata(facts.categories, {
      rule: 'category-patient-count',
      patientCountMin: policy.categoryPatientCountMin,
    }),
    ...checkStrata(facts.labelStrata, { rule: 'label-stratum', patientCountMin: policy.categoryPatientCountMin }),
    ...checkPairs(facts, policy.categoryPatientCountMin),
  ];
  return findings.length === 0 ? { kind: 'released' } : { kind: 'refused', findings };
}

/** Counted on the complete test rows. */
export type EvaluationFacts = Pick<RunFacts, 'patientCount' | 'labelStrata'>;

type MetricName = keyof Omit<EvaluationMetrics, 'rowCount' | 'withheld'>;

/** Metrics made from the two histograms by true class; Brier score and log loss are sums over all patients together. */
const METRICS_BY_CLASS: readonly MetricName[] = [
  'accuracy',
  'precision',
  'recall',
  'auc',
  'aucErrorMax',
  'calibrationError',
];

/** `withheld` not empty: send no histogram by class, only the sums over all patients. */
export type EvaluationVerdict =
  | { readonly kind: 'released'; readonly withheld: readonly string[]; readonly findings: readonly DisclosureFinding[] }
  | { readonly kind: 'refused'; readonly findings: readonly DisclosureFinding[] };

/**
 * Decides on the evaluation at this site: refused with too few patients; with too few in one class the histograms by class,
 * and every metric made from them, stay here.
 */
export function checkEvaluation(facts: EvaluationFacts, policy: RunStatisticsPolicy): EvaluationVerdict {
  const tooFew = checkPatientCount(facts.patientCount, policy);
  if (tooFew.length > 0) return { kind: 'refused', findings: tooFew };
  const findings = checkStrata(facts.labelStrata, {
    rule: 'label-stratum',
    patientCountMin: policy.categoryPatientCountMin,
  });
  return { kind: 'released', withheld: findings.length === 0 ? [] : METRICS_BY_CLASS, findings };
}

function checkPatientCount(patientCount: number, policy: RunStatisticsPolicy): DisclosureFinding[] {
  const limit = policy.patientCountMin;
  if (patientCount >= limit) return [];
  return [
    {
      rule: 'patient-count',
      subject: 'rows',
      limit,
      message: `Fewer than ${limit} patients have complete rows at this site.`,
    },
  ];
}

function checkParameterRatio(facts: RunFacts, policy: RunStatisticsPolicy): DisclosureFinding[] {
  const limit = policy.parameterRowRatioMax;
  if (facts.parameterCount <= limit * facts.patientCount) return [];
  const needed = Math.ceil(facts.parameterCount / limit);
  return [
    {
      rule: 'parameter-row-ratio',
      subject: 'rows',
      limit,
      message: `${facts.parameterCount} parameters need at least ${needed} patients (ratio at most ${limit}).`,
    },
  ];
}

function checkStrata(
  strata: readonly StratumSize[],
  rule: { rule: 'category-patient-count' | 'label-stratum'; patientCountMin: number },
): DisclosureFinding[] {
  return strata
    .filter((stratum) => stratum.patientCount < rule.patientCountMin)
    .map(({ subject }) => ({
      rule: rule.rule,
      subject,
      limit: rule.patientCountMin,
      message: `Fewer than ${rule.patientCountMin} patients stand behind ${subject}.`,
    }));
}

/**
 * One finding for a table, not one for a cell: it says less, and a refusal stays readable. A table of a column that is refused
 * by itself is left out, since its cells are smaller still.
 */
function checkPairs({ pairs = [], categories, labelStrata }: RunFacts, patientCountMin: number): DisclosureFinding[] {
  if (patientCountMin === 0) return [];
  const rule = 'category-patient-count';
  if (pairs === 'too-many') {
    const message = `More than ${PAIRED_COLUMN_COUNT_MAX} columns, the label among them, are too many to look at every combination of two.`;
    return [{ rule, subject: 'columns', limit: patientCountMin, message }];
  }
  const refused = [...categories, ...labelStrata].filter(({ patientCount }) => patientCount < patientCountMin);
  const isRefused = (column: string) =>
    refused.some(
      ({ subject }) => subject === column || subject.startsWith(`${column}=`) || subject.startsWith(`${column}: `),
    );
  return pairs
    .filter(({ columns, patientCount }) => patientCount < patientCountMin && !columns.some(isRefused))
    .map(({ columns: [first, second] }) => ({
      rule,
      subject: `${first} with ${second}`,
      limit: patientCountMin,
      message: `Some combination of ${first} and ${second} is held by fewer than ${patientCountMin} patients.`,
    }));
}
