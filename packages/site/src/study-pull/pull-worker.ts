/**
 * What becomes of one entry of a pull. Every step is a row before the next begins, so that a restart goes on where it was, and an
 * entry that fails stops no other.
 */
import { AppError, type PullEntryState, toAppError } from '@lantern/contract';
import type { FoundStudy, StudyKey } from '@lantern/dicom';
import { appendAudit, type Clock, type Database, fromDiskError, type Logger, type Tx } from '@lantern/service';
import { fromDicomError } from '../dicom-fault.ts';
import type { PeerCalls } from '../dimse/peer-calls.ts';
import { enqueueEntries, PULL_ATTEMPTS_MAX } from './pull-jobs.ts';
import {
  changeEntry,
  countArrived,
  type EntryChange,
  type EntryOfPull,
  insertSiblings,
  noteReason,
  type PullTables,
  readEntry,
} from './store.ts';
import { type Fetched, type Source, type StudySource, sourceOf } from './study-source.ts';

/** A study that the peer cannot read completely is not asked for all night. */
const INCOMPLETE_ATTEMPTS_MAX = 3;

type WorkerDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly calls: PeerCalls;
  readonly source: StudySource;
};

type Attempt = { readonly signal: AbortSignal; readonly attempt: number };

export type PullWorker = {
  /** Throws what is to be tried again. */
  work(entryKey: number, attempt: Attempt): Promise<void>;
};

const OPEN: ReadonlySet<PullEntryState> = new Set(['waiting', 'found', 'fetching']);

export function createPullWorker(deps: WorkerDeps): PullWorker {
  const { database, clock } = deps;
  const db = database.kysely<PullTables>();
  const end = (entry: EntryOfPull, change: Omit<EntryChange, 'at'>) => endEntry(deps, entry, change);
  return {
    async work(entryKey, attempt) {
      const entry = await readEntry(db, entryKey);
      if (entry === undefined || !OPEN.has(entry.state)) return; // ended by an attempt that the queue does not know of
      try {
        const source = sourceOf(deps.calls, { ...entry, aeTitle: entry.ae_title });
        const study = studyOf(entry) ?? (await find(entry, source, attempt.signal));
        if (study !== undefined) await fetch(entry, { source, study, attempt });
      } catch (caught) {
        attempt.signal.throwIfAborted();
        await endOrRethrow(entry, toAppError(fromDiskError(fromDicomError(caught))), attempt);
      }
    },
  };

  /** `undefined`: there is none. */
  async function find(entry: EntryOfPull, source: Source, signal: AbortSignal): Promise<FoundStudy | undefined> {
    const [study, ...others] = await deps.source.find(source, keyOf(entry), signal);
    if (study === undefined) {
      await end(entry, { event: 'miss', reason: 'The peer has no such study.' });
      return undefined;
    }
    const at = clock.now();
    await database.transaction(async (tx: Tx<PullTables>) => {
      await changeEntry(tx, entry.entry_key, { event: 'find', at, study });
      await enqueueEntries(tx, await insertSiblings(tx, entry, others, at));
    });
    return study;
  }

  async function fetch(
    entry: EntryOfPull,
    { source, study, attempt }: { source: Source; study: FoundStudy; attempt: Attempt },
  ): Promise<void> {
    const { studyInstanceUid, instanceCount } = study;
    const before = await countArrived(db, studyInstanceUid);
    if (instanceCount !== undefined && before >= instanceCount) {
      return end(entry, { event: 'finish', arrivedCount: before });
    }
    await changeEntry(db, entry.entry_key, { event: 'fetch', at: clock.now() });
    const fetched = await deps.source.fetch(source, studyInstanceUid, attempt.signal);
    const expectedCount = instanceCount ?? fetched.expectedCount;
    const arrivedCount = await countArrived(db, studyInstanceUid);
    const counts = { arrivedCount, ...(expectedCount === undefined ? {} : { expectedCount }) };
    const isComplete = expectedCount === undefined ? fetched.problem === undefined : arrivedCount >= expectedCount;
    if (isComplete) return end(entry, { event: 'finish', ...counts });
    const reason = incompleteReason(fetched, counts);
    if (!fetched.isFinal && attempt.attempt < INCOMPLETE_ATTEMPTS_MAX) throw new AppError('peer.unreachable', reason);
    await end(entry, { event: 'fail', reason, ...counts });
  }

  async function endOrRethrow(entry: EntryOfPull, error: AppError, { attempt }: Attempt): Promise<void> {
    const reason = `${error.message} [${error.code}]`;
    if (error.failureClass === 'permanent' || attempt >= PULL_ATTEMPTS_MAX) {
      if (error.code === 'internal') deps.log.error({ err: error.cause, entryKey: entry.entry_key }, 'a pull failed');
      return end(entry, { event: 'fail', reason });
    }
    await noteReason(db, entry.entry_key, { reason, at: clock.now() });
    throw error;
  }
}

/** The last change of an entry, with its line in the audit log. */
async function endEntry(
  { database, clock }: Pick<WorkerDeps, 'database' | 'clock'>,
  entry: EntryOfPull,
  change: Omit<EntryChange, 'at'>,
): Promise<void> {
  const at = clock.now();
  await database.transaction(async (tx: Tx<PullTables>) => {
    const state = await changeEntry(tx, entry.entry_key, { ...change, at });
    if (state === undefined) return;
    const { arrivedCount } = change;
    await appendAudit(tx, {
      at,
      actor: 'site',
      action: 'study-pull.entry-end',
      object: `study-pull-entry:${entry.entry_key}`,
      outcome: state === 'done' ? 'success' : 'failure',
      details: { pullId: entry.pull_id, state, ...(arrivedCount === undefined ? {} : { arrivedCount }) },
    });
  });
}

/** The study that was found before; one that waits to be retried is looked up again, as its size may have changed. */
function studyOf(entry: EntryOfPull): FoundStudy | undefined {
  if (entry.state === 'waiting' || entry.study_instance_uid === null) return undefined;
  return { studyInstanceUid: entry.study_instance_uid, instanceCount: entry.expected_count ?? undefined };
}

function keyOf(entry: EntryOfPull): StudyKey {
  if (entry.study_instance_uid !== null) return { by: 'study-instance-uid', value: entry.study_instance_uid };
  return { by: entry.listed_by, value: entry.value };
}

function incompleteReason(
  { problem = 'The peer says that it sent everything.' }: Fetched,
  { arrivedCount, expectedCount }: { arrivedCount: number; expectedCount?: number },
): string {
  return `${problem} Of ${expectedCount ?? 'an unknown number of'} instances ${arrivedCount} are here.`;
}
