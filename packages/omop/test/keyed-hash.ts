/** The keyed hash as a site makes it, under a secret that a test names. */
import { createHmac } from 'node:crypto';
import type { KeyedHash } from '../src/disclosure/sticky-noise.ts';

export function keyedHashOf(secret: string): KeyedHash {
  return (purpose, message) => createHmac('sha256', secret).update(`${purpose}\0`).update(message).digest();
}

/** The numbers from `first` up to, but not with, `end`. */
export function range(first: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index);
}
