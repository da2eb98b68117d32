/** The durable jobs of research copies: what each carries, and how it is asked for in the transaction that makes it necessary. */
import { IdSchema, type ImageCollectionId } from '@lantern/contract';
import { type AnyTx, enqueue, transactionOf } from '@lantern/service';
import { Type } from 'typebox';
import { JOBS } from '../jobs.ts';
import { addStudies, type ResearchTables, wantStudy } from './store.ts';

const CollectionIdSchema = IdSchema('ImageCollectionId');
const StudyKeySchema = Type.String({ pattern: '^[0-9]{1,19}$' });

export const CopyStudyJobSchema = Type.Object({ collectionId: CollectionIdSchema, studyKey: StudyKeySchema });
export const FillCollectionJobSchema = Type.Object({ collectionId: CollectionIdSchema, after: StudyKeySchema });
export const RemoveCopiesJobSchema = Type.Object({ collectionId: CollectionIdSchema });
export const ApplyOptOutsJobSchema = Type.Object({
  after: Type.Object({ collectionId: Type.String(), studyKey: StudyKeySchema }),
});

type OneStudy = { readonly collectionId: ImageCollectionId; readonly studyKey: string };

/** Marks a study and asks for its copy. */
export async function askForStudy(tx: AnyTx, study: OneStudy): Promise<void> {
  await wantStudy(transactionOf<ResearchTables>(tx), study);
  await enqueueCopy(tx, study);
}

/** The same for those of many that are not known yet; gives how many they are. */
export async function askForNewStudies(
  tx: AnyTx,
  collectionId: ImageCollectionId,
  studyKeys: readonly string[],
): Promise<number> {
  const added = await addStudies(transactionOf<ResearchTables>(tx), collectionId, studyKeys);
  for (const studyKey of added) await enqueueCopy(tx, { collectionId, studyKey });
  return added.length;
}

async function enqueueCopy(tx: AnyTx, { collectionId, studyKey }: OneStudy): Promise<void> {
  const key = `${JOBS.copyStudy}/${collectionId}/${studyKey}`;
  await enqueue(tx, { name: JOBS.copyStudy, payload: { collectionId, studyKey }, key });
}

/** Looks for studies that are here already. */
export async function askToFill(tx: AnyTx, collectionId: ImageCollectionId, after = '0'): Promise<void> {
  const key = `${JOBS.fillCollection}/${collectionId}`;
  await enqueue(tx, { name: JOBS.fillCollection, payload: { collectionId, after }, key });
}

export async function askToRemove(tx: AnyTx, collectionId: ImageCollectionId): Promise<void> {
  const key = `${JOBS.removeCopies}/${collectionId}`;
  await enqueue(tx, { name: JOBS.removeCopies, payload: { collectionId }, key });
}

const BEFORE_ALL = { collectionId: '', studyKey: '0' };

/** Judges copied and excluded patients by the new list. */
export async function askToApplyOptOuts(
  tx: AnyTx,
  after: { collectionId: string; studyKey: string } = BEFORE_ALL,
  runAt?: Date,
) {
  const key = JOBS.applyOptOuts;
  await enqueue(tx, { name: key, payload: { after }, key, ...(runAt === undefined ? {} : { runAt }) });
}
