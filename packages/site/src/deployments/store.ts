/** Rows of deployments. */
import type { DeploymentId, DeploymentState, ModelVersionId, SignedEnvelope } from '@lantern/contract';
import { type ColumnType, type Kysely, type Selectable, sql } from 'kysely';

/** The mirror of `migrations/005-deployments.sql` and `008-`; only this capability writes it. */
export type DeploymentTables = {
  deployment: {
    deployment_id: DeploymentId;
    model_version_id: ModelVersionId;
    model: string;
    version: number;
    service_id: string;
    state: DeploymentState;
    envelope: ColumnType<SignedEnvelope, string, never>;
    reason: string;
    deployed_by: string;
    deployed_at: Date;
    stopped_at: ColumnType<Date | null, Date | undefined, Date | null>;
    retirement_noticed_at: ColumnType<Date | null, undefined, Date>;
  };
};
export type DeploymentDb = Kysely<DeploymentTables>;
export type DeploymentRow = Selectable<DeploymentTables['deployment']>;

export async function insertDeployment(
  tx: DeploymentDb,
  row: Omit<DeploymentRow, 'stopped_at' | 'state' | 'retirement_noticed_at'>,
): Promise<DeploymentRow> {
  return tx
    .insertInto('deployment')
    .values({ ...row, state: 'live', envelope: JSON.stringify(row.envelope) })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function listDeployments(db: DeploymentDb): Promise<DeploymentRow[]> {
  return db.selectFrom('deployment').selectAll().orderBy('deployed_at', 'desc').orderBy('deployment_id').execute();
}

export async function listLive(db: DeploymentDb): Promise<DeploymentRow[]> {
  return db.selectFrom('deployment').selectAll().where('state', '=', 'live').orderBy('service_id').execute();
}

/** Live deployments of versions that, as far as is known here, stand at the hub. */
export async function listUnretired(db: DeploymentDb): Promise<DeploymentRow[]> {
  return db
    .selectFrom('deployment')
    .selectAll()
    .where('state', '=', 'live')
    .where('retirement_noticed_at', 'is', null)
    .orderBy('deployment_id')
    .execute();
}

/** False when it was noticed before, or the deployment is no longer live. */
export async function setRetirementNoticed(tx: DeploymentDb, deploymentId: DeploymentId, at: Date): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('deployment')
    .set({ retirement_noticed_at: at })
    .where('deployment_id', '=', deploymentId)
    .where('state', '=', 'live')
    .where('retirement_noticed_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Every deployment that ever answered under a service id, live or stopped. */
export async function listIdsOfService(db: DeploymentDb, serviceId: string): Promise<DeploymentId[]> {
  const rows = await db.selectFrom('deployment').select('deployment_id').where('service_id', '=', serviceId).execute();
  return rows.map((row) => row.deployment_id);
}

export async function findLive(db: DeploymentDb, serviceId: string): Promise<DeploymentRow | undefined> {
  return db
    .selectFrom('deployment')
    .selectAll()
    .where('service_id', '=', serviceId)
    .where('state', '=', 'live')
    .executeTakeFirst();
}

/** The live deployment of a service, if any, locked: two deployments under one service id follow one another. */
export async function lockLive(tx: DeploymentDb, serviceId: string): Promise<DeploymentRow | undefined> {
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(${`deployment/${serviceId}`}, 0))`.execute(tx);
  return tx
    .selectFrom('deployment')
    .selectAll()
    .where('service_id', '=', serviceId)
    .where('state', '=', 'live')
    .forUpdate()
    .executeTakeFirst();
}

export async function lockDeployment(tx: DeploymentDb, deploymentId: DeploymentId): Promise<DeploymentRow | undefined> {
  return tx
    .selectFrom('deployment')
    .selectAll()
    .where('deployment_id', '=', deploymentId)
    .forUpdate()
    .executeTakeFirst();
}

export async function setState(
  tx: DeploymentDb,
  deploymentId: DeploymentId,
  change: { state: DeploymentState; stoppedAt: Date | null },
): Promise<void> {
  await tx
    .updateTable('deployment')
    .set({ state: change.state, stopped_at: change.stoppedAt })
    .where('deployment_id', '=', deploymentId)
    .execute();
}
