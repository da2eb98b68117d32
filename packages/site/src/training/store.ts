/** Rows of run snapshots and control variates. */
import type { DatasetSchema, Digest, FeatureSpec, MomentsMessage, ProjectId, RunId } from '@lantern/contract';
import type { Selectable } from 'kysely';
import type { SiteDb, SiteTables } from '../tables.ts';
import type { SnapshotFacts } from './snapshot.ts';

export type SnapshotRow = Selectable<SiteTables['run_snapshot']>;

/** Keeps what a run was prepared on; preparing again, before the answer was kept, replaces it. */
export async function putSnapshot(
  tx: SiteDb,
  snapshot: {
    runId: RunId;
    projectId: ProjectId;
    contentDigest: Digest;
    schema: DatasetSchema;
    features: FeatureSpec;
    facts: SnapshotFacts;
    moments: MomentsMessage;
    trainRowCount: number;
    testRowCount: number;
    at: Date;
  },
): Promise<void> {
  const values = {
    project_id: snapshot.projectId,
    content_digest: snapshot.contentDigest,
    schema: JSON.stringify(snapshot.schema),
    features: JSON.stringify(snapshot.features),
    facts: JSON.stringify(snapshot.facts),
    moments: JSON.stringify(snapshot.moments),
    train_row_count: snapshot.trainRowCount,
    test_row_count: snapshot.testRowCount,
    prepared_at: snapshot.at,
    used_at: snapshot.at,
  };
  await tx
    .insertInto('run_snapshot')
    .values({ run_id: snapshot.runId, ...values })
    .onConflict((conflict) => conflict.column('run_id').doUpdateSet(values))
    .execute();
}

export async function findSnapshot(db: SiteDb, runId: RunId): Promise<SnapshotRow | undefined> {
  return db.selectFrom('run_snapshot').selectAll().where('run_id', '=', runId).executeTakeFirst();
}

export async function markSnapshotUsed(tx: SiteDb, runId: RunId, at: Date): Promise<void> {
  await tx.updateTable('run_snapshot').set({ used_at: at }).where('run_id', '=', runId).execute();
}

/** Runs that nothing was asked of since. */
export async function deleteIdleSnapshots(db: SiteDb, unusedSince: Date): Promise<RunId[]> {
  const rows = await db.deleteFrom('run_snapshot').where('used_at', '<', unusedSince).returning('run_id').execute();
  return rows.map((row) => row.run_id);
}

/** The control variate that a round starts from: that of the last round before it. */
export async function findControlBefore(db: SiteDb, runId: RunId, round: number): Promise<Digest | undefined> {
  const row = await db
    .selectFrom('run_control')
    .select('digest')
    .where('run_id', '=', runId)
    .where('round', '<', round)
    .orderBy('round', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.digest;
}

export async function putControl(tx: SiteDb, control: { runId: RunId; round: number; digest: Digest }): Promise<void> {
  await tx
    .insertInto('run_control')
    .values({ run_id: control.runId, round: control.round, digest: control.digest })
    .onConflict((conflict) => conflict.columns(['run_id', 'round']).doUpdateSet({ digest: control.digest }))
    .execute();
}
