/**
 * The disclosure gate: the one place through which a number about patients leaves a site.
 *
 * Two kinds of release:
 * - counts and tables (`answerCount`, `answerSummary`): a count below the site's threshold is refused (suppressed), whatever
 *   else is decided; the others are noised, rounded, and repeated when nearly the same patients were counted before
 *   (`count-release.ts`, `snapping.ts`, `table-release.ts`), within a question budget (`budget.ts`);
 * - statistics of an approved run (`answerRunStatistics`, `answerEvaluation`): exact, when enough patients stand behind
 *   every one (`run-statistics.ts`).
 *
 * The gate is pure: history and budget come in, what must be kept goes out in `keep`. The caller holds one lock per dataset
 * from reading the history to storing `keep`, and stores it before the answer leaves; otherwise two near questions at once
 * would get two answers. Patient numbers mean the same person for as long as a history is used.
 */
import type { CountPolicy, ReleasedCount, ReleasedTable, RunStatisticsPolicy } from '@lantern/contract';
import { type Charge, chargeQuestion, type PaidPrice, type QuestionBudget, type QuestionPrice } from './budget.ts';
import { releaseSet, SUPPRESSED } from './count-release.ts';
import type { PatientSet } from './patient-set.ts';
import {
  checkEvaluation,
  checkRunStatistics,
  type EvaluationFacts,
  type EvaluationVerdict,
  type RunFacts,
  type RunStatisticsVerdict,
} from './run-statistics.ts';
import type { AnsweredSet } from './snapping.ts';
import type { KeyedHash } from './sticky-noise.ts';
import { type PatientTable, releasePatientTable } from './table-release.ts';

/** `policy` from the site's decision (or its default), `history` of the dataset (all, or what is near: `near-history.ts`), `budget` on the dataset. */
export type CountGate = {
  readonly policy: CountPolicy;
  readonly keyedHash: KeyedHash;
  readonly history: readonly AnsweredSet[];
  readonly budget: QuestionBudget;
};

/** What the site stores together with the answer: sets for the dataset's history, the charge for the budget that pays. */
export type Keep = { readonly answered: readonly AnsweredSet[]; readonly charge: PaidPrice | undefined };

export type BudgetSpent = { readonly kind: 'budget-spent'; readonly questionsLeft: number };

export type CountAnswer =
  | { readonly kind: 'count'; readonly count: ReleasedCount; readonly questionsLeft: number; readonly keep: Keep }
  | BudgetSpent;

export type SummaryAnswer =
  | {
      readonly kind: 'summary';
      readonly total: ReleasedCount;
      readonly tables: readonly ReleasedTable[];
      readonly questionsLeft: number;
      readonly keep: Keep;
    }
  | BudgetSpent;

/** How many patients are in this set? */
export function answerCount(gate: CountGate, question: { price: QuestionPrice; patients: PatientSet }): CountAnswer {
  const charge = chargeQuestion({ policy: gate.policy, budget: gate.budget, price: question.price });
  if (charge.kind === 'spent') return { kind: 'budget-spent', questionsLeft: charge.questionsLeft };
  const release = releaseSet({ ...gate, patients: question.patients });
  const answered = release.answered === undefined ? [] : [release.answered];
  return { kind: 'count', count: release.count, ...kept(charge, answered) };
}

/** How do these patients divide over some columns? Each table is a partition of `total`. */
export function answerSummary(
  gate: CountGate,
  question: { price: QuestionPrice; total: PatientSet; tables: readonly PatientTable[] },
): SummaryAnswer {
  const charge = chargeQuestion({ policy: gate.policy, budget: gate.budget, price: question.price });
  if (charge.kind === 'spent') return { kind: 'budget-spent', questionsLeft: charge.questionsLeft };

  const total = releaseSet({ ...gate, patients: question.total });
  const answered: AnsweredSet[] = total.answered === undefined ? [] : [total.answered];
  const tables = question.tables.map((table) => {
    const release = releasePatientTable({ ...gate, history: [...gate.history, ...answered], table });
    answered.push(...release.answered);
    // When the whole is hidden, its parts stay hidden too: their sum would stand for it.
    return total.count.kind === 'suppressed' ? hidden(release.table) : release.table;
  });
  return { kind: 'summary', total: total.count, tables, ...kept(charge, answered) };
}

/** May exact statistics of an approved run leave? `policy` is that of the site's signed decision. */
export function answerRunStatistics(policy: RunStatisticsPolicy, facts: RunFacts): RunStatisticsVerdict {
  return checkRunStatistics(facts, policy);
}

/** May the evaluation of an approved run leave, and which of its metrics? `policy` as above, counted on the test rows. */
export function answerEvaluation(policy: RunStatisticsPolicy, facts: EvaluationFacts): EvaluationVerdict {
  return checkEvaluation(facts, policy);
}

function kept(
  charge: Exclude<Charge, { kind: 'spent' }>,
  answered: readonly AnsweredSet[],
): { questionsLeft: number; keep: Keep } {
  const price = charge.kind === 'charged' ? charge.price : undefined;
  return { questionsLeft: charge.questionsLeft, keep: { answered, charge: price } };
}

function hidden(table: ReleasedTable): ReleasedTable {
  return {
    column: table.column,
    cells: table.cells.map(({ label }) => ({ label, count: SUPPRESSED })),
    total: SUPPRESSED,
  };
}
