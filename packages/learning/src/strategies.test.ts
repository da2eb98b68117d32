import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError, type Strategy } from '@lantern/contract';
import { controlCorrection, nextLocalControl } from './local-control.ts';
import { applyStrategy, serverStateNames } from './strategies.ts';

const adaptive = { serverLearningRate: 0.3, beta1: 0.9, beta2: 0.8, tau: 0.01 };
const DELTAS = [
  [0.5, -0.2, 0],
  [-0.1, -0.4, 1e-3],
  [0.25, 0.7, -2],
];

/** Runs rounds in float32 blocks, as the hub does. */
function run(strategy: Strategy, deltas: readonly (readonly number[])[]): number[][] {
  const weights = Float32Array.of(1, -2, 0.5);
  const state = Object.fromEntries(serverStateNames(strategy).map((name) => [name, new Float32Array(3)]));
  for (const delta of deltas) applyStrategy(strategy, { weights, state, meanDelta: Float32Array.from(delta) });
  return [weights, ...Object.values(state)].map((values) => [...values]);
}

/** Reddi et al. 2021, Algorithm 2, one coordinate after another in double precision. */
function byThePaper(kind: 'fedadam' | 'fedyogi' | 'fedadagrad'): number[] {
  return [1, -2, 0.5].map((start, index) => {
    let [x, m, v] = [start, 0, 0];
    for (const round of DELTAS) {
      const delta = round[index] ?? Number.NaN;
      m = 0.9 * m + 0.1 * delta;
      if (kind === 'fedadagrad') v += delta ** 2;
      if (kind === 'fedyogi') v -= 0.2 * delta ** 2 * Math.sign(v - delta ** 2);
      if (kind === 'fedadam') v = 0.8 * v + 0.2 * delta ** 2;
      x += (0.3 * m) / (Math.sqrt(v) + 0.01);
    }
    return x;
  });
}

function close(actual: readonly number[] | undefined, wanted: readonly number[], tolerance = 1e-6): void {
  assert.equal(actual?.length, wanted.length);
  for (const [index, value] of wanted.entries()) {
    assert.ok(Math.abs((actual?.[index] ?? Number.NaN) - value) <= tolerance, `${index}: ${actual} against ${wanted}`);
  }
}

test('FedAvg and FedProx add the mean update', () => {
  close(run({ kind: 'fedavg' }, DELTAS)[0], [1.65, -1.9, -1.499], 1e-6);
  assert.deepEqual(run({ kind: 'fedprox', mu: 0.4 }, DELTAS), run({ kind: 'fedavg' }, DELTAS));
});

for (const kind of ['fedadam', 'fedyogi', 'fedadagrad'] as const) {
  test(`${kind} follows the paper, with moments from zero and no bias correction`, () => {
    close(run({ kind, ...adaptive }, DELTAS)[0], byThePaper(kind));
  });
}

test('the three adaptive strategies differ on the same updates', () => {
  const [adam, yogi, adagrad] = (['fedadam', 'fedyogi', 'fedadagrad'] as const).map(
    (kind) => run({ kind, ...adaptive }, DELTAS)[0]?.[0] ?? Number.NaN,
  );
  assert.ok(Math.abs((adam ?? 0) - (yogi ?? 0)) > 1e-3 && Math.abs((yogi ?? 0) - (adagrad ?? 0)) > 1e-3);
});

test('SCAFFOLD scales the weights by its learning rate and the control variate by who took part', () => {
  const block = {
    weights: Float32Array.of(1, -2),
    meanDelta: Float32Array.of(0.5, 0.25),
    meanControlDelta: Float32Array.of(4, -8),
    state: { c: Float32Array.of(1, 1) },
    participation: 0.75,
  };
  applyStrategy({ kind: 'scaffold', serverLearningRate: 0.5 }, block);
  assert.deepEqual([...block.weights], [1.25, -1.875]);
  assert.deepEqual([...block.state.c], [4, -5]);
});

test('each strategy says which tensors the hub keeps, and a missing or short one is refused', () => {
  assert.deepEqual(serverStateNames({ kind: 'fedavg' }), []);
  assert.deepEqual(serverStateNames({ kind: 'fedadam', ...adaptive }), ['m', 'v']);
  assert.deepEqual(serverStateNames({ kind: 'scaffold', serverLearningRate: 1 }), ['c']);
  const refused = (strategy: Strategy, state: Record<string, Float32Array>, delta = 3) =>
    assert.throws(
      () => applyStrategy(strategy, { weights: new Float32Array(3), meanDelta: new Float32Array(delta), state }),
      (error) => error instanceof AppError && error.code === 'update.invalid',
    );
  refused({ kind: 'fedadam', ...adaptive }, { m: new Float32Array(3) });
  refused({ kind: 'fedadam', ...adaptive }, { m: new Float32Array(3), v: new Float32Array(2) });
  refused({ kind: 'fedavg' }, {}, 2);
  refused({ kind: 'scaffold', serverLearningRate: 1 }, { c: new Float32Array(3) });
});

/** A site with loss a/2 (w - target)^2: gradient a (w - target). */
type Site = { curvature: number; target: number; share: number };
const SITES: Site[] = [
  { curvature: 1, target: 3, share: 0.5 },
  { curvature: 4, target: -1, share: 0.3 },
  { curvature: 0.5, target: 10, share: 0.2 },
];
const LOCAL = { stepCount: 10, learningRate: 0.05 };

function trainLocally(site: Site, start: number, correction: number): number {
  let w = Math.fround(start);
  for (let step = 0; step < LOCAL.stepCount; step += 1) {
    w = Math.fround(w - LOCAL.learningRate * (site.curvature * (w - site.target) + correction));
  }
  return w;
}

function runScaffold(rounds: number): number[] {
  const weights = Float32Array.of(0);
  const state = { c: Float32Array.of(0) };
  const localControls: Float32Array[] = SITES.map(() => Float32Array.of(0));
  const path: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const answers = SITES.map((site, index) => {
      const localControl = localControls[index] ?? new Float32Array(1);
      const [correction = 0] = controlCorrection(state.c, localControl);
      const after = Float32Array.of(trainLocally(site, weights[0] ?? 0, correction));
      const next = nextLocalControl({ control: state.c, localControl, before: weights, after, ...LOCAL });
      localControls[index] = next.localControl;
      return { delta: (after[0] ?? 0) - (weights[0] ?? 0), controlDelta: next.controlDelta[0] ?? 0, share: site.share };
    });
    const mean = (of: (answer: (typeof answers)[number]) => number) =>
      Float32Array.of(answers.reduce((sum, answer) => sum + answer.share * of(answer), 0));
    applyStrategy(
      { kind: 'scaffold', serverLearningRate: 1 },
      { weights, state, meanDelta: mean((each) => each.delta), meanControlDelta: mean((each) => each.controlDelta) },
    );
    path.push(weights[0] ?? Number.NaN);
  }
  return path;
}

test('SCAFFOLD reaches the optimum of the whole federation, where FedAvg drifts past it', () => {
  const weight = SITES.reduce((sum, { curvature, share }) => sum + curvature * share, 0);
  const optimum = SITES.reduce((sum, site) => sum + site.curvature * site.share * site.target, 0) / weight;
  assert.ok(Math.abs((runScaffold(80).at(-1) ?? Number.NaN) - optimum) < 1e-4);
  let fedavg = 0;
  for (let round = 0; round < 80; round += 1) {
    fedavg = SITES.reduce((sum, site) => sum + site.share * trainLocally(site, fedavg, 0), 0);
  }
  assert.ok(Math.abs(fedavg - optimum) > 0.1, `the control: FedAvg ends at ${fedavg}, the optimum is ${optimum}`);
});

test('SCAFFOLD takes the path of the one-variable form of FLamby, round by round', () => {
  let weights = 0;
  const drift = SITES.map(() => 0); // c_i - c
  let ends = SITES.map(() => 0);
  const path: number[] = [];
  for (let round = 0; round < 12; round += 1) {
    for (const [index, end] of ends.entries()) {
      drift[index] = (drift[index] ?? 0) + (weights - end) / (LOCAL.stepCount * LOCAL.learningRate);
    }
    ends = SITES.map((site, index) => trainLocally(site, weights, -(drift[index] ?? 0)));
    weights += SITES.reduce((sum, site, index) => sum + site.share * ((ends[index] ?? 0) - weights), 0);
    path.push(weights);
  }
  close(runScaffold(12), path, 2e-5);
});

test('a control variate of another length, no step or no learning rate is refused', () => {
  const one = Float32Array.of(1);
  const good = { control: one, localControl: one, before: one, after: one, ...LOCAL };
  for (const wrong of [
    { control: new Float32Array(2) },
    { after: new Float32Array(2) },
    { stepCount: 0 },
    { learningRate: 0 },
  ]) {
    assert.throws(() => nextLocalControl({ ...good, ...wrong }), AppError);
  }
});
