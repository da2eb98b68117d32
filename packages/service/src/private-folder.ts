/**
 * Folders that hold data of a hospital. A data folder itself may have to let the database's user pass (postgres/embedded.ts),
 * so each folder in it is closed by itself, and everything below such a folder is out of reach whatever its own mode is.
 */
import { chmod, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';

const OWNER_ONLY = 0o700;
const GROUP_AND_OTHERS = 0o077;

/**
 * Makes `folder` so that its owner alone may read or pass it; one that is there and open is closed. Folders above it that are
 * missing get the usual mode: who may pass those is not this folder's business. `set-up.failed` when it is open
 * and belongs to somebody else, as a mounted disk may.
 */
export async function makePrivateFolder(folder: string): Promise<void> {
  await mkdir(path.dirname(folder), { recursive: true });
  await mkdir(folder, { recursive: true, mode: OWNER_ONLY });
  if (((await stat(folder)).mode & GROUP_AND_OTHERS) === 0) return;
  try {
    await chmod(folder, OWNER_ONLY);
  } catch (cause) {
    throw new AppError(
      'set-up.failed',
      `Others may look into the folder ${folder}; close it with "chmod 700 ${folder}".`,
      {
        cause,
      },
    );
  }
}
