import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { AppError, BUNDLE_FILE_PATHS, type ModelSpec } from '@lantern/contract';
import { encodeTensors, evaluationMetrics, type Tensor } from '@lantern/learning';
import { buildGraphBundle } from './bundle.ts';
import { evaluateGraph } from './evaluation.ts';
import { createGraphExecutor } from './executor/graph-executor.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'lantern-evaluation-'));
const executor = createGraphExecutor();
after(async () => {
  await executor.close();
  rmSync(dir, { recursive: true, force: true });
});

const X = [-3, -1, 0.5, 2, 4]; // one feature; scores rise with it
const Y = [0, 1, 0, 1, 1];

function evaluation(changes: Pick<ModelSpec, 'layers' | 'loss'>, weights: (shape: number[]) => number[]) {
  const model: ModelSpec = {
    featureCount: 1,
    optimiser: { kind: 'sgd', momentum: 0 },
    batchSize: 2,
    proximal: false,
    control: false,
    ...changes,
  };
  const { manifest, files } = buildGraphBundle({ name: 'm', version: '1.0.0', description: 'A model', model, seed: 1 });
  const write = (name: string, bytes: Uint8Array): string => {
    writeFileSync(path.join(dir, name), bytes);
    return path.join(dir, name);
  };
  const tensors: Record<string, Tensor> = {};
  for (const { name, shape } of manifest.parameters) {
    tensors[name] = { dtype: 'F32', shape, data: Float32Array.from(weights(shape)) };
  }
  const rows: Record<string, Tensor> = {
    x: { dtype: 'F32', shape: [X.length, 1], data: Float32Array.from(X) },
    y: { dtype: 'F32', shape: [Y.length], data: Float32Array.from(Y) },
  };
  return evaluateGraph(executor, {
    manifest,
    predictModelFile: write('predict.onnx', files.get(BUNDLE_FILE_PATHS.predict) ?? new Uint8Array()),
    weightsFile: write('weights', encodeTensors(tensors)),
    rowsFile: write('rows', encodeTensors(rows)),
  });
}

test('a sigmoid model is evaluated by its probabilities', async () => {
  const message = await evaluation(
    { layers: [{ kind: 'dense', units: 1, bias: true }], loss: 'sigmoid-cross-entropy' },
    (shape) => (shape.length === 2 ? [1] : [0]),
  );
  const metrics = evaluationMetrics(message);
  const p = X.map((x) => 1 / (1 + Math.exp(-x)));
  assert.equal(metrics.accuracy, 3 / 5); // wrong: -1 with label 1, 0.5 with label 0
  assert.equal(metrics.auc, 5 / 6);
  const brier = p.reduce((sum, value, row) => sum + (value - (Y[row] ?? 0)) ** 2, 0) / 5;
  assert.ok(Math.abs((metrics.brier ?? 0) - brier) < 1e-6);
});

test('a softmax model of two classes is evaluated by the probability of class 1', async () => {
  const message = await evaluation(
    { layers: [{ kind: 'dense', units: 2, bias: true }], loss: 'softmax-cross-entropy' },
    (shape) => (shape.length === 2 ? [0, 1] : [0, 0]),
  );
  assert.equal(evaluationMetrics(message).accuracy, 3 / 5);
  assert.equal(evaluationMetrics(message).auc, 5 / 6);
});

test('a model of three classes is refused', async () => {
  await assert.rejects(
    evaluation({ layers: [{ kind: 'dense', units: 3, bias: true }], loss: 'softmax-cross-entropy' }, (shape) =>
      new Array<number>(shape.reduce((product, size) => product * size, 1)).fill(0),
    ),
    (error) => error instanceof AppError && error.code === 'training.refused',
  );
});
