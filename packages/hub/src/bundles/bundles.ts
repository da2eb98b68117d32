/**
 * Bundles: algorithms by digest. The hub keeps manifest and files and checks them once on the way in; each site checks
 * them again before it runs anything. A bundle never changes: another byte is another bundle.
 */
import { AppError, type BundleManifest, type Digest, type SiteId } from '@lantern/contract';
import { bundleDigest, checkBundle } from '@lantern/runner';
import type { BlobStore } from '@lantern/service';
import { audit, type HubContext, type Person } from '../hub-context.ts';
import type { HubDb, HubTx } from '../tables.ts';
import * as store from './store.ts';

export type BundlesDeps = HubContext & { readonly blobs: BlobStore };

/** Registers a bundle whose files are here. The same bundle again is no error. Throws `bundle.invalid`. */
export async function registerBundle(
  deps: BundlesDeps,
  manifest: BundleManifest,
  person: Person,
): Promise<{ bundleDigest: Digest }> {
  for (const file of manifest.files) await checkUploaded(deps.blobs, file);
  await checkBundle(manifest, (file) => deps.blobs.openReader(file.digest));
  const digest = bundleDigest(manifest);
  await deps.transaction(async (tx: HubTx) => {
    const inserted = await store.insertBundle(tx, {
      bundleDigest: digest,
      manifest,
      createdBy: person.name,
      createdAt: deps.clock.now(),
    });
    if (inserted) {
      audit(deps, tx, { actor: person.userId, action: 'bundle.create', object: digest });
    }
  });
  return { bundleDigest: digest };
}

async function checkUploaded(blobs: BlobStore, file: { path: string; digest: Digest; sizeBytes: number }) {
  const present = await blobs.stat(file.digest);
  if (present === undefined) throw new AppError('bundle.invalid', `File ${file.path} has not been uploaded.`);
  if (present.sizeBytes !== file.sizeBytes) {
    throw new AppError('bundle.invalid', `File ${file.path}: sizeBytes is not the size of the uploaded file.`);
  }
}

export async function listBundles(db: HubDb): Promise<{ bundleDigest: Digest; manifest: BundleManifest }[]> {
  return store.listBundleRows(db);
}

export async function manifestOf(db: HubDb, digest: Digest): Promise<BundleManifest | undefined> {
  return store.findManifest(db, digest);
}

/** The manifest of a bundle that a project asks this site to approve, or that a model version uses. */
export async function manifestForSite(db: HubDb, siteId: SiteId, digest: Digest): Promise<BundleManifest> {
  const allowed = await store.siteMayReadBundle(db, siteId, digest);
  const manifest = allowed ? await store.findManifest(db, digest) : undefined;
  if (manifest === undefined) throw new AppError('not-found', 'No project that asks this site uses such a bundle.');
  return manifest;
}
