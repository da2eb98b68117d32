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

/** The gate as a site runs it: every question is worded differently, so every one is charged. */
export function ourGate(random: () => number, change: Partial<CountPolicy> = {}): Respondent {
  const secret = Uint8Array.from({ length: 32 }, () => Math.floor(random() * 256));
  const keyedHash = (purpose: string, message: Uint8Array) =>
    hash('sha256', Buffer.concat([secret, Buffer.from(`${purpose}\0`), message]), 'buffer');
  const history: CountGate['history'][number][] = [];
  const charged = new Map<string, number>();
  const policy = { ...COUNT_POLICY_DEFAULT, ...change };
  return (patients) => {
    const gate: CountGate = { policy, keyedHash, history, budget: { granted: 0, charged } };
    const answer = answerCount(gate, { price: { key: `question ${charged.size}`, cost: 1 }, patients });
    if (answer.kind === 'budget-spent') return 'refused';
    history.push(...answer.keep.answered);
    if (answer.keep.charge !== undefined) charged.set(answer.keep.charge.key, answer.keep.charge.cost);
    return answer.count.kind === 'released' ? answer.count.value : 'suppressed';
  };
}
