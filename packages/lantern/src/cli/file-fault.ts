/** What went wrong with a file that a person named, in words. */
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

/** `undefined`: not the fault of a file. For the end of a command, where whatever file failed was named by a person. */
export function fileFault(caught: unknown): AppError | undefined {
  if (!(caught instanceof Error && 'code' in caught && 'path' in caught)) return undefined;
  if (typeof caught.path !== 'string' || REASONS[String(caught.code)] === undefined) return undefined;
  return new AppError('input.invalid', `${caught.path} ${fileReason(caught)}.`, { cause: caught });
}
