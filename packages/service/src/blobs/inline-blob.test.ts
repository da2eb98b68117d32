import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { inlineBlob, inlineBytes } from './inline-blob.ts';

const BYTES = new Uint8Array([0, 255, 7, 128, 3]);
const mismatch = (thrown: unknown) => thrown instanceof AppError && thrown.code === 'input.digest-mismatch';

describe('a blob inside a message', () => {
  it('is named by the SHA-256 of its bytes and gives them back', () => {
    const within = new Uint8Array([9, ...BYTES, 9]).subarray(1, 6); // a view into larger memory
    const blob = inlineBlob(within);
    assert.deepEqual(
      { ...blob },
      { digest: createHash('sha256').update(BYTES).digest('hex'), sizeBytes: 5, bytes: 'AP8HgAM=' },
    );
    assert.deepEqual(new Uint8Array(inlineBytes(blob)), BYTES);
  });

  it('is refused with another byte, another size or another digest', () => {
    const blob = inlineBlob(BYTES);
    assert.throws(() => inlineBytes({ ...blob, bytes: 'AP8HgAQ=' }), mismatch);
    assert.throws(() => inlineBytes({ ...blob, sizeBytes: 6 }), mismatch);
    assert.throws(() => inlineBytes({ ...blob, digest: inlineBlob(new Uint8Array(5)).digest }), mismatch);
  });
});
