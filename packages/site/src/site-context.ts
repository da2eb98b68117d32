/** What every capability of the site is built from: made once in `main.ts` and passed down. */
import type { SiteId } from '@lantern/contract';
import { appendAudit, type Clock, type Database, type KeyPair, type Logger } from '@lantern/service';
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

/** One line of the audit chain, as the last statement in the transaction of the change it records. */
export async function audit(
  context: Pick<SiteContext, 'clock'>,
  tx: SiteTx,
  line: {
    readonly actor: Actor;
    readonly action: string;
    readonly object: string;
    readonly outcome?: 'success' | 'refused' | 'failure';
    readonly details?: Readonly<Record<string, string | number | boolean>>;
  },
): Promise<void> {
  await appendAudit(tx, {
    at: context.clock.now(),
    actor: line.actor,
    action: line.action,
    object: line.object,
    outcome: line.outcome ?? 'success',
    details: line.details ?? {},
  });
}
