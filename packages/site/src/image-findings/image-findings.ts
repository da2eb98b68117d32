/**
 * What a person has to look at in the archive.
 *
 *   conflict:      recorded ──leave──► left        what was refused stays beside what has its UID
 *                      └────────┴──discard──► discarded ──file removed──► gone
 *
 *   disagreement:  noted with its instance, in the same commit ──► audited
 *
 * Invariants: the instance that was acknowledged is never touched; a decision and its record are one commit; what was decided to go
 * goes also after a crash.
 */
import { AppError, type ConflictDecision, type ImageConflict, type PatientDisagreement } from '@lantern/contract';
import { appendAudit, type Clock, type Database, type Tx } from '@lantern/service';
import type { ImageFiles } from '../archive/image-files.ts';
import type { Sweep } from '../sweeper.ts';
import {
  type ConflictRow,
  type DisagreementRow,
  decideConflict,
  deleteConflict,
  discardedConflicts,
  type FindingTables,
  listConflicts,
  listDisagreements,
  markAudited,
  unauditedDisagreements,
} from './store.ts';

const PAGE_COUNT = 200;
/** How long a finding may be without its record. */
const SWEEP_MS = 10_000;
const BEFORE_ALL = '0';

export type ImageFindings = {
  /** In the order in which they came, after the one with this id. */
  conflicts(after: string | undefined, by: string): Promise<{ conflicts: ImageConflict[]; next?: string }>;
  /** Throws `not-found`, also where it was discarded. */
  decide(conflictId: string, decision: ConflictDecision, by: string): Promise<void>;
  disagreements(
    after: string | undefined,
    by: string,
  ): Promise<{ disagreements: PatientDisagreement[]; next?: string }>;
  readonly sweeps: readonly Sweep[];
};

type FindingsDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly files: Pick<ImageFiles, 'discard'>;
};

export function createImageFindings({ database, clock, files }: FindingsDeps): ImageFindings {
  const db = database.kysely<FindingTables>();
  const removeDiscarded = async () => {
    for (const { conflictId, file } of await discardedConflicts(db, PAGE_COUNT)) {
      await files.discard(file);
      await deleteConflict(db, conflictId);
    }
  };
  const auditNew = async () => {
    for (const row of await unauditedDisagreements(db, PAGE_COUNT)) {
      await database.transaction(async (tx: Tx<FindingTables>) => {
        if (!(await markAudited(tx, row.disagreementId))) return;
        await record(tx, {
          actor: 'archive',
          action: 'image-study.patient-disagreement',
          object: `image-study:${row.studyKey}`,
          details: { attributes: row.attributes },
        });
      });
    }
  };
  return {
    async conflicts(after = BEFORE_ALL, by) {
      const rows = await listConflicts(db, { after, count: PAGE_COUNT });
      await read('image-conflicts', by, rows.length);
      return { conflicts: rows.map(conflictOf), ...nextOf(rows.map(({ conflictId }) => conflictId)) };
    },
    async decide(conflictId, decision, by) {
      await database.transaction(async (tx: Tx<FindingTables>) => {
        if (!(await decideConflict(tx, conflictId, { decision, by, at: clock.now() })))
          throw new AppError('not-found', 'There is no such conflict.');
        await record(tx, {
          actor: `user:${by}`,
          action: `image-conflict.${decision}`,
          object: `image-conflict:${conflictId}`,
          details: {},
        });
      });
      if (decision === 'discard') await removeDiscarded();
    },
    async disagreements(after = BEFORE_ALL, by) {
      const rows = await listDisagreements(db, { after, count: PAGE_COUNT });
      await read('image-patient-disagreements', by, rows.length);
      return {
        disagreements: rows.map(disagreementOf),
        ...nextOf(rows.map(({ disagreementId }) => disagreementId)),
      };
    },
    sweeps: [{ name: 'image findings', everyMs: SWEEP_MS, run: () => auditNew().then(removeDiscarded) }],
  };

  function read(what: string, by: string, count: number): Promise<void> {
    return database.transaction((tx: Tx<FindingTables>) =>
      record(tx, { actor: `user:${by}`, action: `${what}.list`, object: what, details: { count } }),
    );
  }

  async function record(
    tx: Parameters<typeof appendAudit>[0],
    entry: { actor: string; action: string; object: string; details: Record<string, string | number> },
  ): Promise<void> {
    await appendAudit(tx, { at: clock.now(), outcome: 'success', ...entry });
  }
}

function nextOf(ids: readonly string[]): { next?: string } {
  const last = ids.at(-1);
  return last === undefined || ids.length < PAGE_COUNT ? {} : { next: last };
}

function conflictOf({ kept, refused, decision, decidedBy, decidedAt, ...ids }: ConflictRow): ImageConflict {
  return {
    ...ids,
    kept: { ...kept, receivedAt: kept.receivedAt.toISOString() },
    refused: { ...refused, receivedAt: refused.receivedAt.toISOString() },
    ...(decision === null ? {} : { decision }),
    ...(decidedBy === null ? {} : { decidedBy }),
    ...(decidedAt === null ? {} : { decidedAt: decidedAt.toISOString() }),
  };
}

function disagreementOf(row: DisagreementRow): PatientDisagreement {
  const { disagreementId, studyInstanceUid, sopInstanceUid, attributes, receivedAt } = row;
  return {
    disagreementId,
    studyInstanceUid,
    sopInstanceUid,
    attributes: attributes.split(' '),
    receivedAt: receivedAt.toISOString(),
  };
}
