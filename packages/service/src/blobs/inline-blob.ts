/** A small blob inside a message: its bytes in base64 beside the digest that names it. */
import { AppError, type Digest } from '@lantern/contract';
import { sha256 } from '../identity/digest.ts';
import type { StoredBlob } from './blob-writer.ts';

export type InlineBlob = StoredBlob & { readonly bytes: string };

export function inlineBlob(bytes: Uint8Array): InlineBlob {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  return { digest: sha256(bytes), sizeBytes: bytes.byteLength, bytes: base64 };
}

/** The bytes. Throws `input.digest-mismatch` when they are not what digest and size name. */
export function inlineBytes(blob: {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly bytes: string;
}): Buffer {
  const bytes = Buffer.from(blob.bytes, 'base64');
  if (bytes.byteLength !== blob.sizeBytes || sha256(bytes) !== blob.digest) {
    throw new AppError(
      'input.digest-mismatch',
      'The bytes in the message do not have the digest or size they were named by.',
    );
  }
  return bytes;
}
