/**
 * Building bundles. A bundle's name is the SHA-256 of its manifest's canonical JSON; the manifest names each file by digest,
 * so that one digest fixes every byte: same specification and seed, same bundle, on any machine.
 */
import { createHash } from 'node:crypto';
import {
  AnalysisManifestSchema,
  AppError,
  BUNDLE_FILE_PATHS,
  type BundleManifest,
  canonicalJson,
  type Digest,
  type GraphManifest,
  GraphManifestSchema,
  isDigest,
  type ModelSpec,
  parse,
} from '@lantern/contract';
import { buildTrainingGraph, encodeTensors } from '@lantern/learning';
import { seededRandom } from './seeded-random.ts';

export type BuiltBundle = {
  readonly manifest: BundleManifest;
  readonly bundleDigest: Digest;
  /** Contents by path; empty for an analysis. */
  readonly files: ReadonlyMap<string, Uint8Array>;
};

type BundleHead = { readonly name: string; readonly version: string; readonly description: string };

/** The name of a bundle. */
export function bundleDigest(manifest: BundleManifest): Digest {
  return sha256(canonicalJson(manifest));
}

export function sha256(content: string | Uint8Array): Digest {
  const digest = createHash('sha256').update(content).digest('hex');
  if (!isDigest(digest)) throw new TypeError('SHA-256 is not 64 hex characters.');
  return digest;
}

/** A built-in analysis as a bundle: its manifest is all there is. Throws `bundle.invalid` naming the field. */
export function buildAnalysisBundle(spec: BundleHead & { readonly analysis: { readonly kind: string } }): BuiltBundle {
  const { name, version, description, analysis } = spec;
  const manifest = parse(
    AnalysisManifestSchema,
    { schema: 'lantern.bundle/1', kind: 'analysis', name, version, description, analysis, files: [] },
    { what: 'bundle specification', code: 'bundle.invalid' },
  );
  return { manifest, bundleDigest: bundleDigest(manifest), files: new Map() };
}

/** Drawn under a seed; or zeros, for a linear model, whose loss has one minimum: there is nothing to draw. */
export type FirstWeights = { readonly seed: number } | { readonly firstWeights: 'zeros' };

/**
 * A neural network as a bundle: training graph, prediction graph and first weights.
 * Throws `bundle.invalid` naming the field.
 */
export function buildGraphBundle(
  spec: BundleHead & FirstWeights & { readonly model: ModelSpec },
): BuiltBundle & { readonly manifest: GraphManifest } {
  const { name, version, description, model } = spec;
  const graph = buildTrainingGraph(model);
  const files = new Map([
    [BUNDLE_FILE_PATHS.train, graph.trainModel],
    [BUNDLE_FILE_PATHS.predict, graph.predictModel],
    [BUNDLE_FILE_PATHS.initialWeights, encodeTensors(graph.initialWeights(firstNumbers(spec)))],
  ]);
  const manifest = parse(
    GraphManifestSchema,
    {
      schema: 'lantern.bundle/1',
      kind: 'graph',
      name,
      version,
      description,
      model,
      parameters: graph.parameters,
      optimiserState: graph.optimiserState,
      files: [...files].map(([path, bytes]) => ({ path, digest: sha256(bytes), sizeBytes: bytes.byteLength })),
    },
    { what: 'bundle specification', code: 'bundle.invalid' },
  );
  return { manifest, bundleDigest: bundleDigest(manifest), files };
}

/** Numbers in [0, 1) from which first weights are made; their middle makes zeros. */
function firstNumbers(spec: FirstWeights & { readonly model: ModelSpec }): () => number {
  if ('seed' in spec) {
    const random = seededRandom(`initial-weights/${spec.seed}`);
    return () => random.uniform();
  }
  if (spec.model.layers.filter(({ kind }) => kind === 'dense').length > 1)
    throw new AppError(
      'bundle.invalid',
      'First weights of zero are for one dense layer: between two, nothing would learn.',
    );
  return () => 0.5;
}
