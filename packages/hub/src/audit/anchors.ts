/**
 * Anchors of the sites' audit chains. A site leaves the signed head of its chain here, so that whoever shortens or rewrites
 * the chain at the site is found out by comparison. Invariant: the heads of a site only grow; a head that contradicts an
 * earlier one is refused and itself audited.
 */
import { AppError, type SignedEnvelope, type SiteId } from '@lantern/contract';
import { openAuditHead, type PublicKey } from '@lantern/service';
import { audit, type HubContext } from '../hub-context.ts';
import type { HubTx } from '../tables.ts';
import * as store from './store.ts';

export type AnchorsDeps = HubContext & {
  readonly signerOf: (keyId: string) => Promise<{ siteId: SiteId; signer: PublicKey }>;
};

export async function anchorAudit(
  deps: AnchorsDeps,
  received: { keyId: string; envelope: SignedEnvelope },
): Promise<void> {
  const { siteId, signer } = await deps.signerOf(received.keyId);
  const { sequence, hash } = openAuditHead(received.envelope, signer);
  const accepted = await deps.transaction(async (tx: HubTx) => {
    const newest = await store.newestHead(tx, siteId);
    if (newest !== undefined && newest.sequence === sequence && newest.hash === hash) return true;
    if (newest !== undefined && newest.sequence >= sequence) {
      const details = { sequence, newest: newest.sequence };
      audit(deps, tx, { actor: siteId, action: 'audit-head.anchor', object: siteId, outcome: 'refused', details });
      return false;
    }
    const receivedAt = deps.clock.now();
    await store.insertHead(tx, { siteId, sequence, hash, envelope: received.envelope, receivedAt });
    return true;
  });
  if (!accepted) {
    throw new AppError('conflict', 'The audit chain of this site was longer before, or had another record there.', {
      field: '/sequence',
    });
  }
}
