/**
 * Update files on their way in: only from a site that was asked for one, only as large as what it was asked for, only a few
 * per task. A site whose task was cancelled in the meantime may still finish: its late answer is accepted, not counted.
 */
import { AppError, type Digest, type SiteId, type UploadOffset } from '@lantern/contract';
import { type BlobStore, faultPoint } from '@lantern/service';
import type { HubContext } from '../hub-context.ts';
import * as store from './store.ts';

const LATE_UPLOAD_MS_MAX = 3600 * 1000; // a straggler that began before its task was cancelled may end within the hour
const UPLOADS_PER_SITE_MAX = 32; // begun and not yet complete; an update and its control delta are two
const PARTIAL_FORGOTTEN_AFTER_MS = 24 * 3600 * 1000; // an upload that nobody goes on with

export type Uploads = ReturnType<typeof createUploads>;

export function createUploads(deps: HubContext & { readonly blobs: BlobStore }) {
  /** Uploads begun per site: digest and instant [monotonic ms]. Lost at a restart, which only makes the bound laxer. */
  const begun = new Map<SiteId, Map<Digest, number>>();

  async function checkSize(siteId: SiteId, sizeBytes: number): Promise<void> {
    const cancelledAfter = new Date(deps.clock.now().getTime() - LATE_UPLOAD_MS_MAX);
    const sizeBytesMax = await store.uploadBytesMaxOf(deps.db, siteId, cancelledAfter);
    if (sizeBytesMax === 0) throw new AppError('auth.forbidden', 'No task of this site asks for an update.');
    if (sizeBytes > sizeBytesMax) {
      throw new AppError('input.too-large', `An update for the tasks of this site has at most ${sizeBytesMax} bytes.`, {
        field: 'sizeBytes',
      });
    }
  }

  function begin(siteId: SiteId, digest: Digest): void {
    const nowMs = deps.clock.monotonicMs();
    const ofSite = begun.get(siteId) ?? new Map<Digest, number>();
    begun.set(siteId, ofSite);
    for (const [known, atMs] of ofSite) if (nowMs - atMs > PARTIAL_FORGOTTEN_AFTER_MS) ofSite.delete(known);
    if (!ofSite.has(digest) && ofSite.size >= UPLOADS_PER_SITE_MAX) {
      throw new AppError('auth.rate-limited', `A site has at most ${UPLOADS_PER_SITE_MAX} unfinished uploads.`);
    }
    ofSite.set(digest, nowMs);
  }

  return {
    async offsetOf(digest: Digest): Promise<UploadOffset> {
      return offsetOf(deps.blobs, digest);
    },

    async append(
      siteId: SiteId,
      chunk: { digest: Digest; offset: number; sizeBytes: number; body: AsyncIterable<Uint8Array> },
    ): Promise<UploadOffset> {
      await checkSize(siteId, chunk.sizeBytes);
      begin(siteId, chunk.digest);
      const reached = await appendChunk(deps.blobs, chunk);
      if (reached.complete) begun.get(siteId)?.delete(chunk.digest);
      return reached;
    },
  };
}

export async function offsetOf(blobs: BlobStore, digest: Digest): Promise<UploadOffset> {
  const present = await blobs.stat(digest);
  if (present !== undefined) return { offset: present.sizeBytes, complete: true };
  return { offset: await blobs.uploadOffset(digest), complete: false };
}

/** Appends one chunk; `sizeBytes` is that of the whole blob. */
export async function appendChunk(
  blobs: BlobStore,
  chunk: { digest: Digest; offset: number; sizeBytes: number; body: AsyncIterable<Uint8Array> },
): Promise<UploadOffset> {
  const reached = await blobs.appendUpload(chunk.digest, {
    offset: chunk.offset,
    totalBytes: chunk.sizeBytes,
    body: chunk.body,
  });
  faultPoint('hub.upload.chunk-written');
  return reached;
}
