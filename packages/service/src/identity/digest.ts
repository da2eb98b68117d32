/** SHA-256 in the two spellings Lantern uses: hex names stored objects and documents, base64 stands in Content-Digest. */
import { createHash } from 'node:crypto';
import { canonicalJson, type Digest } from '@lantern/contract';

/** SHA-256 of `bytes` (a string counts as UTF-8), lower-case hex. */
export function sha256(bytes: Uint8Array | string): Digest {
  // The brand is proved by construction: 32 bytes as hex are 64 lower-case hex characters.
  return createHash('sha256').update(bytes).digest('hex') as Digest;
}

/** The digest by which a document is named: SHA-256 over its canonical JSON (RFC 8785), so spelling does not matter. */
export function documentDigest(document: unknown): Digest {
  return sha256(canonicalJson(document));
}
