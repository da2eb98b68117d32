/**
 * A content-addressed store on local disk: an object is named by the SHA-256 of its bytes, so it never changes, two puts of
 * the same content are one object, and damage is found.
 *
 * Invariant: a file below `objects/` is complete, synced, and was hashed as it was written. Whatever is on its way lives
 * below `incoming/` or `uploads/`. File names come from digests alone, never from outside.
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError, type Digest, isDigest } from '@lantern/contract';
import { FREE_BYTES_MIN } from '../disk.ts';
import { makePrivateFolder } from '../private-folder.ts';
import { type BlobWriter, createBlobWriter, type StoredBlob, type WriterFolders } from './blob-writer.ts';
import { makeFolder, removeIfThere, syncFolder } from './durable-file.ts';
import { type AppendRequest, type AppendResult, Uploads } from './resumable-upload.ts';

const BLOB_BYTES_MAX = 12 * 1024 ** 3; // the largest model we design for is 10 GB
const INCOMING_KEPT_MS = 60 * 60 * 1000; // a writer that has not finished within the hour died with its process
const READ_BYTES = 512 * 1024; // of an object that is sent: few turns, still little per reader
const UPLOAD_KEPT_MS = 7 * 24 * 60 * 60 * 1000; // a link may be away for a weekend

/** Reads an object piece by piece, straight into the caller's memory. */
export type BlobReader = {
  readonly sizeBytes: number;
  /** Fills `target` from `byteOffset` on; returns how many bytes there were, 0 at the end. Synchronous. */
  readInto(target: Uint8Array, byteOffset: number): number;
  /** May be called twice. */
  close(): void;
};

export type BlobSource = Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export type BlobStore = {
  put(source: BlobSource): Promise<StoredBlob>;
  /** Like `put`, but the content must have this digest: `input.digest-mismatch` otherwise, and nothing is kept. */
  putExpected(digest: Digest, source: BlobSource): Promise<StoredBlob>;
  createWriter(): Promise<BlobWriter>;
  stat(digest: Digest): Promise<{ readonly sizeBytes: number } | undefined>;
  has(digest: Digest): Promise<boolean>;
  /**
   * Bytes from `start` up to but without `end`, in pieces that are each overwritten by the next. Fails while reading when there
   * is no such object.
   */
  read(digest: Digest, range?: { start?: number; end?: number }): AsyncIterable<Uint8Array>;
  /** The whole object; `input.too-large` above `sizeBytesMax`, `not-found`. */
  readAll(digest: Digest, sizeBytesMax: number): Promise<Buffer>;
  openReader(digest: Digest): Promise<BlobReader>;
  /** Where the object is or would be, for programs that read files by path. Never write there. */
  pathOf(digest: Digest): string;
  /** Hashes the object again: `storage.corrupt` when it no longer is what its name says, `not-found`. */
  verify(digest: Digest): Promise<void>;
  remove(digest: Digest): Promise<void>;
  uploadOffset(digest: Digest): Promise<number>;
  appendUpload(digest: Digest, request: AppendRequest): Promise<AppendResult>;
};

export type BlobStoreOptions = { readonly dir: string; readonly sizeBytesMax?: number; readonly freeBytesMin?: number };

export async function openBlobStore(options: BlobStoreOptions): Promise<BlobStore> {
  const root = path.resolve(options.dir);
  const folders = {
    root,
    durable: new Set<string>(),
    incoming: path.join(root, 'incoming'),
    uploads: path.join(root, 'uploads'),
    sizeBytesMax: options.sizeBytesMax ?? BLOB_BYTES_MAX,
    freeBytesMin: options.freeBytesMin ?? FREE_BYTES_MIN,
    objectPath: (digest: Digest): string => objectPath(root, digest),
  };
  await makePrivateFolder(root);
  await makeFolder(path.join(root, 'objects'), root, folders.durable);
  await makeFolder(folders.incoming, root, folders.durable);
  await makeFolder(folders.uploads, root, folders.durable);
  await sweep(folders.incoming, INCOMING_KEPT_MS);
  await sweep(folders.uploads, UPLOAD_KEPT_MS);
  const uploads = new Uploads(folders);
  return {
    ...reading(root),
    put: (source) => put(folders, source),
    putExpected: (digest, source) => put(folders, source, digest),
    createWriter: () => createBlobWriter(folders),
    uploadOffset: (digest) => uploads.offset(digest),
    appendUpload: (digest, request) => uploads.append(digest, request),
    async remove(digest) {
      const file = objectPath(root, digest);
      await removeIfThere(file);
      await syncFolder(path.dirname(file)).catch(ignoreMissing);
    },
  };
}

function reading(root: string) {
  const statOf = async (digest: Digest): Promise<{ sizeBytes: number } | undefined> => {
    try {
      return { sizeBytes: (await stat(objectPath(root, digest))).size };
    } catch (error) {
      ignoreMissing(error);
      return undefined;
    }
  };
  return {
    stat: statOf,
    has: async (digest: Digest) => (await statOf(digest)) !== undefined,
    pathOf: (digest: Digest) => objectPath(root, digest),
    read: (digest: Digest, range: { start?: number; end?: number } = {}) => pieces(objectPath(root, digest), range),
    async readAll(digest: Digest, sizeBytesMax: number): Promise<Buffer> {
      const present = await statOf(digest);
      if (present === undefined) throw notFound();
      if (present.sizeBytes > sizeBytesMax) {
        throw new AppError('input.too-large', `The object is larger than the ${sizeBytesMax} bytes expected.`);
      }
      const parts: Buffer[] = [];
      for await (const part of createReadStream(objectPath(root, digest))) parts.push(part);
      return Buffer.concat(parts);
    },
    openReader: async (digest: Digest) => openReader(objectPath(root, digest)),
    async verify(digest: Digest): Promise<void> {
      if ((await statOf(digest)) === undefined) throw notFound();
      const hash = createHash('sha256');
      for await (const part of createReadStream(objectPath(root, digest))) hash.update(part);
      if (hash.digest('hex') !== digest)
        throw new AppError('storage.corrupt', `Object ${digest} no longer matches its digest.`);
    },
  };
}

async function* pieces(
  file: string,
  range: { start?: number; end?: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await open(file, 'r');
  try {
    const end = range.end ?? (await handle.stat()).size;
    let at = range.start ?? 0;
    const memory = new Uint8Array(Math.max(0, Math.min(READ_BYTES, end - at)));
    while (at < end) {
      const { bytesRead } = await handle.read(memory, 0, Math.min(memory.byteLength, end - at), at);
      if (bytesRead === 0) return;
      yield memory.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

async function put(folders: WriterFolders, source: BlobSource, expected?: Digest): Promise<StoredBlob> {
  const writer = await createBlobWriter(folders);
  try {
    const hash = expected === undefined ? undefined : createHash('sha256');
    for await (const bytes of source instanceof Uint8Array ? [source] : source) {
      hash?.update(bytes);
      await writer.write(bytes);
    }
    if (hash !== undefined && hash.digest('hex') !== expected) {
      throw new AppError('input.digest-mismatch', 'The bytes do not have the digest they were named by.');
    }
    return await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

function openReader(file: string): BlobReader {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    ignoreMissing(error);
    throw notFound();
  }
  let isOpen = true;
  return {
    sizeBytes: fstatSync(descriptor).size,
    readInto(target, byteOffset) {
      let filled = 0; // one read(2) gives at most 2 GiB, and may give less
      while (filled < target.byteLength) {
        const count = readSync(descriptor, target, filled, target.byteLength - filled, byteOffset + filled);
        if (count === 0) break;
        filled += count;
      }
      return filled;
    },
    close() {
      if (isOpen) closeSync(descriptor);
      isOpen = false;
    },
  };
}

function objectPath(root: string, digest: Digest): string {
  if (!isDigest(digest)) throw new AppError('input.invalid', 'That is not a SHA-256 digest.', { field: 'digest' });
  return path.join(root, 'objects', digest.slice(0, 2), digest.slice(2, 4), digest);
}

function notFound(): AppError {
  return new AppError('not-found', 'There is no object with this digest.');
}

/** Lets "no such file" pass; anything else is thrown again. */
function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}

async function sweep(folder: string, keptMs: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = path.join(folder, name);
    const { mtimeMs } = await stat(file);
    if (Date.now() - mtimeMs > keptMs) await removeIfThere(file);
  }
}
