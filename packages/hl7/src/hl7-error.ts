/** The one error class of this package. Codes are closed; messages name segment, element, field and rule, never a value. */

export type Hl7ErrorCode =
  /** The bytes break a rule of HL7 v2 chapter 2, of its framing, or of JSON. */
  | 'malformed'
  /** A character set that is not known, or bytes that are none of its characters. */
  | 'encoding'
  /** A limit of ours: length, nesting, number of entries or segments, messages under way. */
  | 'limit'
  /** A value breaks a rule of its type. */
  | 'value'
  /** A definition, or an expression in one, that we have no code for. */
  | 'unsupported'
  /** No connection could be made, or it was lost. */
  | 'network'
  /** The peer did not answer, or did not read, in time. */
  | 'timeout'
  /** The one who asked stopped it, or we are closing down. */
  | 'aborted';

export class Hl7Error extends Error {
  override readonly name = 'Hl7Error';
  readonly code: Hl7ErrorCode;

  constructor(code: Hl7ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
