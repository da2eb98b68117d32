/** Rows of run snapshots, of control variates, of runs that were let in and of what stood in their rows. */
import type { DatasetSchema, Digest, FeatureSpec, MomentsMessage, ProjectId, RunId } from '@lantern/contract';
import { patientSetBytes, patientSetFromBytes, type ReleasedRows } from '@lantern/omop';
import { type Selectable, sql } from 'kysely';
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

/** Lets one run be counted under a decision at a time, until the transaction ends. */
export async function lockRunCount(tx: SiteDb, decisionDigest: Digest): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`lantern.runs:${decisionDigest}`}, 0))`.execute(tx);
}

/** Lets one run on a dataset be held against the others at a time, until the transaction ends. */
export async function lockReleasedRows(tx: SiteDb, dataset: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`lantern.released-rows:${dataset}`}, 0))`.execute(tx);
}

export async function isCountedRun(tx: SiteDb, runId: RunId): Promise<boolean> {
  const row = await tx.selectFrom('counted_run').select('run_id').where('run_id', '=', runId).executeTakeFirst();
  return row !== undefined;
}

export async function countRuns(tx: SiteDb, decisionDigest: Digest): Promise<number> {
  const row = await tx
    .selectFrom('counted_run')
    .select((build) => build.fn.countAll<string | number>().as('count'))
    .where('decision_digest', '=', decisionDigest)
    .executeTakeFirst();
  return Number(row?.count ?? 0);
}

export async function insertCountedRun(
  tx: SiteDb,
  run: { runId: RunId; projectId: ProjectId; decisionDigest: Digest; at: Date },
): Promise<void> {
  await tx
    .insertInto('counted_run')
    .values({
      run_id: run.runId,
      project_id: run.projectId,
      decision_digest: run.decisionDigest,
      counted_at: run.at,
    })
    .execute();
}

export async function insertReleasedRows(
  tx: SiteDb,
  { dataset, rows, at }: { dataset: string; rows: ReleasedRows; at: Date },
): Promise<void> {
  const sums = [...rows.columns.values()].map((sum) => Buffer.from(sum.buffer, sum.byteOffset, sum.byteLength));
  await tx
    .insertInto('released_rows')
    .values({
      dataset,
      patients: Buffer.from(patientSetBytes(rows.patients)),
      patient_count: rows.patients.count,
      columns: JSON.stringify([...rows.columns.keys()]),
      sums: Buffer.concat(sums),
      released_at: at,
    })
    .execute();
}

/** What was released of a dataset with a number of patients that is less than `reach` away; one at a time. */
export async function* streamReleasedRows(
  tx: SiteDb,
  dataset: string,
  near: { patientCount: number; reach: number },
): AsyncGenerator<ReleasedRows, void, undefined> {
  for (let afterOrdinal = 0; ; ) {
    const row = await tx
      .selectFrom('released_rows')
      .selectAll()
      .where('dataset', '=', dataset)
      .where('ordinal', '>', afterOrdinal)
      .where('patient_count', '>', near.patientCount - near.reach)
      .where('patient_count', '<', near.patientCount + near.reach)
      .orderBy('ordinal')
      .limit(1)
      .executeTakeFirst();
    if (row === undefined) return;
    const bytes = row.sums.length / row.columns.length;
    const columns = row.columns.map((name, index): [string, Uint32Array] => [
      name,
      new Uint32Array(Uint8Array.from(row.sums.subarray(index * bytes, (index + 1) * bytes)).buffer),
    ]);
    yield { patients: patientSetFromBytes(row.patients), columns: new Map(columns) };
    afterOrdinal = row.ordinal;
  }
}
