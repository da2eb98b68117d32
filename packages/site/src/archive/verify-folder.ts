/** The verification of an archive whose process does not run: opens the database of its folder for as long as it takes. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { createLogger, openDatabase, systemClock } from '@lantern/service';
import { createImageFiles } from './image-files.ts';
import { type Verification, verifyArchive } from './verify.ts';

export type VerifyFolderOptions = {
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  readonly hashes: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
};

/** Throws `not-found` where the folder holds no archive, `set-up.failed` where a process uses it. */
export async function verifyFolder(options: VerifyFolderOptions): Promise<Verification> {
  const { dataDir, databaseUrl: url, ...rest } = options;
  const dir = path.join(dataDir, 'images');
  if (!existsSync(dir)) throw new AppError('not-found', `${dataDir} holds no archive of images.`);
  const log = createLogger({ name: 'verify', level: 'silent' });
  const database = await openDatabase({ url, dataDir, log, applicationName: 'lantern-verify' });
  try {
    return await verifyArchive({ ...rest, database, files: createImageFiles({ dir, clock: systemClock }) });
  } finally {
    await database.close();
  }
}
