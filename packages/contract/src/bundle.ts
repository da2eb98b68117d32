/**
 * A bundle: an algorithm as manifest + content, named by the SHA-256 of the manifest's canonical JSON. The manifest names
 * each file by its own digest, so the bundle's digest fixes every byte.
 *
 * Two kinds here, safest first. `analysis`: built-in federated statistics, no code travels. `graph`: model, loss and
 * optimiser step as ONNX graphs; data flow that cannot open a file or a socket.
 */
import { type Static, Type } from 'typebox';
import { DigestSchema } from './ids.ts';

export const BUNDLE_SIZE_BYTES_MAX = 12 * 1024 ** 3; // the largest model we design for is 10 GB
export const BUNDLE_FILE_COUNT_MAX = 64;

const TensorShapeSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 256 }),
    shape: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 8 }),
  },
  { additionalProperties: false },
);
export type TensorShape = Static<typeof TensorShapeSchema>;

export const LayerSchema = Type.Union([
  Type.Object(
    { kind: Type.Literal('dense'), units: Type.Integer({ minimum: 1, maximum: 65_536 }), bias: Type.Boolean() },
    { additionalProperties: false },
  ),
  Type.Object(
    { kind: Type.Union([Type.Literal('relu'), Type.Literal('tanh'), Type.Literal('sigmoid')]) },
    { additionalProperties: false },
  ),
]);
export type Layer = Static<typeof LayerSchema>;

export const OptimiserSchema = Type.Union([
  Type.Object(
    { kind: Type.Literal('sgd'), momentum: Type.Number({ minimum: 0, exclusiveMaximum: 1 }) },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('adam'),
      beta1: Type.Number(),
      beta2: Type.Number(),
      epsilon: Type.Number({ exclusiveMinimum: 0 }),
    },
    { additionalProperties: false },
  ),
]);
export type Optimiser = Static<typeof OptimiserSchema>;

/** What the graph builder turns into ONNX. `proximal` and `control` add the inputs FedProx and SCAFFOLD need. */
export const ModelSpecSchema = Type.Object(
  {
    featureCount: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    layers: Type.Array(LayerSchema, { minItems: 1, maxItems: 100 }),
    loss: Type.Union([Type.Literal('sigmoid-cross-entropy'), Type.Literal('softmax-cross-entropy')]),
    optimiser: OptimiserSchema,
    batchSize: Type.Integer({ minimum: 1, maximum: 65_536 }),
    proximal: Type.Boolean(),
    control: Type.Boolean(),
  },
  { additionalProperties: false },
);
export type ModelSpec = Static<typeof ModelSpecSchema>;

export const BundleFileSchema = Type.Object(
  {
    path: Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$' }),
    digest: DigestSchema,
    sizeBytes: Type.Integer({ minimum: 1, maximum: BUNDLE_SIZE_BYTES_MAX }),
  },
  { additionalProperties: false },
);
export type BundleFile = Static<typeof BundleFileSchema>;

const head = {
  schema: Type.Literal('lantern.bundle/1'),
  name: Type.String({ pattern: '^[a-z][a-z0-9-]{0,62}$' }),
  version: Type.String({ pattern: '^[0-9]+\\.[0-9]+\\.[0-9]+$' }),
  description: Type.String({ minLength: 1, maxLength: 4000 }),
};

export const AnalysisManifestSchema = Type.Object(
  {
    ...head,
    kind: Type.Literal('analysis'),
    analysis: Type.Union([
      Type.Object({ kind: Type.Literal('moments') }, { additionalProperties: false }),
      Type.Object(
        {
          kind: Type.Literal('logistic-regression'),
          ridge: Type.Number({ minimum: 0 }),
          damping: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
        },
        { additionalProperties: false },
      ),
    ]),
    files: Type.Array(BundleFileSchema, { maxItems: 0 }),
  },
  { additionalProperties: false },
);

export const BUNDLE_FILE_PATHS = {
  train: 'train.onnx',
  predict: 'predict.onnx',
  initialWeights: 'initial-weights.safetensors',
} as const;

export const GraphManifestSchema = Type.Object(
  {
    ...head,
    kind: Type.Literal('graph'),
    model: ModelSpecSchema,
    parameters: Type.Array(TensorShapeSchema, { minItems: 1, maxItems: 10_000 }),
    optimiserState: Type.Array(TensorShapeSchema, { maxItems: 20_000 }),
    files: Type.Array(BundleFileSchema, { minItems: 3, maxItems: BUNDLE_FILE_COUNT_MAX }),
  },
  { additionalProperties: false },
);
export type GraphManifest = Static<typeof GraphManifestSchema>;

export const BundleManifestSchema = Type.Union([AnalysisManifestSchema, GraphManifestSchema]);
export type BundleManifest = Static<typeof BundleManifestSchema>;
