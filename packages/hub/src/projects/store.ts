/** Rows of projects and of what each site said to them. */
import type { DecisionState, Digest, ProjectId, ProjectState, SignedEnvelope, SiteId } from '@lantern/contract';
import type { Selectable } from 'kysely';
import type { HubDb, HubTables } from '../tables.ts';

export type ProjectRow = Selectable<HubTables['project']>;
export type DecisionRow = Selectable<HubTables['project_decision']>;

export async function insertProject(
  tx: HubDb,
  project: Omit<ProjectRow, 'state'> & { bundleDigests: readonly Digest[] },
): Promise<void> {
  const { bundleDigests, ...row } = project;
  await tx
    .insertInto('project')
    .values({ ...row, state: 'draft', spec: JSON.stringify(row.spec) })
    .execute();
  await tx
    .insertInto('project_decision')
    .values(row.spec.sites.map((siteId) => ({ project_id: row.project_id, site_id: siteId, state: 'asked' as const })))
    .execute();
  if (bundleDigests.length === 0) return;
  await tx
    .insertInto('project_bundle')
    .values(bundleDigests.map((digest) => ({ project_id: row.project_id, bundle_digest: digest })))
    .execute();
}

export async function findProject(db: HubDb, projectId: ProjectId): Promise<ProjectRow | undefined> {
  return db.selectFrom('project').selectAll().where('project_id', '=', projectId).executeTakeFirst();
}

export async function lockProject(tx: HubDb, projectId: ProjectId): Promise<ProjectRow | undefined> {
  return tx.selectFrom('project').selectAll().where('project_id', '=', projectId).forUpdate().executeTakeFirst();
}

/** Keeps the project as it is until the transaction ends, without keeping others from reading it. */
export async function shareProject(tx: HubDb, projectId: ProjectId): Promise<ProjectRow | undefined> {
  return tx.selectFrom('project').selectAll().where('project_id', '=', projectId).forShare().executeTakeFirst();
}

export async function listProjectRows(db: HubDb): Promise<ProjectRow[]> {
  return db.selectFrom('project').selectAll().orderBy('created_at').orderBy('project_id').execute();
}

/** Projects that were submitted to this site, whatever became of them. */
export async function listProjectsAsking(db: HubDb, siteId: SiteId): Promise<ProjectRow[]> {
  return db
    .selectFrom('project')
    .innerJoin('project_decision', 'project_decision.project_id', 'project.project_id')
    .selectAll('project')
    .where('project_decision.site_id', '=', siteId)
    .where('project.state', '!=', 'draft')
    .orderBy('project.created_at')
    .orderBy('project.project_id')
    .execute();
}

export async function updateProjectState(tx: HubDb, projectId: ProjectId, state: ProjectState): Promise<void> {
  await tx.updateTable('project').set({ state }).where('project_id', '=', projectId).execute();
}

export type DecisionWithEnvelope = DecisionRow & { readonly envelope: SignedEnvelope | null };

export async function listDecisions(db: HubDb, projectId: ProjectId): Promise<DecisionWithEnvelope[]> {
  return db
    .selectFrom('project_decision')
    .leftJoin('decision_document', (join) =>
      join
        .onRef('decision_document.project_id', '=', 'project_decision.project_id')
        .onRef('decision_document.site_id', '=', 'project_decision.site_id')
        .onRef('decision_document.sequence', '=', 'project_decision.sequence'),
    )
    .selectAll('project_decision')
    .select('decision_document.envelope')
    .where('project_decision.project_id', '=', projectId)
    .orderBy('project_decision.site_id')
    .execute();
}

export async function lockDecision(
  tx: HubDb,
  of: { projectId: ProjectId; siteId: SiteId },
): Promise<DecisionRow | undefined> {
  return tx
    .selectFrom('project_decision')
    .selectAll()
    .where('project_id', '=', of.projectId)
    .where('site_id', '=', of.siteId)
    .forUpdate()
    .executeTakeFirst();
}

export async function insertDecisionDocument(
  tx: HubDb,
  document: {
    projectId: ProjectId;
    siteId: SiteId;
    sequence: number;
    decisionDigest: Digest;
    envelope: SignedEnvelope;
    receivedAt: Date;
  },
): Promise<void> {
  await tx
    .insertInto('decision_document')
    .values({
      project_id: document.projectId,
      site_id: document.siteId,
      sequence: document.sequence,
      decision_digest: document.decisionDigest,
      envelope: JSON.stringify(document.envelope),
      received_at: document.receivedAt,
    })
    .execute();
}

export async function updateDecision(
  tx: HubDb,
  decision: {
    projectId: ProjectId;
    siteId: SiteId;
    state: DecisionState;
    newest?: { sequence: number; decisionDigest: Digest };
  },
): Promise<void> {
  await tx
    .updateTable('project_decision')
    .set({
      state: decision.state,
      ...(decision.newest === undefined
        ? {}
        : { sequence: decision.newest.sequence, decision_digest: decision.newest.decisionDigest }),
    })
    .where('project_id', '=', decision.projectId)
    .where('site_id', '=', decision.siteId)
    .execute();
}

export async function listKnownBundles(db: HubDb, digests: readonly Digest[]): Promise<Set<Digest>> {
  if (digests.length === 0) return new Set();
  const rows = await db.selectFrom('bundle').select('bundle_digest').where('bundle_digest', 'in', digests).execute();
  return new Set(rows.map((row) => row.bundle_digest));
}
