/**
 * What every capability of the hub is built from: made once in `main.ts` and passed down.
 *
 * Audit records are written last in a transaction, however early they are asked for: the head of the chain is one row that
 * every change of the hub must lock, so it is held only for the moment before the commit, and no transaction waits for
 * another row while it holds it.
 */
import { strict as assert } from 'node:assert';
import type { SiteId, UserId } from '@lantern/contract';
import {
  appendAudit,
  type Clock,
  type Database,
  type KeyPair,
  type Logger,
  type NewAudit,
  type UserCaller,
} from '@lantern/service';
import type { IssuedTasks } from './exchange/issued-tasks.ts';
import type { HubDb, HubTables, HubTx } from './tables.ts';
import { type Wakeups, withWakeups } from './wakeups.ts';

export type HubContext = {
  /** The pool as typed queries; for reads, and for single statements that stand alone. */
  readonly db: HubDb;
  /** Commits when `work` resolves, with the audit records asked for in it; rolls back when it rejects. */
  readonly transaction: <R>(work: (tx: HubTx) => Promise<R>) => Promise<R>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keyPair: KeyPair;
  readonly hubName: string;
  readonly wakeups: Wakeups;
  readonly issued: IssuedTasks;
};

/** Who did it, as the audit log names them. */
export type Actor = UserId | SiteId | 'hub';

export type AuditLine = {
  readonly actor: Actor;
  readonly action: string;
  readonly object: string;
  readonly outcome?: 'success' | 'refused' | 'failure';
  readonly details?: Readonly<Record<string, string | number | boolean>>;
};

const linesOfTransactions = new WeakMap<HubTx, (AuditLine & { readonly at: Date })[]>();

/** Notes one line of the audit chain; it commits with the transaction, which must be one of `HubContext.transaction`. */
export function audit(context: Pick<HubContext, 'clock'>, tx: HubTx, line: AuditLine): void {
  const lines = linesOfTransactions.get(tx);
  assert(lines !== undefined, 'Audited changes need a transaction of the hub context.');
  lines.push({ ...line, at: context.clock.now() });
}

export function createTransactions(database: Database): HubContext['transaction'] {
  return <R>(work: (tx: HubTx) => Promise<R>) =>
    database.transaction<HubTables, R>(async (tx) => {
      const lines: (AuditLine & { readonly at: Date })[] = [];
      linesOfTransactions.set(tx, lines);
      const result = await withWakeups(tx, () => work(tx));
      for (const line of lines) await appendAudit(tx, entryOf(line));
      return result;
    });
}

/** A line for a change that is a statement of its own (`changeAudited`). */
export function auditEntry(context: Pick<HubContext, 'clock'>, line: AuditLine): NewAudit {
  return entryOf({ ...line, at: context.clock.now() });
}

function entryOf({ outcome, details, ...line }: AuditLine & { readonly at: Date }): NewAudit {
  return { ...line, outcome: outcome ?? 'success', details: details ?? {} };
}

/** The person behind a request, as far as rules of ownership need to know. */
export type Person = { readonly userId: UserId; readonly name: string; readonly isAdmin: boolean };

export function personOf(caller: UserCaller): Person {
  return { userId: caller.userId, name: caller.name, isAdmin: caller.roles.includes('admin') };
}
