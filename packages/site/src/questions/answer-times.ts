/**
 * When the answer to a question about patients may leave. What an engine finds decides how long it looks: joins with nobody are short,
 * and files of which no part can match are not read. The time to an answer would tell nobody from nine patients, both of whom are
 * suppressed. So an answer waits for the next of a few moments, which do not hang on the patients:
 *
 *   firstMs x 4^phase x (1, 4, 16, ...)     0 <= phase < 1, drawn by a secret of this site from the wording of the question
 *
 * Ways of nearly the same length then end in the same moment, but for a chance of log4(longer / shorter) that one of the moments lies
 * between them. The phase is secret, so that nobody can make a question just so long that it does; and it stays with the wording in the
 * form in which the budget charges it, so that asking again, which is free, tells nothing new (as `sticky-noise.ts` of `omop` for counts).
 *
 * Invariant: nothing here knows what was counted; the answer is made, and what has to be kept of it is committed, before it waits.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Performed } from '../exchange/performer.ts';
import { keyedHashOf } from './gated-release.ts';

const STEP_FACTOR = 4;

export type AnswerTimes = {
  /** Makes the answer, and gives it when its moment has come. */
  hold(answer: () => Promise<Performed>, signal: AbortSignal): Promise<Performed>;
};

export type AnswerTimesDeps = {
  readonly noiseSecret: string;
  /** Least time to an answer [ms]; 0: answers leave at once. */
  readonly firstMs: number;
  /** [ms], from any beginning. */
  readonly monotonicMs?: () => number;
  /** Resolves after so long, or rejects when the signal says so. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
};

export function createAnswerTimes({
  noiseSecret,
  firstMs,
  monotonicMs = () => performance.now(),
  pause = (ms, signal) => delay(ms, undefined, { signal }),
}: AnswerTimesDeps): AnswerTimes {
  const keyedHash = keyedHashOf(noiseSecret);
  return {
    async hold(answer, signal) {
      const begin = monotonicMs();
      const performed = await answer();
      if (firstMs === 0) return performed;
      // What has no wording was refused before anybody was counted.
      const hash = Buffer.from(keyedHash('answer-time', Buffer.from(performed.wording ?? '')));
      const phase = hash.readUInt32BE(0) / 2 ** 32;
      const tookMs = monotonicMs() - begin;
      await pause(nextMoment(tookMs, { firstMs, phase }) - tookMs, signal);
      return performed;
    },
  };
}

/** The first moment at which an answer that took so long may leave [ms since the question was begun]. */
function nextMoment(tookMs: number, { firstMs, phase }: { firstMs: number; phase: number }): number {
  let moment = firstMs * STEP_FACTOR ** phase;
  while (moment < tookMs) moment *= STEP_FACTOR;
  return moment;
}
