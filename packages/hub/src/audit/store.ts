/** Rows of the audit heads that sites left with us. */
import type { SignedEnvelope, SiteId } from '@lantern/contract';
import type { HubDb } from '../tables.ts';

/** Locks the site, so that its heads come one after the other. */
export async function newestHead(tx: HubDb, siteId: SiteId): Promise<{ sequence: number; hash: string } | undefined> {
  await tx.selectFrom('site').select('site_id').where('site_id', '=', siteId).forNoKeyUpdate().execute();
  const row = await tx
    .selectFrom('site_audit_head')
    .select(['sequence', 'hash'])
    .where('site_id', '=', siteId)
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? undefined : { sequence: Number(row.sequence), hash: row.hash };
}

export async function insertHead(
  tx: HubDb,
  head: { siteId: SiteId; sequence: number; hash: string; envelope: SignedEnvelope; receivedAt: Date },
): Promise<void> {
  await tx
    .insertInto('site_audit_head')
    .values({
      site_id: head.siteId,
      sequence: head.sequence,
      hash: head.hash,
      envelope: JSON.stringify(head.envelope),
      received_at: head.receivedAt,
    })
    .execute();
}
