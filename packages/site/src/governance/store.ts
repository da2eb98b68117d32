/** Rows of asked projects, decisions and grants of questions. */
import type { AskedProject, Decision, DecisionState, Digest, ProjectId, SignedEnvelope } from '@lantern/contract';
import { type Selectable, sql } from 'kysely';
import type { SiteDb, SiteTables } from '../tables.ts';

export type ProjectRow = Selectable<SiteTables['asked_project']>;
export type DecisionRow = Selectable<SiteTables['decision']>;

/** Keeps the first document seen under an id; a project never changes. */
export async function insertProject(tx: SiteDb, project: AskedProject, at: Date): Promise<boolean> {
  const inserted = await tx
    .insertInto('asked_project')
    .values({
      project_id: project.projectId,
      project_digest: project.projectDigest,
      spec: JSON.stringify(project.spec),
      hub_state: project.state,
      state: 'asked',
      first_asked_at: at,
    })
    .onConflict((conflict) => conflict.column('project_id').doNothing())
    .returning('project_id')
    .executeTakeFirst();
  return inserted !== undefined;
}

export async function listProjects(db: SiteDb): Promise<ProjectRow[]> {
  return db.selectFrom('asked_project').selectAll().orderBy('first_asked_at').orderBy('project_id').execute();
}

export async function findProject(db: SiteDb, projectId: ProjectId): Promise<ProjectRow | undefined> {
  return db.selectFrom('asked_project').selectAll().where('project_id', '=', projectId).executeTakeFirst();
}

/** Locks the row, so that decisions on one project follow one another. */
export async function lockProject(tx: SiteDb, projectId: ProjectId): Promise<ProjectRow | undefined> {
  return tx.selectFrom('asked_project').selectAll().where('project_id', '=', projectId).forUpdate().executeTakeFirst();
}

export async function updateProject(
  tx: SiteDb,
  projectId: ProjectId,
  change: { state?: DecisionState; sequence?: number; hub_state?: string },
): Promise<void> {
  await tx.updateTable('asked_project').set(change).where('project_id', '=', projectId).execute();
}

export async function insertDecision(
  tx: SiteDb,
  decision: { document: Decision; digest: Digest; envelope: SignedEnvelope },
): Promise<void> {
  const { document } = decision;
  await tx
    .insertInto('decision')
    .values({
      project_id: document.projectId,
      sequence: document.sequence,
      decision_id: document.decisionId,
      decision_digest: decision.digest,
      document: JSON.stringify(document),
      envelope: JSON.stringify(decision.envelope),
      decided_at: new Date(document.decidedAt),
    })
    .execute();
}

export async function findDecision(
  db: SiteDb,
  projectId: ProjectId,
  sequence: number,
): Promise<DecisionRow | undefined> {
  return db
    .selectFrom('decision')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('sequence', '=', sequence)
    .executeTakeFirst();
}

/** A project and its newest decision, not yet verified: documents as text. The last four are null together. */
export type StandingRow = {
  readonly state: DecisionState;
  readonly project_digest: Digest;
  readonly spec: string;
  readonly sequence: number;
  readonly decision_sequence: number | null;
  readonly decision_digest: Digest | null;
  readonly document: string | null;
  readonly envelope: string | null;
};

export async function findStanding(db: SiteDb, projectId: ProjectId): Promise<StandingRow | undefined> {
  const { rows } = await sql<StandingRow>`
    SELECT project.state, project.project_digest, project.spec::text AS spec, project.sequence,
      newest.sequence AS decision_sequence, newest.decision_digest,
      newest.document::text AS document, newest.envelope::text AS envelope
    FROM asked_project AS project LEFT JOIN LATERAL (
      SELECT * FROM decision WHERE decision.project_id = project.project_id ORDER BY sequence DESC LIMIT 1) AS newest ON true
    WHERE project.project_id = ${projectId}`.execute(db);
  return rows[0];
}

/** The highest number of a decision on each project that the audit chain knows. Reads the whole chain: once per process. */
export async function readAuditedSequences(db: SiteDb): Promise<Map<ProjectId, number>> {
  const { rows } = await sql<{ project_id: ProjectId; sequence: number }>`
    SELECT object AS project_id, max((details::json ->> 'sequence')::integer) AS sequence
    FROM audit_record WHERE action IN ('decision.approve', 'decision.refuse', 'decision.withdraw') GROUP BY object`.execute(
    db,
  );
  return new Map(rows.map((row) => [row.project_id, row.sequence]));
}

/** The number of the newest decision on a project; 0 before the first. */
export async function findNewestSequence(tx: SiteDb, projectId: ProjectId): Promise<number> {
  const row = await tx
    .selectFrom('decision')
    .select('sequence')
    .where('project_id', '=', projectId)
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.sequence ?? 0;
}

/** The newest decision of each project. */
export async function listNewestDecisions(db: SiteDb): Promise<DecisionRow[]> {
  return db
    .selectFrom('decision')
    .selectAll()
    .distinctOn('project_id')
    .orderBy('project_id')
    .orderBy('sequence', 'desc')
    .execute();
}

export async function markDecisionDelivered(
  db: SiteDb,
  projectId: ProjectId,
  delivered: { sequence: number; at: Date },
): Promise<void> {
  await db
    .updateTable('decision')
    .set({ delivered_at: delivered.at })
    .where('project_id', '=', projectId)
    .where('sequence', '=', delivered.sequence)
    .where('delivered_at', 'is', null)
    .execute();
}

export async function insertGrant(
  tx: SiteDb,
  grant: { projectId: ProjectId; dataset: string; more: number; reason: string; grantedBy: string; at: Date },
): Promise<void> {
  await tx
    .insertInto('question_grant')
    .values({
      project_id: grant.projectId,
      dataset: grant.dataset,
      more: grant.more,
      reason: grant.reason,
      granted_by: grant.grantedBy,
      granted_at: grant.at,
    })
    .execute();
}

export async function sumGrants(db: SiteDb, projectId: ProjectId, dataset: string): Promise<number> {
  const row = await db
    .selectFrom('question_grant')
    .select((build) => build.fn.sum<string | number>('more').as('granted'))
    .where('project_id', '=', projectId)
    .where('dataset', '=', dataset)
    .executeTakeFirst();
  return Number(row?.granted ?? 0);
}
