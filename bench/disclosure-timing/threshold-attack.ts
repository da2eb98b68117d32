/** How well one threshold on a time tells two kinds of questions apart: the attacker of this bench, and how sure we are of him. */

/** Times of questions [ms]: `nobody` of those about no patient, `other` of those about some. */
export type TwoKinds = { readonly nobody: readonly number[]; readonly other: readonly number[] };

/**
 * Area under the receiver operating characteristic: the chance that a time of the one kind is longer than one of the other, ties by
 * halves (Mann and Whitney 1947), whichever way round says more.
 *
 * returns  0.5 (guessing) to 1; NaN where a kind has no times
 */
export function areaOf({ nobody, other }: TwoKinds): number {
  const ordered = nobody.toSorted((a, b) => a - b);
  let sum = 0;
  for (const time of other) sum += (countBelow(ordered, time, false) + countBelow(ordered, time, true)) / 2;
  const area = sum / (nobody.length * other.length);
  return Math.max(area, 1 - area);
}

/** How many of `ordered` are below `limit`, or at it as well. */
function countBelow(ordered: readonly number[], limit: number, orAt: boolean): number {
  let [low, high] = [0, ordered.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const value = ordered[middle] ?? 0;
    if (value < limit || (orAt && value === limit)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The threshold and direction that are right most often on one half of the times, tried on the other half. `random` draws the halves.
 *
 * returns  share of right guesses, each kind weighed alike; about 0.5 for guessing, and below it by chance
 */
export function heldOutAccuracy(kinds: TwoKinds, random: () => number): number {
  const [nobody, other] = [halvesOf(kinds.nobody, random), halvesOf(kinds.other, random)];
  const shareRight = (half: 0 | 1, limit: number, isOtherSlower: boolean) => {
    const above = (times: readonly number[]) => times.filter((time) => time > limit).length / times.length;
    const right = (above(other[half]) + 1 - above(nobody[half])) / 2;
    return isOtherSlower ? right : 1 - right;
  };
  let best = { limit: 0, isOtherSlower: true, share: -1 };
  for (const limit of [...nobody[0], ...other[0]]) {
    for (const isOtherSlower of [true, false]) {
      const share = shareRight(0, limit, isOtherSlower);
      if (share > best.share) best = { limit, isOtherSlower, share };
    }
  }
  return shareRight(1, best.limit, best.isOtherSlower);
}

function halvesOf(times: readonly number[], random: () => number): readonly [number[], number[]] {
  const mixed = shuffled(times, random);
  const middle = mixed.length >>> 1;
  return [mixed.slice(0, middle), mixed.slice(middle)];
}

/** Fisher and Yates. */
export function shuffled<T>(values: readonly T[], random: () => number): T[] {
  const mixed = [...values];
  for (let index = mixed.length - 1; index > 0; index -= 1) {
    const from = Math.floor(random() * (index + 1));
    const [one, other] = [mixed[index], mixed[from]];
    if (one === undefined || other === undefined) continue;
    [mixed[index], mixed[from]] = [other, one];
  }
  return mixed;
}

/** Ends of the middle 95 % of the area over samples drawn again from the times, each kind for itself (Efron 1979). */
export function areaInterval(kinds: TwoKinds, random: () => number, sampleCount = 400): readonly [number, number] {
  const again = (times: readonly number[]) => times.map(() => times[Math.floor(random() * times.length)] ?? 0);
  const areas = Array.from({ length: sampleCount }, () =>
    areaOf({ nobody: again(kinds.nobody), other: again(kinds.other) }),
  ).toSorted((a, b) => a - b);
  const at = (share: number) => areas[Math.min(sampleCount - 1, Math.floor(share * sampleCount))] ?? Number.NaN;
  return [at(0.025), at(0.975)];
}
