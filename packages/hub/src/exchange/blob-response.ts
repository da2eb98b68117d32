/** A blob, or the part of it that a Range header names, as the answer of a route. */
import { AppError, type Digest } from '@lantern/contract';
import { type BlobStore, type ByteResponse, parseByteRange } from '@lantern/service';

export async function blobResponse(blobs: BlobStore, digest: Digest, range: string | undefined): Promise<ByteResponse> {
  const present = await blobs.stat(digest);
  if (present === undefined) throw new AppError('not-found', 'There is no such blob.');
  const part = parseByteRange(range, present.sizeBytes);
  if (part === undefined) return { status: 200, body: blobs.read(digest), sizeBytes: present.sizeBytes };
  return {
    status: 206,
    body: blobs.read(digest, { start: part.start, end: part.end }),
    sizeBytes: part.end - part.start,
    contentRange: part.contentRange,
  };
}
