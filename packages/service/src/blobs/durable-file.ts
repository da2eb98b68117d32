/** Writing so that it is still there after the power fails: the file first, then each folder that names it. */
import { type FileHandle, mkdir, open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { fromDiskError } from '../disk.ts';

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a folder and everything above it up to `root`, each made durable in the folder that names it. */
export async function makeFolder(folder: string, root: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true });
  if (made === undefined) return;
  for (let current = path.dirname(folder); current.startsWith(root); current = path.dirname(current)) {
    await syncFolder(current);
    if (current === root) return;
  }
}

/** Writes all of `bytes` at `position`; a full disk is `storage.full`. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  try {
    while (done < bytes.byteLength) {
      const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done);
      done += bytesWritten;
    }
  } catch (error) {
    throw fromDiskError(error);
  }
}

export async function syncFile(handle: FileHandle): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    throw fromDiskError(error);
  }
}

/** Moves a synced file to its durable place. When the same content is there already, that one stays. */
export async function moveIntoPlace(from: string, to: string, root: string): Promise<void> {
  await makeFolder(path.dirname(to), root);
  await rename(from, to);
  await syncFolder(path.dirname(to));
}

export async function removeIfThere(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
