/**
 * Removes files that no row knows. Between a file and its row a process may die; the instance was then never acknowledged and its
 * sender sends it again. So the folders of the hours since the last check are compared with the rows that came since, at every
 * start and from time to time; older hours were compared before and never change.
 */
import { readdir } from 'node:fs/promises';
import type { Clock, Database, Logger } from '@lantern/service';
import { hourFolder, type ImageFiles } from './image-files.ts';
import { knownFiles, readCheckedUntil, writeCheckedUntil } from './store.ts';

const HOUR_MS = 3_600_000;
/** Looked up in one statement. */
const FILE_COUNT_MAX = 1000;

export type ArchiveCheck = {
  /** Gives how many files were removed. */
  run(signal?: AbortSignal): Promise<number>;
};

type CheckDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly files: ImageFiles;
};

export function createArchiveCheck({ database, clock, log, files }: CheckDeps): ArchiveCheck {
  return {
    async run(signal) {
      const until = clock.now();
      let removed = 0;
      for (const folder of await foldersSince(files.dir, await readCheckedUntil(database))) {
        signal?.throwIfAborted();
        removed += await checkFolder(folder);
      }
      // The hour of a file is that of its beginning: the folders of those that are still arriving are looked at again.
      const oldest = files.oldestInWork() ?? until;
      await writeCheckedUntil(database, new Date(Math.min(oldest.getTime(), until.getTime()) - HOUR_MS));
      if (removed > 0) log.warn({ count: removed }, 'files that no row knew were removed');
      return removed;
    },
  };

  async function checkFolder(folder: string): Promise<number> {
    const all = (await readdir(files.pathOf(folder))).map((name) => `${folder}/${name}`);
    let removed = 0;
    for (let at = 0; at < all.length; at += FILE_COUNT_MAX) {
      const some = all.slice(at, at + FILE_COUNT_MAX).filter((file) => !files.isInWork(file));
      const known = await knownFiles(database, some);
      for (const file of some) {
        if (known.has(file) || files.isInWork(file)) continue;
        await files.discard(file);
        removed += 1;
      }
    }
    return removed;
  }
}

/** Folders of hours from that of `since` on, in order; all of them where it is undefined. */
async function foldersSince(dir: string, since: Date | undefined): Promise<string[]> {
  const first = since === undefined ? '' : hourFolder(since);
  const days = (await readdir(dir)).filter((day) => /^\d{8}$/.test(day) && day >= first.slice(0, 8)).sort();
  const folders: string[] = [];
  for (const day of days) {
    const hours = (await readdir(`${dir}/${day}`)).filter((hour) => /^\d\d$/.test(hour)).sort();
    folders.push(...hours.map((hour) => `${day}/${hour}`).filter((folder) => folder >= first));
  }
  return folders;
}
