/**
 * Pulls of studies from a peer of the hospital: a list of accession numbers, studies or patients goes in whole, and every entry
 * comes out with what became of it.
 *
 *   waiting ──find──► found ──fetch──► fetching ──► done            (a study that is here already is done at once)
 *      └─► not-found     └───────────────┴────────► failed ──retry──► waiting
 *
 * Invariants: list and jobs are one commit; an entry that fails stops no other; nothing counts as done before as many instances are
 * in the archive as the peer says there are.
 */
import {
  AppError,
  type NewPull,
  PULL_ENTRY_STATES,
  type Pull,
  type PullEntry,
  type PullId,
  parse,
} from '@lantern/contract';
import { isSingleKey, isUid } from '@lantern/dicom';
import { appendAudit, type Clock, type Database, type Logger, newId, type QueueTask, type Tx } from '@lantern/service';
import { Type } from 'typebox';
import type { Archive } from '../archive/archive.ts';
import type { AdmittedPeers } from '../dimse/admission.ts';
import type { DicomSettings } from '../dimse/dicom-settings.ts';
import type { PeerCalls } from '../dimse/peer-calls.ts';
import { ENTRY_JOB, enqueueEntries } from './pull-jobs.ts';
import { createPullWorker } from './pull-worker.ts';
import {
  type EntryRow,
  insertPull,
  listEntries,
  listPulls,
  type PullDb,
  type PullTables,
  type PullWithCounts,
  retryEntries,
} from './store.ts';
import { createStudySource } from './study-source.ts';

const ENTRY_PAGE_COUNT = 200;

const JobSchema = Type.Object({ entryKey: Type.Integer() });

export type StudyPulls = {
  /** Throws `input.invalid` naming the field. */
  create(wanted: NewPull, by: string): Promise<Pull>;
  list(): Promise<Pull[]>;
  /** Throws `not-found`. */
  read(
    pullId: PullId,
    page: { readonly after?: number; readonly limit?: number },
    by: string,
  ): Promise<{ pull: Pull; entries: PullEntry[] }>;
  /** Throws `not-found`. */
  retry(pullId: PullId, by: string): Promise<Pull>;
  readonly jobs: Readonly<Record<string, QueueTask>>;
};

export type StudyPullDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: Pick<DicomSettings, 'aeTitles'>;
  readonly archive: Pick<Archive, 'receive'>;
  readonly admitted: AdmittedPeers;
  readonly calls: PeerCalls;
};

export function createStudyPulls(deps: StudyPullDeps): StudyPulls {
  const { database, clock } = deps;
  const db = database.kysely<PullTables>();
  const worker = createPullWorker({ ...deps, source: createStudySource(deps) });
  return {
    async create(wanted, by) {
      const { values, aeTitle } = checked(wanted, deps);
      const pullId = newId('PullId');
      const at = clock.now();
      const { peer, method } = wanted;
      const row = {
        pull_id: pullId,
        peer,
        method,
        listed_by: wanted.by,
        ae_title: aeTitle,
        created_by: by,
        created_at: at,
      };
      return database.transaction(async (tx: Tx<PullTables>) => {
        await enqueueEntries(tx, await insertPull(tx, row, values));
        await record(tx, { pullId, by, action: 'create', details: { peer, method, entryCount: values.length } });
        return onePull(tx, pullId);
      });
    },
    list: async () => (await listPulls(db)).map(pullOf),
    // What is read names patients: whoever reads it is recorded.
    read: (pullId, { after = 0, limit = ENTRY_PAGE_COUNT }, by) =>
      database.transaction(async (tx: Tx<PullTables>) => {
        const pull = await onePull(tx, pullId);
        const entries = await listEntries(tx, pullId, { after, limit });
        await record(tx, { pullId, by, action: 'read', details: { entryCount: entries.length } });
        return { pull, entries: entries.map(entryOf) };
      }),
    retry: (pullId, by) =>
      database.transaction(async (tx: Tx<PullTables>) => {
        await onePull(tx, pullId);
        const entryKeys = await retryEntries(tx, pullId, clock.now());
        await enqueueEntries(tx, entryKeys);
        await record(tx, { pullId, by, action: 'retry', details: { entryCount: entryKeys.length } });
        return onePull(tx, pullId);
      }),
    jobs: {
      [ENTRY_JOB]: async (payload, { signal, attempt }) => {
        const { entryKey } = parse(JobSchema, payload, { what: 'job', code: 'internal' });
        await worker.work(entryKey, { signal, attempt });
      },
    },
  };

  async function record(
    tx: Parameters<typeof appendAudit>[0],
    line: { pullId: PullId; by: string; action: string; details: Record<string, string | number> },
  ): Promise<void> {
    const { pullId, by, action, details } = line;
    await appendAudit(tx, {
      at: clock.now(),
      actor: `user:${by}`,
      action: `study-pull.${action}`,
      object: `study-pull:${pullId}`,
      outcome: 'success',
      details,
    });
  }
}

async function onePull(db: PullDb, pullId: PullId): Promise<Pull> {
  const [pull] = await listPulls(db, pullId);
  if (pull === undefined) throw new AppError('not-found', 'There is no such pull.');
  return pullOf(pull);
}

type Checked = { readonly values: readonly string[]; readonly aeTitle: string };

function checked(wanted: NewPull, { settings, calls }: StudyPullDeps): Checked {
  const refuse = (field: string, rule: string) => new AppError('input.invalid', `${field}: ${rule}.`, { field });
  const peer = calls.peer(wanted.peer);
  if (peer?.port === undefined) throw refuse('peer', 'is no peer of the settings at which a port is known');
  if (wanted.method === 'move' && !peer.mayStore) throw refuse('method', 'the peer may not store here; use get');
  const [first] = settings.aeTitles;
  const aeTitle = wanted.aeTitle ?? first?.aeTitle ?? '';
  if (!settings.aeTitles.some((own) => own.aeTitle === aeTitle)) throw refuse('aeTitle', 'is no title of this site');
  const values = [...new Set(wanted.values.map((value) => value.trim()))];
  for (const [index, value] of values.entries()) {
    if (!isSingleKey(value))
      throw refuse(`values/${index}`, 'must name one value, without * ? \\ or control characters');
    if (wanted.by === 'study-instance-uid' && !isUid(value)) throw refuse(`values/${index}`, 'is no UID');
  }
  return { values, aeTitle };
}

function pullOf(row: PullWithCounts): Pull {
  const states = Object.keys(PULL_ENTRY_STATES) as (keyof typeof PULL_ENTRY_STATES)[];
  return {
    pullId: row.pull_id,
    peer: row.peer,
    method: row.method,
    by: row.listed_by,
    aeTitle: row.ae_title,
    createdBy: row.created_by,
    createdAt: row.created_at.toISOString(),
    counts: Object.fromEntries(states.map((state) => [state, row.counts[state] ?? 0])) as Pull['counts'],
  };
}

function entryOf(row: EntryRow): PullEntry {
  return {
    entryKey: row.entry_key,
    value: row.value,
    state: row.state,
    changedAt: row.changed_at.toISOString(),
    ...(row.study_instance_uid === null ? {} : { studyInstanceUid: row.study_instance_uid }),
    ...(row.expected_count === null ? {} : { expectedCount: row.expected_count }),
    ...(row.arrived_count === null ? {} : { arrivedCount: row.arrived_count }),
    ...(row.reason === '' ? {} : { reason: row.reason }),
  };
}
