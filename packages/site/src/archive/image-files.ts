/**
 * The files of the archive: one per instance, a file of PS3.10 that any DICOM program reads, in a folder of the hour in which it
 * began to arrive. A name is chance, so that nothing that a peer sends can name a file.
 *
 *   incoming ──synced──► durable, not yet known ──row committed──► stored
 *      │                      │
 *      └─discard()──► gone ◄──┘        a crash leaves either behind; the check of that hour removes it (archive-check.ts)
 *
 * Invariant: when `durable` has resolved, content, size and name survive the loss of power.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fsync, openSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { metaFor } from '@lantern/dicom';
import {
  assertFreeBytes,
  type Clock,
  FREE_BYTES_MIN,
  fromDiskError,
  makeFolder,
  removeIfThere,
} from '@lantern/service';
import { createFileMaker, type NewFile } from './new-file.ts';

const syncDescriptor = promisify(fsync);

/** Written between two looks at the free space. */
const SPACE_CHECK_BYTES = 64 * 1024 * 1024;
const SPACE_CHECK_MS = 1000;
/** The head that is kept for the index; a header that is longer is read from the file. */
const HEAD_BYTES_MAX = 32 * 1024;
const NAME_BYTES = 12;

export type IncomingUids = {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly transferSyntaxUid: string;
};

export type WrittenFile = {
  /** Below the folder of the archive, with '/'. */
  readonly file: string;
  readonly dataSetStart: number;
  readonly dataSetBytes: number;
  /** SHA-256 of the data set, hex. */
  readonly contentDigest: string;
  /** The beginning of the data set. */
  readonly head: Buffer;
  /** Settles when the file is durable. Where that fails nothing is left, and it throws as `write` does. */
  readonly durable: Promise<void>;
};

export type ImageFiles = {
  readonly dir: string;
  /**
   * Writes the data set behind a header of our own. On any error nothing is left. Throws `storage.full`, and what the data set
   * throws.
   */
  write(uids: IncomingUids, dataSet: AsyncIterable<Uint8Array>): Promise<WrittenFile>;
  discard(file: string): Promise<void>;
  pathOf(file: string): string;
  /** Whether it is being written, or waits for its row. */
  isInWork(file: string): boolean;
  /** When the oldest of those was begun. */
  oldestInWork(): Date | undefined;
  /** Told when its row is there, or it was discarded. */
  settled(file: string): void;
};

type ImageFilesOptions = { readonly dir: string; readonly clock: Clock; readonly freeBytesMin?: number };

export function createImageFiles({ dir, clock, freeBytesMin = FREE_BYTES_MIN }: ImageFilesOptions): ImageFiles {
  const durableFolders = new Set<string>();
  const maker = createFileMaker();
  const syncNames = createSharedSync();
  const inWork = new Map<string, Date>(); // in the order in which they were begun
  const assertSpace = createSpaceCheck(dir, freeBytesMin);
  const pathOf = (file: string) => path.join(dir, ...file.split('/'));
  const discard = async (file: string) => {
    await removeIfThere(pathOf(file));
    inWork.delete(file);
  };
  return {
    dir,
    pathOf,
    discard,
    isInWork: (file) => inWork.has(file),
    oldestInWork: () => inWork.values().next().value,
    settled: (file) => void inWork.delete(file),
    async write(uids, dataSet) {
      await assertSpace(0);
      const startedAt = clock.now();
      const hour = hourFolder(startedAt);
      const folder = pathOf(hour);
      if (!durableFolders.has(folder)) await makeFolder(folder, dir, durableFolders);
      const file = `${hour}/${randomBytes(NAME_BYTES).toString('hex')}.dcm`;
      inWork.set(file, startedAt);
      const leftOver = async (caught: unknown): Promise<never> => {
        await discard(file);
        throw fromDiskError(caught);
      };
      const target = maker.create(pathOf(file));
      try {
        const written = await writeInstance(target, { uids, dataSet, assertSpace });
        // In any order, once the name is there: nothing is answered before both are done.
        const synced = target.sync().finally(() => target.close()); // the peer need not wait for the end of closing
        const named = target.opened().then(() => syncNames(folder));
        const durable = Promise.all([synced, named]).then(() => undefined, leftOver);
        durable.catch(() => undefined); // thrown where it is waited for, unless the header is refused before
        return { file, ...written, durable };
      } catch (caught) {
        await target.opened(); // else it would be made after it was removed
        target.close();
        return leftOver(caught);
      }
    },
  };
}

/** "20261127/04": the folder of an hour, in UTC. */
export function hourFolder(at: Date): string {
  const iso = at.toISOString();
  return `${iso.slice(0, 10).replaceAll('-', '')}/${iso.slice(11, 13)}`;
}

/**
 * Makes the names durable that a folder had when it was asked. One sync serves all who wait when it begins, so that a hundred
 * associations need few more than one.
 */
function createSharedSync(): (folder: string) => Promise<void> {
  const waiting = new Map<string, Promise<void>>();
  let last: Promise<unknown> = Promise.resolve();
  return (folder) => {
    const known = waiting.get(folder);
    if (known !== undefined) return known;
    const sync = last.then(() => {
      waiting.delete(folder); // whoever asks from now on may have a name that this one misses
      const descriptor = openSync(folder, 'r'); // known to the kernel, as it was just written to
      return syncDescriptor(descriptor).finally(() => closeSync(descriptor));
    });
    waiting.set(folder, sync);
    last = sync.catch(() => undefined); // told to those who wait
    return sync;
  };
}

type Instance = {
  readonly uids: IncomingUids;
  readonly dataSet: AsyncIterable<Uint8Array>;
  readonly assertSpace: (sizeBytes: number) => Promise<void>;
};

async function writeInstance(target: NewFile, { uids, dataSet, assertSpace }: Instance) {
  const meta = metaFor(uids);
  const hash = createHash('sha256');
  const head = new Head();
  let dataSetBytes = 0;
  let checkedBytes = 0;
  await target.append(meta);
  for await (const piece of dataSet) {
    hash.update(piece);
    head.add(piece);
    await target.append(piece);
    dataSetBytes += piece.byteLength;
    if (dataSetBytes - checkedBytes > SPACE_CHECK_BYTES) {
      await assertSpace(SPACE_CHECK_BYTES);
      checkedBytes = dataSetBytes;
    }
  }
  return { dataSetStart: meta.byteLength, dataSetBytes, contentDigest: hash.digest('hex'), head: head.bytes() };
}

/** Copies the beginning. */
class Head {
  #pieces: Buffer[] = [];
  #sizeBytes = 0;

  add(piece: Uint8Array): void {
    if (this.#sizeBytes >= HEAD_BYTES_MAX) return;
    const copy = Buffer.from(piece.subarray(0, HEAD_BYTES_MAX - this.#sizeBytes));
    this.#pieces.push(copy);
    this.#sizeBytes += copy.byteLength;
  }

  bytes(): Buffer {
    const [first, ...others] = this.#pieces;
    return first !== undefined && others.length === 0 ? first : Buffer.concat(this.#pieces);
  }
}

/** Asks the file system at most once a second: a question per instance would cost more than it prevents. */
function createSpaceCheck(dir: string, freeBytesMin: number): (sizeBytes: number) => Promise<void> {
  let checkedAtMs = Number.NEGATIVE_INFINITY;
  return async (sizeBytes) => {
    if (sizeBytes === 0 && performance.now() - checkedAtMs < SPACE_CHECK_MS) return;
    await assertFreeBytes(dir, sizeBytes, freeBytesMin);
    checkedAtMs = performance.now();
  };
}
