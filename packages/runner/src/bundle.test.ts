import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AppError,
  BUNDLE_FILE_PATHS,
  BundleManifestSchema,
  type GraphManifest,
  type ModelSpec,
  parse,
} from '@lantern/contract';
import { decodeTensors, encodeTensors } from '@lantern/learning';
import { type BuiltBundle, buildAnalysisBundle, buildGraphBundle, bundleDigest, sha256 } from './bundle.ts';
import { type BundleFileReader, checkBundle } from './bundle-check.ts';

const MODEL: ModelSpec = {
  featureCount: 5,
  layers: [{ kind: 'dense', units: 3, bias: true }, { kind: 'relu' }, { kind: 'dense', units: 1, bias: true }],
  loss: 'sigmoid-cross-entropy',
  optimiser: { kind: 'sgd', momentum: 0.9 },
  batchSize: 8,
  proximal: false,
  control: false,
};
const SPEC = { name: 'small-network', version: '1.2.3', description: 'A small network', model: MODEL, seed: 11 };

type GraphBundle = BuiltBundle & { readonly manifest: GraphManifest };

function check(
  bundle: GraphBundle,
  changes: { manifest?: GraphManifest; files?: ReadonlyMap<string, Uint8Array> } = {},
) {
  const files = changes.files ?? bundle.files;
  return checkBundle(changes.manifest ?? bundle.manifest, async ({ path }) =>
    readerOf(files.get(path) ?? new Uint8Array()),
  );
}

/** Gives at most 1,000 bytes at a time, as a reader may. */
function readerOf(bytes: Uint8Array): BundleFileReader {
  return {
    sizeBytes: bytes.byteLength,
    readInto(target, byteOffset) {
      const given = bytes.subarray(byteOffset, byteOffset + Math.min(target.byteLength, 1000));
      target.set(given);
      return given.byteLength;
    },
    close: () => undefined,
  };
}

/** A bundle whose manifest fits its files, one of which was replaced. */
function withFile(bundle: GraphBundle, path: string, bytes: Uint8Array): GraphBundle {
  const files = new Map(bundle.files).set(path, bytes);
  const manifest: GraphManifest = {
    ...bundle.manifest,
    files: bundle.manifest.files.map((file) =>
      file.path === path ? { path, digest: sha256(bytes), sizeBytes: bytes.byteLength } : file,
    ),
  };
  return { ...bundle, manifest, files };
}

function refused(pattern: RegExp) {
  return (error: unknown) =>
    error instanceof AppError && error.code === 'bundle.invalid' && pattern.test(error.message);
}

test('the same specification and seed give the same bundle, another seed another one', () => {
  const first = buildGraphBundle(SPEC);
  assert.equal(buildGraphBundle(SPEC).bundleDigest, first.bundleDigest);
  assert.notEqual(buildGraphBundle({ ...SPEC, seed: 12 }).bundleDigest, first.bundleDigest);
});

test('a linear model may begin at zeros, a network with layers between may not', () => {
  const { seed, ...head } = SPEC;
  const linear = { ...MODEL, layers: [{ kind: 'dense', units: 2, bias: true }] } as const;
  const bundle = buildGraphBundle({ ...head, model: { ...linear, layers: [...linear.layers] }, firstWeights: 'zeros' });
  const first = decodeTensors(bundle.files.get(BUNDLE_FILE_PATHS.initialWeights) ?? new Uint8Array());
  for (const { name, shape } of bundle.manifest.parameters) {
    const size = shape.reduce((product, side) => product * side, 1);
    assert.deepEqual([...(first.get(name)?.data ?? [])].map(Number), new Array(size).fill(0));
  }
  assert.throws(() => buildGraphBundle({ ...head, firstWeights: 'zeros' }), refused(/one dense layer/));
});

test('the digest is that of the manifest, whatever the order of its members', () => {
  const { manifest, bundleDigest: digest } = buildGraphBundle(SPEC);
  const shuffled: unknown = Object.fromEntries(Object.entries(manifest).reverse());
  assert.equal(bundleDigest(parse(BundleManifestSchema, shuffled, { what: 'manifest' })), digest);
  assert.notEqual(bundleDigest({ ...manifest, version: '1.2.4' }), digest);
});

test('first weights are within the bound of the layer that feeds them', () => {
  const weights = buildGraphBundle(SPEC).files.get(BUNDLE_FILE_PATHS.initialWeights);
  assert.ok(weights);
  for (const tensor of decodeTensors(weights).values()) {
    assert.ok(
      tensor.dtype === 'F32' && tensor.data.every((value) => value !== 0 && Math.abs(value) <= 1 / Math.sqrt(3)),
    );
  }
});

test('a built bundle passes its own check, of either kind', async () => {
  await check(buildGraphBundle(SPEC));
  const analysis = { kind: 'logistic-regression', ridge: 1, damping: 0.8 };
  const built = buildAnalysisBundle({ name: 'lr', version: '1.0.0', description: 'Logistic regression', analysis });
  await checkBundle(built.manifest, async () => assert.fail('an analysis has no files'));
  assert.equal(built.files.size, 0);
});

test('an analysis that is not built in is refused', () => {
  const analysis = { kind: 'shell', command: 'ls' };
  assert.throws(
    () => buildAnalysisBundle({ name: 'lr', version: '1.0.0', description: 'Logistic regression', analysis }),
    refused(/analysis/),
  );
});

test('a changed byte in any file is found by its digest', async () => {
  const bundle = buildGraphBundle(SPEC);
  for (const [path, bytes] of bundle.files) {
    const changed = bytes.slice();
    const middle = Math.floor(changed.length / 2);
    changed[middle] = (changed[middle] ?? 0) ^ 1;
    await assert.rejects(check(bundle, { files: new Map(bundle.files).set(path, changed) }), refused(/digest/));
  }
});

test('a file of another size is refused before it is hashed', async () => {
  const bundle = buildGraphBundle(SPEC);
  const files = new Map(bundle.files).set(BUNDLE_FILE_PATHS.train, new Uint8Array(10));
  await assert.rejects(check(bundle, { files }), refused(/train.onnx has 10 bytes/));
});

test('missing, doubled and unknown files are refused by name', async () => {
  const bundle = buildGraphBundle(SPEC);
  const [train, predict, weights] = bundle.manifest.files;
  assert.ok(train && predict && weights);
  const withFiles = (files: GraphManifest['files']) => check(bundle, { manifest: { ...bundle.manifest, files } });
  await assert.rejects(withFiles([train, predict, train]), refused(/train.onnx is named twice/));
  await assert.rejects(withFiles([train, predict]), refused(/initial-weights.safetensors is missing/));
  await assert.rejects(
    withFiles([...bundle.manifest.files, { ...train, path: 'setup.sh' }]),
    refused(/setup.sh is not a file/),
  );
});

test('a manifest whose tensors do not follow from its model is refused', async () => {
  const bundle = buildGraphBundle(SPEC);
  const model = { ...MODEL, featureCount: 6 };
  await assert.rejects(check(bundle, { manifest: { ...bundle.manifest, model } }), refused(/parameters/));
  const optimiserState: GraphManifest['optimiserState'] = [];
  await assert.rejects(check(bundle, { manifest: { ...bundle.manifest, optimiserState } }), refused(/optimiser state/));
});

test('initial weights that are not the declared parameters are refused', async () => {
  const bundle = buildGraphBundle(SPEC);
  const path = BUNDLE_FILE_PATHS.initialWeights;
  const tensors = Object.fromEntries(decodeTensors(bundle.files.get(path) ?? new Uint8Array()));
  const [name = ''] = Object.keys(tensors);
  const { [name]: first, ...rest } = tensors;
  assert.ok(first?.dtype === 'F32');
  const broken = [
    { bytes: new TextEncoder().encode('no tensors at all'), pattern: /not a valid safetensors file/ },
    { bytes: encodeTensors(rest), pattern: /exactly the parameters/ },
    {
      bytes: encodeTensors({ ...tensors, [name]: { ...first, dtype: 'F64', data: Float64Array.from(first.data) } }),
      pattern: /not F32/,
    },
    {
      bytes: encodeTensors({ ...tensors, [name]: { ...first, data: first.data.map(() => Number.NaN) } }),
      pattern: /not finite/,
    },
  ];
  for (const { bytes, pattern } of broken) await assert.rejects(check(withFile(bundle, path, bytes)), refused(pattern));
});

test('a training graph of another model under this manifest is refused, naming the file', async () => {
  const bundle = buildGraphBundle(SPEC);
  const other = buildGraphBundle({ ...SPEC, model: { ...MODEL, batchSize: 9 } });
  const path = BUNDLE_FILE_PATHS.train;
  const bytes = other.files.get(path) ?? new Uint8Array();
  await assert.rejects(check(withFile(bundle, path, bytes)), refused(/train.onnx breaks a rule of graphs: .*input x/));
});

test('a prediction graph that puts out something else is refused', async () => {
  const bundle = buildGraphBundle(SPEC);
  const train = bundle.files.get(BUNDLE_FILE_PATHS.train) ?? new Uint8Array();
  const path = BUNDLE_FILE_PATHS.predict;
  await assert.rejects(check(withFile(bundle, path, train)), refused(/predict.onnx breaks a rule of graphs/));
});

test('every kind of model that can be built passes its own check', async () => {
  const models: Partial<ModelSpec>[] = [
    { proximal: true },
    { control: true },
    { optimiser: { kind: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-8 } },
    {
      loss: 'softmax-cross-entropy',
      layers: [{ kind: 'dense', units: 4, bias: false }],
      proximal: true,
      control: true,
    },
  ];
  for (const changes of models) await check(buildGraphBundle({ ...SPEC, model: { ...MODEL, ...changes } }));
});

test('weights are read at their place also out of a Buffer that shares its memory with others', async () => {
  const bundle = buildGraphBundle(SPEC);
  const path = BUNDLE_FILE_PATHS.initialWeights;
  const bytes = (bundle.files.get(path) ?? new Uint8Array()).slice();
  new DataView(bytes.buffer).setFloat32(bytes.byteLength - 4, Number.NaN, true);
  const pooled = Buffer.concat([Buffer.alloc(3), bytes]).subarray(3); // neither at the start of its memory nor aligned
  await assert.rejects(check(withFile(bundle, path, pooled)), refused(/not finite/));
});

test('first weights of any size are checked block by block, to the last number', async () => {
  const layers: ModelSpec['layers'] = [{ kind: 'dense', units: 700, bias: true }, ...MODEL.layers];
  const bundle = buildGraphBundle({ ...SPEC, model: { ...MODEL, featureCount: 1000, layers } });
  const path = BUNDLE_FILE_PATHS.initialWeights;
  let longestRead = 0;
  const openFile = async (file: { path: string }): Promise<BundleFileReader> => {
    const reader = readerOf(bundle.files.get(file.path) ?? new Uint8Array());
    return {
      ...reader,
      readInto(target, byteOffset) {
        longestRead = Math.max(longestRead, target.byteLength);
        return reader.readInto(target, byteOffset);
      },
    };
  };
  await checkBundle(bundle.manifest, openFile);
  assert.ok(longestRead <= 1024 * 1024, `${longestRead} bytes were asked for at once`);

  const bytes = bundle.files.get(path)?.slice() ?? new Uint8Array();
  assert.ok(bytes.byteLength > 2.5 * 1024 * 1024);
  new DataView(bytes.buffer).setFloat32(bytes.byteLength - 4, Number.NaN, true);
  await assert.rejects(check(withFile(bundle, path, bytes)), refused(/not finite/));
});

test('a graph file that is too large to be a graph is refused without being parsed', async () => {
  const path = BUNDLE_FILE_PATHS.train;
  const bundle = withFile(buildGraphBundle(SPEC), path, new Uint8Array(16 * 1024 * 1024 + 1));
  await assert.rejects(check(bundle), refused(/train.onnx has more than 16777216 bytes/));
});
