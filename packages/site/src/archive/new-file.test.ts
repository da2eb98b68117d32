import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { createFileMaker, type FileMaker } from './new-file.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'lantern-new-file-'));
after(() => rmSync(folder, { recursive: true }));

const BLOCK_BYTES = 640 * 1024;
/** statfs(2). */
const TMPFS_MAGIC = 0x01021994;

function contentOf(sizeBytes: number, seed = 1): Buffer {
  return Buffer.from(Uint8Array.from({ length: sizeBytes }, (_, index) => (index * 31 + seed) % 251));
}

async function write(maker: FileMaker, file: string, pieces: readonly Buffer[]): Promise<void> {
  const target = maker.create(file);
  try {
    for (const piece of pieces) {
      const passing = Buffer.from(piece);
      await target.append(passing);
      passing.fill(0xaa); // it was ours until then
    }
    await target.sync();
  } finally {
    target.close();
  }
}

/** Flags of open(2) by which this process has the file open now (proc_pid_fdinfo(5)). */
function openFlags(file: string): number {
  const descriptor = readdirSync('/proc/self/fd').find((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === file;
    } catch {
      return false; // the descriptor by which the folder was read
    }
  });
  const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1];
  return Number.parseInt(flags ?? '', 8);
}

describe('a new file', () => {
  it('holds what was appended, whatever its length', async () => {
    const maker = createFileMaker();
    for (const sizeBytes of [0, 1, 4095, 4096, 4097, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES]) {
      const content = contentOf(sizeBytes);
      const file = path.join(folder, `of-${sizeBytes}`);
      await write(maker, file, [content.subarray(0, 400), content.subarray(400)]);
      assert.ok(readFileSync(file).equals(content), `${sizeBytes} bytes`);
    }
  });

  it('is written as well while more are written than there are blocks', async () => {
    const maker = createFileMaker();
    const files = Array.from({ length: 50 }, (_, index) => path.join(folder, `beside-${index}`));
    const content = (index: number) => contentOf(BLOCK_BYTES + 100 * index, index);
    await Promise.all(files.map((file, index) => write(maker, file, [content(index)])));
    for (const [index, file] of files.entries()) assert.ok(readFileSync(file).equals(content(index)), file);
  });

  it('takes the place of none, and one that fails takes no block away', async () => {
    const maker = createFileMaker();
    const file = path.join(folder, 'taken');
    await write(maker, file, [contentOf(10)]);
    for (let attempt = 0; attempt < 40; attempt += 1)
      await assert.rejects(write(maker, file, [contentOf(20)]), { code: 'EEXIST' });
    assert.ok(readFileSync(file).equals(contentOf(10)));
  });

  it('is written through the page cache once the disk has refused memory that is not aligned', async () => {
    const memory = new ArrayBuffer(2 * BLOCK_BYTES + 2);
    const crooked = [Buffer.from(memory, 1, BLOCK_BYTES), Buffer.from(memory, BLOCK_BYTES + 1, BLOCK_BYTES)];
    const maker = createFileMaker(crooked);
    for (const sizeBytes of [10, 2 * BLOCK_BYTES + 5]) {
      const file = path.join(folder, `crooked-${sizeBytes}`);
      await write(maker, file, [contentOf(sizeBytes)]);
      assert.ok(readFileSync(file).equals(contentOf(sizeBytes)), `${sizeBytes} bytes`);
    }
    const next = path.join(folder, 'next');
    const target = maker.create(next);
    await target.opened();
    const flags = openFlags(next);
    target.close();
    const isOnTmpfs = statfsSync(folder).type === TMPFS_MAGIC; // takes any memory
    assert.equal((flags & constants.O_DIRECT) !== 0, isOnTmpfs);
  });

  it('is written past the page cache where the file system can, and through it where it cannot', async (t) => {
    const mounted = path.join(folder, 'ramfs');
    mkdirSync(mounted);
    try {
      execFileSync('mount', ['-t', 'ramfs', 'ramfs', mounted], { stdio: 'pipe' }); // knows no direct writes
    } catch {
      return t.skip('a file system without direct writes cannot be mounted here');
    }
    try {
      const maker = createFileMaker();
      const direct = maker.create(path.join(folder, 'direct'));
      await direct.opened();
      assert.notEqual(openFlags(path.join(folder, 'direct')) & constants.O_DIRECT, 0);
      direct.close();
      const file = path.join(mounted, 'through');
      await write(maker, file, [contentOf(BLOCK_BYTES + 5)]);
      assert.ok(readFileSync(file).equals(contentOf(BLOCK_BYTES + 5)));
    } finally {
      execFileSync('umount', ['--lazy', mounted]);
    }
  });
});
