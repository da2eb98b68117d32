/**
 * Answers of sites. An answer counts once: the first that fits an open task ends it, in one transaction with whatever
 * follows from it; the same again, or one that comes too late, is accepted and changes nothing.
 *
 * An answer that is signed by the right site but is not what the plan asked for (wrong kind, wrong shape, numbers that are
 * not finite) ends the task as failed: the round goes on with the others, and the site is not left sending it for ever.
 */
import {
  type Answer,
  type AnswerBody,
  AnswerSchema,
  AppError,
  type EventOf,
  HUB_TASK_STATES,
  type HubTaskState,
  isFinal,
  matches,
  PAYLOAD_TYPES,
  type ProjectId,
  type QuestionId,
  type RoundTask,
  type RunId,
  type SignedEnvelope,
  type SiteId,
  type SiteTask,
  SiteTaskSchema,
  type TaskId,
  transition,
} from '@lantern/contract';
import { faultPoint, openEnvelope, type PublicKey, sha256 } from '@lantern/service';
import { type AuditLine, audit, auditEntry, type HubContext } from '../hub-context.ts';
import type { HubTx } from '../tables.ts';
import { wake } from '../wakeups.ts';
import * as store from './store.ts';
import { uploadedFilesOf } from './uploaded-files.ts';

/** What runs add to the receipt of an answer; given by `main.ts`, so that the exchange knows nothing of rounds. */
export type RoundAnswers = {
  /** `undefined` when the body is usable; else what is wrong with it. Throws `conflict` while a blob is still missing. */
  readonly problemOf: (task: RoundTask, body: AnswerBody) => Promise<string | undefined>;
  /** Keeps the uploaded files that an answer names until the transaction ends. May throw `conflict`. */
  readonly holdFiles: (tx: HubTx, body: AnswerBody) => Promise<void>;
  /**
   * Called when a task has ended, after the commit, and again when the answer comes again: goes on with the run at once if it
   * can. Should this process die before, the run's own job does, at the latest a minute later.
   */
  readonly taskEnded: (task: { runId: RunId; round: number }) => Promise<void>;
};

export type AnswersDeps = HubContext & {
  readonly signerOf: (keyId: string) => Promise<{ siteId: SiteId; signer: PublicKey }>;
  readonly rounds: RoundAnswers;
};

export async function receiveAnswer(
  deps: AnswersDeps,
  received: { taskId: TaskId; keyId: string; envelope: SignedEnvelope },
): Promise<{ ok: true; counted: boolean }> {
  const { siteId, signer } = await deps.signerOf(received.keyId);
  const answer = openEnvelope(received.envelope, { payloadType: PAYLOAD_TYPES.answer, schema: AnswerSchema, signer });
  if (answer.taskId !== received.taskId || answer.siteId !== siteId) {
    throw new AppError('envelope.rejected', 'The answer names another task or another site than the request.');
  }
  const asked = await findAsked(deps, received.taskId);
  if (asked === undefined || asked.task.siteId !== siteId) {
    throw new AppError('not-found', 'This site has no such task.');
  }
  faultPoint('hub.answer.received');
  const { task, state } = asked;
  const counted = !isFinal(HUB_TASK_STATES, state) && (await takeIn(deps, { ...asked, answer, ...received }));
  faultPoint('hub.answer.committed');
  deps.issued.forget(task.taskId);
  if (task.kind === 'round') await deps.rounds.taskEnded(task);
  return { ok: true, counted };
}

/** `state`: as far as known; the statement that ends a task looks for itself whether it is still open. */
type Asked = { readonly task: SiteTask; readonly state: HubTaskState; readonly questionId: QuestionId | null };

async function findAsked(deps: AnswersDeps, taskId: TaskId): Promise<Asked | undefined> {
  const issued = deps.issued.find(taskId);
  if (issued !== undefined) return { task: issued, state: 'delivered', questionId: null };
  const row = await store.findTask(deps.db, taskId);
  return row && { task: taskIn(row.envelope), state: row.state, questionId: row.question_id };
}

/** The task inside an envelope that this hub signed and kept; trusted because it never left the database. */
function taskIn(envelope: SignedEnvelope): SiteTask {
  const task: unknown = JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8'));
  if (!matches(SiteTaskSchema, task))
    throw new AppError('storage.corrupt', 'A stored task does not follow its schema.');
  return task;
}

async function problemOf(deps: AnswersDeps, task: SiteTask, body: AnswerBody): Promise<string | undefined> {
  if (body.kind === 'refused' || body.kind === 'failed') return undefined;
  if (task.kind === 'round') return deps.rounds.problemOf(task, body);
  return body.kind === task.kind ? undefined : `A ${task.kind} was asked for; the answer is of kind ${body.kind}.`;
}

function endOf(
  body: AnswerBody,
  problem: string | undefined,
): { event: EventOf<typeof HUB_TASK_STATES>; message: string | null } {
  if (problem !== undefined) return { event: 'fail', message: `update.invalid: ${problem}` };
  if (body.kind === 'refused') return { event: 'refuse', message: `${body.code}: ${body.message}` };
  if (body.kind === 'failed') return { event: 'fail', message: `${body.code}: ${body.message}` };
  return { event: 'answer', message: null };
}

/** Counts an answer, unless its task has ended meanwhile. */
async function takeIn(
  deps: AnswersDeps,
  taken: Asked & { readonly answer: Answer; readonly envelope: SignedEnvelope },
): Promise<boolean> {
  const { task, state, questionId, answer, envelope } = taken;
  const { taskId, siteId } = task;
  const problem = await problemOf(deps, task, answer.body);
  const { event, message } = endOf(answer.body, problem);
  const answerDigest = sha256(Buffer.from(envelope.payload, 'base64'));
  const end: store.TaskEnd = {
    taskId,
    state: transition(HUB_TASK_STATES, { what: 'task', state, event }),
    at: deps.clock.now(),
    message,
    answer: JSON.stringify(answer.body),
    answerEnvelope: JSON.stringify(envelope),
    answerDigest,
    decisionDigest: answer.decisionDigest ?? null,
  };
  const line: AuditLine = {
    actor: siteId,
    action: 'task.answer',
    object: taskId,
    outcome: event === 'answer' ? 'success' : event === 'refuse' ? 'refused' : 'failure',
    details: { kind: answer.body.kind, answerDigest },
  };
  if (questionId === null && uploadedFilesOf(answer.body).length === 0) {
    return store.endTaskAudited(deps.db, end, auditEntry(deps, line));
  }
  return deps.transaction(async (tx: HubTx) => {
    await deps.rounds.holdFiles(tx, answer.body);
    if (!(await store.endTask(tx, end))) return false;
    audit(deps, tx, line);
    if (questionId !== null) wake(tx, `question:${questionId}`);
    return true;
  });
}

/**
 * Ends what a site still had to do, because it was revoked or withdrew its decision: it need not say so again.
 * `projectId`: of this project only. `touched` is called once per run that has to be looked at.
 */
export async function dropSite(
  deps: Pick<HubContext, 'clock'> & { readonly touched: (tx: HubTx, runId: RunId) => Promise<void> },
  tx: HubTx,
  drop: { siteId: SiteId; projectId?: ProjectId; message: string },
): Promise<void> {
  const ended = await store.dropOpenTasks(tx, { ...drop, at: deps.clock.now() });
  for (const task of ended) if (task.question_id !== null) wake(tx, `question:${task.question_id}`);
  const runIds = new Set(ended.flatMap((task) => (task.run_id === null ? [] : [task.run_id])));
  for (const runId of runIds) await deps.touched(tx, runId);
}
