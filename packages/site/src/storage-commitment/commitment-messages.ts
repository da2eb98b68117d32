/** What storage commitment says (PS3.4 tables J.3-1, J.3-2, J.3-3): the request of the user, the report of the provider. */
import {
  type ActionRequest,
  type DataSet,
  type DimseOutcome,
  type EventReport,
  identifierOf,
  isUid,
  itemsOf,
  numberElement,
  SOP_CLASSES,
  STATUS,
  STORAGE_COMMITMENT_INSTANCE,
  sequenceElement,
  textElement,
  textOf,
} from '@lantern/dicom';

const TRANSACTION_UID = 0x00081195;
const REFERENCED_SOP_SEQUENCE = 0x00081199;
const REFERENCED_SOP_CLASS_UID = 0x00081150;
const REFERENCED_SOP_INSTANCE_UID = 0x00081155;

const ACTION_REQUEST = 1;
const EVENT_COMPLETE = 1;
const EVENT_FAILURES_EXIST = 2;

/** PS3.3 C.14.1.1. */
export const FAILURE_REASONS = { processingFailure: 0x0110, noSuchInstance: 0x0112, classConflict: 0x0119 } as const;
export type FailureReason = (typeof FAILURE_REASONS)[keyof typeof FAILURE_REASONS];

export type ReferencedInstance = { readonly sopClassUid: string; readonly sopInstanceUid: string };
export type CommitmentRequest = {
  readonly transactionUid: string;
  readonly instances: readonly ReferencedInstance[];
};

/** `failure` is absent where the instance is kept. */
export type InstanceVerdict = ReferencedInstance & { readonly failure?: FailureReason };

type Action = Pick<ActionRequest, 'sopClass' | 'sopInstance' | 'actionTypeId' | 'information'>;

/** The request, or the status that says what is wrong with it. */
export function readRequest(action: Action): CommitmentRequest | DimseOutcome {
  const { sopClass, sopInstance, actionTypeId, information } = action;
  if (sopClass !== SOP_CLASSES.storageCommitmentPush) return { status: STATUS.noSuchSopClass };
  if (sopInstance !== STORAGE_COMMITMENT_INSTANCE) return { status: STATUS.noSuchObjectInstance };
  if (actionTypeId !== ACTION_REQUEST) return { status: STATUS.noSuchActionType };
  if (information === undefined) return { status: STATUS.missingAttribute, comment: 'No information' };
  const transactionUid = textOf(information, TRANSACTION_UID);
  if (transactionUid === undefined) return { status: STATUS.missingAttribute, comment: 'TransactionUID' };
  if (!isUid(transactionUid)) return { status: STATUS.invalidArgument, comment: 'TransactionUID is no UID' };
  const items = itemsOf(information, REFERENCED_SOP_SEQUENCE);
  if (items.length === 0) return { status: STATUS.missingAttribute, comment: 'ReferencedSOPSequence' };
  const instances = items.map(referencedIn).filter((instance) => instance !== undefined);
  if (instances.length < items.length) {
    return { status: STATUS.invalidArgument, comment: 'An item of ReferencedSOPSequence lacks a UID' };
  }
  return { transactionUid, instances };
}

function referencedIn(item: DataSet): ReferencedInstance | undefined {
  const sopClassUid = textOf(item, REFERENCED_SOP_CLASS_UID) ?? '';
  const sopInstanceUid = textOf(item, REFERENCED_SOP_INSTANCE_UID) ?? '';
  return isUid(sopClassUid) && isUid(sopInstanceUid) ? { sopClassUid, sopInstanceUid } : undefined;
}

/** Names every instance that was asked for: what is kept, and what is not with the reason. */
export function reportOf(transactionUid: string, verdicts: readonly InstanceVerdict[]): EventReport {
  const kept = verdicts.filter(({ failure }) => failure === undefined).map(itemOf);
  const failed = verdicts.filter(({ failure }) => failure !== undefined).map(itemOf);
  return {
    eventTypeId: failed.length === 0 ? EVENT_COMPLETE : EVENT_FAILURES_EXIST,
    information: identifierOf([
      textElement('TransactionUID', transactionUid),
      ...(failed.length === 0 ? [] : [sequenceElement('FailedSOPSequence', failed)]),
      ...(kept.length === 0 ? [] : [sequenceElement('ReferencedSOPSequence', kept)]),
    ]),
  };
}

function itemOf({ sopClassUid, sopInstanceUid, failure }: InstanceVerdict) {
  return [
    textElement('ReferencedSOPClassUID', sopClassUid),
    textElement('ReferencedSOPInstanceUID', sopInstanceUid),
    ...(failure === undefined ? [] : [numberElement('FailureReason', failure)]),
  ];
}
