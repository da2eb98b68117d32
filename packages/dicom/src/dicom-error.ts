/** The one error class of this package. Codes are closed; messages name tag and rule, never a value. */

export type DicomErrorCode =
  /** The bytes end before an element does. */
  | 'truncated'
  /** The bytes break a rule of PS3.5 or PS3.10. */
  | 'malformed'
  /** A limit of ours: nesting, number of elements, inflated size. */
  | 'limit';

export class DicomError extends Error {
  override readonly name = 'DicomError';
  readonly code: DicomErrorCode;

  constructor(code: DicomErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
