/**
 * What becomes of the jobs of research copies that failed for good: it is said where people look, and tried again when they ask.
 *
 *   a study           its state is `failed` and why; nothing of it is given meanwhile
 *   a collection      its `fault`: filling it with what is here, or removing its copies
 *   a list of opt-outs  never given up, as copies of people who opted out would stay: the job is asked for again until it ends
 */
import { type CollectionFault, type ImageCollectionId, parse } from '@lantern/contract';
import { type AnyTx, type Clock, type Database, type FailedJob, type Tx, transactionOf } from '@lantern/service';
import type { Collections } from '../image-selection/collections.ts';
import { JOBS } from '../jobs.ts';
import { type Actor, audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import * as jobs from './copy-jobs.ts';
import { failedStudies, type ResearchTables, setStudyFailed } from './store.ts';

/** By then the job has been tried for long; a database or disk that is away is looked for again now and then. */
const OPT_OUTS_AGAIN_MS = 600_000;

export type CopyFailures = {
  /** For the queue, of any job of the process; those of others are left alone. */
  readonly jobFailed: (job: FailedJob) => Promise<void>;
  /** Asks again for whatever failed in a collection. */
  readonly retry: (collectionId: ImageCollectionId, by: string) => ReturnType<Collections['require']>;
};

type FailuresDeps = { readonly database: Database; readonly clock: Clock; readonly collections: Collections };
type ResearchTx = Tx<ResearchTables>;

const job = { what: 'job', code: 'internal' } as const;

export function createCopyFailures(deps: FailuresDeps): CopyFailures {
  const { database, collections } = deps;
  return {
    jobFailed: ({ name, payload, error: { code } }) =>
      database.transaction(async (tx: ResearchTx) => {
        const object = await noted(deps, tx, { name, payload, code });
        if (object === undefined) return;
        await record(deps, tx, { actor: 'site', action: 'research-images.fail', object, details: { job: name, code } });
      }),

    async retry(collectionId, by) {
      await collections.require(collectionId);
      await database.transaction(async (tx: ResearchTx) => {
        const studies = await failedStudies(tx, collectionId);
        for (const study of studies) await jobs.askForStudy(tx, study);
        const fault = await collections.takeFault(tx, collectionId);
        if (fault?.step === 'fill') await jobs.askToFill(tx, collectionId);
        if (fault?.step === 'remove') await jobs.askToRemove(tx, collectionId);
        const details = { studyCount: studies.length, ...(fault === undefined ? {} : { step: fault.step }) };
        await record(deps, tx, {
          actor: `user:${by}`,
          action: 'image-collection.retry',
          object: collectionId,
          details,
        });
      });
      return collections.require(collectionId);
    },
  };
}

/** Gives what the audit log names; `undefined` for a job of somebody else. */
async function noted(
  { clock, collections }: FailuresDeps,
  tx: ResearchTx,
  { name, payload, code }: { name: string; payload: unknown; code: string },
): Promise<string | undefined> {
  const faulty = async (collectionId: ImageCollectionId, step: CollectionFault['step']) => {
    await collections.setFault(tx, collectionId, { step, code });
    return collectionId;
  };
  switch (name) {
    case JOBS.copyStudy: {
      const study = parse(jobs.CopyStudyJobSchema, payload, job);
      await setStudyFailed(tx, study, code);
      return `${study.collectionId}/${study.studyKey}`;
    }
    case JOBS.fillCollection:
      return faulty(parse(jobs.FillCollectionJobSchema, payload, job).collectionId, 'fill');
    case JOBS.removeCopies:
      return faulty(parse(jobs.RemoveCopiesJobSchema, payload, job).collectionId, 'remove');
    case JOBS.applyOptOuts: {
      const { after } = parse(jobs.ApplyOptOutsJobSchema, payload, job);
      await jobs.askToApplyOptOuts(tx, after, new Date(clock.now().getTime() + OPT_OUTS_AGAIN_MS));
      return 'opt-outs';
    }
    default:
      return undefined;
  }
}

type Line = { readonly actor: Actor; readonly action: string; readonly object: string };

async function record(
  deps: FailuresDeps,
  tx: AnyTx,
  line: Line & { readonly details: Readonly<Record<string, string | number>> },
): Promise<void> {
  const outcome = line.actor === 'site' ? 'failure' : 'success';
  await audit(deps, transactionOf<SiteTables>(tx), { ...line, outcome });
}
