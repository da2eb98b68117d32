/**
 * A sender for MLLP: one message after another, each sent again until it is acknowledged, over one connection that is opened anew
 * when it breaks. A message may arrive twice, when an answer is lost: the receiver knows it by its control id.
 *
 * Answers are matched by MSA-2, so that one that comes late for an earlier try or message is not taken for this one.
 */
import { Hl7Error } from '../hl7-error.ts';
import type { Acknowledgement } from './acknowledgement.ts';
import { type Header, readHeader } from './header.ts';
import { parseMessage } from './message.ts';
import { encodeFrame } from './mllp-frames.ts';
import { type Destination, MllpLink } from './mllp-link.ts';

export type MllpSenderOptions = Destination & {
  /** How long an answer is waited for. */
  readonly answerMs?: number;
  /** How often a message is sent at most. */
  readonly attemptsMax?: number;
  /** Waits before the second, third … attempt, doubling up to the largest; each is drawn from its upper half. */
  readonly backOffMs?: { readonly first: number; readonly max: number };
  /** In [0, 1). */
  readonly uniform: () => number;
  readonly signal?: AbortSignal;
  readonly onRetry?: (problem: Hl7Error, attempt: number) => void;
};

export type MllpSender = {
  /**
   * Resolves with the acknowledgement, be it good or not; the accept acknowledgement where there are two. `undefined` where the
   * message asks for none. Throws `malformed` for what is no message, `network`, `timeout` after the last attempt, `aborted`.
   */
  send(content: Uint8Array): Promise<Acknowledgement | undefined>;
  close(): void;
};

const ANSWER_MS = 30_000; // receivers that process before they answer
const ATTEMPTS_MAX = 5;
const BACK_OFF = { first: 500, max: 30_000 };

export function createMllpSender(options: MllpSenderOptions): MllpSender {
  const { attemptsMax = ATTEMPTS_MAX, answerMs = ANSWER_MS, signal } = options;
  const link = new MllpLink(options);
  const onAbort = () => link.drop(new Hl7Error('aborted', 'Sending was stopped.'));
  signal?.addEventListener('abort', onAbort);
  return {
    async send(content) {
      const header = readHeader(parseMessage(content));
      const { controlId } = header;
      const frame = encodeFrame(content);
      const exchange = (): Promise<Acknowledgement | undefined> =>
        asksForNothing(header)
          ? link.write(frame).then(() => undefined)
          : link.ask(frame, { controlId, answerMs, signal });
      for (let attempt = 1; ; attempt += 1) {
        if (signal?.aborted === true) throw new Hl7Error('aborted', 'Sending was stopped.');
        try {
          return await exchange();
        } catch (caught) {
          const problem = caught instanceof Hl7Error ? caught : undefined;
          if (problem === undefined || problem.code === 'aborted' || attempt >= attemptsMax) throw caught;
          options.onRetry?.(problem, attempt);
          await pause(waitMs(attempt, options), signal);
        }
      }
    },
    close() {
      signal?.removeEventListener('abort', onAbort);
      link.drop(new Hl7Error('aborted', 'The sender was closed.'));
    },
  };
}

/** Also where an answer comes on errors alone: its absence says nothing. */
function asksForNothing({ acceptAcknowledgement: accept, applicationAcknowledgement: application }: Header): boolean {
  const never = (condition: string) => condition === '' || condition === 'NE' || condition === 'ER';
  return (accept !== '' || application !== '') && never(accept) && never(application);
}

function waitMs(attempt: number, { backOffMs = BACK_OFF, uniform }: MllpSenderOptions): number {
  const whole = Math.min(backOffMs.first * 2 ** (attempt - 1), backOffMs.max);
  return whole / 2 + (whole / 2) * uniform();
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}
