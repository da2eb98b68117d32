/** The signed answer to a task: what this site says, to which task, and under which of its decisions. */
import {
  type Answer,
  type AnswerBody,
  type BlobRef,
  type Digest,
  PAYLOAD_TYPES,
  type SignedEnvelope,
  type TaskId,
} from '@lantern/contract';
import { signEnvelope } from '@lantern/service';
import type { SiteContext } from '../site-context.ts';

/** A file that must be at the hub before the answer that names it. */
export type AnswerFile = BlobRef;

export function signAnswer(
  context: Pick<SiteContext, 'siteId' | 'clock' | 'keyPair'>,
  answered: { taskId: TaskId; body: AnswerBody; decisionDigest: Digest | undefined },
): SignedEnvelope {
  const answer: Answer = {
    schema: 'lantern.answer/1',
    taskId: answered.taskId,
    siteId: context.siteId,
    ...(answered.decisionDigest === undefined ? {} : { decisionDigest: answered.decisionDigest }),
    answeredAt: context.clock.now().toISOString(),
    body: answered.body,
  };
  return signEnvelope({ payloadType: PAYLOAD_TYPES.answer, payload: answer, keyPair: context.keyPair });
}
