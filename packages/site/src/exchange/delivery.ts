/**
 * The last step of a task: the stored answer leaves, or a refusal in its place.
 *
 * The policy is asked again before each send, since a governance lead may have withdrawn the approval after the computation.
 * Then the answer and its files are destroyed and a refusal is stored instead; it may leave although no approval stands.
 *
 * What kind of answer it is, and so whether an approval is needed, is read from what this site signed, not from the columns
 * beside it: whoever may write the database can then make nothing leave under the name of a refusal.
 */
import {
  type AnswerBody,
  AnswerSchema,
  AppError,
  type ErrorCode,
  isFinal,
  nextState,
  PAYLOAD_TYPES,
  type RunId,
  SITE_TASK_STATES,
  type SiteTask,
  toAppError,
} from '@lantern/contract';
import { type BlobStore, documentDigest, faultPoint, openEnvelope } from '@lantern/service';
import { egressOfAnswer, type Refusal } from '../governance/policy.ts';
import type { Outbound } from '../hub-link/outbound.ts';
import { uploadBlob } from '../hub-link/transfer.ts';
import { audit, auditEntry, type SiteContext } from '../site-context.ts';
import type { SiteTx } from '../tables.ts';
import { type AnswerFile, signAnswer } from './answer.ts';
import type { Performer } from './performer.ts';
import * as store from './store.ts';
import { taskDetails } from './task-details.ts';

export type DeliveryDeps = SiteContext & {
  readonly performer: Pick<Performer, 'recheck'>;
  readonly outbound: Outbound;
  /** Where the files of a run's answers lie until the hub has them. */
  readonly filesOf: (runId: RunId) => Promise<BlobStore>;
};

/** `row`: the task with its answer. `approval` aborts when the project's approval ends, `job` when the process stops. */
export type Leaving = {
  readonly row: store.TaskRow | undefined;
  readonly approval: AbortSignal;
  readonly job: AbortSignal;
};

type StoredAnswer = store.TaskRow & {
  answer_envelope: NonNullable<store.TaskRow['answer_envelope']>;
};

/** A stored answer whose kind its signature vouches for. */
type SignedAnswer = { readonly row: StoredAnswer; readonly kind: AnswerBody['kind'] };

/** Sends the stored answer of a task. Returns when the hub has it or will never want it; throws what is worth another try. */
export async function deliverAnswer(deps: DeliveryDeps, task: SiteTask, leaving: Leaving): Promise<void> {
  const { row } = leaving;
  if (!isAnswered(row)) return;
  const kind = signedKind(deps, task, row);
  if (kind === undefined) return sendRefusal(deps, task, { row, refused: NOT_SIGNED, leaving });
  if (egressOfAnswer(kind) === undefined) return send(deps, task, { row, kind, signal: leaving.job });
  const refused = leaving.approval.aborted ? APPROVAL_ENDED : await deps.performer.recheck(task);
  if (refused !== undefined) return sendRefusal(deps, task, { row, refused, leaving });
  try {
    await send(deps, task, { row, kind, signal: AbortSignal.any([leaving.job, leaving.approval]) });
  } catch (caught) {
    if (!leaving.approval.aborted) throw caught;
    await sendRefusal(deps, task, { row, refused: APPROVAL_ENDED, leaving });
  }
}

const APPROVAL_ENDED: Refusal = {
  allowed: false,
  code: 'policy.not-approved',
  message: "This site's approval of the project has ended.",
};

const NOT_SIGNED: Refusal = {
  allowed: false,
  code: 'envelope.rejected',
  message: 'The stored answer is not one that this site signed for this task.',
};

function isAnswered(row: store.TaskRow | undefined): row is StoredAnswer {
  if (row === undefined || row.answer_envelope === null) return false;
  return row.state === 'delivered' || !isFinal(SITE_TASK_STATES, row.state);
}

/** `undefined`: what is stored is not signed with this site's key, or is the answer to another task. */
function signedKind(deps: SiteContext, task: SiteTask, row: StoredAnswer): AnswerBody['kind'] | undefined {
  try {
    const { body, taskId, siteId } = openEnvelope(row.answer_envelope, {
      payloadType: PAYLOAD_TYPES.answer,
      schema: AnswerSchema,
      signer: deps.keyPair,
    });
    return taskId === task.taskId && siteId === deps.siteId ? body.kind : undefined;
  } catch (caught) {
    if (toAppError(caught).code === 'envelope.rejected') return undefined;
    throw caught;
  }
}

async function sendRefusal(
  deps: DeliveryDeps,
  task: SiteTask,
  stopped: { row: StoredAnswer; refused: Refusal; leaving: Leaving },
): Promise<void> {
  const row = await replaceByRefusal(deps, task, stopped.refused);
  await forgetFiles(deps, task, stopped.row.answer_files ?? []);
  // An answer that had left before cannot be called back, and is not sent again.
  if (isAnswered(row)) await send(deps, task, { row, kind: 'refused', signal: stopped.leaving.job });
}

async function send(deps: DeliveryDeps, task: SiteTask, sent: SignedAnswer & { signal: AbortSignal }): Promise<void> {
  const { row, kind, signal } = sent;
  const files = row.answer_files ?? [];
  try {
    await sendFiles(deps, task, { files, signal });
    signal.throwIfAborted();
    await deps.outbound.answer(task.taskId, { kind, envelope: row.answer_envelope, signal });
  } catch (caught) {
    return notDelivered(deps, task, { caught, signal, files });
  }
  faultPoint('site.answer.delivered');
  await recordDelivered(deps, task, { kind, digest: documentDigest(row.answer_envelope) });
  await forgetFiles(deps, task, files);
}

async function replaceByRefusal(
  deps: DeliveryDeps,
  task: SiteTask,
  refused: Refusal,
): Promise<store.TaskRow | undefined> {
  const { code, message } = refused;
  const body = { kind: 'refused', code, message, findings: [] } as const satisfies AnswerBody;
  return deps.database.transaction(async (tx: SiteTx) => {
    const envelope = signAnswer(deps, {
      taskId: task.taskId,
      body: { ...body, findings: [] },
      decisionDigest: undefined,
    });
    const at = deps.clock.now();
    const answer = { kind: body.kind, envelope, files: [], at };
    const row = await store.replaceAnswer(tx, task.taskId, answer);
    if (row === undefined) return undefined;
    const details = { ...taskDetails(task), code };
    await audit(deps, tx, {
      actor: 'site',
      action: 'answer.stopped',
      object: task.taskId,
      outcome: 'refused',
      details,
    });
    return row;
  });
}

/** Codes with which the hub says that this answer will never be wanted. All others may pass, by themselves or by a person. */
const UNWANTED: ReadonlySet<ErrorCode> = new Set([
  'not-found',
  'state.transition-refused',
  'policy.refused',
  'auth.forbidden',
  'envelope.rejected',
  'update.invalid',
  'tensor.invalid',
  'input.invalid',
  'input.too-large',
]);

async function notDelivered(
  deps: DeliveryDeps,
  task: SiteTask,
  failure: { caught: unknown; signal: AbortSignal; files: readonly AnswerFile[] },
): Promise<void> {
  if (failure.signal.aborted) throw failure.caught;
  const error = toAppError(failure.caught);
  if (!UNWANTED.has(error.code)) {
    if (error.failureClass !== 'permanent') throw error;
    // A wrong clock, a revoked key: a person mends it, and then this answer must still go.
    throw new AppError('peer.unreachable', `The hub did not take the answer: ${error.message}`, { cause: error });
  }
  const to = nextState(SITE_TASK_STATES, 'done', 'cancel') ?? 'cancelled';
  await deps.database.transaction(async (tx: SiteTx) => {
    if (!(await store.moveTask(tx, task.taskId, { event: 'cancel', to }))) return;
    const details = { ...taskDetails(task), code: error.code };
    await audit(deps, tx, {
      actor: 'hub',
      action: 'answer.unwanted',
      object: task.taskId,
      outcome: 'failure',
      details,
    });
  });
  await forgetFiles(deps, task, failure.files);
}

async function recordDelivered(
  deps: DeliveryDeps,
  task: SiteTask,
  answer: { kind: AnswerBody['kind']; digest: string },
): Promise<void> {
  const details = { ...taskDetails(task), answer: answer.kind, answerDigest: answer.digest };
  const line = { actor: 'site', action: 'answer.delivered', object: task.taskId, details } as const;
  await store.markDelivered(deps.db, task.taskId, { at: deps.clock.now(), audit: auditEntry(deps, line) });
}

/**
 * A hub that asks this site for no update any more has closed the round, perhaps with this very answer, which the site could not
 * note: its database was away. The answer is sent again all the same; the hub counts it once.
 */
async function sendFiles(
  deps: DeliveryDeps,
  task: SiteTask,
  sent: { files: readonly AnswerFile[]; signal: AbortSignal },
): Promise<void> {
  if (task.kind !== 'round' || sent.files.length === 0) return;
  const runFiles = await deps.filesOf(task.runId);
  try {
    for (const file of sent.files) {
      // Gone already: the hub had it before and only the answer is sent again.
      if (await runFiles.has(file.digest)) await uploadBlob(deps.outbound, runFiles, { ...file, signal: sent.signal });
    }
  } catch (caught) {
    if (toAppError(caught).code !== 'auth.forbidden') throw caught;
  }
  faultPoint('site.update.uploaded');
}

async function forgetFiles(deps: DeliveryDeps, task: SiteTask, files: readonly AnswerFile[]): Promise<void> {
  if (task.kind !== 'round' || files.length === 0) return;
  const runFiles = await deps.filesOf(task.runId);
  for (const { digest } of files) await runFiles.remove(digest);
}
