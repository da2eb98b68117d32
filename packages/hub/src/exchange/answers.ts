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
import { audit, type HubContext } from '../hub-context.ts';
import type { HubTx } from '../tables.ts';
import { wake } from '../wakeups.ts';
import * as store from './store.ts';

/** What runs add to the receipt of an answer; given by `main.ts`, so that the exchange knows nothing of rounds. */
export type RoundAnswers = {
  /** `undefined` when the body is usable; else what is wrong with it. Throws `conflict` while a blob is still missing. */
  readonly problemOf: (task: RoundTask, body: AnswerBody) => Promise<string | undefined>;
  /** Called before the task is ended: answers to one round follow one another, and their files stay. May throw `conflict`. */
  readonly beforeEnd: (tx: HubTx, task: RoundTask, body: AnswerBody) => Promise<void>;
  /** Called after the task has ended, in the same transaction; whether the run may go on now. */
  readonly taskEnded: (tx: HubTx, task: { runId: RunId; round: number }) => Promise<boolean>;
  /** Goes on with a run at once, after the commit. A job of the transaction does it a little later, should this process die. */
  readonly look: (runId: RunId) => void;
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
  const row = await store.findTask(deps.db, received.taskId);
  if (row === undefined || row.site_id !== siteId) throw new AppError('not-found', 'This site has no such task.');
  faultPoint('hub.answer.received');
  if (isFinal(HUB_TASK_STATES, row.state)) return { ok: true, counted: false };

  const task = taskIn(row.envelope);
  const problem = await problemOf(deps, task, answer.body);
  const { counted, goesOn } = await deps.transaction((tx: HubTx) =>
    endWithAnswer(deps, tx, { row, task, answer, problem, envelope: received.envelope }),
  );
  faultPoint('hub.answer.committed');
  if (goesOn && task.kind === 'round') deps.rounds.look(task.runId);
  return { ok: true, counted };
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

async function endWithAnswer(
  deps: AnswersDeps,
  tx: HubTx,
  input: {
    row: store.TaskRow;
    task: SiteTask;
    answer: Answer;
    problem: string | undefined;
    envelope: SignedEnvelope;
  },
): Promise<{ counted: boolean; goesOn: boolean }> {
  const { row, task, answer, problem } = input;
  if (task.kind === 'round') await deps.rounds.beforeEnd(tx, task, answer.body);
  const { event, message } = endOf(answer.body, problem);
  const state: HubTaskState = transition(HUB_TASK_STATES, { what: 'task', state: row.state, event });
  const answerDigest = sha256(Buffer.from(input.envelope.payload, 'base64'));
  const ended = await store.endTask(tx, {
    taskId: task.taskId,
    state,
    at: deps.clock.now(),
    message,
    answer: JSON.stringify(answer.body),
    answerEnvelope: JSON.stringify(input.envelope),
    answerDigest,
    decisionDigest: answer.decisionDigest ?? null,
  });
  if (!ended) return { counted: false, goesOn: false };
  audit(deps, tx, {
    actor: task.siteId,
    action: 'task.answer',
    object: task.taskId,
    outcome: event === 'answer' ? 'success' : event === 'refuse' ? 'refused' : 'failure',
    details: { kind: answer.body.kind, answerDigest },
  });
  if (row.question_id !== null) await wake(tx, `question:${row.question_id}`);
  return { counted: true, goesOn: task.kind === 'round' && (await deps.rounds.taskEnded(tx, task)) };
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
  for (const task of ended) if (task.question_id !== null) await wake(tx, `question:${task.question_id}`);
  const runIds = new Set(ended.flatMap((task) => (task.run_id === null ? [] : [task.run_id])));
  for (const runId of runIds) await deps.touched(tx, runId);
}
