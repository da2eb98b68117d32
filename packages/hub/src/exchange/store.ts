/** Rows of tasks: issued, delivered, ended; and which blobs a site may read. */
import {
  type Digest,
  HUB_TASK_STATES,
  type HubTaskState,
  type ProjectId,
  type QuestionId,
  type RunId,
  type SignedEnvelope,
  type SiteId,
  type SiteTask,
  statesAllowing,
  type TaskId,
} from '@lantern/contract';
import { changeAudited, type NewAudit } from '@lantern/service';
import { type Selectable, sql } from 'kysely';
import type { Person } from '../hub-context.ts';
import type { HubDb, HubTables } from '../tables.ts';

export type TaskRow = Selectable<HubTables['task']>;

/** In which a task still waits for its answer. */
const OPEN_STATES = statesAllowing(HUB_TASK_STATES, 'answer');
/** The same as literals, so that the partial index over open tasks serves. */
const OPEN_IN_SQL = sql.join(OPEN_STATES.map((state) => sql.lit(state)));

export type TaskToInsert = {
  readonly taskId: TaskId;
  readonly siteId: SiteId;
  readonly projectId: ProjectId;
  readonly kind: SiteTask['kind'];
  readonly questionId: QuestionId | null;
  readonly runId: RunId | null;
  readonly round: number | null;
  readonly envelope: SignedEnvelope;
  readonly createdAt: Date;
  readonly uploadBytesMax: number;
  readonly blobs: readonly Digest[];
};

export async function insertTasks(tx: HubDb, tasks: readonly TaskToInsert[]): Promise<void> {
  await tx
    .insertInto('task')
    .values(
      tasks.map((task) => ({
        task_id: task.taskId,
        site_id: task.siteId,
        project_id: task.projectId,
        kind: task.kind,
        question_id: task.questionId,
        run_id: task.runId,
        round: task.round,
        state: 'queued' as const,
        envelope: JSON.stringify(task.envelope),
        created_at: task.createdAt,
        upload_bytes_max: task.uploadBytesMax,
      })),
    )
    .execute();
  const named = tasks.flatMap((task) => task.blobs.map((digest) => ({ task_id: task.taskId, digest })));
  if (named.length > 0) {
    await tx
      .insertInto('task_blob')
      .values(named)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

/** How long a delivered task is left alone before it is delivered again: doubles from 5 s to 5 min. */
export const LEASE_MS_MIN = 5000;
const LEASE = sql`interval '1 millisecond' * ${sql.lit(LEASE_MS_MIN)} * least(power(2, delivery_count - 1), 60)`;

/** `redeliverAt`: when the next task that is out is due again; looked up only when none was due. */
export type Delivery = { readonly envelopes: SignedEnvelope[]; readonly redeliverAt: Date | undefined };

/**
 * Marks the oldest tasks that are due for a site as delivered and gives their envelopes, oldest first. Due: never delivered,
 * or delivered so long ago that the delivery may have been lost; with `everything`, each task still open.
 */
export async function deliverDueTasks(
  db: HubDb,
  due: { siteId: SiteId; at: Date; countMax: number; everything: boolean },
): Promise<Delivery> {
  const { rows } = await sql<{ envelope: SignedEnvelope | null; ordinal: number | null; redeliverAt: Date | null }>`
    with marked as (
      update task set state = 'delivered', delivered_at = ${due.at}, delivery_count = delivery_count + 1
      where task_id in (
        select task_id from task
        where site_id = ${due.siteId} and state in (${OPEN_IN_SQL})
          and (state = 'queued' or ${due.everything} or delivered_at + ${LEASE} <= ${due.at})
        order by ordinal limit ${due.countMax} for update skip locked)
      returning envelope, ordinal)
    select envelope, ordinal, null::timestamptz as "redeliverAt" from marked
    union all
    select null, null, (select min(delivered_at + ${LEASE}) from task
      where site_id = ${due.siteId} and state = 'delivered' and not exists (select from marked))`.execute(db);
  const envelopes = rows
    .sort((a, b) => Number(a.ordinal) - Number(b.ordinal))
    .flatMap((row) => (row.envelope === null ? [] : [row.envelope]));
  return { envelopes, redeliverAt: rows.find((row) => row.redeliverAt !== null)?.redeliverAt ?? undefined };
}

export async function findTask(db: HubDb, taskId: TaskId): Promise<TaskRow | undefined> {
  return db.selectFrom('task').selectAll().where('task_id', '=', taskId).executeTakeFirst();
}

export type TaskEnd = {
  readonly taskId: TaskId;
  readonly state: HubTaskState;
  readonly at: Date;
  readonly message: string | null;
  readonly answer: string;
  readonly answerEnvelope: string;
  readonly answerDigest: Digest;
  readonly decisionDigest: Digest | null;
};

/** Ends an open task with its answer; false when it had already ended, in which case nothing changes. */
export async function endTask(tx: HubDb, end: TaskEnd): Promise<boolean> {
  return (await writeEnd(tx, end).executeTakeFirst()) !== undefined;
}

/** The same on the record, in one statement, for an answer that brings nothing else to be done. */
export async function endTaskAudited(db: HubDb, end: TaskEnd, audit: NewAudit): Promise<boolean> {
  return changeAudited(db, writeEnd(db, end), audit);
}

function writeEnd(db: HubDb, end: TaskEnd) {
  return db
    .updateTable('task')
    .set({
      state: end.state,
      ended_at: end.at,
      message: end.message,
      answer: end.answer,
      answer_envelope: end.answerEnvelope,
      answer_digest: end.answerDigest,
      decision_digest: end.decisionDigest,
    })
    .where('task_id', '=', end.taskId)
    .where('state', 'in', OPEN_STATES)
    .returning('task_id');
}

export type EndedTask = Pick<TaskRow, 'run_id' | 'question_id'>;

/** Ends every open task of a site (of one project, when named) without an answer. */
export async function dropOpenTasks(
  tx: HubDb,
  drop: { siteId: SiteId; projectId?: ProjectId; at: Date; message: string },
): Promise<EndedTask[]> {
  let query = tx
    .updateTable('task')
    .set({ state: 'refused', ended_at: drop.at, message: drop.message })
    .where('site_id', '=', drop.siteId)
    .where('state', 'in', OPEN_STATES);
  if (drop.projectId !== undefined) query = query.where('project_id', '=', drop.projectId);
  return query.returning(['run_id', 'question_id']).execute();
}

/** Cancels the open tasks of a run (stragglers, or a run that stopped). */
export async function cancelOpenTasks(tx: HubDb, cancel: { runId: RunId; at: Date; message: string }): Promise<void> {
  await tx
    .updateTable('task')
    .set({ state: 'cancelled', ended_at: cancel.at, message: cancel.message })
    .where('run_id', '=', cancel.runId)
    .where('state', 'in', OPEN_STATES)
    .execute();
}

/** The greatest upload a site may make now, 0 for none: its open update tasks, and those cancelled since `cancelledAfter`. */
export async function uploadBytesMaxOf(db: HubDb, siteId: SiteId, cancelledAfter: Date): Promise<number> {
  const { rows } = await sql<{ most: string | number | null }>`
    select max(upload_bytes_max) as most from task
    where site_id = ${siteId} and upload_bytes_max > 0
      and (state in (${OPEN_IN_SQL}) or (state = 'cancelled' and ended_at > ${cancelledAfter}))`.execute(db);
  return Number(rows[0]?.most ?? 0);
}

/** Whether a task of this site, a bundle of a project that asks it, or a model version names the blob. */
export async function siteMayRead(db: HubDb, siteId: SiteId, digest: Digest): Promise<boolean> {
  const { rows } = await sql<{ allowed: boolean }>`
    select exists (select from task_blob join task using (task_id) where digest = ${digest} and site_id = ${siteId})
      or exists (
        select from bundle_file join project_bundle using (bundle_digest) join project_decision using (project_id)
        where digest = ${digest} and site_id = ${siteId})
      or exists (select from model_version where weights_digest = ${digest})
      or exists (select from bundle_file join model_version using (bundle_digest) where digest = ${digest})
      as allowed`.execute(db);
  return rows[0]?.allowed ?? false;
}

/**
 * Whether a person may read a blob: files of bundles and weights of released models, as everybody who may list them; the
 * weights of a round only who made its project, and administrators; the update of one site nobody.
 */
export async function personMayRead(db: HubDb, digest: Digest, person: Person): Promise<boolean> {
  const { rows } = await sql<{ allowed: boolean }>`
    select exists (select from bundle_file where digest = ${digest})
      or exists (select from model_version where weights_digest = ${digest})
      or exists (
        select from round join run using (run_id) join project using (project_id)
        where weights_digest = ${digest} and (${person.isAdmin} or project.created_by = ${person.name}))
      as allowed`.execute(db);
  return rows[0]?.allowed ?? false;
}
