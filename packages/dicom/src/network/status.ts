/** Status codes of DIMSE responses: PS3.7 annex C, and those that services define in PS3.4. */

export const STATUS = {
  success: 0x0000,
  /** PS3.4 C.4.1.1.4, C.4.2.1.5: more answers follow. */
  pending: 0xff00,
  /** PS3.4 C.4.1.1.4: as above, and optional keys of the request were not supported. */
  pendingPartial: 0xff01,
  cancelled: 0xfe00,
  /** PS3.4 C.4.2.1.5: sub-operations are complete, one or more failed or had warnings. */
  subOperationsFailed: 0xb000,

  // PS3.7 annex C.5
  processingFailure: 0x0110,
  duplicateSopInstance: 0x0111,
  noSuchEventType: 0x0113,
  noSuchObjectInstance: 0x0112,
  invalidArgument: 0x0115,
  invalidObjectInstance: 0x0117,
  noSuchSopClass: 0x0118,
  missingAttribute: 0x0120,
  sopClassNotSupported: 0x0122,
  noSuchActionType: 0x0123,
  notAuthorized: 0x0124,
  duplicateInvocation: 0x0210,
  unrecognizedOperation: 0x0211,
  mistypedArgument: 0x0212,
  resourceLimitation: 0x0213,

  // PS3.4 B.2.3 (storage), C.4 (query and retrieve)
  outOfResources: 0xa700,
  cannotCountMatches: 0xa701,
  cannotPerformSubOperations: 0xa702,
  moveDestinationUnknown: 0xa801,
  dataSetDoesNotMatchSopClass: 0xa900,
  cannotUnderstand: 0xc000,
} as const;

export type StatusKind = 'success' | 'pending' | 'cancelled' | 'warning' | 'failure';

/** PS3.7 C.1: what a status means to somebody who does not know it in particular. */
export function statusKind(status: number): StatusKind {
  if (status === STATUS.success) return 'success';
  if (status === STATUS.pending || status === STATUS.pendingPartial) return 'pending';
  if (status === STATUS.cancelled) return 'cancelled';
  const isWarning = status === 0x0001 || status === 0x0107 || status === 0x0116 || status >>> 12 === 0xb;
  return isWarning ? 'warning' : 'failure';
}
