/**
 * Compares the archive with its index: whether each file that a row names is there, as long as it was, with the content that was
 * received; and whether a file lies there that no row knows. Changes nothing.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import type { Database } from '@lantern/service';
import type { ImageFiles } from './image-files.ts';
import { countStored, knownFiles, nextStoredFiles, type StoredFile } from './store.ts';

export type Problem = {
  readonly kind: 'missing' | 'size' | 'content' | 'unknown-file';
  /** Below the folder of the archive. */
  readonly file: string;
  readonly sopInstanceUid?: string;
};

export type Verification = {
  readonly instanceCount: number;
  readonly conflictCount: number;
  /** Studies with an instance that says another patient: for a person to look at, and no fault of the archive. */
  readonly disagreeingStudyCount: number;
  readonly sizeBytes: number;
  readonly problems: readonly Problem[];
};

type VerifyOptions = {
  readonly database: Database;
  readonly files: Pick<ImageFiles, 'dir' | 'pathOf' | 'isInWork'>;
  /** Reads every file and compares its SHA-256; else only its length. */
  readonly hashes: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
};

/** More are counted, not listed: the answer would not be read. */
const PROBLEM_COUNT_MAX = 10_000;
const PAGE_COUNT = 500;

export async function verifyArchive(options: VerifyOptions): Promise<Verification> {
  const { database, files, hashes, onProgress, signal } = options;
  const problems: Problem[] = [];
  const note = (problem: Problem | undefined) => {
    if (problem !== undefined && problems.length < PROBLEM_COUNT_MAX) problems.push(problem);
  };
  const totals = await countStored(database);
  const total = totals.instanceCount + totals.conflictCount;
  let done = 0;
  let sizeBytes = 0;
  for (const table of ['image_instance', 'image_conflict'] as const) {
    let after = 0;
    for (;;) {
      signal?.throwIfAborted();
      const page = await nextStoredFiles(database, { table, after, count: PAGE_COUNT });
      for (const stored of page) {
        note(await problemOf(stored, files, hashes));
        sizeBytes += stored.dataSetStart + stored.dataSetBytes;
        done += 1;
      }
      onProgress?.(done, total);
      const last = page.at(-1);
      if (last === undefined) break;
      after = last.key;
    }
  }
  for await (const file of unknownFiles(database, files)) note({ kind: 'unknown-file', file });
  return { ...totals, sizeBytes, problems };
}

async function problemOf(
  stored: StoredFile,
  files: Pick<ImageFiles, 'pathOf'>,
  hashes: boolean,
): Promise<Problem | undefined> {
  const { file, sopInstanceUid, dataSetStart, dataSetBytes, contentDigest } = stored;
  const found = await stat(files.pathOf(file)).catch(() => undefined);
  if (found === undefined) return { kind: 'missing', file, sopInstanceUid };
  if (found.size !== dataSetStart + dataSetBytes) return { kind: 'size', file, sopInstanceUid };
  if (!hashes) return undefined;
  const hash = createHash('sha256');
  for await (const piece of createReadStream(files.pathOf(file), { start: dataSetStart })) hash.update(piece);
  return hash.digest('hex') === contentDigest ? undefined : { kind: 'content', file, sopInstanceUid };
}

async function* unknownFiles(
  database: Database,
  files: Pick<ImageFiles, 'dir' | 'pathOf' | 'isInWork'>,
): AsyncGenerator<string> {
  for (const day of (await readdir(files.dir)).sort()) {
    for (const hour of (await readdir(files.pathOf(day))).sort()) {
      const all = (await readdir(files.pathOf(`${day}/${hour}`))).map((name) => `${day}/${hour}/${name}`);
      for (let at = 0; at < all.length; at += PAGE_COUNT) {
        const some = all.slice(at, at + PAGE_COUNT).filter((file) => !files.isInWork(file));
        const known = await knownFiles(database, some);
        for (const file of some) if (!known.has(file) && !files.isInWork(file)) yield file;
      }
    }
  }
}
