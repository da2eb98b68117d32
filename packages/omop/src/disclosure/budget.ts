/**
 * The question budget: how many sets may be counted on a dataset before a governance lead has looked.
 *
 * An approved project has a budget of its own. Projects that nobody at this site has decided about share one, for everybody
 * can open as many of them as they like: forty projects with a budget each are one asker with forty budgets. A question that
 * the shared budget cannot pay any more is paid from what the governance lead granted to the project that asks.
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
 *
 * A list of the largest sets (`description-release.ts`) costs 1 for each it may name, and 1 for what it says of all the others:
 * that none of them is above the last one named.
 */
import type { CountPolicy } from '@lantern/contract';

const DISJOINT_TABLE_COST = 2;

/** Key of each charged question and its cost [sets]. */
export type Charged = ReadonlyMap<string, number>;

/**
 * What was asked of one dataset.
 *
 * granted  questions that a governance lead granted to the project that asks, on top of the policy
 * charged  what this project was charged; without what the shared budget paid, as long as it shares
 * shared   what all projects that nobody has decided about were charged together; `undefined`: this project is approved
 */
export type QuestionBudget = {
  readonly granted: number;
  readonly charged: Charged;
  readonly shared: Charged | undefined;
};

/** `key`: canonical wording and version of the data. `cost`: in sets. */
export type QuestionPrice = { readonly key: string; readonly cost: number };

/** Who pays: the budget that undecided projects share, or the project. */
export type PaidPrice = QuestionPrice & { readonly isShared: boolean };

export type Charge =
  | { readonly kind: 'free'; readonly questionsLeft: number }
  | { readonly kind: 'charged'; readonly price: PaidPrice; readonly questionsLeft: number }
  | { readonly kind: 'spent'; readonly questionsLeft: number };

/** Decides whether a question may be asked and what is left after it. `charged` must be stored with the answer. */
export function chargeQuestion(options: { policy: CountPolicy; budget: QuestionBudget; price: QuestionPrice }): Charge {
  const { policy, budget, price } = options;
  const { granted, charged, shared } = budget;
  const sharedLeft = shared === undefined ? 0 : Math.max(0, policy.questionsMax - costOf(shared));
  const ownLeft = Math.max(0, granted + (shared === undefined ? policy.questionsMax : 0) - costOf(charged));
  const left = sharedLeft + ownLeft;
  if (charged.has(price.key) || shared?.has(price.key) === true) return { kind: 'free', questionsLeft: left };
  const isShared = price.cost <= sharedLeft;
  if (!isShared && price.cost > ownLeft) return { kind: 'spent', questionsLeft: left };
  return { kind: 'charged', price: { ...price, isShared }, questionsLeft: left - price.cost };
}

function costOf(charged: Charged): number {
  let sum = 0;
  for (const cost of charged.values()) sum += cost;
  return sum;
}

/** Cost of a table [sets]. `disjoint`: the schema guarantees that a patient stands in one cell only. */
export function tableCost(options: { cellCount: number; disjoint: boolean }): number {
  return options.disjoint ? Math.min(DISJOINT_TABLE_COST, options.cellCount) : options.cellCount;
}

/** Cost of a list that names at most `limit` sets [sets]. */
export function listCost(limit: number): number {
  return limit + 1;
}
