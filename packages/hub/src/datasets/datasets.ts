/**
 * What sites offer: names and schemas, no rows and no sizes. A site says everything it offers at once; the newest list
 * replaces the one before.
 */
import { AppError, type DatasetOffer, type DatasetSchema, type Digest, type SiteId } from '@lantern/contract';
import { documentDigest } from '@lantern/service';
import { audit, type HubContext } from '../hub-context.ts';
import type { HubDb, HubTx } from '../tables.ts';
import * as store from './store.ts';

/** Replaces the offers of a site. Refuses a schema whose digest is not that of its columns, and a name said twice. */
export async function offerDatasets(
  context: HubContext,
  offer: { siteId: SiteId; datasets: readonly DatasetOffer[] },
): Promise<void> {
  const names = new Set<string>();
  for (const [index, { schema, schemaDigest }] of offer.datasets.entries()) {
    const field = `/datasets/${index}`;
    if (names.has(schema.name)) throw new AppError('input.invalid', `${field}: the name is there twice.`, { field });
    names.add(schema.name);
    if (documentDigest(schema.columns) !== schemaDigest) {
      throw new AppError('input.invalid', `${field}/schemaDigest is not the digest of the columns.`, { field });
    }
  }
  await context.transaction(async (tx: HubTx) => {
    await store.replaceOffers(tx, { ...offer, at: context.clock.now() });
    audit(context, tx, {
      actor: offer.siteId,
      action: 'datasets.offer',
      object: offer.siteId,
      details: { count: offer.datasets.length },
    });
  });
}

export async function listOffersBySite(db: HubDb): Promise<ReadonlyMap<SiteId, readonly DatasetOffer[]>> {
  return store.offersBySite(db);
}

/** The schema behind a digest, as one of these sites offers it now. */
export async function offeredSchema(
  db: HubDb,
  wanted: { schemaDigest: Digest; siteIds: readonly SiteId[] },
): Promise<DatasetSchema | undefined> {
  return store.findOfferedSchema(db, wanted);
}
