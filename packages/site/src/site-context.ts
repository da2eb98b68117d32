/** What every capability of the site is built from: made once in `main.ts` and passed down. */
import type { SiteId } from '@lantern/contract';
import { appendAudit, type Clock, type Database, type KeyPair, type Logger, type NewAudit } from '@lantern/service';
import type { SiteDb, SiteTx } from './tables.ts';

export type SiteContext = {
  readonly database: Database;
  /** The pool as typed queries; for reads, and for single statements that stand alone. */
  readonly db: SiteDb;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keyPair: KeyPair;
  readonly siteId: SiteId;
};

/** Who did it, as the audit log names them. */
export type Actor = `user:${string}` | 'hub' | 'site';

type AuditLine = {
  readonly actor: Actor;
  readonly action: string;
  readonly object: string;
  readonly outcome?: 'success' | 'refused' | 'failure';
  readonly details?: Readonly<Record<string, string | number | boolean>>;
};

/** A line of the audit chain as it stands there now. */
export function auditEntry({ clock }: Pick<SiteContext, 'clock'>, line: AuditLine): NewAudit {
  return { at: clock.now(), outcome: 'success', details: {}, ...line };
}

/** One line of the audit chain, as the last statement in the transaction of the change it records. */
export async function audit(context: Pick<SiteContext, 'clock'>, tx: SiteTx, line: AuditLine): Promise<void> {
  await appendAudit(tx, auditEntry(context, line));
}
