/**
 * Sets of patients on their way through the disclosure gate, for whatever capability counted them.
 *
 * Invariant: questions on one dataset are answered one after another, each seeing the history the one before it left, and
 * what the gate wants kept is committed before the answer can leave. Two questions at once could otherwise get two answers
 * where the second must repeat the first. The history and the noise belong to the dataset, whoever asks and whichever version
 * of its content is asked: a patient keeps its number when the content changes (`datasets/table-file.ts`,
 * `records/record-patients.ts`), so two versions that differ by one patient are as near to each other as two questions that do.
 */
import { createHmac } from 'node:crypto';
import type { CountPolicy, ProjectId } from '@lantern/contract';
import {
  type AnsweredSet,
  type BudgetSpent,
  type CountGate,
  isNear,
  type Keep,
  type KeyedHash,
  nearRanges,
  type PatientSet,
  type QuestionBudget,
} from '@lantern/omop';
import type { Performed } from '../exchange/performer.ts';
import type { QuestionPermission, Refusal } from '../governance/policy.ts';
import type { SiteContext } from '../site-context.ts';
import type { SiteDb, SiteTx } from '../tables.ts';
import * as store from './store.ts';

export type GateDeps = SiteContext & {
  /** Made at this site, never leaves; draws the noise that stays with a set. */
  readonly noiseSecret: string;
  readonly questionsGranted: (db: SiteDb, projectId: ProjectId, dataset: string) => Promise<number>;
};

type Asked<Answer> = {
  readonly task: { readonly projectId: ProjectId; readonly dataset: string };
  readonly permission: QuestionPermission;
  /** All that `ask` hands the gate. */
  readonly sets: readonly PatientSet[];
  readonly ask: (gate: CountGate) => Answer | BudgetSpent;
};

/** The noise of a set, by a secret of this site: `purpose` separates uses. */
export function keyedHashOf(secret: string): KeyedHash {
  const key = Buffer.from(secret, 'utf8');
  return (purpose, message) => createHmac('sha256', key).update(`${purpose}\0`).update(message).digest();
}

/** Asks the gate under the lock of the dataset, and keeps in `tx` what it wants kept. */
export async function askGate<Answer extends { readonly keep: Keep }>(
  deps: GateDeps,
  tx: SiteTx,
  { task, permission, sets, ask }: Asked<Answer>,
): Promise<Answer | BudgetSpent> {
  const { projectId, dataset } = task;
  await store.lockDataset(tx, dataset);
  const answer = ask({
    policy: permission.counts,
    keyedHash: keyedHashOf(deps.noiseSecret),
    history: await nearHistory(tx, { dataset, sets, policy: permission.counts }),
    budget: await budgetOf(deps, tx, task, permission.decisionDigest !== undefined),
  });
  if ('keep' in answer) await store.insertKept(tx, { projectId, dataset, at: deps.clock.now() }, answer.keep);
  return answer;
}

/** Names the decision under which something was answered. */
export function decisionOf({ decisionDigest }: QuestionPermission): Pick<Performed, 'decisionDigest'> {
  return decisionDigest === undefined ? {} : { decisionDigest };
}

export function budgetSpent(permission: QuestionPermission, cost: number, { questionsLeft }: BudgetSpent): Performed {
  const whose = permission.decisionDigest === undefined ? 'that undecided projects share' : 'of this project';
  const need = questionsLeft === 0 ? '' : ` This one counts as ${cost}, and ${questionsLeft} are left.`;
  const message = `The question budget ${whose} on this dataset is spent; the governance lead may grant more.${need}`;
  return { ...refused('disclosure.budget-spent', message), ...decisionOf(permission) };
}

export function refused(code: Refusal['code'] | 'not-found' | 'disclosure.budget-spent', message: string): Performed {
  return { body: { kind: 'refused', code, message, findings: [] } };
}

/** An approved project pays by itself, also for what it asked before; all others from the budget they share, then by grants. */
async function budgetOf(
  deps: GateDeps,
  tx: SiteTx,
  { projectId, dataset }: { projectId: ProjectId; dataset: string },
  isApproved: boolean,
): Promise<QuestionBudget> {
  return {
    granted: await deps.questionsGranted(tx, projectId, dataset),
    charged: await store.readCharges(tx, { projectId, dataset, withShared: isApproved }),
    shared: isApproved ? undefined : await store.readSharedCharges(tx, dataset),
  };
}

/** The sets of the dataset's history that are near one of those counted, oldest first; read one after the other. */
async function nearHistory(
  tx: SiteTx,
  { dataset, sets, policy }: { dataset: string; sets: readonly PatientSet[]; policy: CountPolicy },
): Promise<AnsweredSet[]> {
  const near: AnsweredSet[] = [];
  for await (const earlier of store.streamAnswered(tx, dataset, nearRanges(sets, policy))) {
    if (isNear(earlier.patients, sets, policy)) near.push(earlier);
  }
  return near;
}
