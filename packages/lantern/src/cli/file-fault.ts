/** What went wrong with a file that a person named, in words. */
import { stat } from 'node:fs/promises';
import { AppError } from '@lantern/contract';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EISDIR: 'is a folder, not a file',
  ENOTDIR: 'lies below something that is no folder',
  EACCES: 'may not be read or written by this user',
  EPERM: 'may not be read or written by this user',
  EEXIST: 'is there already and is no folder',
  ENOTEMPTY: 'is a folder that is not empty',
  EROFS: 'lies on a file system that is read-only',
  ENOSPC: 'lies on a disk that is full',
  ENAMETOOLONG: 'has too long a name',
  ELOOP: 'is a link that leads in a circle',
};

export function fileReason(caught: unknown): string {
  const code = caught instanceof Error && 'code' in caught ? String(caught.code) : 'unknown reason';
  return REASONS[code] ?? `cannot be read (${code})`;
}

/** Throws `input.invalid` unless a file is there: that a folder cannot be read, Node.js says without its name. */
export async function requireFile(file: string): Promise<void> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new AppError('input.invalid', `${file} ${fileReason(cause)}.`, { cause });
  });
  if (found.isDirectory()) throw new AppError('input.invalid', `${file} ${REASONS['EISDIR']}.`);
}

/** `undefined`: not the fault of a file. For the end of a command, where whatever file failed was named by a person. */
export function fileFault(caught: unknown): AppError | undefined {
  if (!(caught instanceof Error && 'code' in caught && 'path' in caught)) return undefined;
  if (typeof caught.path !== 'string' || REASONS[String(caught.code)] === undefined) return undefined;
  return new AppError('input.invalid', `${caught.path} ${fileReason(caught)}.`, { cause: caught });
}
