/**
 * The folder a process keeps everything in, or a command writes to, as a person named it. Made step by step: where a file system refuses new folders by
 * saying that nothing is there (Linux: /proc), the recursive `mkdir` of Node.js tries for ever.
 */
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no folder can be made there',
  EACCES: 'this user may not make or enter it',
  EPERM: 'this user may not make or enter it',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'it is a link that leads in a circle',
};

const codeOf = (caught: unknown): string => (caught instanceof Error && 'code' in caught ? String(caught.code) : '');

type Refuse = (why: string, cause?: unknown) => AppError;

/**
 * Makes the folder, and what is missing above it; gives the topmost one that it made, `undefined` when all was there. `mode` is
 * that of the folder alone: started as root, the user of the database has to pass those above it.
 */
export async function makeDataFolder(dir: string, options: { mode?: number } = {}): Promise<string | undefined> {
  return makeSteps(dir, options, (why, cause) => {
    const message = `The data folder ${dir} cannot be used: ${why}.`;
    return new AppError('config.invalid', message, { field: 'dataDir', cause });
  });
}

/** The same for a folder that a command writes to; `input.invalid` when it cannot be made. */
export async function makeNamedFolder(dir: string, options: { mode?: number } = {}): Promise<void> {
  await makeSteps(
    dir,
    options,
    (why, cause) => new AppError('input.invalid', `The folder ${dir} cannot be used: ${why}.`, { cause }),
  );
}

async function makeSteps(dir: string, options: { mode?: number }, refuse: Refuse): Promise<string | undefined> {
  const missing: string[] = [];
  for (let one = path.resolve(dir); !(await isFolder(one, refuse)); one = path.dirname(one)) missing.unshift(one);
  for (const one of missing) {
    try {
      await mkdir(one, one === missing.at(-1) ? options : {});
    } catch (cause) {
      const isMadeMeanwhile = codeOf(cause) === 'EEXIST' && (await isFolder(one, refuse));
      if (!isMadeMeanwhile) throw refuse(REASONS[codeOf(cause)] ?? codeOf(cause), cause);
    }
  }
  return missing[0];
}

/** `false`: nothing is there. */
async function isFolder(one: string, refuse: Refuse): Promise<boolean> {
  try {
    if ((await stat(one)).isDirectory()) return true;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return false;
    throw refuse(REASONS[codeOf(cause)] ?? codeOf(cause), cause);
  }
  throw refuse(`${one} is a file, not a folder`);
}
