/**
 * Content-Digest (RFC 9530) with sha-256: binds the body to the signed head of a request.
 *
 * The head is verified before the body is read; the body is hashed as it streams. So whoever consumes a streamed body
 * must not act on it before the stream has ended without an error.
 */
import { createHash } from 'node:crypto';
import { AppError, type Digest } from '@lantern/contract';
import { sha256 } from './digest.ts';
import { parseDictionary } from './structured-field.ts';

const SHA256_BYTES = 32;

export const EMPTY_BODY_DIGEST: Digest = sha256('');

/** The header value for a digest: `sha-256=:<base64>:`. */
export function contentDigestHeader(digest: Digest): string {
  return `sha-256=:${Buffer.from(digest, 'hex').toString('base64')}:`;
}

/** Reads the sha-256 member; other algorithms beside it are ignored, none is `signature.malformed`. */
export function parseContentDigest(header: string): Digest {
  const member = parseDictionary('content-digest', header).get('sha-256');
  if (member?.kind !== 'item' || member.item.kind !== 'bytes' || member.item.value.length !== SHA256_BYTES) {
    throw new AppError('signature.malformed', 'content-digest: no sha-256 of 32 bytes.', { field: 'content-digest' });
  }
  // The brand is proved by the length check above.
  return Buffer.from(member.item.value).toString('hex') as Digest;
}

function mismatch(): AppError {
  return new AppError('input.digest-mismatch', 'The body does not have the digest that Content-Digest names.', {
    field: 'content-digest',
  });
}

/** Compares a body held in memory with the digest its signed head named; throws `input.digest-mismatch`. */
export function checkBodyDigest(body: Uint8Array | string, expected: Digest): void {
  if (sha256(body) !== expected) throw mismatch();
}

/** Passes a body through while hashing it; throws `input.digest-mismatch` after the last chunk when it is another. */
export async function* digestCheckedBody(
  body: AsyncIterable<Uint8Array>,
  expected: Digest,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256');
  for await (const chunk of body) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') !== expected) throw mismatch();
}
