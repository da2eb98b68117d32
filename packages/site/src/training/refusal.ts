/** A refusal as the answer to a round. It names rules, limits and words of the schema, never a number counted from patients. */
import type { AnswerBody, DisclosureFinding } from '@lantern/contract';
import type { Performed } from '../exchange/performer.ts';

const FINDINGS_SHOWN_MAX = 100; // nobody reads more, and an answer holds at most 200

export function refused(
  code: Extract<AnswerBody, { kind: 'refused' }>['code'],
  message: string,
  findings: readonly DisclosureFinding[] = [],
): Performed {
  return { body: { kind: 'refused', code, message, findings: [...findings] } };
}

/** What the disclosure gate said, as an answer with its findings. */
export function refusedByGate(findings: readonly DisclosureFinding[]): Performed {
  const [first] = findings;
  const more = findings.length > 1 ? ` And ${findings.length - 1} more.` : '';
  const message = `The disclosure gate refuses: ${first?.message ?? 'a rule is broken.'}${more}`;
  return refused('disclosure.refused', message, findings.slice(0, FINDINGS_SHOWN_MAX));
}
