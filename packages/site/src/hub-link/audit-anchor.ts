/**
 * Keeps the signed head of this site's audit chain at the hub, so that records removed here at the end of the chain, which no
 * check of the chain alone can find, are found by comparing with it.
 */
import type { SignedEnvelope } from '@lantern/contract';
import { type Clock, type Database, type KeyPair, type Logger, readAuditHead, signAuditHead } from '@lantern/service';

const ANCHOR_EVERY_MS = 60_000; // what could be removed unseen is at most this young

export type AuditAnchorDeps = {
  readonly db: Database;
  readonly keyPair: KeyPair;
  readonly clock: Clock;
  readonly log: Logger;
  readonly send: (envelope: SignedEnvelope, signal: AbortSignal) => Promise<void>;
};

/** Returns a function that anchors when there is something new and a minute has passed since the last time; it never throws. */
export function createAuditAnchor(deps: AuditAnchorDeps): (signal: AbortSignal) => Promise<void> {
  let anchoredMs = Number.NEGATIVE_INFINITY;
  let anchoredSequence = 0;
  return async (signal) => {
    if (deps.clock.monotonicMs() - anchoredMs < ANCHOR_EVERY_MS) return;
    try {
      if ((await readAuditHead(deps.db)).sequence === anchoredSequence) return;
      const { sequence, envelope } = await signAuditHead(deps.db, deps);
      await deps.send(envelope, signal);
      anchoredSequence = sequence;
      anchoredMs = deps.clock.monotonicMs();
    } catch (err) {
      // The next poll tries again; the chain itself is complete here.
      deps.log.warn({ err }, 'the audit head could not be anchored at the hub');
    }
  };
}
