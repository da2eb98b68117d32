/** The one error class of this package. Codes are closed; messages name tag and rule, never a value. */

export type DicomErrorCode =
  /** The bytes end before an element does. */
  | 'truncated'
  /** The bytes break a rule of PS3.5, PS3.7, PS3.8 or PS3.10. */
  | 'malformed'
  /** Pixels are coded or coloured in a way that we have no code for. */
  | 'unsupported'
  /** A value that is to be written breaks a rule of its VR. */
  | 'value'
  /** What an object is to be made of breaks a rule of its kind, or what is read is no object of that kind. */
  | 'object'
  /** A limit of ours: nesting, number of elements, inflated size, length of a message. */
  | 'limit'
  /** No connection could be made, or it was lost. */
  | 'network'
  /** The peer did not answer, or did not read, in time. */
  | 'timeout'
  /** The peer refuses: the association, or the presentation context that was needed. */
  | 'refused'
  /** The peer has no place for an association now, and may have one later. */
  | 'busy'
  /** The association was aborted by the peer or by us, or has ended. */
  | 'aborted'
  /** A profile of de-identification that breaks its rules. */
  | 'profile'
  /** The program that reads text in pixels failed. */
  | 'reader';

export class DicomError extends Error {
  override readonly name = 'DicomError';
  readonly code: DicomErrorCode;

  constructor(code: DicomErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
