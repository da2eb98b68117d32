/**
 * Whether instances are kept: asked of the index and of the disk, since the peer may delete its own copy once it was told so. The
 * content was digested when it came and is not read again here; `lantern dicom verify` does that.
 */
import { stat } from 'node:fs/promises';
import type { Database } from '@lantern/service';
import type { ImageFiles } from '../archive/image-files.ts';
import { FAILURE_REASONS, type InstanceVerdict, type ReferencedInstance } from './commitment-messages.ts';
import { type CommitmentTables, type KeptInstance, readKept } from './store.ts';

/** Looked up in one statement, and looked at on the disk together. */
const BATCH_COUNT = 500;

type CheckDeps = { readonly database: Database; readonly files: Pick<ImageFiles, 'pathOf'> };

/** A verdict for each of `instances`, in their order. `callingAe`: who asks. */
export async function checkKept(
  { database, files }: CheckDeps,
  instances: readonly ReferencedInstance[],
  asked: { readonly callingAe: string; readonly signal: AbortSignal },
): Promise<InstanceVerdict[]> {
  const verdicts: InstanceVerdict[] = [];
  for (let at = 0; at < instances.length; at += BATCH_COUNT) {
    asked.signal.throwIfAborted();
    const batch = instances.slice(at, at + BATCH_COUNT);
    const uids = batch.map(({ sopInstanceUid }) => sopInstanceUid);
    const kept = await readKept(database.kysely<CommitmentTables>(), uids, asked.callingAe);
    verdicts.push(...(await Promise.all(batch.map((one) => verdictOn(one, kept.get(one.sopInstanceUid), files)))));
  }
  return verdicts;
}

async function verdictOn(
  instance: ReferencedInstance,
  kept: KeptInstance | undefined,
  files: CheckDeps['files'],
): Promise<InstanceVerdict> {
  if (kept === undefined) return { ...instance, failure: FAILURE_REASONS.noSuchInstance };
  if (kept.sopClassUid !== instance.sopClassUid) return { ...instance, failure: FAILURE_REASONS.classConflict };
  // What this peer sent under the UID is not what we serve under it.
  if (kept.isInConflict) return { ...instance, failure: FAILURE_REASONS.processingFailure };
  const isWhole = (await sizeOf(files.pathOf(kept.file))) === kept.fileBytes;
  return isWhole ? instance : { ...instance, failure: FAILURE_REASONS.processingFailure };
}

/** [bytes]; `undefined` where it cannot be told, for whatever reason: then nothing is promised. */
async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size;
  } catch {
    return undefined; // gone, or a disk that fails: the caller says that the instance is not safe
  }
}
