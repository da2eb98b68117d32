/** By how many days at most the images of a project are moved, so that its notes are moved by the same. */
import type { ProjectId } from '@lantern/contract';
import type { Database } from '@lantern/service';
import { profileOf } from './collections.ts';
import { type CollectionTables, listCollections } from './store.ts';

/** Of the newest collection that was approved; `undefined` where there is none. */
export async function projectShiftDaysMax(database: Database, projectId: ProjectId): Promise<number | undefined> {
  const all = await listCollections(database.kysely<CollectionTables>());
  const approved = all.filter((row) => row.project_id === projectId && row.state === 'approved');
  const [newest] = approved.toSorted((a, b) => b.created_at.getTime() - a.created_at.getTime());
  return newest === undefined ? undefined : profileOf(newest.profile).dateShiftDaysMax;
}
