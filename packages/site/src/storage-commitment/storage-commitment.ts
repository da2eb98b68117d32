/**
 * Storage commitment as the provider (PS3.4 annex J): a peer asks whether what it sent is kept, so that it may delete its own copy.
 *
 *   N-ACTION ──► row and job, one commit ──► answer        job: look at index and disk ──► N-EVENT-REPORT ──► row ended
 *
 * The report goes over the association that asked if that still stands after a moment, else over one of our own to the peer, tried
 * for a day, whatever restarts between. What is promised is looked at anew before each attempt.
 */
import { parse } from '@lantern/contract';
import { type ActionRequest, type DimseOutcome, STATUS } from '@lantern/dicom';
import {
  appendAudit,
  type Clock,
  type Database,
  enqueue,
  type Logger,
  type QueueTask,
  type Tx,
} from '@lantern/service';
import { Type } from 'typebox';
import type { ImageFiles } from '../archive/image-files.ts';
import type { AdmittedPeers } from '../dimse/admission.ts';
import type { PeerCalls } from '../dimse/peer-calls.ts';
import type { Sweep } from '../sweeper.ts';
import { checkKept } from './commitment-check.ts';
import { readRequest, reportOf } from './commitment-messages.ts';
import { createCommitmentReporter } from './commitment-reporter.ts';
import {
  type Asked,
  type CommitmentTables,
  deleteEndedBefore,
  endRequest,
  type OpenRequest,
  type RequestEnd,
  readOpenRequest,
  writeRequest,
} from './store.ts';

const REPORT_JOB = 'storage-commitment.report';
/** A peer that wants its report on a new association has released the first by then; one that waits for it is still there. */
const SETTLE_MS = 500;
/** More than fit into the day of trying at the longest pause of the queue, a minute: time ends the attempts, not their number. */
const ATTEMPTS_MAX = 10_000;
/** A transaction that is asked for again is the same one for so long. */
const KEPT_MS = 30 * 24 * 3_600_000;
const FORGET_SWEEP_MS = 3_600_000;

const JobSchema = Type.Object({ commitmentKey: Type.Integer() });

export type StorageCommitment = {
  /** The handler of N-ACTION. */
  onAction(request: ActionRequest): Promise<DimseOutcome>;
  readonly jobs: Readonly<Record<string, QueueTask>>;
  readonly sweeps: readonly Sweep[];
};

type CommitmentDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly files: Pick<ImageFiles, 'pathOf'>;
  readonly admitted: AdmittedPeers;
  readonly calls: PeerCalls;
};

export function createStorageCommitment(deps: CommitmentDeps): StorageCommitment {
  const { database, clock, admitted } = deps;
  const db = database.kysely<CommitmentTables>();
  const reporter = createCommitmentReporter(deps);
  /** Associations that asked and may still stand, by the request: all that a restart forgets. Its job takes each away. */
  const standing = new Map<number, ActionRequest['report']>();
  return {
    async onAction(request) {
      const { callingAe, calledAe } = request.peer;
      if (admitted.peerOf(request.peer)?.mayStore !== true) return { status: STATUS.notAuthorized };
      const asked = readRequest(request);
      if ('status' in asked) return asked;
      const commitmentKey = await record(database, { ...asked, callingAe, calledAe, at: clock.now() });
      if (commitmentKey === undefined) {
        return { status: STATUS.invalidArgument, comment: 'TransactionUID was used for other instances' };
      }
      standing.set(commitmentKey, (event) => request.report(event));
      return { status: STATUS.success };
    },
    jobs: {
      [REPORT_JOB]: async (payload, { signal }) => {
        const { commitmentKey } = parse(JobSchema, payload, { what: 'job', code: 'internal' });
        await report(commitmentKey, signal);
      },
    },
    sweeps: [
      {
        name: 'ended storage commitments',
        everyMs: FORGET_SWEEP_MS,
        run: () => deleteEndedBefore(db, new Date(clock.now().getTime() - KEPT_MS)),
      },
    ],
  };

  async function report(commitmentKey: number, signal: AbortSignal): Promise<void> {
    const sameAssociation = standing.get(commitmentKey);
    standing.delete(commitmentKey);
    const request = await readOpenRequest(db, commitmentKey);
    if (request === undefined) return; // reported by an attempt whose end could not be recorded in the queue
    const verdicts = await checkKept(deps, request.instances, { ...request, signal });
    const event = reportOf(request.transactionUid, verdicts);
    const isTold = await reporter.tell(event, { commitmentKey, request, sameAssociation, signal });
    const failedCount = verdicts.filter(({ failure }) => failure !== undefined).length;
    const state = isTold ? 'reported' : 'unreported';
    const committedCount = verdicts.length - failedCount;
    await end(database, { commitmentKey, request }, { state, at: clock.now(), committedCount, failedCount });
  }
}

/** Row, job and audit line. `undefined`: the transaction was about other instances. */
function record(database: Database, asked: Asked): Promise<number | undefined> {
  const { callingAe, at, instances } = asked;
  return database.transaction(async (tx: Tx<CommitmentTables>) => {
    const commitmentKey = await writeRequest(tx, asked);
    if (commitmentKey === undefined) return undefined;
    await enqueue(tx, {
      name: REPORT_JOB,
      payload: { commitmentKey },
      key: `${REPORT_JOB} ${commitmentKey}`,
      queueName: `${REPORT_JOB} ${callingAe}`, // one at a time: a peer that does not answer holds up little other work
      runAt: new Date(at.getTime() + SETTLE_MS),
      attemptsMax: ATTEMPTS_MAX,
    });
    await appendAudit(tx, {
      at,
      actor: `dicom:${callingAe}`,
      action: 'storage-commitment.request',
      object: `commitment:${commitmentKey}`,
      outcome: 'success',
      details: { instanceCount: instances.length },
    });
    return commitmentKey;
  });
}

async function end(
  database: Database,
  { commitmentKey, request }: { commitmentKey: number; request: OpenRequest },
  ended: RequestEnd,
): Promise<void> {
  await database.transaction(async (tx: Tx<CommitmentTables>) => {
    if (!(await endRequest(tx, commitmentKey, ended))) return;
    const { state, at, committedCount, failedCount } = ended;
    await appendAudit(tx, {
      at,
      actor: 'site',
      action: 'storage-commitment.report',
      object: `commitment:${commitmentKey}`,
      outcome: state === 'reported' ? 'success' : 'failure',
      details: { to: request.callingAe, committedCount, failedCount },
    });
  });
}
