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
  context: Pick<HubContext, 'keyPair' | 'clock'>,
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
  const keys = new Set(tasks.map(({ task }) => `site:${task.siteId}` as const));
  await wake(tx, ...keys);
}

/** Ends the open tasks of a run that nobody waits for any more. A late answer is accepted and not counted. */
export async function cancelRunTasks(
  context: Pick<HubContext, 'clock'>,
  tx: HubTx,
  cancel: { runId: RunId; message: string },
): Promise<void> {
  await store.cancelOpenTasks(tx, { ...cancel, at: context.clock.now() });
}

/** Tasks due for a site; waits up to `waitMs` for the first. An empty list when none came. */
export async function pollTasks(
  context: Pick<HubContext, 'db' | 'clock' | 'wakeups'>,
  poll: { siteId: SiteId; waitMs: number; signal: AbortSignal },
): Promise<SignedEnvelope[]> {
  const endsAtMs = context.clock.monotonicMs() + poll.waitMs;
  const subscription = context.wakeups.subscribe(`site:${poll.siteId}`);
  try {
    for (;;) {
      const now = context.clock.now();
      const { envelopes, redeliverAt } = await store.deliverDueTasks(context.db, {
        siteId: poll.siteId,
        at: now,
        countMax: TASK_BATCH_MAX,
        everything: poll.waitMs === 0,
      });
      if (envelopes.length > 0) {
        faultPoint('hub.task.delivered');
        return envelopes;
      }
      const leftMs = endsAtMs - context.clock.monotonicMs();
      if (leftMs <= 0 || poll.signal.aborted) return [];
      const redeliveryMs = redeliverAt === undefined ? leftMs : Math.max(1, redeliverAt.getTime() - now.getTime());
      const woken = await subscription.wait(Math.min(leftMs, redeliveryMs), poll.signal);
      if (!woken && leftMs <= redeliveryMs) return [];
    }
  } finally {
    subscription.close();
  }
}
