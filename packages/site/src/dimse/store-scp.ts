/** C-STORE as the one who receives (PS3.4 B): a success is said only of what is durable. */
import { AppError } from '@lantern/contract';
import { type DimseOutcome, STATUS, type StoreRequest } from '@lantern/dicom';
import type { Archive } from '../archive/archive.ts';
import type { AdmittedPeers } from './admission.ts';

const COMMENT_CONFLICT = 'UID is taken by other content; both are kept';

type Titles = { readonly callingAe: string; readonly calledAe: string; readonly lateOpensRevision: boolean };

export function createStoreScp(archive: Pick<Archive, 'receive'>, peers: AdmittedPeers) {
  return async (request: StoreRequest): Promise<DimseOutcome> => {
    const { callingAe, calledAe } = request.peer;
    if (peers.peerOf(request.peer)?.mayStore !== true) return { status: STATUS.notAuthorized };
    const lateOpensRevision = peers.ownAe(calledAe)?.late !== 'join';
    return storeInto(archive, request, { callingAe, calledAe, lateOpensRevision });
  };
}

/** Keeps what `callingAe` sent, be it unasked or because we fetch it. */
export async function storeInto(
  archive: Pick<Archive, 'receive'>,
  request: Pick<StoreRequest, 'sopClass' | 'sopInstance' | 'transferSyntax' | 'dataSet'>,
  titles: Titles,
): Promise<DimseOutcome> {
  try {
    const { outcome } = await archive.receive({
      sopClassUid: request.sopClass,
      sopInstanceUid: request.sopInstance,
      transferSyntaxUid: request.transferSyntax,
      dataSet: request.dataSet,
      ...titles,
    });
    if (outcome === 'conflict') return { status: STATUS.duplicateSopInstance, comment: COMMENT_CONFLICT };
    return { status: STATUS.success };
  } catch (caught) {
    const refusal = caught instanceof AppError ? refusalOf(caught) : undefined;
    if (refusal === undefined) throw caught;
    return refusal;
  }
}

/** What the sender can do about it: repeat it later, or look at what it sends. */
function refusalOf(fault: AppError): DimseOutcome | undefined {
  switch (fault.code) {
    case 'storage.full':
    case 'database.unavailable':
      return { status: STATUS.outOfResources, comment: fault.code };
    case 'input.invalid':
      return { status: STATUS.dataSetDoesNotMatchSopClass, comment: fault.message };
    default:
      return undefined;
  }
}
