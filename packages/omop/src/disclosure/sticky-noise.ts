/**
 * Noise that is drawn once for each set of patients and never again: a keyed function of the set itself. Asking again, or
 * the same set in other words, gives the same number, so it cannot be averaged away; without the site's key it cannot be
 * computed.
 *
 * The distribution is the discrete Gaussian (Canonne, Kamath, Steinke 2020, arXiv:2004.00010), taken by inverting its
 * distribution function at a uniform number made from the keyed hash.
 */

/**
 * A keyed hash such as HMAC-SHA-256 under a secret of the site: at least 8 bytes out, the same for the same input.
 * `purpose` separates uses, so that the noise on a count says nothing about another decision on the same set.
 */
export type KeyedHash = (purpose: string, message: Uint8Array) => Uint8Array;

export const NOISE_REACH_STD_DEVS = 9; // 53 random bits cannot reach further out

/** A draw from the discrete Gaussian of parameter `stdDev` [patients], fixed by key, purpose and fingerprint. */
export function stickyNoise(options: {
  keyedHash: KeyedHash;
  purpose: 'count' | 'separation';
  fingerprint: Uint8Array;
  stdDev: number;
}): number {
  const hash = options.keyedHash(`${options.purpose}:${options.stdDev}`, options.fingerprint);
  return discreteGaussian(uniformFrom(hash), options.stdDev);
}

/** Maps a uniform number in (0, 1) to the integer k with P(k) proportional to exp(-k^2 / (2 stdDev^2)). */
export function discreteGaussian(uniform: number, stdDev: number): number {
  if (stdDev === 0) return 0;
  const reach = Math.ceil(NOISE_REACH_STD_DEVS * stdDev);
  const weight = (k: number) => Math.exp(-(k * k) / (2 * stdDev * stdDev));
  let total = 0;
  for (let k = -reach; k <= reach; k += 1) total += weight(k);
  let left = uniform * total;
  for (let k = -reach; k < reach; k += 1) {
    left -= weight(k);
    if (left < 0) return k;
  }
  return reach;
}

/** The first 53 bits as a number strictly between 0 and 1. */
function uniformFrom(hash: Uint8Array): number {
  const view = new DataView(hash.buffer, hash.byteOffset, hash.byteLength);
  const bits = view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11);
  return (bits + 0.5) / 2 ** 53;
}
