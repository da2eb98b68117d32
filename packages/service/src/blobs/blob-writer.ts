/** Writes one object of unknown digest: hashed as it is written, durable and named when finished. */
import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import { AppError, type Digest, isDigest } from '@lantern/contract';
import { assertFreeBytes } from '../disk.ts';
import { makeFolder, moveIntoPlace, openForWriting, removeIfThere, syncFile, writeFully } from './durable-file.ts';

const SPACE_CHECK_BYTES = 64 * 1024 * 1024; // how much may be written between two looks at the free space

export type StoredBlob = { readonly digest: Digest; readonly sizeBytes: number };

export type BlobWriter = {
  /** `bytes` are written when it resolves and may then be reused. Throws `storage.full`, `input.too-large`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the object durable under its digest. */
  finish(): Promise<StoredBlob>;
  /** Throws away what was written. Does nothing after `finish`. */
  abort(): Promise<void>;
};

export type WriterFolders = {
  readonly root: string;
  readonly incoming: string;
  /** Folders of objects that are known to be durable. */
  readonly durable: Set<string>;
  readonly sizeBytesMax: number;
  readonly freeBytesMin: number;
  objectPath(digest: Digest): string;
};

function digestFromHex(hex: string): Digest {
  if (!isDigest(hex)) throw new AppError('internal', 'SHA-256 did not give 64 hex characters.');
  return hex;
}

export async function createBlobWriter(folders: WriterFolders): Promise<BlobWriter> {
  await assertFreeBytes(folders.root, 0, folders.freeBytesMin);
  const file = path.join(folders.incoming, `${randomBytes(12).toString('hex')}.tmp`);
  const handle = await openForWriting(file, 'wx');
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let checkedBytes = 0;
  let isOpen = true;
  let isFinished = false;

  const close = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    await handle.close();
  };
  return {
    async write(bytes) {
      if (sizeBytes + bytes.byteLength > folders.sizeBytesMax) {
        throw new AppError('input.too-large', `An object has at most ${folders.sizeBytesMax} bytes here.`);
      }
      if (sizeBytes - checkedBytes > SPACE_CHECK_BYTES) {
        await assertFreeBytes(folders.root, bytes.byteLength, folders.freeBytesMin);
        checkedBytes = sizeBytes;
      }
      await writeFully(handle, bytes, sizeBytes);
      hash.update(bytes);
      sizeBytes += bytes.byteLength;
    },
    async finish() {
      const digest = digestFromHex(hash.digest('hex'));
      const target = folders.objectPath(digest);
      await Promise.all([syncFile(handle), makeFolder(path.dirname(target), folders.root, folders.durable)]);
      await close();
      await moveIntoPlace(file, target, folders);
      isFinished = true;
      return { digest, sizeBytes };
    },
    async abort() {
      await close();
      if (!isFinished) await removeIfThere(file);
    },
  };
}
