/** Tells one content of the folder of a vocabulary from another, by what the file system says of its files. */
import { hash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';

export async function vocabularyName(folder: string): Promise<string> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new AppError('config.invalid', 'records.etl.vocabulary: there is no folder that can be read.', {
      field: 'records',
      cause,
    });
  });
  const files = await Promise.all(
    names.toSorted().map(async (name) => {
      const { size, mtimeMs } = await stat(path.join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    }),
  );
  return hash('sha256', files.join('\n'));
}
