/**
 * The question budget: how many sets a project may have counted on a dataset before a governance lead has looked.
 *
 * What is charged depends on the wording of the question alone, never on the patients behind it. A budget that let
 * repeated or snapped sets pass free would be an oracle: ask "all but the target", then "all but the target, or the target
 * if ill", and see from the questions left whether the two sets are the same. So
 * - the same question (same canonical wording, same version of the data) is free: the asker already knows its answer;
 * - every other question is charged, also when it is suppressed, snapped, or the same set in other words.
 * Distinct sets are then at most what was charged.
 *
 * A table costs 2, however many cells it has: the cells share out the patients, so one patient's secret changes at most two
 * of them (the one it leaves and the one it enters), which is what two single counts would show. Where a patient may stand
 * in several cells, each cell costs 1.
 */
import type { CountPolicy } from '@lantern/contract';

const DISJOINT_TABLE_COST = 2;

/** What one project has asked of one dataset: key of each charged question and its cost; `granted` on top of the policy. */
export type QuestionBudget = { readonly granted: number; readonly charged: ReadonlyMap<string, number> };

/** `key`: canonical wording and version of the data. `cost`: in sets. */
export type QuestionPrice = { readonly key: string; readonly cost: number };

export type Charge =
  | { readonly kind: 'free'; readonly questionsLeft: number }
  | { readonly kind: 'charged'; readonly price: QuestionPrice; readonly questionsLeft: number }
  | { readonly kind: 'spent'; readonly questionsLeft: number };

/** Decides whether a question may be asked and what is left after it. `charged` must be stored with the answer. */
export function chargeQuestion(options: { policy: CountPolicy; budget: QuestionBudget; price: QuestionPrice }): Charge {
  const { policy, budget, price } = options;
  let left = policy.questionsMax + budget.granted;
  for (const cost of budget.charged.values()) left -= cost;
  if (budget.charged.has(price.key)) return { kind: 'free', questionsLeft: Math.max(0, left) };
  if (price.cost > left) return { kind: 'spent', questionsLeft: Math.max(0, left) };
  return { kind: 'charged', price, questionsLeft: left - price.cost };
}

/** Cost of a table [sets]. `disjoint`: the schema guarantees that a patient stands in one cell only. */
export function tableCost(options: { cellCount: number; disjoint: boolean }): number {
  return options.disjoint ? Math.min(DISJOINT_TABLE_COST, options.cellCount) : options.cellCount;
}
