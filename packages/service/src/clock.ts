/**
 * Time as an argument. Wall-clock time says when something happened and may jump; monotonic time says how long something
 * took and never runs backwards. Rules that measure a wait use the second, so a corrected clock neither ends nor prolongs it.
 */

export type Clock = {
  /** Wall-clock time; may jump in both directions. */
  now(): Date;
  /** Milliseconds since an arbitrary origin of this process; never decreases. */
  monotonicMs(): number;
};

/** A clock of which a test turns the hands. Both times move together, and only by `advanceMs`. */
export type ManualClock = Clock & { advanceMs(ms: number): void };

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
};

/** `startIso` is an ISO 8601 instant, e.g. "2026-03-01T08:00:00Z". */
export function manualClock(startIso: string): ManualClock {
  const startMs = Date.parse(startIso);
  if (Number.isNaN(startMs)) throw new RangeError('manualClock needs an ISO 8601 instant.');
  let elapsedMs = 0;
  return {
    now: () => new Date(startMs + elapsedMs),
    monotonicMs: () => elapsedMs,
    advanceMs(ms) {
      if (!(ms >= 0)) throw new RangeError('A clock is advanced by zero or more milliseconds.');
      elapsedMs += ms;
    },
  };
}
