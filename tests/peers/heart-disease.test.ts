import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { HOSPITALS, heartRows } from '@lantern/lantern';
import {
  evaluateScores,
  evaluationMetrics,
  type LabelledRows,
  localMoments,
  localNewtonStatistics,
  logisticProbabilities,
  mergeEvaluations,
  mergeMoments,
  mergeNewtonStatistics,
  newtonStep,
  standardisationOf,
  standardise,
} from '@lantern/learning';
import { askPython, peersMissing } from './python.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/heart-disease');
const HELLO_LR = { ridge: 1, damping: 0.8, rounds: 5 };
const FEATURE_COUNT = 13;

type Fits = Record<'mean' | 'stdDev' | 'labels' | 'newton' | 'likelihood' | 'penalised', number[]> & {
  rows: number[][];
};
type Judgement = Record<
  'accuracy' | 'precision' | 'recall' | 'brier' | 'logLoss' | 'auc' | 'aucOfBins' | 'calibrationError',
  number
>;

/** The four hospitals, each standardised by the mean and deviation over all, none of which shares a row. */
async function federation() {
  const hospitals = await Promise.all(HOSPITALS.map(heartRows));
  const columns = (x: readonly number[][]) =>
    Array.from({ length: FEATURE_COUNT }, (_, feature) => x.map((row) => row[feature] ?? Number.NaN));
  const by = standardisationOf(mergeMoments(hospitals.map(({ train }) => localMoments(columns(train.x)))));
  const labelled = ({ x, y }: { x: number[][]; y: number[] }): LabelledRows => ({
    featureCount: FEATURE_COUNT,
    values: standardise(x.flat(), by),
    labels: y,
  });
  return {
    by,
    train: hospitals.map(({ train }) => labelled(train)),
    test: hospitals.map((hospital) => labelled(hospital.test)),
    rows: hospitals.flatMap(({ train }) => train.x),
    labels: hospitals.flatMap(({ train }) => train.y),
  };
}

function fit(sites: readonly LabelledRows[], options: { ridge: number; damping: number; rounds: number }): number[] {
  let theta = new Array<number>(FEATURE_COUNT + 1).fill(0);
  for (let round = 0; round < options.rounds; round += 1) {
    const merged = mergeNewtonStatistics(sites.map((site) => localNewtonStatistics(site, theta)));
    theta = newtonStep({ ...merged, ...options, theta }).theta;
  }
  return theta;
}

function furthest(ours: readonly number[], theirs: readonly number[]): number {
  assert.equal(ours.length, theirs.length);
  return Math.max(...ours.map((value, index) => Math.abs(value - (theirs[index] ?? Number.NaN))));
}

test("features, moments and Newton-Raphson over four hospitals are NumPy's and scikit-learn's over all rows to 1e-9", {
  skip: peersMissing,
}, async () => {
  const python = await askPython<Fits>('heart_disease_peer.py', { fixtures: FIXTURES, ...HELLO_LR });
  const ours = await federation();
  assert.deepEqual(ours.rows, python.rows);
  assert.deepEqual(ours.labels, python.labels);
  assert.ok(furthest(ours.by.mean, python.mean) < 1e-9);
  assert.ok(furthest(ours.by.stdDev, python.stdDev) < 1e-9);

  const onTheWay = fit(ours.train, HELLO_LR);
  assert.ok(furthest(onTheWay, python.newton) < 1e-9, 'hello-lr: the ridge on every coefficient, the intercept too');
  const converged = fit(ours.train, { ridge: 0, damping: 1, rounds: 12 });
  assert.ok(furthest(converged, python.likelihood) < 1e-9, 'scikit-learn without penalty');
  const steadied = fit(ours.train, { ridge: 1, damping: 1, rounds: 60 });
  assert.ok(furthest(steadied, python.likelihood) < 1e-9, 'the ridge steadies the step and moves no fixed point');
  assert.ok(furthest(onTheWay, python.likelihood) > 1e-4, 'the control: five rounds are not the end');
  assert.ok(furthest(steadied, python.penalised) > 1e-3, 'the control: a penalty is another problem');
});

test("merged evaluations of four hospitals are scikit-learn's of all rows", { skip: peersMissing }, async () => {
  const { train, test: held } = await federation();
  const theta = fit(train, HELLO_LR);
  const scores = held.map((site) => logisticProbabilities(site, theta));
  const merged = mergeEvaluations(held.map((site, index) => evaluateScores(scores[index] ?? [], site.labels)));
  const ours = evaluationMetrics(merged);
  const python = await askPython<Judgement>('heart_disease_peer.py', {
    scores: scores.flatMap((each) => [...each]),
    labels: held.flatMap(({ labels }) => Array.from(labels)),
  });

  const exact = [
    [ours.accuracy, python.accuracy],
    [ours.precision, python.precision],
    [ours.recall, python.recall],
    [ours.brier, python.brier],
    [merged.logLossSum / merged.rowCount, python.logLoss],
    [ours.auc, python.aucOfBins],
  ].map(([mine = Number.NaN, theirs = Number.NaN]) => Math.abs(mine - theirs));
  assert.ok(Math.max(...exact) < 1e-12, `${exact}`);

  const { auc = Number.NaN, aucErrorMax = Number.NaN, calibrationError = Number.NaN } = ours;
  assert.ok(aucErrorMax > 0 && aucErrorMax < 0.01);
  assert.ok(Math.abs(auc - python.auc) <= aucErrorMax, `AUC ${auc} against ${python.auc}, bound ${aucErrorMax}`);
  assert.ok(Math.abs(calibrationError - python.calibrationError) <= 1 / 400);
});
