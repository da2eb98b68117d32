/**
 * Checks an audit chain without trusting who stored it. Works on records alone, from a database or an exported file, so
 * it can run on another machine.
 *
 * Finds: a changed, removed, added, repeated or moved record, a second branch, and, by heads that were kept elsewhere, a
 * chain that was cut at its end or rewritten as a whole.
 */
import { AuditRecordSchema, canonicalJson, matches } from '@lantern/contract';
import type { Database } from '../postgres/database.ts';
import { auditRecords, readAuditHead } from './audit-log.ts';
import { type AuditHead, auditHash, GENESIS_HASH } from './audit-record.ts';

export type AuditFault =
  /** Not a record at all. */
  | 'form'
  /** Not the number that comes next. */
  | 'sequence'
  /** Does not follow the record before it. */
  | 'previous-hash'
  /** Its content was changed. */
  | 'hash'
  /** Another record stands where a kept head says which one must. */
  | 'anchor'
  /** The chain ends before a kept head. */
  | 'truncated';

/** `position` counts from 1 as the records came; `count` is how many were sound before the first bad one. */
export type AuditVerdict =
  | { readonly ok: true; readonly count: number; readonly head: AuditHead }
  | {
      readonly ok: false;
      readonly count: number;
      readonly firstBad: { readonly position: number; readonly fault: AuditFault };
    };

function faultOf(record: unknown, head: AuditHead): AuditFault | undefined {
  if (!matches(AuditRecordSchema, record)) return 'form';
  if (record.sequence !== head.sequence + 1) return 'sequence';
  if (record.previousHash !== head.hash) return 'previous-hash';
  return auditHash(record) === record.hash ? undefined : 'hash';
}

/** Verifies records in the order in which they come, against heads that were kept elsewhere. */
export async function verifyAuditRecords(
  records: AsyncIterable<unknown> | Iterable<unknown>,
  anchoredHeads: readonly AuditHead[] = [],
): Promise<AuditVerdict> {
  const anchors = Map.groupBy(anchoredHeads, ({ sequence }) => sequence);
  const isAnchored = (head: AuditHead): boolean =>
    (anchors.get(head.sequence) ?? []).every(({ hash }) => hash === head.hash);
  let head: AuditHead = { sequence: 0, hash: GENESIS_HASH };
  const bad = (position: number, fault: AuditFault): AuditVerdict => {
    return { ok: false, count: head.sequence, firstBad: { position, fault } };
  };
  if (!isAnchored(head)) return bad(0, 'anchor');
  for await (const record of records) {
    const fault = faultOf(record, head);
    const position = head.sequence + 1;
    if (fault !== undefined || !matches(AuditRecordSchema, record)) return bad(position, fault ?? 'form');
    const next = { sequence: record.sequence, hash: record.hash };
    if (!isAnchored(next)) return bad(position, 'anchor');
    head = next;
  }
  const last = head.sequence;
  if (anchoredHeads.some(({ sequence }) => sequence > last)) return bad(last + 1, 'truncated');
  return { ok: true, count: last, head };
}

/** Verifies the chain of a database, with its own idea of where the chain ends as one more head. */
export async function verifyAudit(db: Database, anchoredHeads: readonly AuditHead[] = []): Promise<AuditVerdict> {
  return verifyAuditRecords(auditRecords(db), [await readAuditHead(db), ...anchoredHeads]);
}

/** Exports records as lines of canonical JSON, each with its line feed. */
export async function* auditLines(
  records: AsyncIterable<unknown> | Iterable<unknown>,
): AsyncGenerator<string, void, undefined> {
  for await (const record of records) yield `${canonicalJson(record)}\n`;
}

/** Reads exported lines back for verification; a line that is not canonical JSON comes as `undefined`, which no verifier takes. */
export async function* readAuditLines(lines: AsyncIterable<string>): AsyncGenerator<unknown, void, undefined> {
  for await (const line of lines) yield parseLine(line);
}

function parseLine(line: string): unknown {
  const text = line.endsWith('\n') ? line.slice(0, -1) : line;
  try {
    const value: unknown = JSON.parse(text);
    return canonicalJson(value) === text ? value : undefined;
  } catch {
    return undefined; // a broken line is a finding of the verifier, not a fault of the reader
  }
}
