/** Rows of passes of the ETL. */
import { CDM_PASS_STATES, type CdmPassState, type EventOf, nextState, statesAllowing } from '@lantern/contract';
import type { Database, Tx } from '@lantern/service';
import type { ColumnType, Generated } from 'kysely';
import { sql } from 'kysely';

type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>;

/** The mirror of `migrations/025-cdm-passes.sql`. */
export type PassTables = {
  cdm_pass: {
    pass_id: Generated<number>;
    state: CdmPassState;
    is_rebuild: boolean;
    asked_by: string;
    asked_at: Date;
    started_at: Nullable<Date>;
    ended_at: Nullable<Date>;
    is_published: Nullable<boolean>;
    read_count: Nullable<number>;
    changed_count: Nullable<number>;
    patient_count: Nullable<number>;
    reason: Nullable<string>;
  };
};

export type PassRow = {
  readonly [Column in keyof PassTables['cdm_pass']]: Column extends 'pass_id'
    ? number
    : PassTables['cdm_pass'][Column] extends ColumnType<infer Selected, infer _Insert, infer _Update>
      ? Selected
      : PassTables['cdm_pass'][Column];
};

export type PassCounts = {
  readonly is_published: boolean;
  readonly read_count: number;
  readonly changed_count: number;
  readonly patient_count: number;
};

/** One that waits and does what is asked for, or undefined. */
export async function findWaiting(tx: Tx<PassTables>, isRebuild: boolean): Promise<PassRow | undefined> {
  await sql`lock table cdm_pass in share row exclusive mode`.execute(tx);
  let query = tx.selectFrom('cdm_pass').selectAll().where('state', '=', 'waiting');
  if (isRebuild) query = query.where('is_rebuild', '=', true);
  return query.orderBy('pass_id').executeTakeFirst();
}

export async function insertPass(
  tx: Tx<PassTables>,
  pass: { readonly isRebuild: boolean; readonly askedBy: string; readonly askedAt: Date },
): Promise<PassRow> {
  return tx
    .insertInto('cdm_pass')
    .values({ state: 'waiting', is_rebuild: pass.isRebuild, asked_by: pass.askedBy, asked_at: pass.askedAt })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function readPass(database: Database, passId: number): Promise<PassRow | undefined> {
  return database
    .kysely<PassTables>()
    .selectFrom('cdm_pass')
    .selectAll()
    .where('pass_id', '=', passId)
    .executeTakeFirst();
}

export async function listPasses(database: Database, limit: number): Promise<PassRow[]> {
  return database
    .kysely<PassTables>()
    .selectFrom('cdm_pass')
    .selectAll()
    .orderBy('pass_id', 'desc')
    .limit(limit)
    .execute();
}

type PassChange = {
  readonly event: EventOf<typeof CDM_PASS_STATES>;
  readonly at: Date;
  readonly counts?: PassCounts;
  readonly reason?: string;
};

/** Whether it was in a state that allows the event. */
export async function changePass(tx: Tx<PassTables>, passId: number, change: PassChange): Promise<boolean> {
  const { event, at, counts, reason } = change;
  const from = statesAllowing(CDM_PASS_STATES, event);
  const [first] = from;
  if (first === undefined) return false;
  const state = nextState(CDM_PASS_STATES, first, event) ?? first;
  const { numUpdatedRows } = await tx
    .updateTable('cdm_pass')
    .set({
      state,
      ...(event === 'start' ? { started_at: at } : { ended_at: at }),
      ...counts,
      ...(reason === undefined ? {} : { reason }),
    })
    .where('pass_id', '=', passId)
    .where('state', 'in', from)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

/** When the latest pass ended; undefined while one waits or runs, null where there never was one. */
export async function lastEnd(database: Database): Promise<Date | null | undefined> {
  const { rows } = await sql<{ open: boolean; ended: Date | null }>`
    select exists (select from cdm_pass where state in ('waiting', 'running')) as open, max(ended_at) as ended
    from cdm_pass`.execute(database.kysely());
  return rows[0]?.open === true ? undefined : (rows[0]?.ended ?? null);
}

export async function removeEndedBefore(database: Database, before: Date): Promise<void> {
  await database.kysely<PassTables>().deleteFrom('cdm_pass').where('ended_at', '<', before).execute();
}

export async function readNextNumber(database: Database): Promise<bigint> {
  const { rows } = await sql<{ next: string }>`select next_number::text as next from cdm_numbering`.execute(
    database.kysely(),
  );
  return BigInt(rows[0]?.next ?? '1');
}

/** Never falls. */
export async function raiseNextNumber(database: Database, nextNumber: string): Promise<void> {
  await sql`
    insert into cdm_numbering (next_number) values (${nextNumber}::bigint)
    on conflict (only_row) do update set next_number = greatest(cdm_numbering.next_number, excluded.next_number)`.execute(
    database.kysely(),
  );
}
