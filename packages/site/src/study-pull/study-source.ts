/** What a pull says to the peer it pulls from: which studies there are, and to send one of them. */
import { AppError, type NewPull } from '@lantern/contract';
import {
  type DimseClient,
  type FoundStudy,
  fetchingContexts,
  findStudies,
  identifierContext,
  identifierOf,
  listInstances,
  type RetrieveResult,
  SOP_CLASSES,
  STATUS,
  type StoreRequest,
  type StudyKey,
  statusKind,
  textElement,
} from '@lantern/dicom';
import type { Archive } from '../archive/archive.ts';
import { fromDicomError } from '../dicom-fault.ts';
import type { AdmittedPeers } from '../dimse/admission.ts';
import type { DicomPeer } from '../dimse/dicom-settings.ts';
import type { PeerCall, PeerCalls } from '../dimse/peer-calls.ts';
import { storeInto } from '../dimse/store-scp.ts';

export type Source = {
  readonly peer: DicomPeer;
  readonly method: NewPull['method'];
  /** Title of ours: who asks, and where it is sent. */
  readonly aeTitle: string;
};

export type Fetched = {
  /** How many instances the peer has, where that was learnt on the way. */
  readonly expectedCount: number | undefined;
  /** Why not everything came; `undefined` where the peer says that it did. */
  readonly problem: string | undefined;
  /** Whether asking once more can help. */
  readonly isFinal: boolean;
};

export type StudySource = {
  /** Throws `peer.unreachable`, `peer.refused`, `config.invalid`. */
  find(source: Source, key: StudyKey, signal: AbortSignal): Promise<FoundStudy[]>;
  /** Resolves when everything that comes is in the archive. Throws as `find`. */
  fetch(source: Source, studyInstanceUid: string, signal: AbortSignal): Promise<Fetched>;
};

type SourceDeps = {
  readonly calls: PeerCalls;
  readonly archive: Pick<Archive, 'receive'>;
  readonly admitted: Pick<AdmittedPeers, 'ownAe'>;
};

export function createStudySource({ calls, archive, admitted }: SourceDeps): StudySource {
  return {
    find: ({ peer, aeTitle }, key, signal) =>
      on({ peer, callingAe: aeTitle, signal, contexts: [FIND] }, (client) => findStudies(client, key, signal)),
    fetch: (source, studyInstanceUid, signal) =>
      source.method === 'move' ? move(source, studyInstanceUid, signal) : get(source, studyInstanceUid, signal),
  };

  async function on<R>(call: PeerCall, talk: (client: DimseClient) => Promise<R>): Promise<R> {
    const client = await calls.open(call);
    try {
      const result = await talk(client);
      await client.release();
      return result;
    } catch (caught) {
      await client.abort();
      throw fromDicomError(caught);
    }
  }

  function move({ peer, aeTitle }: Source, studyInstanceUid: string, signal: AbortSignal): Promise<Fetched> {
    const contexts = [identifierContext(SOP_CLASSES.studyRootMove)];
    return on({ peer, callingAe: aeTitle, signal, contexts }, async (client) => {
      const options = { sopClass: SOP_CLASSES.studyRootMove, destination: aeTitle };
      return fetchedBy(await client.move(studyIdentifier(studyInstanceUid), options), undefined);
    });
  }

  /** Asks for the classes in the study first: an association has no room for all that there are. */
  async function get({ peer, aeTitle }: Source, studyInstanceUid: string, signal: AbortSignal): Promise<Fetched> {
    const call = { peer, callingAe: aeTitle, signal };
    const instances = await on({ ...call, contexts: [FIND] }, (client) =>
      listInstances(client, studyInstanceUid, signal),
    );
    const contexts = fetchingContexts(instances.map(({ sopClassUid }) => sopClassUid));
    const lateOpensRevision = admitted.ownAe(aeTitle)?.late !== 'join';
    const titles = { callingAe: peer.aeTitle, calledAe: aeTitle, lateOpensRevision };
    let hasRoom = true;
    const onStore = async (request: StoreRequest) => {
      const outcome = await storeInto(archive, request, titles);
      if (outcome.status === STATUS.outOfResources) hasRoom = false;
      return outcome;
    };
    return on({ ...call, contexts, handlers: { onStore } }, async (client) => {
      const result = await client.get(studyIdentifier(studyInstanceUid), { sopClass: SOP_CLASSES.studyRootGet });
      if (!hasRoom) throw new AppError('storage.full', 'There was no room for what the peer sent.');
      return fetchedBy(result, instances.length === 0 ? undefined : instances.length);
    });
  }
}

const FIND = identifierContext(SOP_CLASSES.studyRootFind);

function studyIdentifier(studyInstanceUid: string) {
  return identifierOf([textElement('QueryRetrieveLevel', 'STUDY'), textElement('StudyInstanceUID', studyInstanceUid)]);
}

/** Answers that will be the same the next time. */
const FINAL: ReadonlySet<number> = new Set([
  STATUS.moveDestinationUnknown,
  STATUS.dataSetDoesNotMatchSopClass,
  STATUS.sopClassNotSupported,
  STATUS.notAuthorized,
]);

/** The comment of the peer is left out: it may say whose study it is. */
function fetchedBy(
  { status, completed, failed, warnings }: RetrieveResult,
  expectedCount: number | undefined,
): Fetched {
  if (statusKind(status) === 'success' && failed === 0) return { expectedCount, problem: undefined, isFinal: true };
  const code = `${status.toString(16).padStart(4, '0').toUpperCase()}H`;
  const sent = `it sent ${completed + warnings} instances, ${failed} failed`;
  if (status === STATUS.moveDestinationUnknown) {
    return { expectedCount, problem: `The peer does not know our title as a destination (${code}).`, isFinal: true };
  }
  return { expectedCount, problem: `The peer ended with status ${code}: ${sent}.`, isFinal: FINAL.has(status) };
}

/** Throws `config.invalid` where the peer is no longer in the settings. */
export function sourceOf(calls: PeerCalls, pull: { peer: string; method: NewPull['method']; aeTitle: string }): Source {
  const peer = calls.peer(pull.peer);
  if (peer === undefined) {
    throw new AppError('config.invalid', `dicom.peers: ${pull.peer} is no longer there.`, { field: 'dicom.peers' });
  }
  return { peer, method: pull.method, aeTitle: pull.aeTitle };
}
