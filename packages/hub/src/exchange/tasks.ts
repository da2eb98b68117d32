/**
 * Tasks on their way to sites. A task is a signed row first; a site's long poll then fetches it.
 *
 * States: HUB_TASK_STATES. Delivery is at least once: a delivered task without an answer is delivered again after a lease
 * that doubles, so that a lost response costs seconds; a poll with `waitMs` 0 fetches every open task again, which is what a
 * site does when it starts. The site takes a task in once.
 */
import {
  type Digest,
  PAYLOAD_TYPES,
  type QuestionId,
  type RunId,
  type SignedEnvelope,
  type SiteId,
  type SiteTask,
  TASK_BATCH_MAX,
} from '@lantern/contract';
import { faultPoint, signEnvelope } from '@lantern/service';
import type { HubContext } from '../hub-context.ts';
import type { HubTx } from '../tables.ts';
import { wake } from '../wakeups.ts';
import * as store from './store.ts';

/** `uploadBytesMax`: greatest tensor file the answer may name; 0 when it names none. */
export type NewTask = {
  readonly task: SiteTask;
  readonly questionId?: QuestionId;
  readonly blobs?: readonly Digest[];
  readonly uploadBytesMax?: number;
};

/** Signs and stores tasks, and wakes their sites when the transaction commits. */
export async function issueTasks(
  context: Pick<HubContext, 'keyPair' | 'clock' | 'issued'>,
  tx: HubTx,
  tasks: readonly NewTask[],
): Promise<void> {
  const createdAt = context.clock.now();
  await store.insertTasks(
    tx,
    tasks.map(({ task, questionId, blobs, uploadBytesMax }) => ({
      taskId: task.taskId,
      siteId: task.siteId,
      projectId: task.projectId,
      kind: task.kind,
      questionId: questionId ?? null,
      runId: task.kind === 'round' ? task.runId : null,
      round: task.kind === 'round' ? task.round : null,
      envelope: signEnvelope({ payloadType: PAYLOAD_TYPES.task, payload: task, keyPair: context.keyPair }),
      createdAt,
      uploadBytesMax: uploadBytesMax ?? 0,
      blobs: blobs ?? [],
    })),
  );
  for (const { task } of tasks) {
    if (task.kind === 'round') context.issued.note(task);
    wake(tx, `site:${task.siteId}`);
  }
}

/** Ends the open tasks of a run that nobody waits for any more. A late answer is accepted and not counted. */
export async function cancelRunTasks(
  context: Pick<HubContext, 'clock'>,
  tx: HubTx,
  cancel: { runId: RunId; message: string },
): Promise<void> {
  await store.cancelOpenTasks(tx, { ...cancel, at: context.clock.now() });
}

export type TaskPolls = {
  /** Tasks due for a site; waits up to `waitMs` for the first. An empty list when none came. */
  readonly poll: (poll: { siteId: SiteId; waitMs: number; signal: AbortSignal }) => Promise<SignedEnvelope[]>;
};

/**
 * Since a new task always rings, a site that was looked after and has not been rung for since has nothing new: its next poll
 * waits without asking the database. It asks again when a delivery may have to be repeated.
 */
export function createTaskPolls(context: Pick<HubContext, 'db' | 'clock' | 'wakeups'>): TaskPolls {
  const quiet = new Map<SiteId, { readonly untilMs: number }>();
  const rung = new Map<SiteId, number>(); // how often, for every site that ever polled

  function listen(siteId: SiteId): void {
    if (rung.has(siteId)) return;
    rung.set(siteId, 0);
    context.wakeups.on(`site:${siteId}`, () => {
      rung.set(siteId, (rung.get(siteId) ?? 0) + 1);
      quiet.delete(siteId);
    });
  }

  /** Looks, and remembers for how long looking again would be in vain. */
  async function look(siteId: SiteId, everything: boolean): Promise<SignedEnvelope[]> {
    const rungBefore = rung.get(siteId);
    const now = context.clock.now();
    const due = { siteId, at: now, countMax: TASK_BATCH_MAX, everything };
    const { envelopes, redeliverAt } = await store.deliverDueTasks(context.db, due);
    const redeliverAtMs = redeliverAt?.getTime() ?? Number.POSITIVE_INFINITY;
    const untilMs = envelopes.length === 0 ? redeliverAtMs : now.getTime() + store.LEASE_MS_MIN;
    const mayBeMore = envelopes.length === TASK_BATCH_MAX || rung.get(siteId) !== rungBefore;
    if (!mayBeMore) quiet.set(siteId, { untilMs });
    return envelopes;
  }

  return {
    async poll({ siteId, waitMs, signal }) {
      listen(siteId);
      const endsAtMs = context.clock.monotonicMs() + waitMs;
      const subscription = context.wakeups.subscribe(`site:${siteId}`);
      try {
        for (;;) {
          const isQuiet = waitMs > 0 && context.clock.now().getTime() < (quiet.get(siteId)?.untilMs ?? 0);
          const envelopes = isQuiet ? [] : await look(siteId, waitMs === 0);
          if (envelopes.length > 0) {
            faultPoint('hub.task.delivered');
            return envelopes;
          }
          const leftMs = endsAtMs - context.clock.monotonicMs();
          if (leftMs <= 0 || signal.aborted) return [];
          const quietMs = (quiet.get(siteId)?.untilMs ?? 0) - context.clock.now().getTime();
          const woken = await subscription.wait(Math.min(leftMs, Math.max(1, quietMs)), signal);
          if (!woken && leftMs <= quietMs) return [];
        }
      } finally {
        subscription.close();
      }
    },
  };
}
