/**
 * Tasks of the hub arrive here: verified and committed as rows. Only then does the site count a task as received.
 *
 * A task that is not signed by the hub this site joined, or is meant for another site, is recorded and never looked at again.
 * A task that is known already does not act twice; one that was answered is answered with the same bytes again.
 */
import {
  AppError,
  PAYLOAD_TYPES,
  type SignedEnvelope,
  type SiteTask,
  SiteTaskSchema,
  type TaskId,
  toAppError,
} from '@lantern/contract';
import { faultPoint, openEnvelope, type SignerKey } from '@lantern/service';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTx } from '../tables.ts';
import * as store from './store.ts';

export type InboxDeps = SiteContext & { readonly hubKey: SignerKey };

type Received = { readonly task: SiteTask; readonly envelope: SignedEnvelope };

/** A task whose signature was verified just now, with its row. */
export type KnownTask = { readonly task: SiteTask; readonly row: store.TaskRow };

/** `fresh`: new tasks. `repeated`: tasks whose answer the hub has had before and asks for again. */
export type ReceivedTasks = { readonly fresh: readonly KnownTask[]; readonly repeated: readonly TaskId[] };

/** Takes the tasks over durably. */
export async function receiveTasks(deps: InboxDeps, envelopes: readonly SignedEnvelope[]): Promise<ReceivedTasks> {
  const received = new Map<TaskId, Received>();
  for (const envelope of envelopes) {
    try {
      const task = openTask(deps, envelope);
      received.set(task.taskId, { task, envelope });
    } catch (caught) {
      await recordRejected(deps, toAppError(caught));
    }
  }
  const rows = await store.insertTasks(deps.db, [...received.values()], deps.clock.now());
  if (rows.length > 0) faultPoint('site.task.received');
  const fresh: KnownTask[] = [];
  for (const row of rows) {
    const task = received.get(row.task_id)?.task;
    if (task !== undefined) fresh.push({ task, row });
    received.delete(row.task_id);
  }
  return { fresh, repeated: await store.listDelivered(deps.db, [...received.keys()]) };
}

/** Opens a task of the hub; also used on what is stored, so that a row changed behind our back is found. */
export function openTask(deps: Pick<InboxDeps, 'hubKey' | 'siteId'>, envelope: SignedEnvelope): SiteTask {
  const task = openEnvelope(envelope, { payloadType: PAYLOAD_TYPES.task, schema: SiteTaskSchema, signer: deps.hubKey });
  if (task.siteId === deps.siteId) return task;
  throw new AppError('envelope.rejected', 'The task is meant for another site.');
}

async function recordRejected(deps: InboxDeps, error: AppError): Promise<void> {
  deps.log.warn({ err: error }, 'a task was rejected');
  const details = { code: error.code }; // the message may name fields of the sender's choosing
  await deps.database.transaction((tx: SiteTx) =>
    audit(deps, tx, { actor: 'hub', action: 'task.reject', object: 'task', outcome: 'refused', details }),
  );
}
