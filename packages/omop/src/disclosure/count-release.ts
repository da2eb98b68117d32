/**
 * How one set of patients becomes a count that may leave.
 *
 *   true size --(+ sticky discrete Gaussian, sd 6)--> noisy count --(soft edge)--> suppressed, or rounded to 10
 *
 * 1. Fewer patients than the threshold: suppressed, always.
 * 2. Nearly the patients of an earlier question: the earlier noisy count again (`snapping.ts`), else a new one.
 * 3. A noisy count below threshold + 2.5 sd: suppressed. Sizes just above the threshold are therefore nearly always
 *    suppressed too, and a set of 9 and one of 10 look alike: a set exactly at the threshold shows itself with a chance of
 *    Phi(-2.5) = 0.6 %. Apart from that chance the decision is a function of the noisy count and tells nothing more.
 * 4. Otherwise: rounded to the nearest multiple of the rounding base, which is then at least the threshold.
 *
 * Why these numbers: `test/attacks` plays differencing pairs and three-set trackers against this code and against the
 * published rules; only noise of about this size with snapping and a budget keeps both at or below 0.60.
 *
 * What is NOT claimed: protection beyond the simulated attackers. Someone who knows every other patient exactly and spends
 * a whole budget of m sets sees m Gaussian observations of one bit and is right with a chance of at most
 * Phi(sqrt(m) / (2 sd)) (Dong, Roth, Su 2019, arXiv:1905.02383): 0.676 for m = 30, sd = 6; 0.60 would need sd = 10.9.
 * To that come the 0.6 % of step 3 and what the repeat-or-not of snapping tells, which the simulation measures. Projects
 * that share their answers add their budgets.
 */
import { type CountPolicy, PATIENT_COUNT_MIN_FLOOR, type ReleasedCount } from '@lantern/contract';
import { type PatientSet, patientSetBytes } from './patient-set.ts';
import { type AnsweredSet, findAnswered, SOFT_EDGE_STD_DEVS } from './snapping.ts';
import { type KeyedHash, stickyNoise } from './sticky-noise.ts';

export const SUPPRESSED: ReleasedCount = { kind: 'suppressed' };

/** `answered`: what must be appended to the history in the same transaction as the answer; absent for a repeat. */
export type CountRelease = { readonly count: ReleasedCount; readonly answered: AnsweredSet | undefined };

/** The threshold in force: what the site set, but never below the floor, whatever a setting says. */
function thresholdOf(policy: CountPolicy): number {
  return Math.max(policy.patientCountMin, PATIENT_COUNT_MIN_FLOOR);
}

/** Decides on one set. The same work is done for every set size, so that time tells no more than the answer. */
export function releaseSet(options: {
  patients: PatientSet;
  policy: CountPolicy;
  history: readonly AnsweredSet[];
  keyedHash: KeyedHash;
}): CountRelease {
  const { patients, policy, history, keyedHash } = options;
  const { noiseStdDev } = policy;
  const patientCountMin = thresholdOf(policy);
  const fingerprint = keyedHash('set', patientSetBytes(patients));
  const earlier = findAnswered({ patients, fingerprint, history, patientCountMin, noiseStdDev, keyedHash });
  const noise = stickyNoise({ keyedHash, purpose: 'count', fingerprint, stdDev: noiseStdDev });
  const source = earlier ?? { patients, noiseStdDev, noisyCount: patients.count + noise };

  const belowThreshold = patients.count < patientCountMin || source.patients.count < patientCountMin;
  if (belowThreshold) return { count: SUPPRESSED, answered: undefined };
  return { count: show(source, policy), answered: earlier === undefined ? source : undefined };
}

function show({ noisyCount, noiseStdDev }: AnsweredSet, policy: CountPolicy): ReleasedCount {
  const patientCountMin = thresholdOf(policy);
  if (noisyCount < patientCountMin + SOFT_EDGE_STD_DEVS * noiseStdDev) return SUPPRESSED;
  const rounded = Math.floor(noisyCount / policy.rounding + 0.5) * policy.rounding;
  const least = Math.ceil(patientCountMin / policy.rounding) * policy.rounding;
  return { kind: 'released', value: Math.max(rounded, least) };
}
