/**
 * C-GET and C-MOVE as the one who is asked (PS3.4 C.4.2, C.4.3): finds what the identifier means; the network code sends it. Keys above
 * the level that is asked for narrow the search and may be left out, as many peers do: UIDs are unique by themselves.
 */
import { AppError } from '@lantern/contract';
import {
  type DataSet,
  dicomJson,
  type MoveRequest,
  type MoveRetrieval,
  type QueryRequest,
  type Retrieval,
  SOP_CLASSES,
  STATUS,
} from '@lantern/dicom';
import type { ImageRetrieval } from '../image-retrieval/image-retrieval.ts';
import type { InstanceKeys } from '../image-retrieval/stored-instance.ts';
import type { AdmittedPeers } from './admission.ts';
import type { PeerCalls } from './peer-calls.ts';

type RetrieveDeps = {
  readonly retrieval: Pick<ImageRetrieval, 'find' | 'sendable' | 'record'>;
  readonly peers: AdmittedPeers;
  readonly calls: Pick<PeerCalls, 'peer' | 'destinationOf'>;
};

type Refused = Extract<Retrieval, { kind: 'refused' }>;

const LEVELS = [
  { name: 'PATIENT', tag: '00100020', keyword: 'PatientID', key: 'patientIds' },
  { name: 'STUDY', tag: '0020000D', keyword: 'StudyInstanceUID', key: 'studyInstanceUids' },
  { name: 'SERIES', tag: '0020000E', keyword: 'SeriesInstanceUID', key: 'seriesInstanceUids' },
  { name: 'IMAGE', tag: '00080018', keyword: 'SOPInstanceUID', key: 'sopInstanceUids' },
] as const;
const QUERY_RETRIEVE_LEVEL = '00080052';
const PATIENT_ROOT: ReadonlySet<string> = new Set([SOP_CLASSES.patientRootGet, SOP_CLASSES.patientRootMove]);

export function createRetrieveScp({ retrieval, peers, calls }: RetrieveDeps) {
  return {
    onGet(request: QueryRequest): Promise<Retrieval> {
      return found(request, 'C-GET');
    },
    async onMove(request: MoveRequest): Promise<MoveRetrieval> {
      if (!mayQuery(request)) return NOT_AUTHORIZED;
      const peer = calls.peer(request.destination);
      if (peer?.port === undefined) {
        return {
          kind: 'refused',
          status: STATUS.moveDestinationUnknown,
          comment: 'The destination is not in our settings',
        };
      }
      const destination = await calls.destinationOf(peer, request.peer.calledAe);
      const retrieved = await found(request, 'C-MOVE', { destination: peer.aeTitle });
      return retrieved.kind === 'refused' ? retrieved : { ...retrieved, destination };
    },
  };

  function mayQuery({ peer }: QueryRequest): boolean {
    return peers.peerOf(peer)?.mayQuery === true;
  }

  async function found(request: QueryRequest, form: string, details: Record<string, string> = {}): Promise<Retrieval> {
    if (!mayQuery(request)) return NOT_AUTHORIZED;
    const keys = keysOf(request.identifier, request.sopClass);
    if ('kind' in keys) return keys;
    try {
      const instances = await retrieval.find(keys);
      await retrieval.record({ actor: `dicom:${request.peer.callingAe}`, form, instances, details });
      return { kind: 'found', instances: instances.map((instance) => retrieval.sendable(instance)) };
    } catch (caught) {
      if (!(caught instanceof AppError)) throw caught;
      return { kind: 'refused', status: STATUS.cannotPerformSubOperations, comment: caught.code };
    }
  }
}

const NOT_AUTHORIZED: Refused = { kind: 'refused', status: STATUS.notAuthorized };

function refused(comment: string): Refused {
  return { kind: 'refused', status: STATUS.dataSetDoesNotMatchSopClass, comment };
}

/** PS3.4 C.4.2.1.4: the level, and the unique keys down to it; at the level itself one or several, and no wildcards. */
function keysOf(identifier: DataSet, sopClass: string): InstanceKeys | Refused {
  const json = dicomJson(identifier);
  const textsIn = (tag: string) =>
    (json[tag]?.Value ?? []).flatMap((value) => (typeof value === 'string' && value !== '' ? [value] : []));
  const [levelName = ''] = textsIn(QUERY_RETRIEVE_LEVEL);
  const depth = LEVELS.findIndex(({ name }) => name === levelName);
  const level = LEVELS[depth];
  if (level === undefined || (level.name === 'PATIENT' && !PATIENT_ROOT.has(sopClass))) {
    return refused('QueryRetrieveLevel is none of this information model');
  }
  if (textsIn(level.tag).length === 0) return refused(`${level.keyword} is missing`);
  const keys: Partial<Record<(typeof LEVELS)[number]['key'], string[]>> = {};
  for (const { tag, key, keyword } of LEVELS.slice(0, depth + 1)) {
    const values = textsIn(tag);
    if (key !== 'patientIds' && values.some((value) => /[*?]/.test(value))) return refused(`${keyword} has a wildcard`);
    if (values.length > 0) keys[key] = values;
  }
  return keys;
}
