/** Rows of one-time codes and enrolled sites. */
import type { Digest, SiteId } from '@lantern/contract';
import type { Selectable } from 'kysely';
import type { HubDb, HubTables } from '../tables.ts';

export type SiteRow = Selectable<HubTables['site']>;
export type CodeRow = Selectable<HubTables['enrolment_code']>;

export async function insertCode(
  tx: HubDb,
  code: { codeHash: Digest; siteName: string; createdBy: string; createdAt: Date; expiresAt: Date },
): Promise<void> {
  await tx
    .insertInto('enrolment_code')
    .values({
      code_hash: code.codeHash,
      site_name: code.siteName,
      created_by: code.createdBy,
      created_at: code.createdAt,
      expires_at: code.expiresAt,
    })
    .execute();
}

/** Locks the row, so that two requests with one code follow each other. */
export async function lockCode(tx: HubDb, codeHash: Digest): Promise<CodeRow | undefined> {
  return tx.selectFrom('enrolment_code').selectAll().where('code_hash', '=', codeHash).forUpdate().executeTakeFirst();
}

export async function markCodeUsed(tx: HubDb, codeHash: Digest, use: { siteId: SiteId; at: Date }): Promise<void> {
  await tx
    .updateTable('enrolment_code')
    .set({ used_at: use.at, used_by: use.siteId })
    .where('code_hash', '=', codeHash)
    .execute();
}

export async function insertSite(
  tx: HubDb,
  site: { siteId: SiteId; name: string; keyId: string; publicKeyPem: string; enrolledAt: Date },
): Promise<void> {
  await tx
    .insertInto('site')
    .values({
      site_id: site.siteId,
      name: site.name,
      key_id: site.keyId,
      public_key_pem: site.publicKeyPem,
      state: 'active',
      enrolled_at: site.enrolledAt,
    })
    .execute();
}

export async function findSiteByKey(db: HubDb, keyId: string): Promise<SiteRow | undefined> {
  return db.selectFrom('site').selectAll().where('key_id', '=', keyId).executeTakeFirst();
}

export async function findActiveSiteByName(db: HubDb, name: string): Promise<SiteRow | undefined> {
  return db.selectFrom('site').selectAll().where('name', '=', name).where('state', '=', 'active').executeTakeFirst();
}

export async function lockSite(tx: HubDb, siteId: SiteId): Promise<SiteRow | undefined> {
  return tx.selectFrom('site').selectAll().where('site_id', '=', siteId).forUpdate().executeTakeFirst();
}

export async function updateSiteState(tx: HubDb, siteId: SiteId, state: SiteRow['state']): Promise<void> {
  await tx.updateTable('site').set({ state }).where('site_id', '=', siteId).execute();
}

export async function updateLastSeen(db: HubDb, siteId: SiteId, at: Date): Promise<void> {
  await db.updateTable('site').set({ last_seen_at: at }).where('site_id', '=', siteId).execute();
}

export async function listSiteRows(db: HubDb): Promise<SiteRow[]> {
  return db.selectFrom('site').selectAll().orderBy('name').orderBy('site_id').execute();
}

export async function listNamesOfSites(db: HubDb, siteIds: readonly SiteId[]): Promise<Map<SiteId, string>> {
  if (siteIds.length === 0) return new Map();
  const rows = await db.selectFrom('site').select(['site_id', 'name']).where('site_id', 'in', siteIds).execute();
  return new Map(rows.map((row) => [row.site_id, row.name]));
}

/** Locks the sites as they are, so that none is revoked between this look and the tasks that follow from it. */
export async function shareActiveSites(db: HubDb, siteIds: readonly SiteId[]): Promise<SiteId[]> {
  if (siteIds.length === 0) return [];
  const rows = await db
    .selectFrom('site')
    .select('site_id')
    .where('site_id', 'in', siteIds)
    .where('state', '=', 'active')
    .orderBy('site_id')
    .forKeyShare()
    .execute();
  return rows.map((row) => row.site_id);
}
