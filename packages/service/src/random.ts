/** The one place that draws randomness from the operating system for names and secrets. */
import { randomBytes } from 'node:crypto';
import { type Id, type IdKind, idFromBytes } from '@lantern/contract';

/** 120 random bits make 24 characters of base 32; two ids never meet in practice. */
const ID_BYTES = 15;

/** Less than 128 bits could be guessed by somebody with patience. */
const SECRET_BYTES_MIN = 16;

/** A fresh identifier of the given kind. */
export function newId<K extends IdKind>(kind: K): Id<K> {
  return idFromBytes(kind, randomBytes(ID_BYTES));
}

/** A secret of `bytes` random bytes (at least 16) as base64url without padding. */
export function newSecret(bytes: number): string {
  if (!Number.isInteger(bytes) || bytes < SECRET_BYTES_MIN) {
    throw new RangeError(`A secret has at least ${SECRET_BYTES_MIN} bytes.`);
  }
  return randomBytes(bytes).toString('base64url');
}
