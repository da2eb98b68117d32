/**
 * The closed table of failures a caller can meet, and the one error class that carries them.
 *
 * A code names the rule that was broken, not the place where it broke. The class of a code decides what a queue may do
 * by itself: only `transient` failures are retried blindly; `ambiguous` ones (the effect may or may not have happened)
 * only where the operation is idempotent; `permanent` ones never.
 *
 * Messages name fields and rules. They never carry patient data, file contents or secrets.
 */

export type FailureClass = 'transient' | 'permanent' | 'ambiguous';

type ErrorRow = { readonly httpStatus: number; readonly failureClass: FailureClass; readonly hint: string };

const row = (httpStatus: number, failureClass: FailureClass, hint: string): ErrorRow => ({
  httpStatus,
  failureClass,
  hint,
});

export const ERROR_TABLE = {
  // Input
  'input.invalid': row(400, 'permanent', 'Correct what the message names, then try again.'),
  'input.too-large': row(413, 'permanent', 'Send less at once; the message names the limit.'),
  'input.unsupported': row(415, 'permanent', 'Use one of the types that the message names.'),
  'input.not-acceptable': row(406, 'permanent', 'Accept one of the media types and encodings the message names.'),
  'input.method-not-allowed': row(405, 'permanent', 'Use one of the methods that the Allow header names.'),
  'input.digest-mismatch': row(400, 'transient', 'The bytes changed on the way; send them again.'),
  'input.range-invalid': row(416, 'permanent', 'Ask for a byte range inside the object.'),
  'input.prefetch-missing': row(
    412,
    'permanent',
    'Send every prefetch key that the discovery names; null means no data.',
  ),
  // Who is asking
  'auth.missing': row(401, 'permanent', 'Sign in or send an API token.'),
  'auth.rejected': row(401, 'permanent', 'The credentials are not valid; sign in again or create a new token.'),
  'auth.forbidden': row(403, 'permanent', 'Ask an administrator for a role that allows this.'),
  'auth.rate-limited': row(429, 'transient', 'Too many attempts; wait and try again.'),
  'signature.missing': row(401, 'permanent', 'The request is not signed; join the site to the hub first.'),
  'signature.malformed': row(
    401,
    'permanent',
    'Signature, Signature-Input or Content-Digest does not follow RFC 9421.',
  ),
  'signature.rejected': row(
    401,
    'permanent',
    'The signature does not verify: the key is wrong or the message changed.',
  ),
  'signature.stale': row(401, 'permanent', 'The clocks differ too much; set the clock by NTP, then try again.'),
  'signature.replayed': row(401, 'permanent', 'This request was already received once; sign a new one.'),
  'site.unknown': row(401, 'permanent', 'The key is not enrolled here; join with a new one-time code.'),
  'site.revoked': row(403, 'permanent', 'This site was revoked at the hub; speak to the hub administrator.'),
  'enrolment.code-rejected': row(403, 'permanent', 'The one-time code is wrong, used or expired; ask for a new one.'),
  // State
  'not-found': row(
    404,
    'permanent',
    'Check path and ids; what an id named may have been removed, or belong to another site.',
  ),
  conflict: row(409, 'permanent', 'Somebody else changed it first; read it again.'),
  'state.transition-refused': row(
    409,
    'permanent',
    'The current state does not allow this; the message says what does.',
  ),
  // Policy of a site
  'policy.not-approved': row(403, 'permanent', 'The site has no valid approval for this; ask its governance lead.'),
  'policy.refused': row(403, 'permanent', 'The site does not allow this; the message names the rule.'),
  'disclosure.refused': row(
    403,
    'permanent',
    'The disclosure gate does not let this leave; the message names the rule.',
  ),
  'disclosure.budget-spent': row(429, 'permanent', 'The question budget is spent; a governance lead may grant more.'),
  // Data
  'dataset.invalid': row(422, 'permanent', 'Correct the table or its schema; the message names column, row and rule.'),
  'dataset.schema-mismatch': row(409, 'permanent', 'The sites describe the dataset differently; align the schemas.'),
  'tensor.invalid': row(422, 'permanent', 'The file is not valid safetensors or breaks a limit; the message names it.'),
  'update.invalid': row(
    422,
    'permanent',
    'The update is not what the plan asked for; the message names tensor and rule.',
  ),
  'bundle.invalid': row(422, 'permanent', 'Correct the bundle; the message names file and rule.'),
  'training.diverged': row(
    422,
    'permanent',
    'The computation left the finite numbers; lower the learning rate or check units.',
  ),
  'training.refused': row(422, 'permanent', 'This data cannot train this model; the message says why.'),
  'envelope.rejected': row(
    422,
    'permanent',
    'The signed document was changed or signed by another key; do not use it.',
  ),
  // Machines
  'storage.full': row(507, 'transient', 'The disk is full; free space, work then resumes by itself.'),
  'storage.corrupt': row(
    500,
    'permanent',
    'Stored bytes no longer match their digest; restore this object from a backup.',
  ),
  'database.unavailable': row(503, 'transient', 'See that the database runs; hub and site try again by themselves.'),
  'peer.unreachable': row(
    503,
    'transient',
    'See that the other side runs and that its address is right; hub and site try again by themselves, a command is to be repeated.',
  ),
  'peer.refused': row(502, 'permanent', 'The other side refuses this; its administrator has to allow it.'),
  'peer.ambiguous': row(
    504,
    'ambiguous',
    'The other side may or may not have acted; hub and site ask again by themselves, after a command look before it is repeated.',
  ),
  'executor.failed': row(500, 'transient', 'The algorithm process ended early; it is started again.'),
  'config.invalid': row(500, 'permanent', 'Correct the named setting.'),
  'set-up.failed': row(500, 'permanent', 'Mend what the message names, then start again.'),
  stopped: row(503, 'transient', 'The process is shutting down; try again.'),
  internal: row(500, 'permanent', 'A fault in Lantern; report it with the correlation id.'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** A failure a caller can meet. `message` names field and rule, never patient data; `field` is a JSON-pointer-like path. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;

  constructor(code: ErrorCode, message: string, options: { field?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.field = options.field;
  }

  get httpStatus(): number {
    return ERROR_TABLE[this.code].httpStatus;
  }

  get failureClass(): FailureClass {
    return ERROR_TABLE[this.code].failureClass;
  }

  get hint(): string {
    return ERROR_TABLE[this.code].hint;
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_TABLE, value);
}

/** The one place that turns anything caught into an `AppError`; what we did not foresee becomes `internal`. */
export function toAppError(caught: unknown): AppError {
  if (caught instanceof AppError) return caught;
  return new AppError('internal', 'An unexpected fault occurred.', { cause: caught });
}
