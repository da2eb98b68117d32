/** Rows of tasks. */
import {
  type AnswerBody,
  liveStates,
  type RunId,
  SITE_TASK_STATES,
  type SignedEnvelope,
  type SiteTask,
  type SiteTaskState,
  type StepKind,
  statesAllowing,
  type TaskId,
} from '@lantern/contract';
import { changeAudited, type NewAudit } from '@lantern/service';
import type { Selectable } from 'kysely';
import type { SiteDb, SiteTables } from '../tables.ts';
import type { AnswerFile } from './answer.ts';

export type TaskRow = Selectable<SiteTables['task']>;

/** Inserts the tasks that are not known yet and gives their rows: a second delivery does not act twice. One statement. */
export async function insertTasks(
  db: SiteDb,
  received: readonly { task: SiteTask; envelope: SignedEnvelope }[],
  at: Date,
): Promise<TaskRow[]> {
  if (received.length === 0) return [];
  const rows = received.map(({ task, envelope }) => ({
    task_id: task.taskId,
    project_id: task.projectId,
    kind: task.kind,
    run_id: task.kind === 'round' ? task.runId : null,
    round: task.kind === 'round' ? task.round : null,
    step: task.kind === 'round' ? task.step.kind : null,
    state: 'received' as const,
    envelope: JSON.stringify(envelope),
    received_at: at,
  }));
  return db
    .insertInto('task')
    .values(rows)
    .onConflict((conflict) => conflict.column('task_id').doNothing())
    .returningAll()
    .execute();
}

/** Of these tasks, those whose answer the hub has had before. */
export async function listDelivered(db: SiteDb, taskIds: readonly TaskId[]): Promise<TaskId[]> {
  if (taskIds.length === 0) return [];
  const rows = await db
    .selectFrom('task')
    .select('task_id')
    .where('task_id', 'in', taskIds)
    .where('state', '=', 'delivered')
    .execute();
  return rows.map((row) => row.task_id);
}

export async function findTask(db: SiteDb, taskId: TaskId): Promise<TaskRow | undefined> {
  return db.selectFrom('task').selectAll().where('task_id', '=', taskId).executeTakeFirst();
}

/** Moves a task on if it still stands in a state from which the table allows it. */
export async function moveTask(
  tx: SiteDb,
  taskId: TaskId,
  move: { event: 'perform' | 'cancel'; to: SiteTaskState },
): Promise<boolean> {
  const moved = await tx
    .updateTable('task')
    .set({ state: move.to })
    .where('task_id', '=', taskId)
    .where('state', 'in', statesAllowing(SITE_TASK_STATES, move.event))
    .returning('task_id')
    .executeTakeFirst();
  return moved !== undefined;
}

type StoredAnswer = {
  kind: AnswerBody['kind'];
  envelope: SignedEnvelope;
  files: readonly AnswerFile[];
  at: Date;
};

/** Every state in which a task has no answer yet: performing, or about to be. */
const UNANSWERED = [
  ...new Set([...statesAllowing(SITE_TASK_STATES, 'perform'), ...statesAllowing(SITE_TASK_STATES, 'finish')]),
];

/**
 * Keeps the answer; gives the row, or `undefined` when the task was answered or cancelled meanwhile. A task that was answered
 * before anybody marked it as performing passes through that state here.
 */
export async function finishTask(tx: SiteDb, taskId: TaskId, answer: StoredAnswer): Promise<TaskRow | undefined> {
  return writeAnswer(tx, taskId, { answer, from: UNANSWERED }).executeTakeFirst();
}

/** The same on the record, in one statement, for an answer that brings nothing else to be stored. */
export async function finishTaskAudited(
  db: SiteDb,
  row: TaskRow,
  { answer, audit }: { answer: StoredAnswer; audit: NewAudit },
): Promise<TaskRow | undefined> {
  const finished = await changeAudited(db, writeAnswer(db, row.task_id, { answer, from: UNANSWERED }), audit);
  if (!finished) return undefined;
  const { kind, envelope, files, at } = answer;
  return {
    ...row,
    state: 'done',
    answer_kind: kind,
    answer_envelope: envelope,
    answer_files: [...files],
    done_at: at,
  };
}

/** Puts a refusal in the place of an answer that may no longer leave; gives the row, or `undefined` when it has left. */
export async function replaceAnswer(tx: SiteDb, taskId: TaskId, answer: StoredAnswer): Promise<TaskRow | undefined> {
  return writeAnswer(tx, taskId, { answer, from: statesAllowing(SITE_TASK_STATES, 'deliver') }).executeTakeFirst();
}

function writeAnswer(
  tx: SiteDb,
  taskId: TaskId,
  { answer, from }: { answer: StoredAnswer; from: readonly SiteTaskState[] },
) {
  return tx
    .updateTable('task')
    .set({
      state: 'done',
      answer_kind: answer.kind,
      answer_envelope: JSON.stringify(answer.envelope),
      answer_files: JSON.stringify(answer.files),
      done_at: answer.at,
    })
    .where('task_id', '=', taskId)
    .where('state', 'in', from)
    .returningAll();
}

/** Marks a task as delivered, on the record; nothing happens when it was delivered before. */
export async function markDelivered(
  db: SiteDb,
  taskId: TaskId,
  delivered: { at: Date; audit: NewAudit },
): Promise<void> {
  const change = db
    .updateTable('task')
    .set({ state: 'delivered', delivered_at: delivered.at })
    .where('task_id', '=', taskId)
    .where('state', 'in', statesAllowing(SITE_TASK_STATES, 'deliver'))
    .returning('task_id');
  await changeAudited(db, change, delivered.audit);
}

/** Tasks with something left to do, oldest first. */
export async function listOpenTaskIds(db: SiteDb): Promise<TaskId[]> {
  const rows = await db
    .selectFrom('task')
    .select('task_id')
    .where('state', 'in', liveStates(SITE_TASK_STATES))
    .orderBy('ordinal')
    .execute();
  return rows.map((row) => row.task_id);
}

/** The task that first asked for this round of a run, or for this step in whatever round. */
export async function findFirstTask(
  db: SiteDb,
  runId: RunId,
  asked: { round: number; step?: StepKind },
): Promise<TaskId | undefined> {
  const { round, step } = asked;
  const row = await db
    .selectFrom('task')
    .select('task_id')
    .where('run_id', '=', runId)
    .where((where) => where.or([where('round', '=', round), ...(step === undefined ? [] : [where('step', '=', step)])]))
    .orderBy('ordinal')
    .limit(1)
    .executeTakeFirst();
  return row?.task_id;
}

/** The newest tasks first. */
export async function listNewestTasks(db: SiteDb, countMax: number): Promise<TaskRow[]> {
  return db.selectFrom('task').selectAll().orderBy('ordinal', 'desc').limit(countMax).execute();
}
