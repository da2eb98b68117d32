/**
 * The file of `lantern demo --json`: opened before the story begins, so that a place that cannot be written is known at once and
 * not after a minute; what it held stays until the story has ended well.
 */
import { existsSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { AppError } from '@lantern/contract';
import { fileReason } from '../cli/file-fault.ts';

export type ReportFile = {
  write(facts: unknown): Promise<void>;
  /** Removes the file again when it was made here and never written. */
  close(): Promise<void>;
};

/** Throws `input.invalid` when the file cannot be written. */
export async function openReportFile(file: string): Promise<ReportFile> {
  const isNew = !existsSync(file);
  const handle = await open(file, 'a').catch((cause: unknown) => {
    const isNoFolder = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    const why = isNoFolder ? 'no file can be made there' : `it ${fileReason(cause)}`;
    throw new AppError('input.invalid', `The report ${file} cannot be written: ${why}.`, { cause });
  });
  let isWritten = false;
  return {
    async write(facts) {
      if ((await handle.stat()).isFile()) await handle.truncate(); // not so a pipe, as /dev/stdout may be
      await handle.writeFile(`${JSON.stringify(facts, null, 2)}\n`);
      isWritten = true;
    },
    async close() {
      await handle.close();
      if (isNew && !isWritten) await rm(file, { force: true });
    },
  };
}
