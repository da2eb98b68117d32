/**
 * A small seeded generator, so that what is random in training (initial weights, order of rows) is the same again when a
 * computation is repeated after a crash. Not for secrets.
 *
 * xoshiro128** 1.1 (Blackman & Vigna 2018, prng.di.unimi.it), its 128 bits of state taken from SHA-256 of a text.
 */
import { createHash } from 'node:crypto';

export type SeededRandom = {
  /** Uniform over 0 ... 2^32 - 1. */
  uint32(): number;
  /** Uniform over [0, 1), with 32 bits of resolution. */
  uniform(): number;
  /** Uniform over 0 ... bound - 1, without the bias of a plain remainder; 1 <= bound <= 2^32. */
  below(bound: number): number;
};

const TWO_TO_32 = 2 ** 32;

/** Equal seeds give equal sequences, on every machine. */
export function seededRandom(seed: string): SeededRandom {
  const digest = createHash('sha256').update(seed, 'utf8').digest();
  return randomFromState(Uint32Array.from({ length: 4 }, (_, index) => digest.readUInt32LE(index * 4)));
}

/** The generator from four words of state, not all zero; it changes them. */
export function randomFromState(state: Uint32Array): SeededRandom {
  const uint32 = (): number => next(state);
  return {
    uint32,
    uniform: () => uint32() / TWO_TO_32,
    below(bound) {
      if (!Number.isInteger(bound) || bound < 1 || bound > TWO_TO_32) throw new RangeError('bound is in 1 ... 2^32.');
      const limit = TWO_TO_32 - (TWO_TO_32 % bound);
      let value = uint32();
      while (value >= limit) value = uint32();
      return value % bound;
    },
  };
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function next(state: Uint32Array): number {
  const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = state;
  const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
  const t2 = s2 ^ s0;
  const t3 = s3 ^ s1;
  state[1] = s1 ^ t2;
  state[0] = s0 ^ t3;
  state[2] = t2 ^ (s1 << 9);
  state[3] = rotateLeft(t3, 11);
  return result;
}

/** Shuffles in place: Fisher-Yates (Durstenfeld 1964). */
export function shuffle(values: Uint32Array, random: SeededRandom): void {
  for (let index = values.length - 1; index > 0; index -= 1) {
    const other = random.below(index + 1);
    const held = values[index] ?? 0;
    values[index] = values[other] ?? 0;
    values[other] = held;
  }
}
