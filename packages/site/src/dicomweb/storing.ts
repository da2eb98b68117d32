/**
 * Takes the files of one request into the archive, part by part as they arrive (PS3.18 10.5): while one is being made durable the next
 * one already comes in. What is wrong with one is told of that one; the others are stored.
 */
import { AppError } from '@lantern/contract';
import { DicomError, parseMediaType, readIncomingFile, type readMultipart, STATUS } from '@lantern/dicom';
import type { IncomingInstance, Received } from '../archive/archive.ts';

/** Received and not yet durable: enough for one commit of the index to serve several. */
const WORK_COUNT_MAX = 8;
const DICOM = 'application/dicom';

/** PS3.18 I.2.2; those of ours are told in the conformance statement. */
export const FAILURE = {
  outOfResources: STATUS.outOfResources,
  doesNotMatch: STATUS.dataSetDoesNotMatchSopClass,
  /** Of another study than the request is for. */
  otherStudy: 0xa901,
  cannotUnderstand: STATUS.cannotUnderstand,
  /** The UID is taken by other content, which stays; this is kept beside it for a person to decide. */
  conflict: STATUS.duplicateSopInstance,
  processing: STATUS.processingFailure,
} as const;

export type StoreOutcome = {
  /** What the file says of itself; `undefined` where it cannot be read so far. */
  readonly sopClassUid?: string;
  readonly sopInstanceUid?: string;
} & (
  | { readonly kind: 'stored'; readonly received: Received }
  | { readonly kind: 'failed'; readonly reason: number; readonly cause: unknown }
);

export type StoreContext = Pick<IncomingInstance, 'callingAe' | 'calledAe' | 'lateOpensRevision'> & {
  readonly receive: (instance: IncomingInstance) => Promise<Received>;
  readonly studyInstanceUid: string | undefined;
};

type Part = Awaited<ReturnType<ReturnType<typeof readMultipart>['next']>>['value'] & object;

/** Throws what ends the request as a whole: a body that is no multipart, or a sender that went away. */
export async function storeParts(parts: AsyncIterable<Part>, context: StoreContext): Promise<StoreOutcome[]> {
  const outcomes: Promise<StoreOutcome>[] = [];
  const working = new Set<Promise<unknown>>();
  try {
    for await (const part of parts) {
      const { pieces, ended } = watched(part.body);
      const outcome =
        part.fault === undefined && isDicom(part) ? storeFile(pieces, context) : Promise.resolve(NOT_TAKEN);
      outcomes.push(outcome);
      working.add(outcome);
      void outcome.then(() => working.delete(outcome));
      await Promise.race([outcome, ended]);
      if (working.size >= WORK_COUNT_MAX) await Promise.race(working);
    }
  } catch (caught) {
    await Promise.all(outcomes); // what is on its way is stored or thrown away before this ends
    const isCutShort = caught instanceof DicomError && outcomes.length > 0;
    if (!isCutShort) throw caught;
    const last = await outcomes.at(-1);
    if (last?.kind !== 'failed') outcomes.push(Promise.resolve(NOT_TAKEN)); // it ended within the head of a part
  }
  return Promise.all(outcomes);
}

const NOT_TAKEN: StoreOutcome = { kind: 'failed', reason: FAILURE.cannotUnderstand, cause: undefined };

function isDicom({ headers }: Part): boolean {
  const type = headers.get('content-type');
  return type === undefined || parseMediaType(type)?.name === DICOM;
}

/** `ended` is fulfilled when whoever reads has come to the end. */
function watched(source: AsyncIterable<Uint8Array>): { pieces: AsyncIterable<Uint8Array>; ended: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const read = async function* () {
    yield* source;
    resolve();
  };
  return { pieces: read(), ended: promise };
}

/** `pieces` must stay as they are after they were taken. Never rejects: what goes wrong is the outcome. */
export async function storeFile(pieces: AsyncIterable<Uint8Array>, context: StoreContext): Promise<StoreOutcome> {
  const { receive, studyInstanceUid, ...about } = context;
  let uids: Pick<StoreOutcome, 'sopClassUid' | 'sopInstanceUid'> = {};
  try {
    const { dataSet, ...file } = await readIncomingFile(pieces);
    uids = { sopClassUid: file.sopClassUid, sopInstanceUid: file.sopInstanceUid };
    const received = await receive({
      ...file,
      ...about,
      ...(studyInstanceUid === undefined ? {} : { studyInstanceUid }),
      dataSet,
    });
    if (received.outcome !== 'conflict') return { ...uids, kind: 'stored', received };
    return { ...uids, kind: 'failed', reason: FAILURE.conflict, cause: undefined };
  } catch (caught) {
    return { ...uids, kind: 'failed', reason: reasonOf(caught), cause: caught };
  }
}

function reasonOf(caught: unknown): number {
  if (caught instanceof DicomError) return FAILURE.cannotUnderstand;
  if (!(caught instanceof AppError)) return FAILURE.processing;
  switch (caught.code) {
    case 'storage.full':
    case 'database.unavailable':
      return FAILURE.outOfResources;
    case 'input.invalid':
    case 'input.unsupported':
    case 'input.too-large':
      if (caught.field === 'studyInstanceUid') return FAILURE.otherStudy;
      return caught.field === 'sopInstanceUid' || caught.field === 'sopClassUid'
        ? FAILURE.doesNotMatch
        : FAILURE.cannotUnderstand;
    default:
      return FAILURE.processing;
  }
}
