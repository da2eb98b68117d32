/** A small file system of its own (tmpfs), for tests of what happens when it is full. Linux, and only who may mount. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdtemp, rm, stat, truncate } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

const CHUNK_BYTES = 4 * 1024 * 1024;

export type SmallDisk = {
  readonly dir: string;
  /** Writes until not one byte more fits. */
  fill(): void;
  /** Gives back this much of what `fill` took [bytes]. */
  leave(freeBytes: number): Promise<void>;
  /** Removes what `fill` wrote. */
  free(): Promise<void>;
  close(): Promise<void>;
};

/** The mounted disk, or the reason why this machine does not allow one. */
export async function mountSmallDisk(sizeMiB: number): Promise<SmallDisk | string> {
  if (process.platform !== 'linux') return `tmpfs is Linux's; this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'only root may mount a file system';
  const dir = await mkdtemp(path.join(os.tmpdir(), 'lantern-small-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m,mode=711`, 'tmpfs', dir], { stdio: 'pipe' });
  } catch (caught) {
    await rm(dir, { recursive: true });
    return `this root may not mount (no CAP_SYS_ADMIN?): ${caught instanceof Error ? caught.message.split('\n')[0] : ''}`;
  }
  const ballast = path.join(dir, 'ballast');
  return {
    dir,
    fill: () => fill(ballast),
    async leave(freeBytes) {
      const { size } = await stat(ballast);
      await truncate(ballast, size - freeBytes);
    },
    free: () => rm(ballast, { force: true }),
    async close() {
      execFileSync('umount', [dir], { stdio: 'pipe' });
      await rm(dir, { recursive: true });
    },
  };
}

function fill(file: string): void {
  const chunk = Buffer.alloc(CHUNK_BYTES, 1);
  const descriptor = openSync(file, 'a');
  try {
    for (;;) writeSync(descriptor, chunk);
  } catch (caught) {
    if (!(caught instanceof Error && 'code' in caught && caught.code === 'ENOSPC')) throw caught;
  } finally {
    closeSync(descriptor);
  }
}
