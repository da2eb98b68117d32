/**
 * A set of patients of one dataset as a bitmap over patient numbers: the only thing the gate judges. It never sees the
 * question's wording, so two wordings of one set cannot be told apart.
 *
 * Invariant: `words` has no trailing zero word, so equal sets have equal bytes and therefore equal fingerprints.
 * A bitmap of 100,000 patients is 12.5 kB; comparing two is a few thousand word operations.
 */
import { AppError } from '@lantern/contract';

const PATIENT_NUMBER_MAX = 99_999_999; // twenty times the largest site we design for; bounds a bitmap to 12.5 MB

/** `count` distinct patients; patient number p is bit p % 32 of word floor(p / 32). */
export type PatientSet = { readonly count: number; readonly words: Uint32Array };

/** Builds a set from patient numbers in any order, repeats allowed. Throws `input.invalid` on a number out of range. */
export function patientSet(numbers: Iterable<number>): PatientSet {
  const builder = createPatientSetBuilder();
  for (const number of numbers) builder.add(number);
  return builder.finish();
}

/** The same, number by number: five million patients are a bitmap of 0.6 MB and never a list. */
export function createPatientSetBuilder() {
  let words = new Uint32Array(64);
  return {
    add(number: number): void {
      if (!Number.isInteger(number) || number < 0 || number > PATIENT_NUMBER_MAX) {
        throw new AppError('input.invalid', `A patient number must be an integer from 0 to ${PATIENT_NUMBER_MAX}.`);
      }
      const index = number >>> 5;
      if (index >= words.length) {
        const larger = new Uint32Array(Math.max(index + 1, words.length * 2));
        larger.set(words);
        words = larger;
      }
      words[index] = (words[index] ?? 0) | (1 << (number & 31));
    },
    finish: (): PatientSet => fromWords(words),
  };
}

/** The set as bytes, little-endian, to be hashed or stored. */
export function patientSetBytes(set: PatientSet): Uint8Array {
  const bytes = new Uint8Array(set.words.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < set.words.length; i += 1) view.setUint32(i * 4, set.words[i] ?? 0, true);
  return bytes;
}

/** Reads what `patientSetBytes` wrote; trailing zero bytes change nothing. */
export function patientSetFromBytes(bytes: Uint8Array): PatientSet {
  const words = new Uint32Array(Math.ceil(bytes.length / 4));
  for (let i = 0; i < bytes.length; i += 1) words[i >>> 2] = (words[i >>> 2] ?? 0) | ((bytes[i] ?? 0) << ((i & 3) * 8));
  return fromWords(words);
}

/**
 * How many patients separate two sets (in one but not in the other), counted no further than is needed.
 *
 * returns  the exact number when it is below `enough`, otherwise some number >= `enough`
 */
export function separation(a: PatientSet, b: PatientSet, enough: number): number {
  const sizeDifference = Math.abs(a.count - b.count);
  if (sizeDifference >= enough) return sizeDifference;
  const length = Math.max(a.words.length, b.words.length);
  let differing = 0;
  for (let i = 0; i < length && differing < enough; i += 1) {
    differing += bitCount((a.words[i] ?? 0) ^ (b.words[i] ?? 0));
  }
  return differing;
}

function fromWords(words: Uint32Array): PatientSet {
  let length = words.length;
  while (length > 0 && words[length - 1] === 0) length -= 1;
  let count = 0;
  for (let i = 0; i < length; i += 1) count += bitCount(words[i] ?? 0);
  return { count, words: words.slice(0, length) };
}

/** Set bits of a 32-bit word, by adding neighbours in parallel (Warren, Hacker's Delight, 5-1). */
function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
