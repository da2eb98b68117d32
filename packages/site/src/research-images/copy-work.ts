/**
 * Everything that happens to research copies by itself: what follows a complete study, an approval, a withdrawal, a new list of
 * opt-outs, and the end of whatever a study waited for. Each step is a durable job, done again from the beginning after a crash.
 */
import { type ImageCollectionId, parse } from '@lantern/contract';
import type { AnyTx, QueueTask, Tx } from '@lantern/service';
import { JOBS } from '../jobs.ts';
import type { OnStudyComplete } from '../study-assembly/study-assembly.ts';
import type { Sweep } from '../sweeper.ts';
import * as jobs from './copy-jobs.ts';
import { type CopyStudyDeps, createCopyStudy } from './copy-study.ts';
import { collectionsWaiting, type ResearchTables, studiesToJudgeAgain, waitingStudies } from './store.ts';

/** Studies asked for in one transaction. */
const PAGE_STUDY_COUNT = 500;
const WAITING_SWEEP_MS = 60_000; // what waits for a decision or a list goes on within a minute of it

export type CopyWork = {
  readonly follow: OnStudyComplete;
  readonly tasks: Readonly<Record<string, QueueTask>>;
  readonly sweeps: readonly Sweep[];
};

export function createCopyWork(deps: CopyStudyDeps): CopyWork {
  const { database, collections, files } = deps;
  const copyStudy = createCopyStudy(deps);

  async function follow(tx: AnyTx, arrival: { calledAe: string; studyInstanceUid: string }): Promise<void> {
    for (const study of await collections.taking(tx, arrival)) await jobs.askForStudy(tx, study);
  }

  /** A page, and the job for the next one, in one transaction. */
  async function fill(collectionId: ImageCollectionId, after: string): Promise<void> {
    if ((await collections.find(collectionId))?.state !== 'approved') return;
    const studyKeys = await collections.studiesHere(collectionId, { after, limit: PAGE_STUDY_COUNT });
    const last = studyKeys.at(-1);
    if (last === undefined) return;
    await database.transaction(async (tx: Tx<ResearchTables>) => {
      await jobs.askForNewStudies(tx, collectionId, studyKeys);
      if (studyKeys.length === PAGE_STUDY_COUNT) await jobs.askToFill(tx, collectionId, last);
    });
  }

  async function remove(collectionId: ImageCollectionId): Promise<void> {
    if ((await collections.find(collectionId))?.state !== 'withdrawn') return;
    await files.removeCollection(collectionId);
    await collections.markRemoved(collectionId);
  }

  async function applyOptOuts(after: { collectionId: string; studyKey: string }): Promise<void> {
    await database.transaction(async (tx: Tx<ResearchTables>) => {
      const studies = await studiesToJudgeAgain(tx, after, PAGE_STUDY_COUNT);
      for (const study of studies) await jobs.askForStudy(tx, study);
      const last = studies.at(-1);
      if (last !== undefined && studies.length === PAGE_STUDY_COUNT) await jobs.askToApplyOptOuts(tx, last);
    });
  }

  /** Asks again for what waits, where it would wait no longer. */
  async function resume(): Promise<void> {
    const db = database.kysely<ResearchTables>();
    const waiting = await collectionsWaiting(db);
    if (waiting.length === 0 || !(await deps.optOuts.isOpen())) return;
    for (const collectionId of waiting) {
      const collection = await collections.find(collectionId);
      if (collection === undefined || (await collections.standing(collection)) !== 'stands') continue;
      await database.transaction(async (tx: Tx<ResearchTables>) => {
        for (const study of await waitingStudies(tx, collectionId, PAGE_STUDY_COUNT)) await jobs.askForStudy(tx, study);
      });
    }
  }

  const job = { what: 'job', code: 'internal' } as const;
  return {
    follow,
    tasks: {
      [JOBS.copyStudy]: (payload, { signal }) => copyStudy(parse(jobs.CopyStudyJobSchema, payload, job), signal),
      [JOBS.fillCollection]: (payload) => {
        const { collectionId, after } = parse(jobs.FillCollectionJobSchema, payload, job);
        return fill(collectionId, after);
      },
      [JOBS.removeCopies]: (payload) => remove(parse(jobs.RemoveCopiesJobSchema, payload, job).collectionId),
      [JOBS.applyOptOuts]: (payload) => applyOptOuts(parse(jobs.ApplyOptOutsJobSchema, payload, job).after),
    },
    sweeps: [{ name: 'research copies that wait', everyMs: WAITING_SWEEP_MS, run: resume }],
  };
}
