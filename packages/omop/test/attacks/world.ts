/**
 * The world of the simulated attacks (standards: "Cohort disclosure control"): 4,000 patients, one target, one secret bit.
 * The attacker chooses any set of patients by their known properties and asks how many of them have the secret property.
 */
import { type PatientSet, patientSetFromBytes } from '../../src/disclosure/patient-set.ts';

const POPULATION = 4000;
const WORDS = POPULATION / 32;
const TARGET = 1234;

/** Bits of a set of patients; all sets of a world have the same length. */
export type Bits = Uint32Array;

/** `ask(set)`: the released count of those in `set` who have the secret property. The target is in no set `choose` makes. */
export type World = {
  readonly secretBit: 0 | 1;
  readonly random: () => number;
  /** A random set of known patients with the given share of the population, without the target. */
  readonly choose: (share: number) => Bits;
  /** The patients of `set` who have the secret property: what the site counts, unknown to the attacker. */
  readonly withSecret: (set: Bits) => PatientSet;
};

export function createWorld(random: () => number): World {
  const secret = randomBits(random, 0.3);
  const secretBit = random() < 0.5 ? 1 : 0;
  setTarget(secret, secretBit === 1);
  return {
    secretBit,
    random,
    choose: (share) => {
      const bits = randomBits(random, share);
      setTarget(bits, false);
      return bits;
    },
    withSecret: (set) => patientSetFromBytes(new Uint8Array(combine(set, secret, (a, b) => a & b).buffer)),
  };
}

export function withTarget(set: Bits): Bits {
  const copy = set.slice();
  setTarget(copy, true);
  return copy;
}

export function combine(a: Bits, b: Bits, operation: (a: number, b: number) => number): Bits {
  const result = new Uint32Array(WORDS);
  for (let index = 0; index < WORDS; index += 1) result[index] = operation(a[index] ?? 0, b[index] ?? 0);
  return result;
}

/** The first `count` patients of `set` that have the secret property: what an attacker knows who knows these patients. */
export function known(world: World, set: Bits, count: number): Bits {
  const have = world.withSecret(set).words;
  const bits = new Uint32Array(WORDS);
  let left = count;
  for (let patient = 0; patient < POPULATION && left > 0; patient += 1) {
    const mask = 1 << (patient & 31);
    if (((have[patient >>> 5] ?? 0) & mask) === 0) continue;
    bits[patient >>> 5] = (bits[patient >>> 5] ?? 0) | mask;
    left -= 1;
  }
  return bits;
}

/** mulberry32: small, seeded, good enough to choose sets; the site's noise is HMAC-SHA-256. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function setTarget(bits: Bits, present: boolean): void {
  const word = bits[TARGET >>> 5] ?? 0;
  const mask = 1 << (TARGET & 31);
  bits[TARGET >>> 5] = present ? word | mask : word & ~mask;
}

/** Independent bits with probability `share` (to 1/256), built bit by bit of the share from random words. */
function randomBits(random: () => number, share: number): Bits {
  const level = Math.max(1, Math.round(share * 256));
  const bits = new Uint32Array(WORDS);
  if (level >= 256) return bits.fill(0xffffffff);
  const lowestBit = 31 - Math.clz32(level & -level); // lower bits would only combine zeros
  for (let index = 0; index < WORDS; index += 1) {
    let word = 0;
    for (let bit = lowestBit; bit < 8; bit += 1) {
      const chance = random() * 2 ** 32;
      word = ((level >>> bit) & 1) === 1 ? word | chance : word & chance;
    }
    bits[index] = word;
  }
  return bits;
}
