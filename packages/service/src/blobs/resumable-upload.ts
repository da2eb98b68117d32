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

type UploadFolders = WriterFolders & { readonly uploads: string };
type Running = { readonly hash: Hash; readonly offset: number };
const RUNNING_HASHES_MAX = 256; // uploads whose hash is kept going; others are hashed again from the file

/** The uploads of one store. */
export class Uploads {
  readonly #folders: UploadFolders;
  /** Hashes that go on where the last append ended. */
  readonly #hashes = new Map<Digest, Running>();
  /** The last append of each digest, which the next one waits for. */
  readonly #turns = new Map<Digest, Promise<unknown>>();

  constructor(folders: UploadFolders) {
    this.#folders = folders;
  }

  /** How many bytes of an unfinished upload are durable; 0 when there is none. */
  async offset(digest: Digest): Promise<number> {
    return (await sizeOf(this.#partialPath(digest))) ?? 0;
  }

  /** Appends in turn: two senders of one digest follow each other. */
  append(digest: Digest, request: AppendRequest): Promise<AppendResult> {
    const before = this.#turns.get(digest) ?? Promise.resolve();
    const work = () => this.#append(digest, request);
    const mine = before.then(work, work);
    const forget = (): void => {
      if (this.#turns.get(digest) === mine) this.#turns.delete(digest);
    };
    this.#turns.set(digest, mine);
    mine.then(forget, forget);
    return mine;
  }

  #partialPath(digest: Digest): string {
    if (!isDigest(digest)) throw new AppError('input.invalid', 'That is not a SHA-256 digest.', { field: 'digest' });
    return path.join(this.#folders.uploads, `${digest}.part`);
  }

  async #append(digest: Digest, request: AppendRequest): Promise<AppendResult> {
    checkRequest(request, this.#folders.sizeBytesMax);
    const present = await sizeOf(this.#folders.objectPath(digest));
    if (present !== undefined) return drain(request, present);
    const handle = await openForWriting(this.#partialPath(digest), 'a+');
    try {
      const reached = await this.#appendTo(handle, digest, request);
      if (reached < request.totalBytes) return { offset: reached, complete: false };
    } finally {
      await handle.close();
    }
    return this.#complete(digest, request.totalBytes);
  }

  async #appendTo(handle: FileHandle, digest: Digest, request: AppendRequest): Promise<number> {
    const { size } = await handle.stat();
    if (size !== request.offset) {
      throw new AppError('conflict', `The upload stands at ${size}, not at ${request.offset}.`, { field: 'offset' });
    }
    const { root, freeBytesMin } = this.#folders;
    await assertFreeBytes(root, request.totalBytes - request.offset, freeBytesMin);
    const hash = await this.#hashUpTo(digest, size);
    this.#hashes.delete(digest);
    let offset = size;
    try {
      for await (const bytes of request.body) {
        if (offset + bytes.byteLength > request.totalBytes) {
          const message = `The body is longer than the ${request.totalBytes} bytes it was announced with.`;
          throw new AppError('input.too-large', message);
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
    this.#remember(digest, { hash, offset });
    return offset;
  }

  async #hashUpTo(digest: Digest, offset: number): Promise<Hash> {
    const known = this.#hashes.get(digest);
    if (known?.offset === offset) return known.hash;
    const hash = createHash('sha256');
    if (offset === 0) return hash;
    for await (const bytes of createReadStream(this.#partialPath(digest), { end: offset - 1 })) hash.update(bytes);
    return hash;
  }

  #remember(digest: Digest, state: Running): void {
    this.#hashes.set(digest, state);
    const [oldest] = this.#hashes.keys();
    if (this.#hashes.size > RUNNING_HASHES_MAX && oldest !== undefined) this.#hashes.delete(oldest);
  }

  async #complete(digest: Digest, totalBytes: number): Promise<AppendResult> {
    const hash = await this.#hashUpTo(digest, totalBytes);
    this.#hashes.delete(digest);
    const partial = this.#partialPath(digest);
    if (hash.digest('hex') !== digest) {
      await removeIfThere(partial);
      throw new AppError('input.digest-mismatch', 'The bytes received do not have the digest they were named by.');
    }
    await moveIntoPlace(partial, this.#folders.objectPath(digest), this.#folders);
    return { offset: totalBytes, complete: true };
  }
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
