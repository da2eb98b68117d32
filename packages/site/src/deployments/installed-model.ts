/**
 * A model version as it lies on this site's disk: every byte that will run is named by a digest in the signed document, and
 * nothing runs whose bytes were not compared with it.
 *
 * Before each use the file's identity (inode, size, times) is compared with what it was when its bytes were last hashed; only
 * when it differs are they hashed again. So a swapped file is found at the next request, without reading gigabytes for each.
 */
import { stat } from 'node:fs/promises';
import {
  AppError,
  type BlobRef,
  BUNDLE_FILE_PATHS,
  type Digest,
  type GraphManifest,
  type ModelVersion,
} from '@lantern/contract';
import {
  decodeTensors,
  headerBytesNeeded,
  logisticProbabilities,
  parseHeader,
  requireTensors,
} from '@lantern/learning';
import { checkBundle, type GraphExecutor } from '@lantern/runner';
import type { BlobStore } from '@lantern/service';

const THETA_BYTES_MAX = 1024 ** 2; // 10,001 coefficients and a header
const HEADER_LENGTH_BYTES = 8;

/** The probability of the outcome for one standardised row. */
export type Predictor = (row: readonly number[], signal?: AbortSignal) => Promise<number>;

export type FileWatch = {
  /** Throws `storage.corrupt` when the stored bytes are gone or no longer what their digest says. */
  assertUnchanged(digest: Digest): Promise<void>;
};

export function createFileWatch(blobs: BlobStore): FileWatch {
  const hashed = new Map<Digest, string>();
  return {
    async assertUnchanged(digest) {
      const before = await identityOf(blobs, digest);
      if (hashed.get(digest) === before) return;
      hashed.delete(digest);
      await blobs.verify(digest);
      if ((await identityOf(blobs, digest)) !== before) {
        throw new AppError('storage.corrupt', 'A model file changed while it was checked.');
      }
      hashed.set(digest, before);
    },
  };
}

async function identityOf(blobs: BlobStore, digest: Digest): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(blobs.pathOf(digest), { bigint: true });
    return `${ino}/${size}/${mtimeNs}/${ctimeNs}`;
  } catch (cause) {
    throw new AppError('storage.corrupt', 'A file of the model is not in the store.', { cause });
  }
}

/** Weights and, for a graph, every file of the bundle. */
export function blobsOf({ weights, manifest }: ModelVersion): BlobRef[] {
  return [weights, ...manifest.files.map(({ digest, sizeBytes }) => ({ digest, sizeBytes }))];
}

/** The files that predictions read. */
export function servedDigests({ weights, manifest }: ModelVersion): Digest[] {
  return manifest.kind === 'graph' ? [weights.digest, predictFile(manifest)] : [weights.digest];
}

function predictFile(manifest: GraphManifest): Digest {
  const file = manifest.files.find(({ path }) => path === BUNDLE_FILE_PATHS.predict);
  if (file === undefined) throw new AppError('bundle.invalid', 'The bundle has no prediction graph.');
  return file.digest;
}

/**
 * Checks bundle and weights against the signed document once they are here: bundle rules, and that the weights are those
 * the model takes. Throws `bundle.invalid`, `tensor.invalid`, `update.invalid`, `storage.corrupt`.
 */
export async function checkInstalled(version: ModelVersion, blobs: BlobStore): Promise<void> {
  for (const { digest } of blobsOf(version)) await blobs.verify(digest);
  await checkBundle(version.manifest, (file) => blobs.openReader(file.digest));
  if (version.manifest.kind === 'analysis') {
    await readTheta(version, blobs);
    return;
  }
  const reader = await blobs.openReader(version.weights.digest);
  try {
    const first = new Uint8Array(HEADER_LENGTH_BYTES);
    reader.readInto(first, 0);
    const header = new Uint8Array(headerBytesNeeded(first));
    reader.readInto(header, 0);
    requireTensors(parseHeader(header, {}, reader.sizeBytes), version.manifest.parameters);
  } finally {
    reader.close();
  }
}

/** Coefficients, intercept first. */
async function readTheta({ weights, featureNames }: ModelVersion, blobs: BlobStore): Promise<readonly number[]> {
  const theta = decodeTensors(await blobs.readAll(weights.digest, THETA_BYTES_MAX)).get('theta');
  if (theta?.dtype !== 'F64' || theta.data.length !== featureNames.length + 1) {
    throw new AppError('tensor.invalid', `The weights are not theta, F64 [${featureNames.length + 1}].`);
  }
  if (!theta.data.every(Number.isFinite)) throw new AppError('tensor.invalid', 'A coefficient is not finite.');
  return [...theta.data];
}

/** How this version predicts. Its files must have been checked. */
export async function predictorOf(
  version: ModelVersion,
  { blobs, executor }: { blobs: BlobStore; executor: GraphExecutor },
): Promise<Predictor> {
  const { manifest, weights, featureNames } = version;
  if (manifest.kind === 'analysis') {
    const theta = await readTheta(version, blobs);
    return async (row) =>
      probabilityIn(logisticProbabilities({ featureCount: featureNames.length, values: row }, theta), 0);
  }
  const files = { weightsFile: blobs.pathOf(weights.digest), predictModelFile: blobs.pathOf(predictFile(manifest)) };
  return async (row, signal) => {
    const probabilities = await executor.predict({ manifest, ...files, x: Float32Array.from(row) }, signal);
    return probabilityIn(probabilities, probabilities.length - 1); // of two classes the second is the outcome
  };
}

function probabilityIn(probabilities: ArrayLike<number>, index: number): number {
  const probability = probabilities[index];
  if (probability !== undefined && probability >= 0 && probability <= 1) return probability;
  throw new AppError('training.diverged', 'The model did not put out a probability.');
}
