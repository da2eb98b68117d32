/**
 * Bundles at this site: fetched from the hub by digest, checked again here, kept for every run and deployment that names
 * them. Nothing of a bundle runs before `checkBundle` has accepted its bytes in this process.
 */
import { AppError, BUNDLE_FILE_PATHS, type BundleManifest, type Digest, type GraphManifest } from '@lantern/contract';
import { bundleDigest, checkBundle } from '@lantern/runner';
import type { BlobStore } from '@lantern/service';
import type { Outbound } from '../hub-link/outbound.ts';
import { downloadBlob } from '../hub-link/transfer.ts';

const MANIFEST_CACHE_MAX = 200; // manifests are a few kilobytes; a site sees some tens

export type GraphFiles = Readonly<Record<keyof typeof BUNDLE_FILE_PATHS, string>>;

export type Bundles = {
  /** The manifest named by this digest. */
  manifestOf(digest: Digest, signal: AbortSignal): Promise<BundleManifest>;
  /** Paths of the checked files of a graph bundle. Throws `bundle.invalid`. */
  filesOf(manifest: GraphManifest, signal: AbortSignal): Promise<GraphFiles>;
};

export function createBundles(deps: { readonly outbound: Outbound; readonly blobs: BlobStore }): Bundles {
  const manifests = new Map<Digest, BundleManifest>();
  const checked = new Set<Digest>();
  return {
    async manifestOf(digest, signal) {
      const known = manifests.get(digest);
      if (known !== undefined) return known;
      const manifest = await deps.outbound.call('siteReadBundle', { params: { digest }, signal });
      if (bundleDigest(manifest) !== digest) {
        throw new AppError('bundle.invalid', 'The hub sent another manifest than the one this digest names.');
      }
      if (manifests.size >= MANIFEST_CACHE_MAX) manifests.clear();
      manifests.set(digest, manifest);
      return manifest;
    },
    async filesOf(manifest, signal) {
      const digest = bundleDigest(manifest);
      if (!checked.has(digest)) {
        for (const file of manifest.files) await downloadBlob(deps.outbound, deps.blobs, { ...file, signal });
        await checkBundle(manifest, (file) => deps.blobs.openReader(file.digest));
        checked.add(digest);
      }
      return {
        train: fileOf(deps.blobs, manifest, BUNDLE_FILE_PATHS.train),
        predict: fileOf(deps.blobs, manifest, BUNDLE_FILE_PATHS.predict),
        initialWeights: fileOf(deps.blobs, manifest, BUNDLE_FILE_PATHS.initialWeights),
      };
    },
  };
}

function fileOf(blobs: BlobStore, manifest: GraphManifest, path: string): string {
  const file = manifest.files.find((candidate) => candidate.path === path);
  if (file === undefined) throw new AppError('bundle.invalid', `File ${path} is missing from the manifest.`);
  return blobs.pathOf(file.digest);
}

/** Numbers that are fitted to the rows: what the gate compares with the number of patients. */
export function parameterCountOf(manifest: BundleManifest, featureCount: number): number {
  if (manifest.kind === 'graph') {
    return manifest.parameters.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  }
  switch (manifest.analysis.kind) {
    case 'moments':
      return 2 * featureCount;
    case 'logistic-regression':
      return featureCount + 1;
  }
}

/** Do the statistics of this algorithm hold the tables of two columns? Newton's gradient and Hessian do. */
export function holdsPairs(manifest: BundleManifest): boolean {
  return manifest.kind === 'analysis' && manifest.analysis.kind === 'logistic-regression';
}
