/** Studies from a peer into a folder: looked up, compared with what is there, and only the rest is asked for. */
import {
  type AssociationOptions,
  type DimseClient,
  type FoundInstance,
  fetchingContexts,
  findStudies,
  identifierContext,
  listInstances,
  queryIdentifier,
  type RetrieveResult,
  SOP_CLASSES,
  STATUS,
  type StoreRequest,
  type StudyKey,
  statusKind,
} from '@lantern/dicom';
import { type Peer, statusText, withAssociation } from './dicom-peer.ts';
import type { PullFolder } from './pull-folder.ts';

/** In one identifier: UIDs of 64 characters then take 12 kB. */
const UIDS_PER_QUERY_MAX = 200;

export type StudyResult = {
  readonly studyInstanceUid: string;
  readonly expectedCount: number;
  /** In the folder now, of those expected; and how many of them were there before. */
  readonly hereCount: number;
  readonly earlierCount: number;
  /** Why some are missing. */
  readonly reason?: string;
};

/** What is awaited from the peer: by SOP Instance UID, the study and the instance. */
export type Awaited = Map<string, { readonly studyInstanceUid: string; readonly instance: FoundInstance }>;

export type Download = {
  readonly peer: Peer;
  readonly folder: PullFolder;
  readonly signal: AbortSignal;
  readonly awaited: Awaited;
  /** Where C-MOVE sends to; absent: C-GET. */
  readonly moveTo?: string;
  readonly onInstance: () => void;
};

export function findWanted({ peer, signal }: Download, key: StudyKey) {
  return withAssociation({ ...peer, signal, contexts: [FIND] }, (client) => findStudies(client, key));
}

/** Throws what ends an association; what the peer cannot send is a reason. */
export async function downloadStudy(download: Download, studyInstanceUid: string): Promise<StudyResult> {
  const { peer, folder, signal, awaited } = download;
  const all = await withAssociation({ ...peer, signal, contexts: [FIND] }, (client) =>
    listInstances(client, studyInstanceUid),
  );
  const isHere = (instance: FoundInstance) => folder.has(studyInstanceUid, instance);
  const missing = all.filter((instance) => !isHere(instance));
  const earlierCount = all.length - missing.length;
  let problem: string | undefined;
  for (const instance of missing) awaited.set(instance.sopInstanceUid, { studyInstanceUid, instance });
  try {
    if (missing.length > 0) problem = await fetchMissing(download, { studyInstanceUid, all, missing });
  } finally {
    for (const { sopInstanceUid } of missing) awaited.delete(sopInstanceUid);
  }
  const hereCount = all.filter(isHere).length;
  const result = { studyInstanceUid, expectedCount: all.length, hereCount, earlierCount };
  if (all.length === 0) return { ...result, reason: 'The peer lists no instances of it.' };
  if (hereCount === all.length) return result;
  return { ...result, reason: problem ?? 'The peer says that it sent everything.' };
}

/** Keeps what was asked for, and nothing else: anybody can send to an open port. */
export async function keepAwaited({ folder, awaited, onInstance }: Download, request: StoreRequest) {
  const wanted = awaited.get(request.sopInstance);
  if (wanted === undefined) return { status: STATUS.notAuthorized, comment: 'Not asked for' };
  if (!(await folder.write(wanted.studyInstanceUid, wanted.instance, request))) {
    return { status: STATUS.dataSetDoesNotMatchSopClass, comment: 'The data set is of another instance' };
  }
  onInstance();
  return { status: STATUS.success };
}

const FIND = identifierContext(SOP_CLASSES.studyRootFind);

type Missing = {
  readonly studyInstanceUid: string;
  readonly all: readonly FoundInstance[];
  readonly missing: readonly FoundInstance[];
};

/** Gives what the peer said went wrong. */
async function fetchMissing(download: Download, wanted: Missing): Promise<string | undefined> {
  const { peer, signal, moveTo } = download;
  const association: AssociationOptions =
    moveTo === undefined
      ? {
          ...peer,
          signal,
          contexts: fetchingContexts(wanted.missing.map(({ sopClassUid }) => sopClassUid)),
          handlers: { onStore: (request) => keepAwaited(download, request) },
        }
      : { ...peer, signal, contexts: [identifierContext(SOP_CLASSES.studyRootMove)] };
  return withAssociation(association, async (client) => {
    let problem: string | undefined;
    for (const keys of requestsFor(wanted)) {
      const result = await retrieve(client, keys, moveTo);
      if (statusKind(result.status) !== 'success' || result.failed > 0) problem = problemOf(result);
    }
    return problem;
  });
}

function retrieve(client: DimseClient, keys: readonly string[], moveTo: string | undefined): Promise<RetrieveResult> {
  const identifier = queryIdentifier(keys);
  return moveTo === undefined
    ? client.get(identifier, { sopClass: SOP_CLASSES.studyRootGet })
    : client.move(identifier, { sopClass: SOP_CLASSES.studyRootMove, destination: moveTo });
}

/** The study where nothing of it is here; else each series of which nothing is here, and single instances of the others. */
function* requestsFor({ studyInstanceUid, all, missing }: Missing): Generator<string[]> {
  const study = `StudyInstanceUID=${studyInstanceUid}`;
  if (missing.length === all.length) {
    yield ['QueryRetrieveLevel=STUDY', study];
    return;
  }
  const countOf = Map.groupBy(all, ({ seriesInstanceUid }) => seriesInstanceUid);
  for (const [seriesInstanceUid, ofSeries] of Map.groupBy(missing, (one) => one.seriesInstanceUid)) {
    const series = `SeriesInstanceUID=${seriesInstanceUid}`;
    if (ofSeries.length === countOf.get(seriesInstanceUid)?.length) {
      yield ['QueryRetrieveLevel=SERIES', study, series];
      continue;
    }
    for (let at = 0; at < ofSeries.length; at += UIDS_PER_QUERY_MAX) {
      const uids = ofSeries.slice(at, at + UIDS_PER_QUERY_MAX).map(({ sopInstanceUid }) => sopInstanceUid);
      yield ['QueryRetrieveLevel=IMAGE', study, series, `SOPInstanceUID=${uids.join('\\')}`];
    }
  }
}

function problemOf({ status, completed, failed, warnings }: RetrieveResult): string {
  if (status === STATUS.moveDestinationUnknown)
    return `The peer does not know our title as a destination (${statusText(status)}).`;
  return `The peer ended with status ${statusText(status)}: it sent ${completed + warnings} instances, ${failed} failed.`;
}
