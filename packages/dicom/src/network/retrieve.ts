/**
 * C-GET and C-MOVE (PS3.4 C.4.2, C.4.3): each instance is a C-STORE, on this association or on one to the destination; after each
 * the peer is told how many are left.
 */
import assert from 'node:assert/strict';
import { DicomError } from '../dicom-error.ts';
import { transferSyntaxOf } from '../transfer-syntax.ts';
import type { Instance } from './handlers.ts';
import { dataSetOf, type Incoming, type ServiceContext, type StoreTarget } from './incoming.ts';
import { type ProposedContext, type StoringGroup, storingGroups } from './proposal.ts';
import { type IncomingRequest, type Outcome, type Reply, replyOf } from './session.ts';
import { STATUS, statusKind } from './status.ts';
import { storeOn } from './store.ts';

const COMMENT_NOT_REACHED = 'The destination is not reached';
const COMMENT_FAILED = 'An instance could not be sent';

export async function serveGet(request: IncomingRequest, context: ServiceContext): Promise<void> {
  const { handlers, peer, session } = context;
  const { signal } = request;
  const identifier = await dataSetOf(request);
  if (handlers.onGet === undefined) return request.respond({ Status: STATUS.sopClassNotSupported });
  if (identifier === undefined) return request.respond({ Status: STATUS.dataSetDoesNotMatchSopClass });
  const { abstractSyntax: sopClass, transferSyntax } = request.context;
  const found = await handlers.onGet({ peer, signal, sopClass, identifier, transferSyntax });
  if (found.kind === 'refused') return request.respond(replyOf(found));
  const store = async (instance: Instance) => {
    try {
      return await storeOn(session, instance, { role: 'acceptor' });
    } catch (caught) {
      if (session.hasEnded) throw caught;
      return failed(caught, context); // the instance could not be opened; the others may
    }
  };
  await performAll(request, found.instances, store);
}

export async function serveMove(request: Incoming<'C-MOVE-RQ'>, context: ServiceContext): Promise<void> {
  const { handlers, peer } = context;
  const { command, signal } = request;
  const identifier = await dataSetOf(request);
  if (handlers.onMove === undefined) return request.respond({ Status: STATUS.sopClassNotSupported });
  if (identifier === undefined) return request.respond({ Status: STATUS.dataSetDoesNotMatchSopClass });
  const { abstractSyntax: sopClass, transferSyntax } = request.context;
  const destination = command.MoveDestination;
  const found = await handlers.onMove({ peer, signal, sopClass, identifier, transferSyntax, destination });
  if (found.kind === 'refused') return request.respond(replyOf(found));
  const originator = { aeTitle: peer.callingAe, messageId: command.MessageID };
  const groups = storingGroups(found.instances);
  const targets = new MoveTargets(groups, (contexts) => context.connect(found.destination, contexts, originator));
  try {
    const [first] = groups;
    if (first !== undefined) await targets.for(first);
  } catch (caught) {
    context.onProblem(caught);
    return request.respond({ Status: STATUS.cannotPerformSubOperations, ErrorComment: COMMENT_NOT_REACHED });
  }
  try {
    const instances = groups.flatMap((group) => group.instances);
    await performAll(request, instances, async (instance) => {
      try {
        return await (await targets.forInstance(instance)).store(instance);
      } catch (caught) {
        return failed(caught, context); // also when the destination is gone: the rest fails one by one, and quickly
      }
    });
  } finally {
    await targets.release();
  }
}

type Connect = (contexts: readonly ProposedContext[]) => Promise<StoreTarget>;

/** Associations with a destination, one after the other: many peers take no second one beside the first. */
class MoveTargets {
  readonly #groupOf: ReadonlyMap<Instance, StoringGroup<Instance>>;
  readonly #connect: Connect;
  #current: { readonly group: StoringGroup<Instance>; readonly target: Promise<StoreTarget> } | undefined;

  constructor(groups: readonly StoringGroup<Instance>[], connect: Connect) {
    this.#groupOf = new Map(groups.flatMap((group) => group.instances.map((instance) => [instance, group] as const)));
    this.#connect = connect;
  }

  async forInstance(instance: Instance): Promise<StoreTarget> {
    const group = this.#groupOf.get(instance);
    assert.ok(group !== undefined);
    return this.for(group);
  }

  /** Throws what opening it threw, each time it is asked for, without trying again. */
  async for(group: StoringGroup<Instance>): Promise<StoreTarget> {
    if (this.#current?.group !== group) {
      await this.release();
      this.#current = { group, target: this.#connect(group.contexts) };
    }
    return this.#current.target;
  }

  async release(): Promise<void> {
    const target = await this.#current?.target.catch(() => undefined); // was thrown where it was asked for
    await target?.release();
  }
}

function failed(caught: unknown, { onProblem }: ServiceContext): Outcome {
  onProblem(caught);
  return { status: STATUS.processingFailure, comment: caught instanceof DicomError ? caught.message : COMMENT_FAILED };
}

/** Responds, pending after each instance and finally (PS3.4 table C.4-2, C.4-3). */
async function performAll(
  request: IncomingRequest,
  instances: readonly Instance[],
  store: (instance: Instance) => Promise<Outcome>,
): Promise<void> {
  let [completed, warnings] = [0, 0];
  const failures: string[] = [];
  let reason: string | undefined; // of the first failure
  const counts = () => ({
    NumberOfCompletedSuboperations: completed,
    NumberOfFailedSuboperations: failures.length,
    NumberOfWarningSuboperations: warnings,
  });
  for (const [index, instance] of instances.entries()) {
    if (request.signal.aborted) {
      const left = instances.length - index;
      return respondFinally(request, failures, {
        Status: STATUS.cancelled,
        NumberOfRemainingSuboperations: left,
        ...counts(),
      });
    }
    const { status, comment } = await store(instance);
    const kind = statusKind(status);
    if (kind === 'success') completed += 1;
    else if (kind === 'warning') warnings += 1;
    else {
      failures.push(instance.sopInstance);
      reason ??= comment;
    }
    const remaining = instances.length - index - 1;
    if (remaining > 0) {
      await request.respond({ Status: STATUS.pending, NumberOfRemainingSuboperations: remaining, ...counts() });
    }
  }
  await respondFinally(request, failures, {
    Status: finalStatus(completed, warnings, failures.length),
    ...counts(),
    ...(reason === undefined ? {} : { ErrorComment: reason }),
  });
}

function finalStatus(completed: number, warnings: number, failures: number): number {
  if (failures === 0 && warnings === 0) return STATUS.success;
  return completed === 0 && warnings === 0 ? STATUS.cannotPerformSubOperations : STATUS.subOperationsFailed;
}

async function respondFinally(request: IncomingRequest, failures: readonly string[], reply: Reply): Promise<void> {
  const { transferSyntax } = request.context;
  await request.respond(reply, failures.length === 0 ? undefined : failedInstances(failures, transferSyntax));
}

const FAILED_SOP_INSTANCE_UID_LIST = 0x00080058;
/** Explicit VR gives UI a length of two bytes; a list that is longer is cut, and the count tells so. */
const LIST_BYTES_MAX = 0xfffe;

/** An identifier with the one element that PS3.4 C.4.2.1.4.2 wants. */
function failedInstances(uids: readonly string[], transferSyntax: string): Buffer {
  let text = uids.join('\\');
  if (text.length > LIST_BYTES_MAX) text = text.slice(0, text.lastIndexOf('\\', LIST_BYTES_MAX));
  const value = Buffer.from(text.length % 2 === 0 ? text : `${text}\0`, 'latin1');
  const header = Buffer.alloc(8);
  header.writeUInt16LE(FAILED_SOP_INSTANCE_UID_LIST >>> 16, 0);
  header.writeUInt16LE(FAILED_SOP_INSTANCE_UID_LIST & 0xffff, 2);
  if (transferSyntaxOf(transferSyntax).explicit) {
    header.write('UI', 4, 'latin1');
    header.writeUInt16LE(value.byteLength, 6);
  } else {
    header.writeUInt32LE(value.byteLength, 4);
  }
  return Buffer.concat([header, value]);
}
