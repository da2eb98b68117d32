/**
 * What of a dataset's history a question can meet at all. A history may hold ten thousand sets of five million patients, six
 * gigabytes; nearly all of them are far from the patients of a question, and far already by their number alone. So the site
 * keeps the history in its database with the number of patients beside each set, reads only the sets in these ranges, one after
 * the other, and hands the gate those that are near.
 *
 * Invariant: the gate answers the same with the near sets as with the whole history. All sets of fewer patients than the
 * threshold have the same range, so that reading the history takes the same statements for nobody as for nine patients.
 */
import type { CountPolicy } from '@lantern/contract';
import { thresholdOf } from './count-release.ts';
import { type PatientSet, separation } from './patient-set.ts';
import { reachOf } from './snapping.ts';

/** Numbers of patients, both ends included. */
export type CountRange = { readonly least: number; readonly most: number };

/** Sets of the history outside these ranges are far from all sets `asked`; the ranges rise and do not touch. */
export function nearRanges(asked: readonly PatientSet[], policy: CountPolicy): CountRange[] {
  const threshold = thresholdOf(policy);
  const reach = reachOf({ ...policy, patientCountMin: threshold });
  const ranges = asked
    .map(({ count }) =>
      count < threshold
        ? { least: 0, most: threshold + reach }
        : { least: Math.max(0, count - reach), most: count + reach },
    )
    .toSorted((a, b) => a.least - b.least);
  const merged: CountRange[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last === undefined || range.least > last.most + 1) merged.push(range);
    else merged[merged.length - 1] = { least: last.least, most: Math.max(last.most, range.most) };
  }
  return merged;
}

/** Can this set of the history decide the answer to one of the sets `asked`? */
export function isNear(earlier: PatientSet, asked: readonly PatientSet[], policy: CountPolicy): boolean {
  const reach = reachOf({ ...policy, patientCountMin: thresholdOf(policy) });
  return asked.some((patients) => separation(patients, earlier, reach) < reach);
}
