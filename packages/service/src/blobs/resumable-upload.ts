/**
 * Uploads that survive a lost link and a restart: bytes are appended to a partial file named by the digest they claim; the
 * offset acknowledged is durable; the last append verifies the whole and moves it into place.
 *
 * States of one digest: nothing -> partial (offset > 0) -> object. Appends to one digest follow each other. Bytes whose own
 * digest check failed on the way are cut off again; a whole that does not match its name is thrown away.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError, type Digest, isDigest } from '@lantern/contract';
import { assertFreeBytes } from '../disk.ts';
import type { WriterFolders } from './blob-writer.ts';
import { moveIntoPlace, openForWriting, removeIfThere, syncFile, writeFully } from './durable-file.ts';

export type AppendRequest = {
  readonly offset: number;
  readonly totalBytes: number;
  readonly body: AsyncIterable<Uint8Array>;
};
export type AppendResult = { readonly offset: number; readonly complete: boolean };

type Running = { readonly hash: Hash; readonly offset: number };
const RUNNING_HASHES_MAX = 256; // uploads whose hash is kept going; others are hashed again from the file

export function createUploads(folders: WriterFolders & { readonly uploads: string }) {
  const running = new Map<Digest, Running>();
  const queues = new Map<Digest, Promise<unknown>>();

  const partialPath = (digest: Digest): string => {
    if (!isDigest(digest)) throw new AppError('input.invalid', 'That is not a SHA-256 digest.', { field: 'digest' });
    return path.join(folders.uploads, `${digest}.part`);
  };

  async function append(digest: Digest, request: AppendRequest): Promise<AppendResult> {
    checkRequest(request, folders.sizeBytesMax);
    const present = await sizeOf(folders.objectPath(digest));
    if (present !== undefined) return drain(request, present);
    const handle = await openForWriting(partialPath(digest), 'a+');
    try {
      const reached = await appendTo(handle, digest, request);
      if (reached < request.totalBytes) return { offset: reached, complete: false };
    } finally {
      await handle.close();
    }
    return complete(digest, request.totalBytes);
  }

  async function appendTo(handle: FileHandle, digest: Digest, request: AppendRequest): Promise<number> {
    const { size } = await handle.stat();
    if (size !== request.offset) {
      throw new AppError('conflict', `The upload stands at ${size}, not at ${request.offset}.`, { field: 'offset' });
    }
    await assertFreeBytes(folders.root, request.totalBytes - request.offset, folders.freeBytesMin);
    const hash = await hashUpTo(digest, size);
    running.delete(digest);
    let offset = size;
    try {
      for await (const bytes of request.body) {
        if (offset + bytes.byteLength > request.totalBytes) {
          throw new AppError('input.too-large', 'The body is longer than the size it was announced with.');
        }
        await writeFully(handle, bytes, offset);
        hash.update(bytes);
        offset += bytes.byteLength;
      }
    } catch (error) {
      // What arrived before a lost link is kept and checked with the whole; what is known to be wrong is not.
      if (isKnownWrong(error)) await handle.truncate(request.offset);
      await syncFile(handle);
      throw error;
    }
    await syncFile(handle);
    remember(digest, { hash, offset });
    return offset;
  }

  async function hashUpTo(digest: Digest, offset: number): Promise<Hash> {
    const known = running.get(digest);
    if (known?.offset === offset) return known.hash;
    const hash = createHash('sha256');
    if (offset === 0) return hash;
    for await (const bytes of createReadStream(partialPath(digest), { end: offset - 1 })) hash.update(bytes);
    return hash;
  }

  function remember(digest: Digest, state: Running): void {
    running.set(digest, state);
    const [oldest] = running.keys();
    if (running.size > RUNNING_HASHES_MAX && oldest !== undefined) running.delete(oldest);
  }

  async function complete(digest: Digest, totalBytes: number): Promise<AppendResult> {
    const hash = await hashUpTo(digest, totalBytes);
    running.delete(digest);
    if (hash.digest('hex') !== digest) {
      await removeIfThere(partialPath(digest));
      throw new AppError('input.digest-mismatch', 'The bytes received do not have the digest they were named by.');
    }
    await moveIntoPlace(partialPath(digest), folders.objectPath(digest), folders);
    return { offset: totalBytes, complete: true };
  }

  return {
    /** How many bytes of an unfinished upload are durable; 0 when there is none. */
    async offset(digest: Digest): Promise<number> {
      return (await sizeOf(partialPath(digest))) ?? 0;
    },
    /** Appends in turn: two senders of one digest follow each other. */
    append(digest: Digest, request: AppendRequest): Promise<AppendResult> {
      const before = queues.get(digest) ?? Promise.resolve();
      const mine = before.then(
        () => append(digest, request),
        () => append(digest, request),
      );
      queues.set(digest, mine);
      const forget = (): void => {
        if (queues.get(digest) === mine) queues.delete(digest);
      };
      mine.then(forget, forget);
      return mine;
    },
  };
}

function checkRequest(request: AppendRequest, sizeBytesMax: number): void {
  if (!isByteCount(request.totalBytes) || !isByteCount(request.offset)) {
    throw new AppError('input.invalid', 'Offset and size must be whole numbers of bytes.', { field: 'offset' });
  }
  if (request.totalBytes > sizeBytesMax) {
    throw new AppError('input.too-large', `An object has at most ${sizeBytesMax} bytes here.`, { field: 'sizeBytes' });
  }
  if (request.offset > request.totalBytes) {
    throw new AppError('input.invalid', 'The offset lies behind the end of the object.', { field: 'offset' });
  }
}

/** A digest or length that does not fit condemns the bytes of this append; a full disk needs their room. */
function isKnownWrong(error: unknown): boolean {
  return error instanceof AppError && (error.code.startsWith('input.') || error.code === 'storage.full');
}

function isByteCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** The object is here already: the body is read to its end, so that its own check runs, and thrown away. */
async function drain(request: AppendRequest, sizeBytes: number): Promise<AppendResult> {
  for await (const _ of request.body);
  return { offset: sizeBytes, complete: true };
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
