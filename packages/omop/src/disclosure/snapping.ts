/**
 * Snapping: a question whose patients are nearly those of an earlier question gets the earlier answer again. Two questions
 * that differ by one patient then have no difference to look at ("differencing" in the literature on disclosure control).
 *
 * The history is one per dataset, shared by all projects and users, and only grows. It holds EVERY set that was asked and has
 * at least the threshold of patients, also those that repeated an answer: were they left out, an asker could step from a set
 * that repeats to its neighbour that no longer does, and see which one it is.
 *
 * Near means, for a new set B and an asked set A:
 *   inner  fewer than the threshold (10) separate them: repeated, from the nearest such set. After asking B1, the set
 *          B1 with one patient more or less always finds B1 first.
 *   outer  otherwise, separation + sticky noise < threshold + 2.5 sd. A sharp edge at 10 would answer an exact question ("nine
 *          patients I know, and the target: repeated or not?"); with the soft one, nine against ten decide by a chance of
 *          Phi(-2.5) = 0.6 %.
 * A shown answer reaches a small set from less far: at most (size of B - threshold) / 2. Below the threshold everything is
 * suppressed, and a shown answer carried step by step down to that edge would make the edge visible.
 *
 * The price: near questions are not told apart, and a sweep in steps of a few patients repeats its first number.
 */
import { type PatientSet, separation } from './patient-set.ts';
import { type KeyedHash, NOISE_REACH_STD_DEVS, stickyNoise } from './sticky-noise.ts';

/** Width of the soft edges, in standard deviations of their noise; `count-release.ts` has the same edge on counts. */
export const SOFT_EDGE_STD_DEVS = 2.5;

/** Noise on a separation, as a part of the noise on a count: wide enough for the edge, small enough to keep questions apart. */
const SEPARATION_NOISE_PART = 0.5;

/**
 * A set that was asked, and the noisy count that answers it: what the site keeps, in the order of asking. Never leaves the site.
 * `fingerprint` is the keyed hash of the set.
 */
export type AnsweredSet = {
  readonly patients: PatientSet;
  readonly fingerprint: Uint8Array;
  readonly noiseStdDev: number;
  readonly noisyCount: number;
};

/**
 * The earlier answer that `patients` must repeat, if there is one.
 *
 * isShown  whether an earlier answer is shown or suppressed under the policy in force
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
  isShown: (earlier: AnsweredSet) => boolean;
}): AnsweredSet | undefined {
  const { patients, history, patientCountMin, noiseStdDev } = options;
  const stdDev = noiseStdDev * SEPARATION_NOISE_PART;
  const inner = patientCountMin;
  const outer = outerEdge(options);
  const shownReach = (patients.count - patientCountMin) / 2;
  const beyondNoise = reachOf(options);

  let nearest: { answer: AnsweredSet; distance: number } | undefined;
  let nearestOuter: { answer: AnsweredSet; distance: number } | undefined;
  for (const earlier of history) {
    if (earlier.noiseStdDev < noiseStdDev) continue;
    const apart = separation(patients, earlier.patients, beyondNoise);
    if (apart >= beyondNoise) continue;
    if (apart === 0) return earlier;
    const reach = options.isShown(earlier) ? shownReach : Number.POSITIVE_INFINITY;
    if (apart < Math.min(inner, reach)) {
      if (nearest === undefined || apart < nearest.distance) nearest = { answer: earlier, distance: apart };
      continue;
    }
    const noisy = apart + separationNoise(options, earlier, stdDev);
    if (noisy < Math.min(outer, reach) && (nearestOuter === undefined || noisy < nearestOuter.distance)) {
      nearestOuter = { answer: earlier, distance: noisy };
    }
  }
  return (nearest ?? nearestOuter)?.answer;
}

type Edges = { readonly patientCountMin: number; readonly noiseStdDev: number };

function outerEdge({ patientCountMin, noiseStdDev }: Edges): number {
  return patientCountMin + SOFT_EDGE_STD_DEVS * noiseStdDev * SEPARATION_NOISE_PART;
}

/** Sets that so many patients or more separate never answer each other, whatever the noise [patients]. */
export function reachOf(edges: Edges): number {
  return Math.ceil(outerEdge(edges) + NOISE_REACH_STD_DEVS * edges.noiseStdDev * SEPARATION_NOISE_PART) + 1;
}

function separationNoise(
  options: { fingerprint: Uint8Array; keyedHash: KeyedHash },
  earlier: AnsweredSet,
  stdDev: number,
): number {
  const pair = new Uint8Array(options.fingerprint.length + earlier.fingerprint.length);
  pair.set(options.fingerprint);
  pair.set(earlier.fingerprint, options.fingerprint.length);
  return stickyNoise({ keyedHash: options.keyedHash, purpose: 'separation', fingerprint: pair, stdDev });
}
