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
  type SiteTask,
  type TaskId,
  toAppError,
  transition,
} from '@lantern/contract';
import { enqueue, faultPoint } from '@lantern/service';
import { egressOfAnswer } from '../governance/policy.ts';
import { JOBS } from '../jobs.ts';
import { audit } from '../site-context.ts';
import type { SiteTx } from '../tables.ts';
import { signAnswer } from './answer.ts';
import { type DeliveryDeps, deliverAnswer } from './delivery.ts';
import { type InboxDeps, openTask } from './inbox.ts';
import type { Performed, Performer } from './performer.ts';
import * as store from './store.ts';
import { taskDetails } from './task-details.ts';

const TRANSIENT_ATTEMPTS_MAX = 8; // about half a minute of back-off: a crashed algorithm or a full disk; then the hub is told
const MESSAGE_LENGTH_MAX = 1000; // of the contract

export type ExchangeDeps = InboxDeps &
  DeliveryDeps & {
    readonly performer: Performer;
    /** A signal that aborts when the project's approval ends. */
    readonly watch: (projectId: SiteTask['projectId']) => { readonly signal: AbortSignal; release(): void };
  };

export type Exchange = ReturnType<typeof createExchange>;

export function createExchange(deps: ExchangeDeps) {
  const running = new Set<TaskId>();
  return {
    /** Job: performs the task if that was not done, then delivers. Does nothing while another job works on the same task. */
    async work(taskId: TaskId, job: { signal: AbortSignal; attempt: number }): Promise<void> {
      if (running.has(taskId)) return;
      running.add(taskId);
      try {
        await workOn(deps, taskId, job);
      } finally {
        running.delete(taskId);
      }
    },

    /** Takes up every unfinished task now instead of after its back-off; called when the hub is back. */
    async resume(): Promise<void> {
      await deps.database.transaction(async (tx: SiteTx) => {
        for (const taskId of await store.listOpenTaskIds(tx)) {
          if (running.has(taskId)) continue;
          await enqueue(tx, { name: JOBS.performTask, payload: { taskId }, key: taskId });
        }
      });
    },

    listNewest: (countMax: number) => store.listNewestTasks(deps.db, countMax),
  };
}

async function workOn(
  deps: ExchangeDeps,
  taskId: TaskId,
  job: { signal: AbortSignal; attempt: number },
): Promise<void> {
  const row = await store.findTask(deps.db, taskId);
  if (row === undefined || row.state === 'cancelled') return;
  const task = openTask(deps, row.envelope);
  const approval = deps.watch(task.projectId);
  const signal = AbortSignal.any([job.signal, approval.signal]);
  try {
    if (row.answer_envelope === null)
      await performAndStore(deps, task, { ...job, signal, approvalSignal: approval.signal });
    await deliverAnswer(deps, task, { approval: approval.signal, job: job.signal });
  } finally {
    approval.release();
  }
}

type Attempt = { signal: AbortSignal; approvalSignal: AbortSignal; attempt: number };

async function performAndStore(deps: ExchangeDeps, task: SiteTask, attempt: Attempt): Promise<void> {
  const row = await store.findTask(deps.db, task.taskId);
  if (row === undefined) return;
  const to = transition(SITE_TASK_STATES, { what: 'task', state: row.state, event: 'perform' });
  if (to !== row.state) await store.moveTask(deps.db, task.taskId, { event: 'perform', to });
  faultPoint('site.task.performing');
  const performed = await performOrExplain(deps, task, attempt);
  faultPoint('site.task.computed');
  await deps.database.transaction((tx: SiteTx) => keepAnswer(deps, tx, { task, performed }));
  faultPoint('site.answer.stored');
}

/** The answer, or the failure as an answer; throws only what is worth another attempt. */
async function performOrExplain(deps: ExchangeDeps, task: SiteTask, attempt: Attempt): Promise<Performed> {
  try {
    if (task.kind === 'round') {
      const first = await store.findFirstTaskOfRound(deps.db, task.runId, task.round);
      if (first !== task.taskId) return refusal('policy.refused', 'This round of the run was asked before.');
    }
    return await deps.performer.perform(task, attempt.signal);
  } catch (caught) {
    if (attempt.approvalSignal.aborted) return refusal('policy.not-approved', "This site's approval has ended.");
    if (attempt.signal.aborted) throw caught;
    const error = toAppError(caught);
    const outOfReach = error.code === 'peer.unreachable' || error.code === 'peer.ambiguous';
    if (error.failureClass !== 'permanent' && (outOfReach || attempt.attempt < TRANSIENT_ATTEMPTS_MAX)) throw error;
    deps.log.warn({ err: error, taskId: task.taskId }, 'a task failed');
    return { body: { kind: 'failed', code: error.code, message: safeMessage(error) } };
  }
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
  tx: SiteTx,
  kept: { task: SiteTask; performed: Performed },
): Promise<void> {
  const { task, performed } = kept;
  const { body, files = [] } = performed;
  const stored = await store.finishTask(tx, task.taskId, {
    kind: body.kind,
    envelope: signAnswer(deps, { taskId: task.taskId, body, decisionDigest: performed.decisionDigest }),
    files,
    egress: egressOfAnswer(body.kind),
    at: deps.clock.now(),
  });
  if (!stored) return;
  await performed.onStored?.(tx);
  await audit(deps, tx, {
    actor: 'hub',
    action: 'task.answer',
    object: task.taskId,
    outcome: body.kind === 'refused' ? 'refused' : body.kind === 'failed' ? 'failure' : 'success',
    details: { ...taskDetails(task), answer: body.kind, ...('code' in body ? { code: body.code } : {}) },
  });
}
