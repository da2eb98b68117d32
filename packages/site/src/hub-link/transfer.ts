/**
 * Blobs between site and hub: in parts, each part durable before the next, going on where a broken link left off.
 *
 * Invariant: a download is complete only when its SHA-256 is the name under which it was asked for. A failed part is tried
 * again as long as each try brings the transfer forward; a try that brings nothing ends it with the error of the link, and
 * the task's own retry takes over later.
 */
import { AppError, type BlobRef, type UploadOffset } from '@lantern/contract';
import { type BlobReader, type BlobStore, gatheredBytes } from '@lantern/service';
import type { Outbound } from './outbound.ts';

const PART_BYTES = 16 * 1024 * 1024; // two minutes at 1 Mbit/s; small enough to hold in memory and to repeat

/** Brings the blob into `store`; at once when it is already there. */
export async function downloadBlob(
  outbound: Outbound,
  store: BlobStore,
  wanted: BlobRef & { readonly signal: AbortSignal },
): Promise<void> {
  const { digest, sizeBytes, signal } = wanted;
  if (await store.has(digest)) return;
  let offset = await store.uploadOffset(digest);
  for (;;) {
    try {
      const { body } = await outbound.readBlob(digest, { start: offset, signal });
      const state = await store.appendUpload(digest, { offset, totalBytes: sizeBytes, body: gatheredBytes(body) });
      if (state.complete) return;
      if (state.offset <= offset) throw new AppError('peer.unreachable', 'The download does not advance.');
      offset = state.offset;
    } catch (caught) {
      const reached = await store.uploadOffset(digest);
      if (signal.aborted || reached <= offset) throw caught;
      offset = reached;
    }
  }
}

/** Sends a blob of `store` to the hub. */
export async function uploadBlob(
  outbound: Outbound,
  store: BlobStore,
  sent: BlobRef & { readonly signal: AbortSignal },
): Promise<void> {
  const { digest, sizeBytes, signal } = sent;
  let state: UploadOffset = await outbound.call('siteUploadOffset', { params: { digest }, signal });
  if (state.complete) return;
  const memory = new Uint8Array(Math.min(PART_BYTES, sizeBytes - state.offset)); // one for all parts: each is done with when answered
  const reader = await store.openReader(digest);
  try {
    while (!state.complete) {
      const body = readPart(reader, memory, { start: state.offset, end: sizeBytes });
      const next = await outbound.appendUpload(digest, { offset: state.offset, sizeBytes, body, signal });
      if (!next.complete && next.offset <= state.offset)
        throw new AppError('peer.ambiguous', 'The upload does not advance.');
      state = next;
    }
  } finally {
    reader.close();
  }
}

/** Fills `memory`, or as much of it as there is up to `end`, from `start` on. */
function readPart(reader: BlobReader, memory: Uint8Array, range: { start: number; end: number }): Uint8Array {
  const part = memory.subarray(0, Math.min(memory.byteLength, range.end - range.start));
  let filled = 0;
  while (filled < part.byteLength) {
    const count = reader.readInto(part.subarray(filled), range.start + filled);
    if (count === 0) throw new AppError('storage.corrupt', 'A stored blob is shorter than it was.');
    filled += count;
  }
  return part;
}
