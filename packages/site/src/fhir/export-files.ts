/** Writes what is stored as one file of JSON lines per type, for `lantern fhir export`. */
import { open } from 'node:fs/promises';
import path from 'node:path';
import type { Database } from '@lantern/service';
import { versionText } from './answer.ts';
import { nextResources } from './store.ts';

export type ExportRange = {
  readonly types: readonly string[] | undefined;
  /** Versions with a greater key came later. */
  readonly until: string;
  readonly since: Date | null;
};

const PAGE_COUNT = 1000; // some two megabytes

/** How many of each type were written to `folder`, which must be there and without such files; all synced. */
export async function writeNdjson(
  database: Database,
  folder: string,
  { signal, ...range }: ExportRange & { readonly signal?: AbortSignal | undefined },
): Promise<Map<string, number>> {
  const files = new Map<string, Awaited<ReturnType<typeof open>>>();
  const counts = new Map<string, number>();
  try {
    for (let after = '0'; ; ) {
      signal?.throwIfAborted();
      const versions = await nextResources(database, { ...range, after, count: PAGE_COUNT });
      for (const [type, group] of Map.groupBy(versions, (version) => version.type)) {
        const file = files.get(type) ?? (await open(path.join(folder, `${type}.ndjson`), 'wx', 0o600));
        files.set(type, file);
        counts.set(type, (counts.get(type) ?? 0) + group.length);
        await file.write(group.map((version) => `${versionText(version)}\n`).join(''));
      }
      const last = versions.at(-1);
      if (last === undefined) break;
      after = last.key;
    }
    for (const file of files.values()) await file.sync(); // told to be done only when it is on disk
  } finally {
    for (const file of files.values()) await file.close();
  }
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}
