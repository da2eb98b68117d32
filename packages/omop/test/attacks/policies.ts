/** Who answers the attacker: three published rules, and the gate of this system with and without its budget. */
import { hash } from 'node:crypto';
import { COUNT_POLICY_DEFAULT, type CountPolicy } from '@lantern/contract';
import { answerCount, type CountGate } from '../../src/disclosure/gate.ts';
import type { PatientSet } from '../../src/disclosure/patient-set.ts';

/** A number, or that none is given: suppressed, or the budget is spent. */
export type Reply = number | 'suppressed' | 'refused';
export type Respondent = (patients: PatientSet) => Reply;

/** Threshold 10, then the exact count (`rounding` 1) or the nearest multiple. */
export function thresholdOnly(rounding: number): Respondent {
  return ({ count }) => (count < 10 ? 'suppressed' : Math.round(count / rounding) * rounding);
}

/** How the gate is asked: `projects` by one asker, one after the other as their budgets are spent, each approved or none. */
type Asking = { readonly policy?: Partial<CountPolicy>; readonly projects?: number; readonly approved?: boolean };

/** The gate as a site runs it: every question is worded differently, so every one is charged. */
export function ourGate(
  random: () => number,
  { policy: change = {}, projects = 1, approved = true }: Asking = {},
): Respondent {
  const secret = Uint8Array.from({ length: 32 }, () => Math.floor(random() * 256));
  const keyedHash = (purpose: string, message: Uint8Array) =>
    hash('sha256', Buffer.concat([secret, Buffer.from(`${purpose}\0`), message]), 'buffer');
  const history: CountGate['history'][number][] = [];
  const shared = approved ? undefined : new Map<string, number>();
  const policy = { ...COUNT_POLICY_DEFAULT, ...change };
  let charged = new Map<string, number>();
  let projectsLeft = projects - 1;
  let questions = 0;
  return (patients) => {
    questions += 1;
    for (;;) {
      const gate: CountGate = { policy, keyedHash, history, budget: { granted: 0, charged, shared } };
      const answer = answerCount(gate, { price: { key: `question ${questions}`, cost: 1 }, patients });
      if (answer.kind === 'count') {
        history.push(...answer.keep.answered);
        const { charge } = answer.keep;
        if (charge !== undefined) (charge.isShared ? (shared ?? charged) : charged).set(charge.key, charge.cost);
        return answer.count.kind === 'released' ? answer.count.value : 'suppressed';
      }
      if (projectsLeft === 0) return 'refused';
      projectsLeft -= 1;
      charged = new Map();
    }
  };
}
