/** Rows of trusted record systems, their spent tokens, and consultations. */
import type { Consultation, ConsultationId, DeploymentId, NewCdsClient } from '@lantern/contract';
import type { ColumnType, Generated, Kysely, Selectable } from 'kysely';

/** The mirror of `migrations/006-bedside.sql` and `017-`; only this capability writes it. */
export type BedsideTables = {
  cds_client: {
    issuer: string;
    public_key_pem: string;
    algorithm: NewCdsClient['algorithm'];
    registered_by: string;
    registered_at: Date;
  };
  cds_token: { issuer: string; jti: string; expires_at: Date };
  consultation: {
    consultation_id: ConsultationId;
    ordinal: Generated<number>;
    deployment_id: DeploymentId;
    card_uuid: string;
    result: Consultation['result'];
    at: Date;
    outcome: ColumnType<Outcome | null, undefined, Outcome>;
    override_code: ColumnType<string | null, undefined, string | null>;
    outcome_at: ColumnType<Date | null, undefined, Date>;
    has_comment: ColumnType<boolean, undefined, boolean>;
  };
};
export type Outcome = NonNullable<Consultation['outcome']>;
export type BedsideDb = Kysely<BedsideTables>;
export type ConsultationRow = Selectable<BedsideTables['consultation']>;

const CONSULTATION_COUNT_SHOWN = 1000; // the newest; the table is the full account

/** Trusts an issuer; a new key takes the place of the old one at once. */
export async function putClient(tx: BedsideDb, client: BedsideTables['cds_client']): Promise<void> {
  await tx
    .insertInto('cds_client')
    .values(client)
    .onConflict((conflict) => conflict.column('issuer').doUpdateSet(client))
    .execute();
}

export async function findClient(
  db: BedsideDb,
  issuer: string,
): Promise<Selectable<BedsideTables['cds_client']> | undefined> {
  return db.selectFrom('cds_client').selectAll().where('issuer', '=', issuer).executeTakeFirst();
}

/** Spends a token; false when it was spent before. Durable when it resolves. */
export async function spendToken(db: BedsideDb, token: BedsideTables['cds_token']): Promise<boolean> {
  const inserted = await db
    .insertInto('cds_token')
    .values(token)
    .onConflict((conflict) => conflict.doNothing())
    .returning('jti')
    .executeTakeFirst();
  return inserted !== undefined;
}

/** Forgets tokens that no clock would accept any more. */
export async function sweepTokens(db: BedsideDb, expiredBefore: Date): Promise<void> {
  await db.deleteFrom('cds_token').where('expires_at', '<', expiredBefore).execute();
}

export async function insertConsultation(
  db: BedsideDb,
  consultation: Pick<ConsultationRow, 'consultation_id' | 'deployment_id' | 'card_uuid' | 'result' | 'at'>,
): Promise<void> {
  await db.insertInto('consultation').values(consultation).execute();
}

/** Newest first. */
export async function listConsultations(db: BedsideDb): Promise<ConsultationRow[]> {
  return db.selectFrom('consultation').selectAll().orderBy('ordinal', 'desc').limit(CONSULTATION_COUNT_SHOWN).execute();
}

/** The consultations behind these cards, locked in one order so that two feedbacks cannot block each other. */
export async function lockConsultations(tx: BedsideDb, cardUuids: readonly string[]): Promise<ConsultationRow[]> {
  return tx
    .selectFrom('consultation')
    .selectAll()
    .where('card_uuid', 'in', cardUuids)
    .orderBy('ordinal')
    .forUpdate()
    .execute();
}

export async function setOutcome(
  tx: BedsideDb,
  cardUuid: string,
  feedback: { outcome: Outcome; overrideCode: string | null; hasComment: boolean; at: Date },
): Promise<void> {
  await tx
    .updateTable('consultation')
    .set({
      outcome: feedback.outcome,
      override_code: feedback.overrideCode,
      has_comment: feedback.hasComment,
      outcome_at: feedback.at,
    })
    .where('card_uuid', '=', cardUuid)
    .execute();
}
