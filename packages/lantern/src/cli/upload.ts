/** Sends a file to a hub or site in resumable pieces, named by its SHA-256. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { AppError, type Digest, type Endpoint, HUB_API, isDigest, pathOf, type SITE_API } from '@lantern/contract';
import { sha256 } from '@lantern/service';
import type { Connection } from './connection.ts';
import type { Progress } from './output.ts';

const CHUNK_BYTES = 8 * 1024 * 1024; // large enough to be fast, small enough that a lost link repeats little

export type UploadTarget = {
  readonly offset: typeof HUB_API.uploadOffset | typeof SITE_API.importOffset;
  readonly append: Endpoint;
};

/** Digest of a file, read in pieces. */
async function digestOfFile(file: string): Promise<{ digest: Digest; sizeBytes: number }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const handle = await open(file, 'r');
  try {
    for await (const bytes of handle.createReadStream({ autoClose: false })) {
      hash.update(bytes);
      sizeBytes += bytes.byteLength;
    }
  } finally {
    await handle.close();
  }
  const digest = hash.digest('hex');
  if (!isDigest(digest)) throw new AppError('internal', 'SHA-256 did not give a digest.');
  return { digest, sizeBytes };
}

type Source = { digest: Digest; sizeBytes: number; read(offset: number, length: number): Promise<Uint8Array> };

export async function uploadBytes(connection: Connection, target: UploadTarget, bytes: Uint8Array): Promise<Digest> {
  return upload(connection, target, {
    digest: sha256(bytes),
    sizeBytes: bytes.byteLength,
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  });
}

export async function uploadFile(
  connection: Connection,
  target: UploadTarget,
  file: string,
  progress?: Progress,
): Promise<Digest> {
  const named = await digestOfFile(file);
  const handle = await open(file, 'r');
  try {
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const buffer = new Uint8Array(length);
      const { bytesRead } = await handle.read(buffer, 0, length, offset);
      return buffer.subarray(0, bytesRead);
    };
    return await upload(connection, target, { ...named, read }, progress);
  } finally {
    await handle.close();
  }
}

async function upload(
  connection: Connection,
  target: UploadTarget,
  source: Source,
  progress?: Progress,
): Promise<Digest> {
  const params = { digest: source.digest };
  const schema = HUB_API.uploadOffset.response;
  let state = await connection.api.call(target.offset, { params });
  while (!state.complete) {
    const body = await source.read(state.offset, Math.min(CHUNK_BYTES, source.sizeBytes - state.offset));
    const path = `${pathOf(target.append, params)}?offset=${state.offset}&sizeBytes=${source.sizeBytes}`;
    const sent = { method: 'PATCH', body, sizeBytes: body.byteLength, digest: sha256(body), schema } as const;
    const next = await connection.http.upload(path, sent);
    if (!next.complete && next.offset <= state.offset)
      throw new AppError('peer.ambiguous', 'The upload does not advance.');
    state = next;
    progress?.update(state.offset, source.sizeBytes);
  }
  progress?.end();
  return source.digest;
}
