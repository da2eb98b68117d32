/** Rows of storage commitment, and what it asks of the index. */
import { COMMITMENT_STATES, type CommitmentState, statesAllowing } from '@lantern/contract';
import { type ColumnType, type Generated, type Kysely, sql } from 'kysely';
import type { CommitmentRequest, ReferencedInstance } from './commitment-messages.ts';

/** The mirror of `migrations/014-storage-commitment.sql`. */
export type CommitmentTables = {
  commitment_request: {
    commitment_key: Generated<number>;
    calling_ae: string;
    called_ae: string;
    transaction_uid: string;
    instances: ColumnType<ReferencedInstance[], string, string>;
    state: CommitmentState;
    requested_at: Date;
    ended_at: Date | null;
    committed_count: number | null;
    failed_count: number | null;
  };
};
type CommitmentDb = Kysely<CommitmentTables>;

export type Asked = CommitmentRequest & {
  readonly callingAe: string;
  readonly calledAe: string;
  readonly at: Date;
};

/** The key of the transaction, which is the same one where it is asked again; `undefined` where it was about other instances. */
export async function writeRequest(tx: CommitmentDb, asked: Asked): Promise<number | undefined> {
  const { callingAe, calledAe, transactionUid, at } = asked;
  const instances = JSON.stringify(asked.instances);
  const row = await tx
    .insertInto('commitment_request')
    .values({
      calling_ae: callingAe,
      called_ae: calledAe,
      transaction_uid: transactionUid,
      instances,
      state: 'requested',
      requested_at: at,
      ended_at: null,
      committed_count: null,
      failed_count: null,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['calling_ae', 'transaction_uid'])
        .doUpdateSet({ state: 'requested', called_ae: calledAe, requested_at: at, ended_at: null })
        .where('commitment_request.instances', '=', sql<ReferencedInstance[]>`${instances}::jsonb`)
        .where('commitment_request.state', 'in', statesAllowing(COMMITMENT_STATES, 'ask')),
    )
    .returning('commitment_key')
    .executeTakeFirst();
  return row?.commitment_key;
}

export type OpenRequest = CommitmentRequest & {
  readonly callingAe: string;
  readonly calledAe: string;
  readonly requestedAt: Date;
};

/** `undefined` where it has ended. */
export async function readOpenRequest(db: CommitmentDb, commitmentKey: number): Promise<OpenRequest | undefined> {
  return db
    .selectFrom('commitment_request')
    .select([
      'calling_ae as callingAe',
      'called_ae as calledAe',
      'transaction_uid as transactionUid',
      'requested_at as requestedAt',
      'instances',
    ])
    .where('commitment_key', '=', commitmentKey)
    .where('state', 'in', statesAllowing(COMMITMENT_STATES, 'report'))
    .executeTakeFirst();
}

export type RequestEnd = {
  readonly state: 'reported' | 'unreported';
  readonly at: Date;
  readonly committedCount: number;
  readonly failedCount: number;
};

/** False where it had ended before. */
export async function endRequest(tx: CommitmentDb, commitmentKey: number, end: RequestEnd): Promise<boolean> {
  const event = end.state === 'reported' ? 'report' : 'abandon';
  const { numUpdatedRows } = await tx
    .updateTable('commitment_request')
    .set({
      state: end.state,
      ended_at: end.at,
      committed_count: end.committedCount,
      failed_count: end.failedCount,
    })
    .where('commitment_key', '=', commitmentKey)
    .where('state', 'in', statesAllowing(COMMITMENT_STATES, event))
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function deleteEndedBefore(db: CommitmentDb, before: Date): Promise<void> {
  await db.deleteFrom('commitment_request').where('ended_at', '<', before).execute();
}

export type KeptInstance = {
  readonly sopClassUid: string;
  readonly file: string;
  /** Of the whole file. */
  readonly fileBytes: number;
  /** Whether `callingAe` brought other content under the same UID. */
  readonly isInConflict: boolean;
};

/** Of `sopInstanceUids` those that the index knows. */
export async function readKept(
  db: CommitmentDb,
  sopInstanceUids: readonly string[],
  callingAe: string,
): Promise<ReadonlyMap<string, KeptInstance>> {
  const { rows } = await sql<KeptInstance & { sopInstanceUid: string }>`
    select sop_instance_uid as "sopInstanceUid", sop_class_uid as "sopClassUid", file,
      (data_set_start + data_set_bytes)::float8 as "fileBytes",
      exists (
        select from image_conflict
        where image_conflict.sop_instance_uid = image_instance.sop_instance_uid and image_conflict.calling_ae = ${callingAe}
      ) as "isInConflict"
    from image_instance where sop_instance_uid = any(${sopInstanceUids}::text[])`.execute(db);
  return new Map(rows.map(({ sopInstanceUid, ...kept }) => [sopInstanceUid, kept]));
}
