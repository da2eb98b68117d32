import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Layer, ModelSpec } from '@lantern/contract';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { elementCount } from '../safetensors.ts';
import { buildTrainingGraph } from './training-graph.ts';

process.env['ORT_DISABLE_TELEMETRY'] = '1'; // read when the first session is made: a test talks to nobody

/** Numbers by name, all float64: the form in which the tests compute. */
type Values = Record<string, number[]>;

const dense = (units: number, bias = true): Layer => ({ kind: 'dense', units, bias });
const spec = (over: Partial<ModelSpec>): ModelSpec => ({
  featureCount: 3,
  layers: [dense(1)],
  loss: 'sigmoid-cross-entropy',
  optimiser: { kind: 'sgd', momentum: 0 },
  batchSize: 4,
  proximal: false,
  control: false,
  ...over,
});

/** Numbers in (-1, 1) without pattern, the same each run (a Weyl sequence by the golden ratio, folded by a cube). */
function drawer(start: number): () => number {
  let at = start;
  return () => {
    at += 0.618033988749895;
    const fraction = at % 1;
    return 1.4 * (2 * fraction - 1) ** 3 + 0.2 * fraction;
  };
}

function inputsFor(model: ModelSpec, seed: number): Values {
  const graph = buildTrainingGraph(model, { precision: 'float64' });
  const draw = drawer(seed);
  const fill = (count: number) => Array.from({ length: count }, draw);
  const { batchSize: batch, featureCount } = model;
  const inputs: Values = { x: fill(batch * featureCount), row_weight: [1, 0.5, 2, 0, 1.25, 1].slice(0, batch) };
  const classes = Array.from({ length: batch }, (_, row) => row % graph.outputCount);
  inputs['y'] =
    model.loss === 'softmax-cross-entropy'
      ? classes.flatMap((chosen) => Array.from({ length: graph.outputCount }, (_, column) => Number(column === chosen)))
      : Array.from({ length: batch * graph.outputCount }, (_, index) => (index % 3 === 0 ? 1 : 0));
  inputs['learning_rate'] = [0.05];
  if (model.optimiser.kind === 'adam') inputs['step'] = [3];
  for (const { name, shape } of graph.parameters) {
    inputs[name] = fill(elementCount(shape));
    if (model.proximal) inputs[`global.${name}`] = fill(elementCount(shape));
    if (model.control) inputs[`correction.${name}`] = fill(elementCount(shape));
  }
  for (const { name, shape } of graph.optimiserState)
    inputs[name] = fill(elementCount(shape)).map((value) => value ** 2);
  if (model.proximal) inputs['mu'] = [0.7];
  return inputs;
}

/** A session that takes and gives plain numbers, in float64. */
async function open(bytes: Uint8Array, precision: 'float32' | 'float64' = 'float64') {
  const session = await InferenceSession.create(bytes);
  const shapes = new Map(
    session.inputMetadata.map((each) => [each.name, each.isTensor ? each.shape.map(Number) : []] as const),
  );
  return {
    inputNames: session.inputNames,
    async run(inputs: Values, rows?: number): Promise<Values> {
      const feeds = Object.fromEntries(
        session.inputNames.map((name) => {
          const shape = (shapes.get(name) ?? []).map((size) => (Number.isNaN(size) || size < 0 ? (rows ?? 0) : size));
          const data = inputs[name] ?? [];
          const typed = precision === 'float64' ? Float64Array.from(data) : Float32Array.from(data);
          return [name, new OrtTensor(precision, typed, shape)];
        }),
      );
      const outputs = await session.run(feeds);
      return Object.fromEntries(
        Object.entries(outputs).map(([name, { data }]) => [name, Array.from(data as Float64Array, Number)]),
      );
    },
    close: () => session.release(),
  };
}

const ARCHITECTURES: Record<string, Partial<ModelSpec>> = {
  'one dense layer, sigmoid': {},
  'one dense layer without bias': { layers: [dense(1, false)] },
  'relu between dense layers, three sigmoid outputs': { layers: [dense(5), { kind: 'relu' }, dense(3)] },
  'tanh and sigmoid layers, softmax over four classes': {
    layers: [dense(6), { kind: 'tanh' }, dense(5, false), { kind: 'sigmoid' }, dense(4)],
    loss: 'softmax-cross-entropy',
    batchSize: 6,
  },
  'an activation before the first dense layer': { layers: [{ kind: 'tanh' }, dense(2), { kind: 'relu' }, dense(1)] },
};

for (const [title, over] of Object.entries(ARCHITECTURES)) {
  test(`the gradient of every weight equals the finite difference of the loss: ${title}`, async () => {
    const model = spec(over);
    const graph = buildTrainingGraph(model, { precision: 'float64' });
    const session = await open(graph.trainModel);
    const inputs = inputsFor(model, 0.37);
    const after = await session.run(inputs);
    const step = 1e-6;
    for (const { name } of graph.parameters) {
      for (const [index, value] of (inputs[name] ?? []).entries()) {
        const lossAt = async (moved: number) => {
          const outputs = await session.run({ ...inputs, [name]: (inputs[name] ?? []).with(index, moved) });
          return outputs['loss']?.[0] ?? Number.NaN;
        };
        const slope = ((await lossAt(value + step)) - (await lossAt(value - step))) / (2 * step);
        const gradient = (value - (after[`next.${name}`]?.[index] ?? Number.NaN)) / 0.05; // plain SGD: w - lr g
        assert.ok(Math.abs(slope - gradient) < 2e-9, `${name}[${index}]: ${slope} against ${gradient}`);
      }
    }
    await session.close();
  });
}

test('the loss is the weighted mean of the textbook formula, and padded rows count nothing', async () => {
  const model = spec({});
  const session = await open(buildTrainingGraph(model, { precision: 'float64' }).trainModel);
  const inputs = inputsFor(model, 0.11);
  const { loss, ...next } = await session.run(inputs);
  assert.ok(Math.abs((loss?.[0] ?? 0) - sigmoidLoss(inputs, 3)) < 1e-14);
  assert.equal(inputs['row_weight']?.[3], 0);
  const { loss: same, ...sameNext } = await session.run({ ...inputs, x: (inputs['x'] ?? []).with(10, 1e6) });
  assert.deepEqual([same, sameNext], [loss, next]);
  const padding = await session.run({ ...inputs, row_weight: [0, 0, 0, 0] });
  assert.deepEqual(padding['loss'], [0]);
  assert.deepEqual(padding['next.layers.0.weight'], inputs['layers.0.weight']);
  await session.close();
});

test('the losses stay finite and exact where exp would overflow', async () => {
  const sigmoid = spec({ featureCount: 1, layers: [dense(1, false)], batchSize: 2 });
  const session = await open(buildTrainingGraph(sigmoid).trainModel, 'float32');
  const far = { x: [300, -300], y: [0, 1], row_weight: [1, 1], learning_rate: [1], 'layers.0.weight': [2] };
  assert.deepEqual(await session.run(far), { loss: [600], 'next.layers.0.weight': [-298] });
  await session.close();
  const softmax = spec({ featureCount: 1, layers: [dense(2, false)], batchSize: 1, loss: 'softmax-cross-entropy' });
  const other = await open(buildTrainingGraph(softmax).trainModel, 'float32');
  const row = { x: [500], y: [1, 0], row_weight: [1], learning_rate: [1], 'layers.0.weight': [-1, 1] };
  assert.deepEqual(await other.run(row), { loss: [1000], 'next.layers.0.weight': [499, -499] });
  await other.close();
});

test('float32 gradients agree with float64 ones to float32 accuracy', async () => {
  const model = spec(ARCHITECTURES['tanh and sigmoid layers, softmax over four classes'] ?? {});
  const inputs = inputsFor(model, 0.71);
  const rounded = Object.fromEntries(Object.entries(inputs).map(([name, data]) => [name, data.map(Math.fround)]));
  const exact = await open(buildTrainingGraph(model, { precision: 'float64' }).trainModel);
  const single = await open(buildTrainingGraph(model).trainModel, 'float32');
  const [wanted, got] = [await exact.run(rounded), await single.run(rounded)];
  for (const [name, data] of Object.entries(wanted)) {
    for (const [index, value] of data.entries()) {
      assert.ok(Math.abs((got[name]?.[index] ?? Number.NaN) - value) < 4e-7 * Math.max(1, Math.abs(value)), name);
    }
  }
  await exact.close();
  await single.close();
});

test('momentum and Adam steps over several batches equal an independent computation', async () => {
  for (const optimiser of [
    { kind: 'sgd', momentum: 0.9 },
    { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  ] as const) {
    const model = spec({ optimiser });
    const graph = buildTrainingGraph(model, { precision: 'float64' });
    const session = await open(graph.trainModel);
    let inputs = inputsFor(model, 0.93);
    for (const { name, shape } of graph.optimiserState) inputs[name] = new Array<number>(elementCount(shape)).fill(0);
    const state = new Map<string, { first: number; second: number }>();
    for (let step = 1; step <= 5; step += 1) {
      inputs = { ...inputs, x: inputsFor(model, step / 7)['x'] ?? [] };
      if (optimiser.kind === 'adam') inputs['step'] = [step];
      const gradient = sigmoidGradient(inputs, 3);
      const wanted = Object.entries(gradient).flatMap(([name, slopes]) =>
        slopes.map((slope, index) => {
          const kept = state.get(`${name}.${index}`) ?? { first: 0, second: 0 };
          const moved = independentStep({ optimiser, slope, step, ...kept });
          state.set(`${name}.${index}`, moved);
          return (inputs[name]?.[index] ?? Number.NaN) - 0.05 * moved.direction;
        }),
      );
      const after = await session.run(inputs);
      const got = Object.keys(gradient).flatMap((name) => after[`next.${name}`] ?? []);
      for (const [index, value] of wanted.entries()) assert.ok(Math.abs((got[index] ?? 0) - value) < 1e-13);
      for (const { name } of [...graph.parameters, ...graph.optimiserState]) inputs[name] = after[`next.${name}`] ?? [];
    }
    await session.close();
  }
});

test('the bias correction of Adam keeps its digits in float32', async () => {
  const model = spec({ optimiser: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } });
  const graph = buildTrainingGraph(model);
  const session = await open(graph.trainModel, 'float32');
  const inputs = inputsFor(model, 0.93);
  for (const { name, shape } of graph.optimiserState) inputs[name] = new Array<number>(elementCount(shape)).fill(0);
  const after = await session.run({ ...inputs, step: [1] });
  for (const [index, value] of (inputs['layers.0.weight'] ?? []).entries()) {
    const moved = value - (after['next.layers.0.weight']?.[index] ?? 0);
    assert.ok(Math.abs(Math.abs(moved) / 0.05 - 1) < 1e-5, 'the first Adam step is lr times the sign of the gradient');
  }
  await session.close();
});

test('FedProx adds mu (w - global) to the gradient and SCAFFOLD adds the correction, but neither to the loss', async () => {
  const plain = spec({});
  const full = spec({ proximal: true, control: true });
  const inputs = inputsFor(full, 0.51);
  const [a, b] = [
    await open(buildTrainingGraph(plain, { precision: 'float64' }).trainModel),
    await open(buildTrainingGraph(full, { precision: 'float64' }).trainModel),
  ];
  const [without, withTerms] = [await a.run(inputs), await b.run(inputs)];
  assert.deepEqual(withTerms['loss'], without['loss']);
  for (const name of ['layers.0.weight', 'layers.0.bias']) {
    for (const [index, value] of (inputs[name] ?? []).entries()) {
      const drift = value - (inputs[`global.${name}`]?.[index] ?? 0);
      const term = 0.7 * drift + (inputs[`correction.${name}`]?.[index] ?? 0);
      const difference = (without[`next.${name}`]?.[index] ?? 0) - (withTerms[`next.${name}`]?.[index] ?? 0);
      assert.ok(Math.abs(difference - 0.05 * term) < 1e-14);
    }
  }
  await a.close();
  await b.close();
});

test('the prediction graph gives probabilities for any number of rows', async () => {
  const model = spec({ layers: [dense(4), { kind: 'relu' }, dense(3)], loss: 'softmax-cross-entropy' });
  const session = await open(buildTrainingGraph(model, { precision: 'float64' }).predictModel);
  const inputs = inputsFor(model, 0.21);
  for (const rows of [1, 3]) {
    const { probability = [] } = await session.run({ ...inputs, x: (inputs['x'] ?? []).slice(0, 3 * rows) }, rows);
    assert.equal(probability.length, 3 * rows);
    for (let row = 0; row < rows; row += 1) {
      const sum = probability.slice(3 * row, 3 * row + 3).reduce((total, value) => total + value, 0);
      assert.ok(Math.abs(sum - 1) < 1e-12);
    }
  }
  await session.close();
});

test('first weights are uniform in one over the root of the fan-in, and follow the generator given', () => {
  const graph = buildTrainingGraph(spec({ layers: [dense(4), { kind: 'relu' }, dense(2)] }));
  const draw = drawer(0.3);
  const weights = graph.initialWeights(() => Math.abs(draw()) % 1);
  assert.deepEqual(Object.keys(weights), ['layers.0.weight', 'layers.0.bias', 'layers.2.weight', 'layers.2.bias']);
  assert.deepEqual(graph.initialWeights(() => 0.75)['layers.2.weight'], {
    dtype: 'F32',
    shape: [2, 4],
    data: new Float32Array(8).fill(0.25), // (2 x 0.75 - 1) / sqrt(4)
  });
  assert.ok(weights['layers.0.bias']?.data.every((value) => Math.abs(Number(value)) <= 1 / Math.sqrt(3)));
});

test('equal specifications give equal bytes, and layers that fit no loss are refused', () => {
  assert.deepEqual(buildTrainingGraph(spec({})).trainModel, buildTrainingGraph(spec({})).trainModel);
  assert.throws(() => buildTrainingGraph(spec({ layers: [dense(3), { kind: 'relu' }] })), /last layer must be dense/);
  assert.throws(() => buildTrainingGraph(spec({ loss: 'softmax-cross-entropy' })), /at least two outputs/);
});

function scoresOf(inputs: Values, featureCount: number): number[] {
  return (inputs['row_weight'] ?? []).map((_, row) =>
    (inputs['layers.0.weight'] ?? []).reduce(
      (sum, weight, feature) => sum + weight * (inputs['x']?.[row * featureCount + feature] ?? 0),
      inputs['layers.0.bias']?.[0] ?? 0,
    ),
  );
}

/** -y log p - (1 - y) log(1 - p), weighted mean: the textbook form, good while scores are small. */
function sigmoidLoss(inputs: Values, featureCount: number): number {
  const weights = inputs['row_weight'] ?? [];
  const losses = scoresOf(inputs, featureCount).map((score, row) => {
    const probability = 1 / (1 + Math.exp(-score));
    return -Math.log(inputs['y']?.[row] === 1 ? probability : 1 - probability);
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return losses.reduce((sum, loss, row) => sum + loss * (weights[row] ?? 0), 0) / total;
}

function sigmoidGradient(inputs: Values, featureCount: number): Values {
  const weights = inputs['row_weight'] ?? [];
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const residuals = scoresOf(inputs, featureCount).map(
    (score, row) => ((1 / (1 + Math.exp(-score)) - (inputs['y']?.[row] ?? 0)) * (weights[row] ?? 0)) / total,
  );
  const slopes = Array.from({ length: featureCount }, (_, feature) =>
    residuals.reduce((sum, residual, row) => sum + residual * (inputs['x']?.[row * featureCount + feature] ?? 0), 0),
  );
  return { 'layers.0.weight': slopes, 'layers.0.bias': [residuals.reduce((sum, residual) => sum + residual, 0)] };
}

/** Polyak's momentum and Kingma & Ba's Algorithm 1, one coordinate. */
function independentStep(input: {
  optimiser: { kind: 'sgd'; momentum: number } | { kind: 'adam'; beta1: number; beta2: number; epsilon: number };
  slope: number;
  step: number;
  first: number;
  second: number;
}): { first: number; second: number; direction: number } {
  const { optimiser, slope, step } = input;
  if (optimiser.kind === 'sgd') {
    const first = optimiser.momentum * input.first + slope;
    return { first, second: 0, direction: first };
  }
  const first = optimiser.beta1 * input.first + (1 - optimiser.beta1) * slope;
  const second = optimiser.beta2 * input.second + (1 - optimiser.beta2) * slope * slope;
  const unbiased = first / (1 - optimiser.beta1 ** step);
  const spread = Math.sqrt(second / (1 - optimiser.beta2 ** step));
  return { first, second, direction: unbiased / (spread + optimiser.epsilon) };
}
