/** What commands that de-identify share: the files to read, and the key that pseudonyms and shifts are made with. */
import { randomBytes } from 'node:crypto';
import { type Dirent, existsSync, statSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { requireFile } from './file-fault.ts';
import type { Output } from './output.ts';

const KEY_BYTES = 32;
export const KEY_FILE_DEFAULT = 'lantern-deidentification.key';

/** The file, or all files below the folder. Throws `input.invalid` where one lies in the other. */
export async function filesIn(from: string, to: string): Promise<string[]> {
  const stats = statSync(from, { throwIfNoEntry: false });
  if (stats === undefined) throw new AppError('input.invalid', `${from} is not there.`);
  if (isInside(to, from) || isInside(from, to))
    throw new AppError('input.invalid', 'Input and output must be apart: the next run would take one for the other.');
  if (!stats.isDirectory()) return [from];
  const entries: Dirent[] = await readdir(from, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .toSorted();
}

function isInside(inner: string, outer: string): boolean {
  const relative = path.relative(path.resolve(outer), path.resolve(inner));
  return relative === '' || (!relative.startsWith('..') && !path.isAbsolute(relative));
}

/** Who has the key can link originals and pseudonyms; so it never lies with what is given away. */
export async function keyIn(file: string, to: string, output: Output): Promise<Buffer> {
  if (isInside(file, to)) throw new AppError('input.invalid', 'The key file must not lie in the output folder.');
  if (!existsSync(file)) {
    await writeFile(file, `${randomBytes(KEY_BYTES).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
    output.note(
      `Made a new key: ${file}. Keep it secret, and keep it: pseudonyms agree only between runs with one key.`,
    );
  } else {
    await requireFile(file);
    output.note(`Pseudonyms are made with the key ${file}.`);
  }
  const key = Buffer.from((await readFile(file, 'utf8')).trim(), 'hex');
  if (key.byteLength !== KEY_BYTES)
    throw new AppError('input.invalid', `${file} does not hold ${KEY_BYTES} bytes as hexadecimal digits.`);
  return key;
}
