/** Rows of bundles and their files. */
import type { BundleManifest, Digest, SiteId } from '@lantern/contract';
import type { HubDb } from '../tables.ts';

/** Inserts a bundle; false when it was there. */
export async function insertBundle(
  tx: HubDb,
  bundle: { bundleDigest: Digest; manifest: BundleManifest; createdBy: string; createdAt: Date },
): Promise<boolean> {
  const { manifest } = bundle;
  const inserted = await tx
    .insertInto('bundle')
    .values({
      bundle_digest: bundle.bundleDigest,
      name: manifest.name,
      version: manifest.version,
      manifest: JSON.stringify(manifest),
      created_by: bundle.createdBy,
      created_at: bundle.createdAt,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (inserted.numInsertedOrUpdatedRows === 0n) return false;
  if (manifest.kind === 'graph') {
    await tx
      .insertInto('bundle_file')
      .values(
        manifest.files.map((file) => ({
          bundle_digest: bundle.bundleDigest,
          path: file.path,
          digest: file.digest,
          size_bytes: file.sizeBytes,
        })),
      )
      .execute();
  }
  return true;
}

export async function findManifest(db: HubDb, bundleDigest: Digest): Promise<BundleManifest | undefined> {
  const row = await db
    .selectFrom('bundle')
    .select('manifest')
    .where('bundle_digest', '=', bundleDigest)
    .executeTakeFirst();
  return row?.manifest;
}

export async function listBundleRows(db: HubDb): Promise<{ bundleDigest: Digest; manifest: BundleManifest }[]> {
  const rows = await db
    .selectFrom('bundle')
    .select(['bundle_digest', 'manifest'])
    .orderBy('created_at')
    .orderBy('bundle_digest')
    .execute();
  return rows.map((row) => ({ bundleDigest: row.bundle_digest, manifest: row.manifest }));
}

/** Whether a project that asks this site, or a model version, uses the bundle. */
export async function siteMayReadBundle(db: HubDb, siteId: SiteId, bundleDigest: Digest): Promise<boolean> {
  const asked = await db
    .selectFrom('project_bundle')
    .innerJoin('project_decision', 'project_decision.project_id', 'project_bundle.project_id')
    .select('project_bundle.bundle_digest')
    .where('project_bundle.bundle_digest', '=', bundleDigest)
    .where('project_decision.site_id', '=', siteId)
    .limit(1)
    .executeTakeFirst();
  if (asked !== undefined) return true;
  const released = await db
    .selectFrom('model_version')
    .select('bundle_digest')
    .where('bundle_digest', '=', bundleDigest)
    .limit(1)
    .executeTakeFirst();
  return released !== undefined;
}
