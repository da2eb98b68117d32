/**
 * One task from received to delivered.
 *
 *   received ──► performing ──► done (signed answer stored) ──► delivered
 *
 * Invariants: an answer is computed at most until it is stored, and never again after that; what is delivered is what was
 * stored, byte for byte. Before anything leaves the policy is asked once more: where it now says no, the answer and its
 * files are destroyed and a refusal takes their place. A refusal or a failure may always leave.
 */
import {
  type AnswerBody,
  type AppError,
  SITE_TASK_STATES,
  type SignedEnvelope,
  type SiteTask,
  type SiteTaskState,
  type TaskId,
  toAppError,
  transition,
} from '@lantern/contract';
import { enqueue, faultPoint } from '@lantern/service';
import { JOBS } from '../jobs.ts';
import { audit, auditEntry } from '../site-context.ts';
import type { SiteTx } from '../tables.ts';
import { signAnswer } from './answer.ts';
import { isTriedAgain } from './attempts.ts';
import { type DeliveryDeps, deliverAnswer } from './delivery.ts';
import { type Attempt, createDispatcher } from './dispatcher.ts';
import { type InboxDeps, type KnownTask, openTask, receiveTasks } from './inbox.ts';
import type { Performed, Performer } from './performer.ts';
import * as store from './store.ts';
import { taskDetails } from './task-details.ts';

const SHOWN_AFTER_MS = 500; // work that lasts longer is shown as under way
const RETRY_WAIT_MS = 500; // then the queue's own back-off
const MESSAGE_LENGTH_MAX = 1000; // of the contract

export type ExchangeDeps = InboxDeps &
  DeliveryDeps & {
    readonly performer: Performer;
    /** Tasks worked on at the same time. */
    readonly concurrency: number;
    /** A signal that aborts when the project's approval ends. */
    readonly watch: (projectId: SiteTask['projectId']) => { readonly signal: AbortSignal; release(): void };
  };

export type Exchange = ReturnType<typeof createExchange>;

export function createExchange(deps: ExchangeDeps) {
  const dispatcher = createDispatcher<KnownTask>({
    work: (taskId, attempt) => workOn(deps, taskId, attempt),
    retry: (taskId) =>
      deps.database.transaction((tx: SiteTx) =>
        enqueueTask(tx, taskId, { runAt: new Date(deps.clock.now().getTime() + RETRY_WAIT_MS) }),
      ),
    concurrency: deps.concurrency,
    log: deps.log,
  });
  return {
    /** Takes tasks of the hub over durably and starts on them; says how many were new. */
    async receive(envelopes: readonly SignedEnvelope[]): Promise<number> {
      const { fresh, repeated } = await receiveTasks(deps, envelopes);
      for (const known of fresh) dispatcher.start(known.task.taskId, known);
      for (const taskId of repeated) dispatcher.start(taskId);
      return fresh.length;
    },

    /** Job: another attempt at a task. */
    work: (taskId: TaskId, job: { signal: AbortSignal; attempt: number }) => dispatcher.run(taskId, job),

    /** Takes up every unfinished task that nobody works on; at start, when the hub is back, and from time to time. */
    async resume(): Promise<void> {
      await deps.database.transaction(async (tx: SiteTx) => {
        for (const taskId of await store.listOpenTaskIds(tx)) {
          if (!dispatcher.isBusy(taskId)) await enqueueTask(tx, taskId, {});
        }
      });
    },

    listNewest: (countMax: number) => store.listNewestTasks(deps.db, countMax),

    close: () => dispatcher.close(),
  };
}

async function enqueueTask(tx: SiteTx, taskId: TaskId, when: { runAt?: Date }): Promise<void> {
  await enqueue(tx, { name: JOBS.performTask, payload: { taskId }, key: taskId, ...when });
}

async function workOn(deps: ExchangeDeps, taskId: TaskId, attempt: Attempt<KnownTask>): Promise<void> {
  const known = attempt.known ?? (await readTask(deps, taskId));
  if (known === undefined) return;
  const { task, row } = known;
  const { signal, attempt: number } = attempt;
  const approval = deps.watch(task.projectId);
  try {
    const performing = { row, signal, number, approval: approval.signal };
    const answered = row.answer_envelope === null ? await performAndStore(deps, task, performing) : row;
    await deliverAnswer(deps, task, { row: answered, approval: approval.signal, job: signal });
  } finally {
    approval.release();
  }
}

/** A stored task that is no longer what the hub signed was changed on this machine; it is given up, on the record. */
async function readTask(deps: ExchangeDeps, taskId: TaskId): Promise<KnownTask | undefined> {
  const row = await store.findTask(deps.db, taskId);
  if (row === undefined || row.state === 'cancelled') return undefined;
  try {
    return { row, task: openTask(deps, row.envelope) };
  } catch (caught) {
    const error = toAppError(caught);
    const to = transition(SITE_TASK_STATES, { what: 'task', state: row.state, event: 'cancel' });
    await deps.database.transaction(async (tx: SiteTx) => {
      if (!(await store.moveTask(tx, row.task_id, { event: 'cancel', to }))) return;
      const details = { code: error.code };
      await audit(deps, tx, { actor: 'site', action: 'task.reject', object: row.task_id, outcome: 'failure', details });
    });
    return undefined;
  }
}

type Performing = {
  readonly row: store.TaskRow;
  readonly number: number;
  readonly signal: AbortSignal;
  readonly approval: AbortSignal;
};

async function performAndStore(
  deps: ExchangeDeps,
  task: SiteTask,
  performing: Performing,
): Promise<store.TaskRow | undefined> {
  const { state } = performing.row;
  const to = transition(SITE_TASK_STATES, { what: 'task', state, event: 'perform' });
  faultPoint('site.task.performing');
  // A step of milliseconds is not worth a commit that says it is under way.
  const shown = to === state ? undefined : setTimeout(() => void show(deps, task.taskId, to), SHOWN_AFTER_MS);
  const performed = await performOrExplain(deps, task, performing).finally(() => clearTimeout(shown));
  faultPoint('site.task.computed');
  const answered = await keepAnswer(deps, { row: performing.row, task, performed });
  faultPoint('site.answer.stored');
  return answered;
}

async function show(deps: ExchangeDeps, taskId: TaskId, to: SiteTaskState): Promise<void> {
  await store.moveTask(deps.db, taskId, { event: 'perform', to }).catch((err: unknown) => {
    // `received` is performed just the same; only the list of activity is behind.
    deps.log.debug({ err, taskId }, 'a task could not be shown as performing');
  });
}

/** The answer, or the failure as an answer; throws only what is worth another attempt. */
async function performOrExplain(deps: ExchangeDeps, task: SiteTask, performing: Performing): Promise<Performed> {
  const signal = AbortSignal.any([performing.signal, performing.approval]);
  try {
    // Before anything is computed: what was asked before must not touch the rows of the run.
    if (!(await isFirstAsked(deps, task))) return refusal('policy.refused', 'This step of the run was asked before.');
    return await deps.performer.perform(task, signal);
  } catch (caught) {
    if (performing.approval.aborted) return refusal('policy.not-approved', "This site's approval has ended.");
    if (signal.aborted) throw caught;
    const error = toAppError(caught);
    if (isTriedAgain(error, performing.number)) throw error;
    deps.log.warn({ err: error, taskId: task.taskId }, 'a task failed');
    return { body: { kind: 'failed', code: error.code, message: safeMessage(error) } };
  }
}

/**
 * One round is one question: asked again under another task it could be asked with other numbers. What a run does once (all but
 * the rounds of training) is one question whatever its round.
 */
async function isFirstAsked(deps: ExchangeDeps, task: SiteTask): Promise<boolean> {
  if (task.kind !== 'round') return true;
  const { runId, round, step } = task;
  const isRepeated = step.kind === 'newton' || step.kind === 'train';
  const first = await store.findFirstTask(deps.db, runId, isRepeated ? { round } : { round, step: step.kind });
  return first === task.taskId;
}

/** Messages of ours name field and rule; what nobody foresaw may quote anything, so only its class leaves. */
function safeMessage(error: AppError): string {
  return error.code === 'internal'
    ? 'An unexpected fault occurred at the site.'
    : error.message.slice(0, MESSAGE_LENGTH_MAX);
}

type RefusedCode = Extract<AnswerBody, { kind: 'refused' }>['code'];

function refusal(code: RefusedCode, message: string): Performed {
  return { body: { kind: 'refused', code, message, findings: [] } };
}

async function keepAnswer(
  deps: ExchangeDeps,
  kept: { row: store.TaskRow; task: SiteTask; performed: Performed },
): Promise<store.TaskRow | undefined> {
  const { row, task, performed } = kept;
  const { body, files = [], onStored } = performed;
  const { taskId } = task;
  const answer = {
    kind: body.kind,
    envelope: signAnswer(deps, { taskId, body, decisionDigest: performed.decisionDigest }),
    files,
    at: deps.clock.now(),
  };
  const line = {
    actor: 'hub',
    action: 'task.answer',
    object: taskId,
    outcome: body.kind === 'refused' ? 'refused' : body.kind === 'failed' ? 'failure' : 'success',
    details: { ...taskDetails(task), answer: body.kind, ...('code' in body ? { code: body.code } : {}) },
  } as const;
  if (onStored === undefined) {
    return store.finishTaskAudited(deps.db, row, { answer, audit: auditEntry(deps, line) });
  }
  return deps.database.transaction(async (tx: SiteTx) => {
    const stored = await store.finishTask(tx, taskId, answer);
    if (stored === undefined) return undefined;
    await onStored(tx);
    await audit(deps, tx, line);
    return stored;
  });
}
