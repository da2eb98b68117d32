/**
 * The audit log of a process: a hash chain in PostgreSQL, appended in the transaction of what it records.
 *
 * Invariant: the chain never forks and has no gap. Whoever appends locks the one row that names the end of the chain until
 * its transaction ends; a rollback takes the record with it. So append last in a transaction: everything after it happens
 * under that lock, and an order "other rows, then the head" cannot deadlock.
 *
 * Removing the newest records leaves a chain that is whole, only shorter. That is found through a signed head kept
 * elsewhere (`signAuditHead`): a site anchors it at its hub.
 */
import {
  AppError,
  type AuditRecord,
  AuditRecordSchema,
  type COMMON_API,
  canonicalJson,
  parse,
  type ResponseOf,
  type SignedEnvelope,
} from '@lantern/contract';
import { type Compilable, type OperationNodeSource, type QueryExecutorProvider, type RawBuilder, sql } from 'kysely';
import { type Static, Type } from 'typebox';
import type { Clock } from '../clock.ts';
import { openEnvelope, type SignerKey, signEnvelope } from '../identity/envelope.ts';
import type { KeyPair } from '../identity/key-pair.ts';
import type { AnyTx, Database } from '../postgres/database.ts';
import { type AuditHead, auditHashPrefix, checkedEntry, type NewAudit } from './audit-record.ts';

const PAGE_RECORD_COUNT = 1000; // some hundred KiB in memory at once

/**
 * The common table expressions that append a record to `head`, ending with `appended`: one statement, so that the head is
 * locked no longer than needed and the log costs one trip. Number and previous hash come last in the canonical JSON of a
 * record, and the database adds them where it knows them. `auditHash`, which every verifier uses, is the definition; a test
 * holds the two together.
 */
function appending(entry: NewAudit): RawBuilder<unknown> {
  const { at, actor, action, object, outcome, details } = checkedEntry(entry);
  const prefix = auditHashPrefix({ at, actor, action, object, outcome, details });
  return sql`
    next AS (
      SELECT sequence + 1 AS sequence, hash AS previous_hash, encode(sha256(convert_to(
        ${prefix}::text || hash || '","sequence":' || (sequence + 1) || '}', 'UTF8')), 'hex') AS hash
      FROM head),
    added AS (
      INSERT INTO audit_record (sequence, at, actor, action, object, outcome, details, previous_hash, hash)
      SELECT sequence, ${at}, ${actor}, ${action}, ${object}, ${outcome}, ${canonicalJson(details)}, previous_hash, hash
      FROM next),
    appended AS (
      UPDATE audit_head SET sequence = next.sequence, hash = next.hash FROM next RETURNING next.sequence)`;
}

/** Appends to the chain as part of `tx`; must be its last statement. */
export async function appendAudit(tx: AnyTx, entry: NewAudit): Promise<void> {
  const { rows } = await sql<{ sequence: number }>`
    WITH head AS (SELECT sequence, hash FROM audit_head FOR UPDATE), ${appending(entry)}
    SELECT sequence FROM appended`.execute(tx);
  if (rows.length !== 1) throw lostHead();
}

/**
 * One change and its record in one statement, which is a transaction of its own: `change` updates rows and returns something
 * for each. False, and nothing recorded, when it changed none.
 */
export async function changeAudited(
  db: QueryExecutorProvider,
  change: Compilable & OperationNodeSource,
  entry: NewAudit,
): Promise<boolean> {
  const { rows } = await sql<{ changed: boolean; appended: boolean }>`
    WITH changed AS (${change}),
    head AS (SELECT sequence, hash FROM audit_head WHERE EXISTS (SELECT FROM changed) FOR UPDATE), ${appending(entry)}
    SELECT EXISTS (SELECT FROM changed) AS changed, EXISTS (SELECT FROM appended) AS appended`.execute(db);
  const [outcome] = rows;
  if (outcome?.changed === true && !outcome.appended) throw lostHead();
  return outcome?.changed === true;
}

function lostHead(): AppError {
  return new AppError('storage.corrupt', 'The audit chain has lost its head.');
}

/** The end of the chain. */
export async function readAuditHead(db: Database): Promise<AuditHead> {
  const { rows } = await sql<AuditHead>`SELECT sequence, hash FROM audit_head`.execute(db.kysely<unknown>());
  const [head] = rows;
  if (head === undefined) throw lostHead();
  return head;
}

type StoredRecord = Omit<AuditRecord, 'details'> & { readonly details: string };

/** A row as the record it claims to be; details that are not canonical stay text, which no verifier accepts. */
function unverifiedRecord(row: StoredRecord): unknown {
  try {
    const details: unknown = JSON.parse(row.details);
    return canonicalJson(details) === row.details ? { ...row, details } : row;
  } catch {
    return row; // not JSON at all: the same answer as above
  }
}

async function readRows(db: QueryExecutorProvider, after: number, limit: number): Promise<StoredRecord[]> {
  const { rows } = await sql<StoredRecord>`
    SELECT sequence, at, actor, action, object, outcome, details, previous_hash AS "previousHash", hash
    FROM audit_record WHERE sequence > ${after} ORDER BY sequence LIMIT ${limit}`.execute(db);
  return rows;
}

/** Records with a number above `after`, oldest first, at most `limit`. `storage.corrupt` when one is not a record. */
export async function readAudit(db: Database, page: { after: number; limit: number }): Promise<AuditRecord[]> {
  const rows = await readRows(db.kysely<unknown>(), page.after, page.limit);
  return rows.map((row) =>
    parse(AuditRecordSchema, unverifiedRecord(row), { what: 'audit record', code: 'storage.corrupt' }),
  );
}

/** The whole chain, oldest first, page by page; what a verifier reads. */
export async function* auditRecords(db: Database): AsyncGenerator<unknown, void, undefined> {
  const reader = db.kysely<unknown>();
  let after = Number.MIN_SAFE_INTEGER;
  for (;;) {
    const rows = await readRows(reader, after, PAGE_RECORD_COUNT);
    yield* rows.map(unverifiedRecord);
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_RECORD_COUNT) return;
    after = last.sequence;
  }
}

const AUDIT_HEAD_PAYLOAD_TYPE = 'application/vnd.lantern.audit-head+json';

const SignedHeadSchema = Type.Object(
  {
    schema: Type.Literal('lantern.audit-head/1'),
    sequence: Type.Integer({ minimum: 0 }),
    hash: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    at: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type SignedAuditHead = Static<typeof SignedHeadSchema>;

/** The end of the chain, signed, to be kept by somebody who cannot change this database. */
export async function signAuditHead(
  db: Database,
  signer: { readonly keyPair: KeyPair; readonly clock: Clock },
): Promise<ResponseOf<typeof COMMON_API.auditHead>> {
  const { sequence, hash } = await readAuditHead(db);
  const payload: SignedAuditHead = {
    schema: 'lantern.audit-head/1',
    sequence,
    hash,
    at: signer.clock.now().toISOString(),
  };
  const envelope = signEnvelope({ payloadType: AUDIT_HEAD_PAYLOAD_TYPE, payload, keyPair: signer.keyPair });
  return { sequence, hash, envelope };
}

/** Opens a signed head; `envelope.rejected` for one that was changed or signed by another key. */
export function openAuditHead(envelope: SignedEnvelope, signer: SignerKey): SignedAuditHead {
  return openEnvelope(envelope, { payloadType: AUDIT_HEAD_PAYLOAD_TYPE, schema: SignedHeadSchema, signer });
}
