/**
 * Small files that hold a secret: a private key, an admin token.
 *
 * Invariant: whoever reads one finds either no file or a whole one, and only its owner may read it. A file that group or
 * others may read is refused, because a secret that somebody else may have copied proves nothing.
 */
import { randomBytes } from 'node:crypto';
import { link, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError } from '@lantern/contract';

const SECRET_FILE_MODE = 0o600;
const SECRET_FILE_BYTES_MAX = 4096; // keys and tokens have some hundred bytes
const GROUP_AND_OTHERS = 0o077;

function hasCode(caught: unknown, code: string): boolean {
  return caught instanceof Error && 'code' in caught && caught.code === code;
}

/** The text of a secret file, or `undefined` when there is none. `set-up.failed` when others may read it. */
export async function readSecretFile(file: string): Promise<string | undefined> {
  const handle = await open(file, 'r').catch((caught: unknown) => {
    if (hasCode(caught, 'ENOENT')) return undefined;
    throw new AppError('set-up.failed', `The file ${file} cannot be opened.`, { cause: caught });
  });
  if (handle === undefined) return undefined;
  try {
    const { mode, size } = await handle.stat();
    if ((mode & GROUP_AND_OTHERS) !== 0) {
      const octal = (mode & 0o777).toString(8);
      throw new AppError('set-up.failed', `The file ${file} has mode ${octal}; only its owner may read it (600).`);
    }
    if (size > SECRET_FILE_BYTES_MAX) {
      throw new AppError('set-up.failed', `The file ${file} is larger than ${SECRET_FILE_BYTES_MAX} bytes.`);
    }
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

async function syncFolderOf(file: string): Promise<void> {
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Writes a durable file beside `file` and gives its name. */
async function writeBeside(file: string, text: string): Promise<string> {
  const temporary = `${file}.${randomBytes(8).toString('hex')}.tmp`;
  const handle = await open(temporary, 'wx', SECRET_FILE_MODE);
  try {
    await handle.chmod(SECRET_FILE_MODE); // whatever the umask says
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return temporary;
}

async function put(file: string, text: string, place: (temporary: string) => Promise<void>): Promise<void> {
  try {
    await place(await writeBeside(file, text));
    await syncFolderOf(file);
  } catch (cause) {
    throw new AppError('set-up.failed', `The file ${file} cannot be written.`, { cause });
  }
}

/** Makes the file unless there is one already: of several processes that race exactly one wins. Durable on return. */
export async function createSecretFile(file: string, text: string): Promise<void> {
  await put(file, text, async (temporary) => {
    try {
      await link(temporary, file);
    } catch (caught) {
      if (!hasCode(caught, 'EEXIST')) throw caught;
    } finally {
      await unlink(temporary);
    }
  });
}

/** Makes or replaces the file. Durable on return. */
export async function writeSecretFile(file: string, text: string): Promise<void> {
  await put(file, text, (temporary) => rename(temporary, file));
}
