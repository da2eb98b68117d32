/** The one error class of this package. Codes are closed; messages name element and rule, never a value. */

export type Hl7ErrorCode =
  /** The text breaks a rule of JSON. */
  | 'malformed'
  /** A limit of ours: length, nesting, number of entries. */
  | 'limit'
  /** A value breaks a rule of its type. */
  | 'value'
  /** A definition, or an expression in one, that we have no code for. */
  | 'unsupported';

export class Hl7Error extends Error {
  override readonly name = 'Hl7Error';
  readonly code: Hl7ErrorCode;

  constructor(code: Hl7ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
