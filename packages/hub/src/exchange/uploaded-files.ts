/** Which files of an answer were uploaded before it; small tensors are inside the answer itself. */
import type { AnswerBody, Digest } from '@lantern/contract';

export function uploadedFilesOf(body: AnswerBody): Digest[] {
  if (body.kind !== 'update') return [];
  return [body.delta, body.controlDelta].flatMap((ref) =>
    ref === undefined || ref.bytes !== undefined ? [] : [ref.digest],
  );
}
