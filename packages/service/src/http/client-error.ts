/** Turns the error answer of another process back into the error it was there. */
import type { IncomingHttpHeaders } from 'node:http';
import { AppError, isErrorCode, matches } from '@lantern/contract';
import { ErrorResponseSchema } from './error-response.ts';

function parseErrorBody(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined; // a proxy's page: the status says what can be said
  }
}

/** A wrong clock is the commonest cause of `signature.stale`, and a person can only mend it when told by how much. */
function clockHint(dateHeader: string | undefined, now: Date): string {
  const theirs = Date.parse(dateHeader ?? '');
  if (Number.isNaN(theirs)) return '';
  const seconds = Math.round((now.getTime() - theirs) / 1000);
  return ` This machine's clock is ${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead of'} the other side's.`;
}

/**
 * The error an answer stands for. A code of ours keeps its meaning here; an answer that is not ours says only that
 * something between us and the peer answered in its place.
 */
export function remoteError(answer: {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Of the other side. */
  readonly origin: string;
  readonly now: Date;
}): AppError {
  const parsed = parseErrorBody(answer.body);
  if (!matches(ErrorResponseSchema, parsed) || !isErrorCode(parsed.error.code)) {
    return new AppError(
      'peer.unreachable',
      `${answer.origin} answered with status ${answer.status}, but not as Lantern does: a proxy in between, or a wrong address.`,
    );
  }
  const { code, message, field, correlationId } = parsed.error;
  const hint = code === 'signature.stale' ? clockHint(answer.headers.date, answer.now) : '';
  const reference = code === 'internal' ? ` (correlation id ${correlationId} over there)` : '';
  return new AppError(code, `${message}${hint}${reference}`, field === undefined ? {} : { field });
}
