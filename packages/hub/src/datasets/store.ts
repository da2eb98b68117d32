/** Rows of dataset offers. */
import type { DatasetOffer, DatasetSchema, Digest, SiteId } from '@lantern/contract';
import type { HubDb } from '../tables.ts';

/** Replaces everything a site offers. */
export async function replaceOffers(
  tx: HubDb,
  offers: { siteId: SiteId; datasets: readonly DatasetOffer[]; at: Date },
): Promise<void> {
  await tx.deleteFrom('dataset_offer').where('site_id', '=', offers.siteId).execute();
  if (offers.datasets.length === 0) return;
  await tx
    .insertInto('dataset_offer')
    .values(
      offers.datasets.map((offer) => ({
        site_id: offers.siteId,
        name: offer.schema.name,
        schema: JSON.stringify(offer.schema),
        schema_digest: offer.schemaDigest,
        feasibility: offer.feasibility,
        offered_at: offers.at,
      })),
    )
    .execute();
}

export async function offersBySite(db: HubDb): Promise<Map<SiteId, DatasetOffer[]>> {
  const rows = await db.selectFrom('dataset_offer').selectAll().orderBy('site_id').orderBy('name').execute();
  const bySite = new Map<SiteId, DatasetOffer[]>();
  for (const row of rows) {
    const offer = { schema: row.schema, schemaDigest: row.schema_digest, feasibility: row.feasibility };
    bySite.set(row.site_id, [...(bySite.get(row.site_id) ?? []), offer]);
  }
  return bySite;
}

/** The schema that one of `siteIds` offered under a digest. */
export async function findOfferedSchema(
  db: HubDb,
  wanted: { schemaDigest: Digest; siteIds: readonly SiteId[] },
): Promise<DatasetSchema | undefined> {
  if (wanted.siteIds.length === 0) return undefined;
  const row = await db
    .selectFrom('dataset_offer')
    .select('schema')
    .where('schema_digest', '=', wanted.schemaDigest)
    .where('site_id', 'in', wanted.siteIds)
    .orderBy('site_id')
    .limit(1)
    .executeTakeFirst();
  return row?.schema;
}
