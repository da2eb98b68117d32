/** Rows of pulls and their entries, and how much of a study the index has. */
import assert from 'node:assert/strict';
import {
  type EventOf,
  type NewPull,
  nextState,
  PULL_ENTRY_STATES,
  type PullEntryState,
  type PullId,
  statesAllowing,
} from '@lantern/contract';
import type { FoundStudy } from '@lantern/dicom';
import { type Generated, type Kysely, type Selectable, sql } from 'kysely';

/** The mirror of `migrations/015-study-pull.sql`. */
export type PullTables = {
  study_pull: {
    pull_id: PullId;
    peer: string;
    method: NewPull['method'];
    listed_by: NewPull['by'];
    ae_title: string;
    created_by: string;
    created_at: Date;
  };
  study_pull_entry: {
    entry_key: Generated<number>;
    pull_id: PullId;
    value: string;
    study_instance_uid: string | null;
    state: PullEntryState;
    expected_count: number | null;
    arrived_count: number | null;
    reason: string;
    changed_at: Date;
  };
};
export type PullDb = Kysely<PullTables>;
export type PullRow = Selectable<PullTables['study_pull']>;
export type EntryRow = Selectable<PullTables['study_pull_entry']>;
export type EntryEvent = EventOf<typeof PULL_ENTRY_STATES>;

/** Keys of the new entries, in the order of `values`. */
export async function insertPull(tx: PullDb, pull: PullRow, values: readonly string[]): Promise<number[]> {
  await tx.insertInto('study_pull').values(pull).execute();
  const { rows } = await sql<{ key: number }>`
    insert into study_pull_entry (pull_id, value, state, reason, changed_at)
    select ${pull.pull_id}, listed.value, 'waiting', '', ${pull.created_at}::timestamptz
    from unnest(${values}::text[]) with ordinality as listed(value, place) order by place
    returning entry_key as key`.execute(tx);
  return rows.map(({ key }) => key);
}

export type PullWithCounts = PullRow & { readonly counts: Partial<Record<PullEntryState, number>> };

/** Newest first; one of them alone where `pullId` says which. */
export async function listPulls(db: PullDb, pullId?: PullId): Promise<PullWithCounts[]> {
  const pulls = await db
    .selectFrom('study_pull')
    .selectAll()
    .$if(pullId !== undefined, (query) => query.where('pull_id', '=', pullId ?? null))
    .orderBy('created_at', 'desc')
    .orderBy('pull_id')
    .execute();
  const counts = await db
    .selectFrom('study_pull_entry')
    .select(['pull_id', 'state', ({ fn }) => fn.countAll<number>().as('count')])
    .$if(pullId !== undefined, (query) => query.where('pull_id', '=', pullId ?? null))
    .groupBy(['pull_id', 'state'])
    .execute();
  const byPull = Map.groupBy(counts, (row) => row.pull_id);
  return pulls.map((pull) => ({
    ...pull,
    counts: Object.fromEntries((byPull.get(pull.pull_id) ?? []).map(({ state, count }) => [state, count])),
  }));
}

export async function listEntries(
  db: PullDb,
  pullId: PullId,
  page: { readonly after: number; readonly limit: number },
): Promise<EntryRow[]> {
  return db
    .selectFrom('study_pull_entry')
    .selectAll()
    .where('pull_id', '=', pullId)
    .where('entry_key', '>', page.after)
    .orderBy('entry_key')
    .limit(page.limit)
    .execute();
}

export type EntryOfPull = EntryRow & Pick<PullRow, 'peer' | 'method' | 'listed_by' | 'ae_title'>;

export async function readEntry(db: PullDb, entryKey: number): Promise<EntryOfPull | undefined> {
  return db
    .selectFrom('study_pull_entry')
    .innerJoin('study_pull', 'study_pull.pull_id', 'study_pull_entry.pull_id')
    .selectAll('study_pull_entry')
    .select(['peer', 'method', 'listed_by', 'ae_title'])
    .where('entry_key', '=', entryKey)
    .executeTakeFirst();
}

export type EntryChange = {
  readonly event: EntryEvent;
  readonly at: Date;
  readonly reason?: string;
  readonly study?: FoundStudy;
  readonly expectedCount?: number | undefined;
  readonly arrivedCount?: number;
};

/** The state in which it is then; `undefined` where the one in which it was does not allow the event. */
export async function changeEntry(
  tx: PullDb,
  entryKey: number,
  change: EntryChange,
): Promise<PullEntryState | undefined> {
  const { event, at, reason = '', study, expectedCount = study?.instanceCount, arrivedCount } = change;
  const row = await tx
    .updateTable('study_pull_entry')
    .set({
      state: stateAfter(event),
      reason,
      changed_at: at,
      ...(study === undefined ? {} : { study_instance_uid: study.studyInstanceUid }),
      ...(expectedCount === undefined ? {} : { expected_count: expectedCount }),
      ...(arrivedCount === undefined ? {} : { arrived_count: arrivedCount }),
    })
    .where('entry_key', '=', entryKey)
    .where('state', 'in', statesAllowing(PULL_ENTRY_STATES, event))
    .returning('state')
    .executeTakeFirst();
  return row?.state;
}

/** Each event of this table leads to one state, wherever it comes from. */
function stateAfter(event: EntryEvent): PullEntryState {
  const [after, ...others] = new Set(
    statesAllowing(PULL_ENTRY_STATES, event).flatMap((state) => nextState(PULL_ENTRY_STATES, state, event) ?? []),
  );
  assert.ok(after !== undefined && others.length === 0);
  return after;
}

/** Why the last attempt failed, while it is tried again. */
export async function noteReason(db: PullDb, entryKey: number, note: { reason: string; at: Date }): Promise<void> {
  await db
    .updateTable('study_pull_entry')
    .set({ reason: note.reason, changed_at: note.at })
    .where('entry_key', '=', entryKey)
    .execute();
}

/** Rows for further studies of the value of `entry`; gives the keys of those that are new. */
export async function insertSiblings(
  tx: PullDb,
  entry: EntryRow,
  studies: readonly FoundStudy[],
  at: Date,
): Promise<number[]> {
  if (studies.length === 0) return [];
  const rows = await tx
    .insertInto('study_pull_entry')
    .values(
      studies.map(({ studyInstanceUid, instanceCount = null }) => ({
        pull_id: entry.pull_id,
        value: entry.value,
        study_instance_uid: studyInstanceUid,
        state: 'found' as const,
        expected_count: instanceCount,
        arrived_count: null,
        reason: '',
        changed_at: at,
      })),
    )
    .onConflict((conflict) => conflict.columns(['pull_id', 'value', 'study_instance_uid']).doNothing())
    .returning('entry_key')
    .execute();
  return rows.map(({ entry_key }) => entry_key);
}

/** Keys of the entries that wait again. */
export async function retryEntries(tx: PullDb, pullId: PullId, at: Date): Promise<number[]> {
  const rows = await tx
    .updateTable('study_pull_entry')
    .set({ state: stateAfter('retry'), reason: '', changed_at: at })
    .where('pull_id', '=', pullId)
    .where('state', 'in', statesAllowing(PULL_ENTRY_STATES, 'retry'))
    .returning('entry_key')
    .execute();
  return rows.map(({ entry_key }) => entry_key).toSorted((a, b) => a - b);
}

/** Instances of a study in the index. */
export async function countArrived(db: PullDb, studyInstanceUid: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from image_study
    join image_series using (study_key) join image_instance using (series_key)
    where study_instance_uid = ${studyInstanceUid}`.execute(db);
  return rows[0]?.count ?? 0;
}
