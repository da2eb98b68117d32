/**
 * Snapping: a question whose patients are nearly those of an earlier question gets the earlier answer again. Two questions
 * that differ by one patient then have no difference to look at (standards: "differencing").
 *
 * The history is one per dataset, shared by all projects and users, and only grows. It holds the sets that got an answer of
 * their own; a set that repeated an answer is not added, else answers could drift from set to set.
 *
 * Which earlier answer: the first in the history that is near enough, not the nearest. "Nearest" compares two distances
 * exactly, and one patient more or less would show in the outcome.
 *
 * How near: always below the site's threshold. A sharp edge there would itself be a question with an exact answer (nine
 * patients I know, and the target: repeated or not?), so the edge is soft: threshold + 2.5 noise standard deviations + a
 * sticky draw of the same spread, and never less than the threshold. Nine against ten known patients then decides with a
 * chance of Phi(-2.5) = 0.6 %.
 */
import { type PatientSet, separation } from './patient-set.ts';
import { type KeyedHash, stickyNoise } from './sticky-noise.ts';

/** Width of the soft edges, in noise standard deviations: see above, and `count-release.ts` for the same edge on counts. */
export const SOFT_EDGE_STD_DEVS = 2.5;

/** A set that has an answer of its own: what the site keeps, in the order of answering. Never leaves the site. */
export type AnsweredSet = { readonly patients: PatientSet; readonly noiseStdDev: number; readonly noisyCount: number };

/**
 * The earlier answer that `patients` must repeat, if there is one.
 *
 * An answer made with less noise than is now asked for is passed over: repeating it would be too exact.
 */
export function findAnswered(options: {
  patients: PatientSet;
  fingerprint: Uint8Array;
  history: readonly AnsweredSet[];
  patientCountMin: number;
  noiseStdDev: number;
  keyedHash: KeyedHash;
}): AnsweredSet | undefined {
  const { patients, fingerprint, history, patientCountMin, noiseStdDev, keyedHash } = options;
  const jitter = stickyNoise({ keyedHash, purpose: 'distance', fingerprint, stdDev: noiseStdDev });
  const near = patientCountMin + Math.max(0, Math.round(SOFT_EDGE_STD_DEVS * noiseStdDev + jitter));
  for (const earlier of history) {
    if (earlier.noiseStdDev < noiseStdDev) continue;
    if (separation(patients, earlier.patients, near) < near) return earlier;
  }
  return undefined;
}
