/**
 * The disclosure gate: the one place through which a number about patients leaves a site.
 *
 * Two kinds of release:
 * - counts and tables (`answerCount`, `answerSummary`, `answerDescription`, `answerList`): a count below the site's threshold is refused (suppressed), whatever
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
import { hiddenCells, releaseEach, releaseLargest } from './description-release.ts';
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

/**
 * A table of a description.
 *
 * partition  a patient stands in one cell at most
 * each       a patient may stand in several cells, all of which are shown
 * largest    the same, of which the `limit` largest are named
 */
export type DescriptionTable =
  | { readonly kind: 'partition' | 'each'; readonly table: PatientTable }
  | { readonly kind: 'largest'; readonly table: PatientTable; readonly limit: number };

export type DescriptionAnswer =
  | {
      readonly kind: 'description';
      readonly total: ReleasedCount;
      readonly stages: readonly ReleasedCount[];
      readonly tables: readonly ReleasedTable[];
      readonly questionsLeft: number;
      readonly keep: Keep;
    }
  | BudgetSpent;

export type ListAnswer =
  | {
      readonly kind: 'list';
      readonly cells: ReleasedTable['cells'];
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

/** How many are in the whole, at each stage on the way to it, and in the tables that describe it? */
export function answerDescription(
  gate: CountGate,
  question: {
    price: QuestionPrice;
    total: PatientSet;
    stages: readonly PatientSet[];
    tables: readonly DescriptionTable[];
  },
): DescriptionAnswer {
  const charge = chargeQuestion({ policy: gate.policy, budget: gate.budget, price: question.price });
  if (charge.kind === 'spent') return { kind: 'budget-spent', questionsLeft: charge.questionsLeft };
  const answered: AnsweredSet[] = [];
  const ask = (patients: PatientSet) => {
    const release = releaseSet({ ...gate, history: [...gate.history, ...answered], patients });
    if (release.answered !== undefined) answered.push(release.answered);
    return release.count;
  };
  const total = ask(question.total);
  const stages = question.stages.map(ask);
  const tables = question.tables.map((one) => {
    const release = releaseDescribed({ ...gate, history: [...gate.history, ...answered] }, one, total);
    answered.push(...release.answered);
    return release.table;
  });
  return { kind: 'description', total, stages, tables, ...kept(charge, answered) };
}

/** Which of these sets are the largest? */
export function answerList(
  gate: CountGate,
  question: { price: QuestionPrice; table: PatientTable; limit: number },
): ListAnswer {
  const charge = chargeQuestion({ policy: gate.policy, budget: gate.budget, price: question.price });
  if (charge.kind === 'spent') return { kind: 'budget-spent', questionsLeft: charge.questionsLeft };
  const { cells, answered } = releaseLargest({ ...gate, ...question });
  return { kind: 'list', cells, ...kept(charge, answered) };
}

function releaseDescribed(
  gate: CountGate,
  described: DescriptionTable,
  total: ReleasedCount,
): { readonly table: ReleasedTable; readonly answered: readonly AnsweredSet[] } {
  const { table } = described;
  const isHidden = total.kind === 'suppressed';
  if (described.kind === 'partition') {
    const release = releasePatientTable({ ...gate, table });
    return isHidden ? { ...release, table: hidden(release.table) } : release;
  }
  const release =
    described.kind === 'largest'
      ? releaseLargest({ ...gate, table, limit: described.limit })
      : releaseEach({ ...gate, table });
  const hiddenInstead = described.kind === 'largest' ? [] : hiddenCells(table);
  const cells = isHidden ? hiddenInstead : release.cells;
  return { table: { column: table.column, cells, total }, answered: release.answered };
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
