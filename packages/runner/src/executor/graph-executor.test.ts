import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AppError, BUNDLE_FILE_PATHS, type ErrorCode, type LocalTraining, type ModelSpec } from '@lantern/contract';
import { decodeTensors, encodeTensors, type Tensor } from '@lantern/learning';
import { type BuiltBundle, buildGraphBundle } from '../bundle.ts';
import { seededRandom } from '../seeded-random.ts';
import { batches } from './batches.ts';
import { createGraphExecutor, type GraphExecutor, type TrainRequest } from './graph-executor.ts';
import { WorkerProcess } from './worker-process.ts';

const FEATURES = 3;
const ROWS = 23; // not a multiple of the batch size, so the last batch of an epoch is short
const BATCH = 4;

let dir: string;
let executor: GraphExecutor;

before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'lantern-executor-'));
  executor = createGraphExecutor();
});
after(async () => {
  await executor.close();
  rmSync(dir, { recursive: true, force: true });
});

function linearModel(changes: Partial<ModelSpec> = {}): ModelSpec {
  return {
    featureCount: FEATURES,
    layers: [{ kind: 'dense', units: 1, bias: true }],
    loss: 'sigmoid-cross-entropy',
    optimiser: { kind: 'sgd', momentum: 0 },
    batchSize: BATCH,
    proximal: false,
    control: false,
    ...changes,
  };
}

type Files = { manifest: ReturnType<typeof bundleOf>['manifest']; trainModelFile: string; predictModelFile: string };

function bundleOf(model: ModelSpec): ReturnType<typeof buildGraphBundle> {
  return buildGraphBundle({
    name: 'test-model',
    version: '1.0.0',
    description: 'A model of the tests',
    model,
    seed: 7,
  });
}

let fileCount = 0;
function fileWith(bytes: Uint8Array): string {
  fileCount += 1;
  const file = path.join(dir, `file-${fileCount}`);
  writeFileSync(file, bytes);
  return file;
}

function outFile(): string {
  fileCount += 1;
  return path.join(dir, `out-${fileCount}`);
}

function contentOf(bundle: BuiltBundle, name: string): Uint8Array {
  const bytes = bundle.files.get(name);
  assert.ok(bytes);
  return bytes;
}

function filesOf(model: ModelSpec): Files & { weightsFile: string } {
  const bundle = bundleOf(model);
  return {
    manifest: bundle.manifest,
    trainModelFile: fileWith(contentOf(bundle, BUNDLE_FILE_PATHS.train)),
    predictModelFile: fileWith(contentOf(bundle, BUNDLE_FILE_PATHS.predict)),
    weightsFile: fileWith(contentOf(bundle, BUNDLE_FILE_PATHS.initialWeights)),
  };
}

type Rows = { x: Float32Array; y: Float32Array };

function someRows(rowCount = ROWS, featureCount = FEATURES): Rows {
  const random = seededRandom('rows');
  const x = Float32Array.from({ length: rowCount * featureCount }, () => random.uniform() * 4 - 2);
  const y = Float32Array.from({ length: rowCount }, (_, row) => ((x[row * featureCount] ?? 0) > 0.3 ? 1 : 0));
  return { x, y };
}

function rowsFile({ x, y }: Rows, featureCount = FEATURES): string {
  const tensors: Record<string, Tensor> = {
    x: { dtype: 'F32', shape: [x.length / featureCount, featureCount], data: x },
    y: { dtype: 'F32', shape: [y.length], data: y },
  };
  return fileWith(encodeTensors(tensors));
}

const EPOCHS: LocalTraining = { learningRate: 0.1, work: { kind: 'epochs', count: 2 } };

function request(files: ReturnType<typeof filesOf>, rows: Rows, changes: Partial<TrainRequest> = {}): TrainRequest {
  const { manifest, trainModelFile, weightsFile } = files;
  return {
    manifest,
    trainModelFile,
    weightsFile,
    rowsFile: rowsFile(rows, manifest.model.featureCount),
    strategy: { kind: 'fedavg' },
    local: EPOCHS,
    seed: 'run/site/1',
    deltaOutFile: outFile(),
    ...changes,
  };
}

function tensorsIn(file: string): Map<string, Float32Array> {
  const found = new Map<string, Float32Array>();
  for (const [name, tensor] of decodeTensors(readFileSync(file))) {
    assert.equal(tensor.dtype, 'F32');
    if (tensor.dtype === 'F32') found.set(name, tensor.data);
  }
  return found;
}

function sigmoid(score: number): number {
  return 1 / (1 + Math.exp(-score));
}

type Weights = number[]; // features, then the bias

/** Logistic regression by mini-batch SGD in plain double precision, with FedProx's and SCAFFOLD's terms. */
function referenceTraining(
  start: Weights,
  rows: Rows,
  options: { seed: string; local: LocalTraining; mu?: number; correction?: Weights; stepsBefore?: number },
): { weights: Weights; stepCount: number; meanLoss: number } {
  const weights = [...start];
  let lossSum = 0;
  let seen = 0;
  let stepCount = 0;
  const { seed, stepsBefore = 0 } = options;
  const plan = { rowCount: rows.y.length, batchSize: BATCH, work: options.local.work, seed, stepsBefore };
  for (const batch of batches(plan)) {
    const gradient = new Array<number>(FEATURES + 1).fill(0);
    for (const row of batch) {
      const x = [...rows.x.subarray(row * FEATURES, (row + 1) * FEATURES), 1];
      const score = x.reduce((sum, value, index) => sum + value * (weights[index] ?? 0), 0);
      const label = rows.y[row] ?? 0;
      lossSum += Math.log(1 + Math.exp(score)) - label * score;
      for (const [index, value] of x.entries()) {
        gradient[index] = (gradient[index] ?? 0) + ((sigmoid(score) - label) * value) / batch.length;
      }
    }
    for (const [index, slope] of gradient.entries()) {
      const pull = (options.mu ?? 0) * ((weights[index] ?? 0) - (start[index] ?? 0));
      const direction = slope + pull + (options.correction?.[index] ?? 0);
      weights[index] = (weights[index] ?? 0) - options.local.learningRate * direction;
    }
    seen += batch.length;
    stepCount += 1;
  }
  return { weights, stepCount, meanLoss: lossSum / seen };
}

/** The parameters of the linear model as one list: weights in order of the features, then the bias. */
function flat(tensors: ReadonlyMap<string, Float32Array>): Weights {
  const sorted = [...tensors.values()].sort((a, b) => b.length - a.length);
  return sorted.flatMap((values) => [...values]);
}

function assertClose(actual: readonly number[], expected: readonly number[], tolerance = 2e-6): void {
  assert.equal(actual.length, expected.length);
  for (const [index, value] of expected.entries()) {
    assert.ok(
      Math.abs((actual[index] ?? Number.NaN) - value) <= tolerance,
      `${index}: ${actual[index]} is not ${value}`,
    );
  }
}

function fails(code: ErrorCode, message: RegExp) {
  return (error: unknown) => error instanceof AppError && error.code === code && message.test(error.message);
}

describe('local training', () => {
  test('gives the update of plain mini-batch gradient descent over the same batches', async () => {
    const files = filesOf(linearModel());
    const rows = someRows();
    const asked = request(files, rows);
    const result = await executor.train(asked);
    const start = flat(tensorsIn(files.weightsFile));
    const expected = referenceTraining(start, rows, { seed: asked.seed, local: EPOCHS });
    const delta = expected.weights.map((value, index) => value - (start[index] ?? 0));
    assertClose(flat(tensorsIn(asked.deltaOutFile)), delta);
    assert.equal(result.stepCount, 12); // two epochs of ceil(23 / 4) batches
    assert.ok(Math.abs(result.meanLoss - expected.meanLoss) < 1e-5);
    assert.ok(Math.abs(result.deltaNorm - Math.hypot(...delta)) < 1e-5);
    assert.equal(result.clipped, false);
  });

  test('gives the same bytes again for the same seed, and others for another seed', async () => {
    const files = filesOf(linearModel());
    const rows = someRows();
    const first = request(files, rows);
    const again = request(files, rows);
    const other = request(files, rows, { seed: 'run/site/2' });
    await executor.train(first);
    await executor.train(again);
    await executor.train(other);
    assert.deepEqual(readFileSync(again.deltaOutFile), readFileSync(first.deltaOutFile));
    assert.notDeepEqual(readFileSync(other.deltaOutFile), readFileSync(first.deltaOutFile));
  });

  test('goes on in the middle of an epoch when told how many steps went before', async () => {
    const files = filesOf(linearModel());
    const rows = someRows();
    const local: LocalTraining = { learningRate: 0.1, work: { kind: 'steps', count: 5 } };
    const asked = request(files, rows, { local, stepsBefore: 4 });
    await executor.train(asked);
    const start = flat(tensorsIn(files.weightsFile));
    const { weights } = referenceTraining(start, rows, { seed: asked.seed, local, stepsBefore: 4 });
    assertClose(
      flat(tensorsIn(asked.deltaOutFile)),
      weights.map((value, index) => value - (start[index] ?? 0)),
    );
  });

  test('scales an update down to the allowed norm and says so', async () => {
    const files = filesOf(linearModel());
    const free = request(files, someRows());
    const bounded = request(files, someRows(), { updateNormMax: 0.05 });
    const unclipped = await executor.train(free);
    const clipped = await executor.train(bounded);
    assert.equal(clipped.clipped, true);
    assert.equal(clipped.deltaNorm, unclipped.deltaNorm);
    const full = flat(tensorsIn(free.deltaOutFile));
    assertClose(
      flat(tensorsIn(bounded.deltaOutFile)),
      full.map((value) => (value * 0.05) / unclipped.deltaNorm),
      1e-7,
    );
  });

  test('pulls towards the global weights under FedProx', async () => {
    const files = filesOf(linearModel({ proximal: true }));
    const rows = someRows();
    const asked = request(files, rows, { strategy: { kind: 'fedprox', mu: 0.7 } });
    await executor.train(asked);
    const start = flat(tensorsIn(files.weightsFile));
    const { weights } = referenceTraining(start, rows, { seed: asked.seed, local: EPOCHS, mu: 0.7 });
    assertClose(
      flat(tensorsIn(asked.deltaOutFile)),
      weights.map((value, index) => value - (start[index] ?? 0)),
    );
  });

  test('corrects by c - c_i under SCAFFOLD and updates c_i by option II', async () => {
    const files = filesOf(linearModel({ control: true }));
    const rows = someRows();
    const c = [0.3, -0.2, 0.1, 0.05];
    const own = [-0.1, 0.25, 0.4, -0.3];
    const asked = request(files, rows, {
      strategy: { kind: 'scaffold', serverLearningRate: 1 },
      controlFile: controlFile(files, c),
      clientControlFile: controlFile(files, own),
      controlDeltaOutFile: outFile(),
      clientControlOutFile: outFile(),
    });
    const { stepCount } = await executor.train(asked);
    const start = flat(tensorsIn(files.weightsFile));
    const correction = c.map((value, index) => value - (own[index] ?? 0));
    const { weights } = referenceTraining(start, rows, { seed: asked.seed, local: EPOCHS, correction });
    const delta = weights.map((value, index) => value - (start[index] ?? 0));
    assertClose(flat(tensorsIn(asked.deltaOutFile)), delta);
    const next = own.map((value, i) => value - (c[i] ?? 0) - (delta[i] ?? 0) / (stepCount * EPOCHS.learningRate));
    assertClose(flat(tensorsIn(asked.clientControlOutFile ?? '')), next, 1e-5);
    assertClose(
      flat(tensorsIn(asked.controlDeltaOutFile ?? '')),
      next.map((value, index) => value - (own[index] ?? 0)),
      1e-5,
    );
  });

  test('starts SCAFFOLD from zeros at the first round', async () => {
    const files = filesOf(linearModel({ control: true }));
    const rows = someRows();
    const asked = request(files, rows, {
      strategy: { kind: 'scaffold', serverLearningRate: 1 },
      controlDeltaOutFile: outFile(),
      clientControlOutFile: outFile(),
    });
    const plain = request(files, rows);
    await executor.train(asked);
    await executor.train(plain);
    assert.deepEqual(readFileSync(asked.deltaOutFile), readFileSync(plain.deltaOutFile));
    assert.deepEqual(readFileSync(asked.controlDeltaOutFile ?? ''), readFileSync(asked.clientControlOutFile ?? ''));
  });

  test('trains a deep softmax network with Adam until it separates three classes', async () => {
    const model = linearModel({
      layers: [{ kind: 'dense', units: 8, bias: true }, { kind: 'tanh' }, { kind: 'dense', units: 3, bias: true }],
      loss: 'softmax-cross-entropy',
      optimiser: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    });
    const files = filesOf(model);
    const rows = someRows(60);
    for (let row = 0; row < 60; row += 1)
      rows.y[row] = Math.min(2, Math.floor(((rows.x[row * FEATURES] ?? 0) + 2) / 1.34));
    const asked = request(files, rows, { local: { learningRate: 0.05, work: { kind: 'epochs', count: 60 } } });
    await executor.train(asked);
    const weights = tensorsIn(files.weightsFile);
    const delta = tensorsIn(asked.deltaOutFile);
    const after: Record<string, Tensor> = {};
    for (const { name, shape } of files.manifest.parameters) {
      const change = delta.get(name);
      const data = (weights.get(name) ?? new Float32Array()).map((value, index) => value + (change?.[index] ?? 0));
      after[name] = { dtype: 'F32', shape, data };
    }
    const probabilities = await executor.predict({
      manifest: files.manifest,
      predictModelFile: files.predictModelFile,
      weightsFile: fileWith(encodeTensors(after)),
      rowsFile: asked.rowsFile,
    });
    let right = 0;
    for (const [row, label] of rows.y.entries()) {
      const scores = [...probabilities.subarray(row * 3, row * 3 + 3)];
      assert.ok(Math.abs(scores.reduce((sum, value) => sum + value, 0) - 1) < 1e-5);
      if (scores.indexOf(Math.max(...scores)) === label) right += 1;
    }
    assert.ok(right >= 55, `${right} of 60`);
  });
});

function controlFile(files: Files, values: Weights): string {
  const tensors: Record<string, Tensor> = {};
  for (const { name, shape } of files.manifest.parameters) {
    const isBias = shape.reduce((product, size) => product * size, 1) === 1;
    const data = Float32Array.from(isBias ? values.slice(FEATURES) : values.slice(0, FEATURES));
    tensors[name] = { dtype: 'F32', shape, data };
  }
  return fileWith(encodeTensors(tensors));
}

describe('prediction', () => {
  test('gives the logistic function of the linear score, for rows in a file and rows given', async () => {
    const files = filesOf(linearModel());
    const rows = someRows();
    const weights = flat(tensorsIn(files.weightsFile));
    const expected = Array.from({ length: ROWS }, (_, row) => {
      const x = [...rows.x.subarray(row * FEATURES, (row + 1) * FEATURES), 1];
      return sigmoid(x.reduce((sum, value, index) => sum + value * (weights[index] ?? 0), 0));
    });
    assertClose([...(await executor.predict({ ...files, rowsFile: rowsFile(rows) }))], expected);
    assertClose([...(await executor.predict({ ...files, x: rows.x.subarray(0, 6) }))], expected.slice(0, 2));
  });

  test('refuses a row that is not whole', async () => {
    await assert.rejects(
      executor.predict({ ...filesOf(linearModel()), x: new Float32Array(4) }),
      fails('input.invalid', /3 features/),
    );
  });
});

describe('refusals', () => {
  test('labels of one class are refused alone, with the reason, and accepted where the caller allows it', async () => {
    const files = filesOf(linearModel());
    const rows = someRows();
    rows.y.fill(1);
    await assert.rejects(
      executor.train(request(files, rows)),
      fails('training.refused', /all training rows have label 1: a classifier cannot learn from one class/i),
    );
    const result = await executor.train(request(files, rows, { oneClassAllowed: true }));
    assert.equal(result.stepCount, 12);
  });

  test('a learning rate that leaves the finite numbers is reported as divergence', async () => {
    const files = filesOf(linearModel());
    const rows = someRows();
    rows.x[0] = 1e30;
    const local: LocalTraining = { learningRate: 1e30, work: { kind: 'epochs', count: 3 } };
    await assert.rejects(executor.train(request(files, rows, { local })), fails('training.diverged', /not finite/));
  });

  test('a feature that is not a number is refused before training', async () => {
    const rows = someRows();
    rows.x[5] = Number.NaN;
    await assert.rejects(
      executor.train(request(filesOf(linearModel()), rows)),
      fails('dataset.invalid', /not a finite number/),
    );
  });

  test('a label the model does not have is refused', async () => {
    const rows = someRows();
    rows.y[5] = 2;
    await assert.rejects(executor.train(request(filesOf(linearModel()), rows)), fails('dataset.invalid', /0 ... 1/));
  });

  test('weights of another shape are refused by name', async () => {
    const files = filesOf(linearModel());
    const wrong: Record<string, Tensor> = {};
    for (const { name } of files.manifest.parameters) {
      wrong[name] = { dtype: 'F32', shape: [2], data: new Float32Array(2) };
    }
    await assert.rejects(
      executor.train(request(files, someRows(), { weightsFile: fileWith(encodeTensors(wrong)) })),
      fails('tensor.invalid', /weights: tensor .* has shape \[2\]/),
    );
  });

  test('FedProx and SCAFFOLD need a graph built for them', async () => {
    const files = filesOf(linearModel());
    await assert.rejects(
      executor.train(request(files, someRows(), { strategy: { kind: 'fedprox', mu: 0.1 } })),
      fails('training.refused', /proximal: true/),
    );
    await assert.rejects(
      executor.train(request(files, someRows(), { strategy: { kind: 'scaffold', serverLearningRate: 1 } })),
      fails('training.refused', /control: true/),
    );
  });

  test('a file that is no graph is refused as a bundle', async () => {
    const files = filesOf(linearModel());
    const trainModelFile = fileWith(new TextEncoder().encode('not an ONNX model'));
    await assert.rejects(
      executor.train({ ...request(files, someRows()), trainModelFile }),
      fails('bundle.invalid', /./),
    );
  });
});

/** Inodes of the TCP and UDP sockets that a process holds. */
function networkSocketsOf(pid: number): string[] {
  const tables = ['tcp', 'tcp6', 'udp', 'udp6'].map((table) => readFileSync(`/proc/${pid}/net/${table}`, 'utf8'));
  const inodes = new Set(tables.flatMap((text) => text.split('\n').map((line) => line.trim().split(/\s+/)[9] ?? '')));
  const held = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return held.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []).filter((inode) => inodes.has(inode));
}

describe('the worker process', () => {
  const long: LocalTraining = { learningRate: 0.001, work: { kind: 'steps', count: 1_000_000 } };

  test('is killed by an abort, and the next call works', async () => {
    const files = filesOf(linearModel());
    const stop = new AbortController();
    const running = executor.train(request(files, someRows(), { local: long }), stop.signal);
    const waiting = executor.train(request(files, someRows()));
    setImmediate(() => stop.abort(new AppError('policy.refused', 'The decision was withdrawn.')));
    await assert.rejects(running, fails('policy.refused', /withdrawn/));
    assert.equal((await waiting).stepCount, 12);
  });

  test('does not start a call whose signal was aborted before', async () => {
    await assert.rejects(
      executor.train(request(filesOf(linearModel()), someRows()), AbortSignal.abort()),
      fails('stopped', /stopped/),
    );
  });

  test('knows nothing of its surroundings but that ONNX Runtime must send nothing, and opens no socket', async (t) => {
    if (process.platform !== 'linux')
      return t.skip('the environment and sockets of a process are read from /proc, which is Linux');
    const worker = new WorkerProcess({ threadCount: 1, log: undefined });
    try {
      const before = readdirSync('.');
      await worker.call(
        { kind: 'train', oneClassAllowed: false, ...request(filesOf(linearModel()), someRows()) },
        undefined,
      );
      const names = readFileSync(`/proc/${worker.pid}/environ`, 'utf8')
        .split('\0')
        .filter((line) => line !== '');
      const ours = names.filter((line) => !line.startsWith('NODE_')); // those with which Node.js finds the channel to its parent
      assert.deepEqual(ours, ['ORT_DISABLE_TELEMETRY=1']);
      assert.deepEqual(networkSocketsOf(worker.pid ?? assert.fail()), []);
      assert.deepEqual(readdirSync('.'), before);
    } finally {
      await worker.close();
    }
  });

  test('that dies fails its call as transient, and the next call starts another', async () => {
    const worker = new WorkerProcess({ threadCount: 1, log: undefined });
    try {
      const files = filesOf(linearModel());
      const call = (changes: Partial<TrainRequest> = {}) =>
        worker.call({ kind: 'train', oneClassAllowed: false, ...request(files, someRows(), changes) }, undefined);
      assert.equal((await call()).kind, 'trained');
      const running = call({ local: long });
      const { pid } = worker;
      assert.ok(pid);
      process.kill(pid, 'SIGKILL');
      await assert.rejects(
        running,
        (error) => error instanceof AppError && error.code === 'executor.failed' && error.failureClass === 'transient',
      );
      assert.equal((await call()).kind, 'trained');
      assert.notEqual(worker.pid, pid);
    } finally {
      await worker.close();
    }
  });

  test('answers at the bedside while a training runs', async () => {
    const files = filesOf(linearModel());
    const stop = new AbortController();
    const running = executor.train(request(files, someRows(), { local: long }), stop.signal);
    const probabilities = await executor.predict({ ...files, x: new Float32Array(FEATURES) });
    assert.equal(probabilities.length, 1);
    stop.abort();
    await assert.rejects(running, fails('stopped', /./));
  });

  test('is gone after close, and calls then are refused', async () => {
    const own = createGraphExecutor();
    const files = filesOf(linearModel());
    await own.predict({ ...files, x: new Float32Array(FEATURES) });
    await own.close();
    await assert.rejects(own.predict({ ...files, x: new Float32Array(FEATURES) }), fails('stopped', /closed/));
  });
});
