/** The resources of a type as they are now, one after another, in the order in which they were stored. */
import type { Database } from '@lantern/service';
import { versionText } from './answer.ts';
import { newestKey, nextResources } from './store.ts';

const PAGE_COUNT = 1000; // some two megabytes

/** Those that come meanwhile are not among them. */
export async function* storedResources(
  database: Database,
  type: string,
  signal: AbortSignal,
): AsyncGenerator<unknown, void, undefined> {
  const until = await newestKey(database);
  for (let after = '0'; ; ) {
    signal.throwIfAborted();
    const page = { types: [type], until, since: null, after, count: PAGE_COUNT };
    const versions = await nextResources(database, page);
    for (const version of versions) yield JSON.parse(versionText(version));
    const last = versions.at(-1);
    if (last === undefined) return;
    after = last.key;
  }
}
