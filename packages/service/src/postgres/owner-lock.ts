/**
 * One Lantern process per data folder. Without this lock a second process would adopt the first one's database server and
 * stop it under the first one's feet.
 *
 * The lock is a file that names its holder by process id and start time. It is made complete under another name and then
 * linked, so that it appears whole or not at all; a lock whose holder no longer runs is moved away and taken over.
 * It protects against mistakes, not against malice.
 */
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@lantern/contract';
import { startMark } from './os-process.ts';

const LOCK_FILE = 'owner.lock';

/** Each loss of the race means that somebody else took the lock; two such losses in a row are a fight, not an accident. */
const ATTEMPTS_MAX = 3;

type Holder = { readonly pid: number; readonly startMark: string };

function holderFrom(text: string): Holder | undefined {
  const match = /^(\d+) (.+)\n$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { pid: Number(match[1]), startMark: match[2] };
}

async function isHeld(holder: Holder | undefined): Promise<boolean> {
  return holder !== undefined && (await startMark(holder.pid)) === holder.startMark;
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (caught) {
    if (caught instanceof Error && 'code' in caught && caught.code === 'EEXIST') return false;
    throw caught;
  }
}

/**
 * Takes the lock of `dir` and returns the function that gives it back.
 * Throws `set-up.failed` when another process that still runs holds it; this process may hold it only once, too.
 */
export async function takeOwnerLock(dir: string): Promise<() => Promise<void>> {
  const lockFile = join(dir, LOCK_FILE);
  const ownFile = `${lockFile}.${process.pid}`;
  await writeFile(ownFile, `${process.pid} ${(await startMark(process.pid)) ?? 'unknown'}\n`, { mode: 0o600 });
  try {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      if (await tryLink(ownFile, lockFile)) return () => rm(lockFile, { force: true });
      const holder = holderFrom(await readFile(lockFile, 'utf8').catch(() => ''));
      if (await isHeld(holder)) {
        throw new AppError(
          'set-up.failed',
          `Process ${holder?.pid} already uses the data folder ${dir}; stop it first.`,
        );
      }
      const aside = `${ownFile}.stale`;
      await rename(lockFile, aside).catch(() => undefined);
      await rm(aside, { force: true });
    }
  } finally {
    await rm(ownFile, { force: true });
  }
  throw new AppError('set-up.failed', `Several processes start on the data folder ${dir} at once; start one.`);
}
