import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '@lantern/contract';
import { type Centre, columnsOf, loadHeartDisease, pool, type Rows, standardise } from '../../test/heart-disease.ts';
import {
  localNewtonStatistics,
  logisticProbabilities,
  mergeNewtonStatistics,
  newtonConverged,
  newtonStep,
} from './logistic-regression.ts';
import { localMoments, standardisationOf } from './moments.ts';

const rows: Rows = {
  featureCount: 2,
  values: [0.3, -1.2, 2.5, 0.4, -0.7, 1.9, 1.1, -2.2, -1.6, 0.8, 0.9, 0.2, -0.4, -0.5, 0.6, 1.4, -1.1, -0.9],
  labels: [1, 0, 1, 1, 0, 0, 1, 0, 1],
};

function fit(parts: readonly Rows[], options: { ridge: number; damping: number; rounds: number }): number[] {
  let theta = new Array<number>((parts[0]?.featureCount ?? 0) + 1).fill(0);
  for (let round = 0; round < options.rounds; round += 1) {
    const merged = mergeNewtonStatistics(parts.map((part) => localNewtonStatistics(part, theta)));
    theta = newtonStep({ ...merged, ...options, theta }).theta;
  }
  return theta;
}

function furthest(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? Number.NaN))));
}

test('the gradient is the slope of the log-likelihood, and the Hessian the slope of the gradient', () => {
  const theta = [0.2, -0.6, 0.9];
  const { gradient, hessian } = localNewtonStatistics(rows, theta);
  const step = 1e-6;
  const moved = (index: number, by: number) => theta.map((value, at) => (at === index ? value + by : value));
  for (let i = 0; i < 3; i += 1) {
    const up = localNewtonStatistics(rows, moved(i, step));
    const down = localNewtonStatistics(rows, moved(i, -step));
    assert.ok(Math.abs((up.logLikelihood - down.logLikelihood) / (2 * step) - (gradient[i] ?? 0)) < 1e-8);
    for (let j = 0; j < 3; j += 1) {
      const slope = ((down.gradient[j] ?? 0) - (up.gradient[j] ?? 0)) / (2 * step);
      assert.ok(Math.abs(slope - (hessian[i * 3 + j] ?? 0)) < 1e-8, `Hessian ${i} ${j}`);
    }
  }
});

test('without damping or ridge the steps converge to a point where the gradient vanishes', () => {
  const theta = fit([rows], { ridge: 0, damping: 1, rounds: 12 });
  const end = localNewtonStatistics(rows, theta);
  assert.ok(Math.max(...end.gradient.map(Math.abs)) < 1e-12);
  assert.ok(newtonConverged(newtonStep({ ...end, theta, ridge: 0, damping: 1 })));
  assert.equal(newtonConverged({ changeMax: 2e-10 }), false);
});

test('the ridge steadies the step and is no penalty: the fixed point is the same', () => {
  const plain = fit([rows], { ridge: 0, damping: 1, rounds: 12 });
  const steadied = fit([rows], { ridge: 1, damping: 0.8, rounds: 400 });
  assert.ok(furthest(plain, steadied) < 1e-9);
  assert.ok(
    furthest(plain, fit([rows], { ridge: 1, damping: 0.8, rounds: 3 })) > 1e-2,
    'the control: it differs on the way',
  );
});

test('four real hospitals without sharing a row give the pooled fit to 1e-9', () => {
  const sites = heartDisease().map(({ train }) => train);
  const options = { ridge: 1, damping: 1, rounds: 4 };
  assert.ok(furthest(fit(sites, options), fit([pool(sites)], options)) < 1e-9);
});

test('the published accuracy and precision of hello-lr come out digit for digit at each hospital', () => {
  const centres = heartDisease();
  const theta = fit(
    centres.map(({ train }) => train),
    { ridge: 1, damping: 1, rounds: 4 },
  );
  const published = [
    [0.75, 0.7115384615384616],
    [0.7528089887640449, 0.6122448979591837],
    [0.75, 1.0],
    [0.6, 0.9047619047619048],
  ];
  assert.deepEqual(
    centres.map(({ test: rows }) => accuracyAndPrecision(rows, theta)),
    published,
  );
  const damped = fit(
    centres.map(({ train }) => train),
    { ridge: 1, damping: 0.8, rounds: 5 },
  );
  assert.deepEqual(
    centres.map(({ test: rows }) => accuracyAndPrecision(rows, damped)),
    published,
  );
});

test('a feature without spread is refused with a reason unless a ridge helps', () => {
  const constant: Rows = { featureCount: 1, values: [2, 2, 2], labels: [0, 1, 1] };
  const statistics = localNewtonStatistics(constant, [0, 0]);
  assert.throws(
    () => newtonStep({ ...statistics, theta: [0, 0], ridge: 0, damping: 1 }),
    (error) => error instanceof AppError && error.code === 'training.refused',
  );
  assert.ok(newtonStep({ ...statistics, theta: [0, 0], ridge: 1, damping: 1 }).theta.every(Number.isFinite));
});

test('scores far out neither overflow nor lose the log-likelihood', () => {
  const far: Rows = { featureCount: 1, values: [-800, 800, -40, 1.25, -1.25], labels: [1, 0, 0, 1, 0] };
  const [low, high, small, above = 0, below = 0] = logisticProbabilities(far, [0, 1]);
  assert.deepEqual([low, high], [0, 1]);
  assert.ok(Math.abs((small ?? 0) / Math.exp(-40) - 1) < 1e-15);
  assert.ok(Math.abs(above + below - 1) < 1e-15);
  const { logLikelihood } = localNewtonStatistics({ ...far, values: far.values.slice(0, 2), labels: [1, 0] }, [0, 1]);
  assert.equal(logLikelihood, -1600);
  const one = localNewtonStatistics({ featureCount: 1, values: [-40], labels: [0] }, [0, 1]);
  assert.ok(Math.abs(one.logLikelihood / -Math.exp(-40) - 1) < 1e-15);
});

test('shapes that do not fit, labels other than 0 and 1 and numbers that are not finite are refused', () => {
  const refuses = (code: string, run: () => unknown) =>
    assert.throws(run, (error) => error instanceof AppError && error.code === code);
  refuses('dataset.invalid', () => localNewtonStatistics(rows, [0, 0]));
  refuses('dataset.invalid', () => localNewtonStatistics({ ...rows, labels: rows.labels.with(2, 2) }, [0, 0, 0]));
  refuses('dataset.invalid', () =>
    localNewtonStatistics({ ...rows, values: rows.values.with(3, Number.NaN) }, [0, 0, 0]),
  );
  const good = localNewtonStatistics(rows, [0, 0, 0]);
  refuses('update.invalid', () => mergeNewtonStatistics([good, { ...good, gradient: [1, 2] }]));
  refuses('update.invalid', () => mergeNewtonStatistics([good, { ...good, gradient: [1, Number.NaN, 2] }]));
  refuses('update.invalid', () => newtonStep({ ...good, theta: [0, 0], ridge: 1, damping: 1 }));
});

/** Each centre standardised by its own training rows, as NVFLARE does. */
function heartDisease(): Centre[] {
  return loadHeartDisease().map(({ name, train, test: held }) => {
    const by = standardisationOf(localMoments(columnsOf(train)));
    return { name, train: standardise(train, by), test: standardise(held, by) };
  });
}

function accuracyAndPrecision(held: Rows, theta: readonly number[]): number[] {
  const predicted = [...logisticProbabilities(held, theta)].map((probability) => (probability > 0.5 ? 1 : 0));
  const correct = predicted.filter((value, row) => value === held.labels[row]).length;
  const hits = predicted.filter((value, row) => value === 1 && held.labels[row] === 1).length;
  return [correct / predicted.length, hits / predicted.filter((value) => value === 1).length];
}
