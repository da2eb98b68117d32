/** Rows of model versions, and what their lineage is made of. */
import type {
  Digest,
  ModelVersionId,
  ModelVersionState,
  RunId,
  SignedEnvelope,
  SiteId,
  StepKind,
} from '@lantern/contract';
import { type Selectable, sql } from 'kysely';
import type { HubDb, HubTables } from '../tables.ts';

export type ModelVersionRow = Selectable<HubTables['model_version']>;

/** Locks the name of a model until the transaction ends and gives its next version number, from 1. */
export async function nextVersion(tx: HubDb, model: string): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`model ${model}`}, 0))`.execute(tx);
  const row = await tx
    .selectFrom('model_version')
    .select((select) => select.fn.max('version').as('newest'))
    .where('model', '=', model)
    .executeTakeFirst();
  return Number(row?.newest ?? 0) + 1;
}

export async function findNewestReleased(
  db: HubDb,
  of: { runId: RunId; model: string },
): Promise<ModelVersionRow | undefined> {
  return db
    .selectFrom('model_version')
    .selectAll()
    .where('run_id', '=', of.runId)
    .where('model', '=', of.model)
    .where('state', '=', 'released')
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export async function insertModelVersion(
  tx: HubDb,
  version: {
    modelVersionId: ModelVersionId;
    model: string;
    version: number;
    runId: RunId;
    bundleDigest: Digest;
    weightsDigest: Digest;
    envelope: SignedEnvelope;
    createdBy: string;
    createdAt: Date;
  },
): Promise<void> {
  await tx
    .insertInto('model_version')
    .values({
      model_version_id: version.modelVersionId,
      model: version.model,
      version: version.version,
      state: 'released',
      run_id: version.runId,
      bundle_digest: version.bundleDigest,
      weights_digest: version.weightsDigest,
      envelope: JSON.stringify(version.envelope),
      created_by: version.createdBy,
      created_at: version.createdAt,
    })
    .execute();
}

export async function findModelVersion(db: HubDb, id: ModelVersionId): Promise<ModelVersionRow | undefined> {
  return db.selectFrom('model_version').selectAll().where('model_version_id', '=', id).executeTakeFirst();
}

export async function lockModelVersion(tx: HubDb, id: ModelVersionId): Promise<ModelVersionRow | undefined> {
  return tx.selectFrom('model_version').selectAll().where('model_version_id', '=', id).forUpdate().executeTakeFirst();
}

export async function listModelVersionRows(db: HubDb): Promise<ModelVersionRow[]> {
  return db.selectFrom('model_version').selectAll().orderBy('model').orderBy('version').execute();
}

export async function retireModelVersion(
  tx: HubDb,
  id: ModelVersionId,
  to: { state: ModelVersionState; retirement: SignedEnvelope },
): Promise<void> {
  const retirement = JSON.stringify(to.retirement);
  await tx
    .updateTable('model_version')
    .set({ state: to.state, retirement })
    .where('model_version_id', '=', id)
    .execute();
}

export type RoundLineage = {
  readonly number: number;
  readonly step: StepKind;
  readonly weightsDigest: Digest | null;
  readonly sites: SiteId[];
  readonly answerDigests: Digest[];
};

/** The closed rounds of a run with the sites whose answers counted, both in ascending order of site id. */
export async function listRoundLineage(db: HubDb, runId: RunId): Promise<RoundLineage[]> {
  const { rows } = await sql<RoundLineage>`
    select number, step, weights_digest as "weightsDigest",
      json_agg(site_id order by site_id) as sites, json_agg(answer_digest order by site_id) as "answerDigests"
    from round join task on task.run_id = round.run_id and task.round = round.number and task.state = 'answered'
    where round.run_id = ${runId} and round.state = 'closed'
    group by number, step, weights_digest order by number`.execute(db);
  return rows;
}

/** The decisions under which each site answered. */
export async function listDecisionsUsed(db: HubDb, runId: RunId): Promise<Map<SiteId, Digest[]>> {
  const { rows } = await sql<{ site_id: SiteId; digests: Digest[] }>`
    select site_id, json_agg(distinct decision_digest order by decision_digest) as digests
    from task where run_id = ${runId} and state = 'answered' and decision_digest is not null
    group by site_id`.execute(db);
  return new Map(rows.map((row) => [row.site_id, row.digests]));
}
