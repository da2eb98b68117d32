/** Rows of what a person has to look at in the archive. */
import type { ConflictDecision } from '@lantern/contract';
import { type Kysely, sql } from 'kysely';

/** The mirror of what `migrations/018-image-findings.sql` adds, as far as it is written from here. */
export type FindingTables = {
  image_conflict: {
    conflict_id: string;
    decision: ConflictDecision | null;
    decided_by: string | null;
    decided_at: Date | null;
  };
  image_finding_unaudited: { disagreement_id: string };
};
export type FindingDb = Kysely<FindingTables>;

type Page = { readonly after: string; readonly count: number };

type SentInstance = {
  readonly transferSyntaxUid: string;
  readonly sizeBytes: number;
  readonly contentDigest: string;
  readonly callingAe: string;
  readonly receivedAt: Date;
};

export type ConflictRow = {
  readonly conflictId: string;
  readonly sopInstanceUid: string;
  readonly studyInstanceUid: string;
  readonly kept: SentInstance;
  readonly refused: SentInstance;
  readonly decision: ConflictDecision | null;
  readonly decidedBy: string | null;
  readonly decidedAt: Date | null;
};

type FlatConflict = Omit<ConflictRow, 'kept' | 'refused'> & {
  readonly [Name in keyof SentInstance as `kept_${Name}` | `refused_${Name}`]: SentInstance[Name];
};

/** Without those that are being discarded. */
export async function listConflicts(db: FindingDb, { after, count }: Page): Promise<ConflictRow[]> {
  const { rows } = await sql<FlatConflict>`
    select c.conflict_id::text as "conflictId", c.sop_instance_uid as "sopInstanceUid",
      s.study_instance_uid as "studyInstanceUid",
      i.transfer_syntax_uid as "kept_transferSyntaxUid", i.data_set_bytes as "kept_sizeBytes",
      encode(i.content_digest, 'hex') as "kept_contentDigest", i.calling_ae as "kept_callingAe",
      i.received_at as "kept_receivedAt",
      c.transfer_syntax_uid as "refused_transferSyntaxUid", c.data_set_bytes as "refused_sizeBytes",
      encode(c.content_digest, 'hex') as "refused_contentDigest", c.calling_ae as "refused_callingAe",
      c.received_at as "refused_receivedAt",
      c.decision, c.decided_by as "decidedBy", c.decided_at as "decidedAt"
    from image_conflict c
      join image_instance i using (sop_instance_uid)
      join image_series using (series_key)
      join image_study s using (study_key)
    where c.conflict_id > ${after}::bigint and c.decision is distinct from 'discard'
    order by c.conflict_id limit ${count}`.execute(db);
  return rows.map((row) => ({
    conflictId: row.conflictId,
    sopInstanceUid: row.sopInstanceUid,
    studyInstanceUid: row.studyInstanceUid,
    kept: {
      transferSyntaxUid: row.kept_transferSyntaxUid,
      sizeBytes: Number(row.kept_sizeBytes),
      contentDigest: row.kept_contentDigest,
      callingAe: row.kept_callingAe,
      receivedAt: row.kept_receivedAt,
    },
    refused: {
      transferSyntaxUid: row.refused_transferSyntaxUid,
      sizeBytes: Number(row.refused_sizeBytes),
      contentDigest: row.refused_contentDigest,
      callingAe: row.refused_callingAe,
      receivedAt: row.refused_receivedAt,
    },
    decision: row.decision,
    decidedBy: row.decidedBy,
    decidedAt: row.decidedAt,
  }));
}

type Decided = { readonly decision: ConflictDecision; readonly by: string; readonly at: Date };

/** False where there is none, or it is being discarded. */
export async function decideConflict(db: FindingDb, conflictId: string, decided: Decided): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('image_conflict')
    .set({ decision: decided.decision, decided_by: decided.by, decided_at: decided.at })
    .where('conflict_id', '=', conflictId)
    .where(sql<boolean>`decision is distinct from 'discard'`)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function discardedConflicts(
  db: FindingDb,
  count: number,
): Promise<{ conflictId: string; file: string }[]> {
  const { rows } = await sql<{ conflictId: string; file: string }>`
    select conflict_id::text as "conflictId", file from image_conflict
    where decision = 'discard' order by conflict_id limit ${count}`.execute(db);
  return rows;
}

export async function deleteConflict(db: FindingDb, conflictId: string): Promise<void> {
  await db
    .deleteFrom('image_conflict')
    .where('conflict_id', '=', conflictId)
    .where('decision', '=', 'discard')
    .execute();
}

export type DisagreementRow = {
  readonly disagreementId: string;
  readonly studyKey: string;
  readonly studyInstanceUid: string;
  readonly sopInstanceUid: string;
  /** Keywords with a space between. */
  readonly attributes: string;
  readonly receivedAt: Date;
};

const DISAGREEMENT = sql`
  select d.disagreement_id::text as "disagreementId", d.study_key::text as "studyKey",
    s.study_instance_uid as "studyInstanceUid", d.sop_instance_uid as "sopInstanceUid", d.attributes,
    d.received_at as "receivedAt"
  from image_disagreement d join image_study s using (study_key)`;

export async function listDisagreements(db: FindingDb, { after, count }: Page): Promise<DisagreementRow[]> {
  const { rows } = await sql<DisagreementRow>`
    ${DISAGREEMENT} where d.disagreement_id > ${after}::bigint order by d.disagreement_id limit ${count}`.execute(db);
  return rows;
}

export async function unauditedDisagreements(db: FindingDb, count: number): Promise<DisagreementRow[]> {
  const { rows } = await sql<DisagreementRow>`
    ${DISAGREEMENT} join image_finding_unaudited using (disagreement_id) order by d.disagreement_id limit ${count}`.execute(
    db,
  );
  return rows;
}

/** False where another has done so. */
export async function markAudited(db: FindingDb, disagreementId: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('image_finding_unaudited')
    .where('disagreement_id', '=', disagreementId)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}
