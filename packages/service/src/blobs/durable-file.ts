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

/**
 * Makes a folder and everything above it up to `root`, each made durable in the folder that names it.
 *
 * durable   folders known to be durable, and with them all above; one that exists but is not in here may have been made a
 *           moment ago by another writer who has not synced it yet, so it is synced once more. What was unsure is added.
 */
export async function makeFolder(folder: string, root: string, durable: Set<string>): Promise<void> {
  const made = await mkdir(folder, { recursive: true });
  const isNew = (one: string) => made !== undefined && (one === made || one.startsWith(made + path.sep));
  const unsure: string[] = [];
  for (let one = folder; one !== root && (isNew(one) || !durable.has(one)); one = path.dirname(one)) unsure.push(one);
  // In any order: nothing is acknowledged before all are done.
  await Promise.all(unsure.map((one) => syncFolder(path.dirname(one))));
  for (const one of unsure) durable.add(one);
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

/** Moves a synced file to its durable place. The same content that is there already is replaced by its like. */
export async function moveIntoPlace(
  from: string,
  to: string,
  folders: { readonly root: string; readonly durable: Set<string> },
): Promise<void> {
  try {
    await makeFolder(path.dirname(to), folders.root, folders.durable);
    await rename(from, to);
    await syncFolder(path.dirname(to));
  } catch (error) {
    throw fromDiskError(error);
  }
}

/** Opens a file for writing; `flags` as in open(2). A disk without room for a name is `storage.full`. */
export async function openForWriting(file: string, flags: 'wx' | 'a+'): Promise<FileHandle> {
  try {
    return await open(file, flags, 0o600);
  } catch (error) {
    throw fromDiskError(error);
  }
}

export async function removeIfThere(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
