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
 * published rules. Measured there (standard error 0.011 or less, 0.5 is guessing): differencing 0.52, trackers 0.56
 * with the whole budget of 30 sets; a threshold with rounding to 5 falls to 1.00 and 0.90.
 *
 * What is NOT claimed: protection beyond attackers who know the target but not the others. Someone who knows every other
 * patient exactly and spends a whole budget of m sets sees m Gaussian observations of one bit and is right with a chance of
 * at most Phi(sqrt(m) / (2 sd)) (Dong, Roth, Su 2019, arXiv:1905.02383): 0.676 for m = 30, sd = 6; 0.60 would need
 * sd = 10.9. That bound leaves out the 0.6 % of step 3 and what the repeat-or-not of snapping tells; against attackers who
 * know the hundreds of patients needed to sit on those edges the simulation measured 0.63 (suppression) and 0.62 (snapping),
 * and 0.65 for one who knows everybody (2,000 trials, standard error 0.011).
 * Approved projects that share their answers add their budgets; projects that nobody decided about share one (`budget.ts`).
 */
import { type CountPolicy, PATIENT_COUNT_MIN_FLOOR, type ReleasedCount } from '@lantern/contract';
import { type PatientSet, patientSetBytes, separation } from './patient-set.ts';
import { type AnsweredSet, findAnswered, SOFT_EDGE_STD_DEVS } from './snapping.ts';
import { type KeyedHash, stickyNoise } from './sticky-noise.ts';

export const SUPPRESSED: ReleasedCount = { kind: 'suppressed' };

/** `answered`: what must be appended to the history in the same transaction as the answer; absent when the set was asked before. */
export type CountRelease = { readonly count: ReleasedCount; readonly answered: AnsweredSet | undefined };

/** The threshold in force: what the site set, but never below the floor, whatever a setting says. */
export function thresholdOf(policy: CountPolicy): number {
  return Math.max(policy.patientCountMin, PATIENT_COUNT_MIN_FLOOR);
}

/** Decides on one set. History and noise are worked through for a small set too, so that time does not tell it from others. */
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
  const isShown = (answer: AnsweredSet) => show(answer, policy).kind === 'released';
  const earlier = findAnswered({ patients, fingerprint, history, patientCountMin, noiseStdDev, keyedHash, isShown });
  const noise = stickyNoise({ keyedHash, purpose: 'count', fingerprint, stdDev: noiseStdDev });

  if (patients.count < patientCountMin) return { count: SUPPRESSED, answered: undefined };
  const source = earlier ?? { noiseStdDev, noisyCount: patients.count + noise };
  const answered = { patients, fingerprint, noiseStdDev: source.noiseStdDev, noisyCount: source.noisyCount };
  const askedBefore = earlier !== undefined && separation(patients, earlier.patients, 1) === 0;
  return { count: show(source, policy), answered: askedBefore ? undefined : answered };
}

/** Suppressed below the soft edge; otherwise rounded, which is never less than the threshold. */
function show(answer: Pick<AnsweredSet, 'noisyCount' | 'noiseStdDev'>, policy: CountPolicy): ReleasedCount {
  const patientCountMin = thresholdOf(policy);
  if (answer.noisyCount < patientCountMin + SOFT_EDGE_STD_DEVS * answer.noiseStdDev) return SUPPRESSED;
  const rounded = Math.floor(answer.noisyCount / policy.rounding + 0.5) * policy.rounding;
  const least = Math.ceil(patientCountMin / policy.rounding) * policy.rounding;
  return { kind: 'released', value: Math.max(rounded, least) };
}
