/**
 * One record of the audit chain and how it is hashed.
 *
 * The hash covers the canonical JSON (RFC 8785) of the record with its number and the hash of the record before it. So a
 * record cannot be changed, removed, added or moved without breaking every later hash, and a verifier needs nothing but
 * the records. No patient data: `details` holds short strings, numbers and booleans about our own objects.
 */
import { AppError, type AuditRecord, canonicalJson, parse } from '@lantern/contract';
import { type Static, Type } from 'typebox';
import { sha256 } from '../identity/digest.ts';

export const GENESIS_HASH = '0'.repeat(64);

const DETAIL_COUNT_MAX = 16;
const DETAILS_BYTES_MAX = 4096; // keeps a record below a page of the database
const NO_CONTROL_CHARACTERS = '^[^\\u0000-\\u001f\\u007f]*$'; // a record is one line

const text = (maxLength: number) => Type.String({ minLength: 1, maxLength, pattern: NO_CONTROL_CHARACTERS });

const DetailsSchema = Type.Record(
  Type.String({ pattern: '^[a-z][A-Za-z0-9]{0,39}$' }),
  Type.Union([Type.String({ maxLength: 200, pattern: NO_CONTROL_CHARACTERS }), Type.Number(), Type.Boolean()]),
  { maxProperties: DETAIL_COUNT_MAX, additionalProperties: false },
);

const NewAuditSchema = Type.Object(
  {
    at: text(40),
    actor: text(200),
    action: text(64),
    object: text(200),
    outcome: Type.Union([Type.Literal('success'), Type.Literal('refused'), Type.Literal('failure')]),
    details: DetailsSchema,
  },
  { additionalProperties: false },
);

/**
 * What happened. `actor` and `object` are ids or names of ours (user, site, project, "system"); `action` is a dotted verb
 * such as "project.submit".
 */
export type NewAudit = Omit<Static<typeof NewAuditSchema>, 'at' | 'details'> & {
  readonly at: Date;
  readonly details?: Readonly<Record<string, string | number | boolean>>;
};

/** Where a chain ends: number and hash of its last record; 0 and the genesis hash for an empty one. */
export type AuditHead = { readonly sequence: number; readonly hash: string };

/** SHA-256 over the record without its own hash, lower-case hex. */
export function auditHash(record: Omit<AuditRecord, 'hash'>): string {
  const { sequence, at, actor, action, object, outcome, details, previousHash } = record;
  return sha256(canonicalJson({ sequence, at, actor, action, object, outcome, details, previousHash }));
}

type CheckedEntry = Omit<AuditRecord, 'sequence' | 'previousHash' | 'hash'>;

/**
 * What is hashed, up to the opening quote of the previous hash. RFC 8785 sorts members by name, and `previousHash` and
 * `sequence` come last.
 */
export function auditHashPrefix(entry: CheckedEntry): string {
  return `${canonicalJson(entry).slice(0, -1)},"previousHash":"`;
}

/** The entry as a record holds it. Throws `internal` for one that breaks the schema: a fault of ours. */
export function checkedEntry(entry: NewAudit): CheckedEntry {
  const parsed = parse(
    NewAuditSchema,
    { ...entry, at: entry.at.toISOString(), details: entry.details ?? {} },
    { what: 'audit entry', code: 'internal' },
  );
  if (Buffer.byteLength(canonicalJson(parsed.details)) > DETAILS_BYTES_MAX) {
    throw new AppError('internal', `audit entry: details are longer than ${DETAILS_BYTES_MAX} bytes.`);
  }
  return parsed;
}
