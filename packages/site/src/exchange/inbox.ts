/**
 * Tasks of the hub arrive here: verified, kept, and turned into a job, in one transaction. Only then does the site count a
 * task as received.
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
  toAppError,
} from '@lantern/contract';
import { enqueue, faultPoint, openEnvelope, type SignerKey } from '@lantern/service';
import { JOBS } from '../jobs.ts';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTx } from '../tables.ts';
import * as store from './store.ts';

export type InboxDeps = SiteContext & { readonly hubKey: SignerKey };

type Received = { readonly task: SiteTask; readonly envelope: SignedEnvelope };

/** Takes the tasks over durably; says how many were new. */
export async function receiveTasks(deps: InboxDeps, envelopes: readonly SignedEnvelope[]): Promise<number> {
  const received: Received[] = [];
  for (const envelope of envelopes) {
    try {
      received.push({ task: openTask(deps, envelope), envelope });
    } catch (caught) {
      await recordRejected(deps, toAppError(caught));
    }
  }
  if (received.length === 0) return 0;
  const newCount = await deps.database.transaction((tx: SiteTx) => keep(deps, tx, received));
  if (newCount > 0) faultPoint('site.task.received');
  return newCount;
}

/** Opens a task of the hub; also used on what is stored, so that a row changed behind our back is found. */
export function openTask(deps: Pick<InboxDeps, 'hubKey' | 'siteId'>, envelope: SignedEnvelope): SiteTask {
  const task = openEnvelope(envelope, { payloadType: PAYLOAD_TYPES.task, schema: SiteTaskSchema, signer: deps.hubKey });
  if (task.siteId === deps.siteId) return task;
  throw new AppError('envelope.rejected', 'The task is meant for another site.');
}

async function keep(deps: InboxDeps, tx: SiteTx, received: readonly Received[]): Promise<number> {
  let newCount = 0;
  for (const { task, envelope } of received) {
    const isNew = await store.insertTask(tx, { task, envelope, at: deps.clock.now() });
    if (isNew) newCount += 1;
    else if ((await store.findTask(tx, task.taskId))?.state !== 'delivered') continue; // its job is at work already
    await enqueue(tx, { name: JOBS.performTask, payload: { taskId: task.taskId }, key: task.taskId });
  }
  return newCount;
}

async function recordRejected(deps: InboxDeps, error: AppError): Promise<void> {
  deps.log.warn({ err: error }, 'a task was rejected');
  const details = { code: error.code, rule: error.message.slice(0, 200) };
  await deps.database.transaction((tx: SiteTx) =>
    audit(deps, tx, { actor: 'hub', action: 'task.reject', object: 'task', outcome: 'refused', details }),
  );
}
