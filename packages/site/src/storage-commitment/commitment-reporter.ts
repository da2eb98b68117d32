/** Tells a peer what became of its request: on the association that asked, else on one of our own. */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@lantern/contract';
import {
  type ActionRequest,
  type EventReport,
  identifierContext,
  SOP_CLASSES,
  STORAGE_COMMITMENT_INSTANCE,
  statusKind,
} from '@lantern/dicom';
import type { Clock, Logger } from '@lantern/service';
import type { PeerCall, PeerCalls } from '../dimse/peer-calls.ts';
import type { OpenRequest } from './store.ts';

const SAME_ASSOCIATION_ANSWER_MS = 10_000; // afterwards it is told again over a new one, which harms nobody
const CONNECT_MS = 10_000; // a slot of the queue waits for it
const ANSWER_MS = 60_000;
/** A peer is down for a night; a modality that has heard nothing for a day asks again by itself or its people do. */
const GIVE_UP_AFTER_MS = 24 * 3_600_000;

type Told = {
  readonly commitmentKey: number;
  readonly request: OpenRequest;
  /** Throws where the association has ended. */
  readonly sameAssociation: ActionRequest['report'] | undefined;
  readonly signal: AbortSignal;
};

export type CommitmentReporter = {
  /** False where it is given up. Throws `peer.unreachable` where it is to be tried again. */
  tell(event: EventReport, told: Told): Promise<boolean>;
};

type ReporterDeps = { readonly calls: PeerCalls; readonly clock: Clock; readonly log: Logger };

export function createCommitmentReporter({ calls, clock, log }: ReporterDeps): CommitmentReporter {
  return {
    tell: async (event, told) => (await tellOnSame(event, told)) || (await tellAnew(event, told)),
  };

  async function tellOnSame(event: EventReport, { sameAssociation, commitmentKey, signal }: Told): Promise<boolean> {
    if (sameAssociation === undefined) return false;
    const answered = new AbortController();
    const tooLate = AbortSignal.any([answered.signal, signal]);
    try {
      const timeout = delay(SAME_ASSOCIATION_ANSWER_MS, undefined, { signal: tooLate });
      const outcome = await Promise.race([sameAssociation(event), timeout]);
      return outcome !== undefined && statusKind(outcome.status) !== 'failure';
    } catch (err) {
      signal.throwIfAborted();
      log.debug({ err, commitmentKey }, 'the association that asked for a commitment has ended');
      return false;
    } finally {
      answered.abort();
    }
  }

  async function tellAnew(event: EventReport, { request, commitmentKey, signal }: Told): Promise<boolean> {
    const { callingAe, calledAe, requestedAt } = request;
    const peer = calls.peer(callingAe);
    if (peer?.port === undefined) {
      log.warn(
        { commitmentKey, callingAe },
        'a commitment is not reported: no port is known at which the peer listens',
      );
      return false;
    }
    try {
      const status = await reportAnew(calls, { peer, callingAe: calledAe, signal }, event);
      if (statusKind(status) !== 'failure') return true;
      throw new AppError('peer.unreachable', `The peer answered the report with status ${status.toString(16)}H.`);
    } catch (cause) {
      signal.throwIfAborted();
      if (clock.now().getTime() - requestedAt.getTime() > GIVE_UP_AFTER_MS) {
        log.warn(
          { err: cause, commitmentKey, callingAe },
          'a commitment is not reported: the peer took none for a day',
        );
        return false;
      }
      // Also what the peer refuses: its administrator may yet let us in.
      throw new AppError('peer.unreachable', 'The peer did not take the report of a storage commitment.', { cause });
    }
  }
}

type Call = Pick<PeerCall, 'peer' | 'callingAe' | 'signal'>;

/** On an association of our own, on which we are the provider (PS3.4 J.3.3, PS3.7 D.3.3.4). Gives the status of the answer. */
async function reportAnew(calls: PeerCalls, call: Call, event: EventReport): Promise<number> {
  const client = await calls.open({
    ...call,
    contexts: [{ ...identifierContext(SOP_CLASSES.storageCommitmentPush), roles: { scu: false, scp: true } }],
    timeouts: { associateMs: CONNECT_MS, answerMs: ANSWER_MS },
  });
  try {
    const { status } = await client.report(event.information, {
      sopClass: SOP_CLASSES.storageCommitmentPush,
      sopInstance: STORAGE_COMMITMENT_INSTANCE,
      eventTypeId: event.eventTypeId,
    });
    await client.release();
    return status;
  } catch (caught) {
    await client.abort();
    throw caught;
  }
}
