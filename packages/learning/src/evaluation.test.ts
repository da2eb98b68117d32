import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError, EvaluationMessageSchema, EvaluationMetricsSchema, matches } from '@lantern/contract';
import {
  evaluateScores,
  evaluationMetrics,
  logLoss,
  mergeEvaluations,
  reliabilityTable,
  SCORE_BIN_COUNT,
  withholdClasses,
} from './evaluation.ts';

/** Scores and labels where higher scores are positive more often, the same each run. */
function sample(count: number, seed: number): { scores: number[]; labels: number[] } {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const scores = Array.from({ length: count }, () => uniform() ** 0.7);
  return { scores, labels: scores.map((score) => (uniform() < 0.15 + 0.6 * score ? 1 : 0)) };
}

/** The definition: the share of pairs of different class in order, ties one half. */
function exactAuc({ scores, labels }: { scores: number[]; labels: number[] }): number {
  let [pairs, ordered] = [0, 0];
  for (const [i, high] of scores.entries()) {
    for (const [j, low] of scores.entries()) {
      if (labels[i] !== 1 || labels[j] !== 0) continue;
      pairs += 1;
      ordered += high > low ? 1 : high === low ? 0.5 : 0;
    }
  }
  return ordered / pairs;
}

const sites = [sample(300, 3), sample(90, 5), sample(41, 8)];
const all = { scores: sites.flatMap(({ scores }) => scores), labels: sites.flatMap(({ labels }) => labels) };
const merged = mergeEvaluations(sites.map(({ scores, labels }) => evaluateScores(scores, labels)));

test('merging the sites gives the evaluation of all rows', () => {
  const pooled = evaluateScores(all.scores, all.labels);
  assert.deepEqual([merged.positives, merged.negatives, merged.rowCount], [pooled.positives, pooled.negatives, 431]);
  assert.ok(Math.abs(merged.squaredErrorSum - pooled.squaredErrorSum) < 1e-12);
  assert.ok(Math.abs(merged.logLossSum - pooled.logLossSum) < 1e-11);
  assert.ok(matches(EvaluationMessageSchema, merged) && matches(EvaluationMetricsSchema, evaluationMetrics(merged)));
});

test('accuracy, precision, recall, Brier score and log loss are exact', () => {
  const metrics = evaluationMetrics(merged);
  const predicted = all.scores.map((score) => (score >= 0.5 ? 1 : 0));
  const hits = predicted.filter((value, row) => value === 1 && all.labels[row] === 1).length;
  const right = predicted.filter((value, row) => value === all.labels[row]).length;
  assert.equal(metrics.accuracy, right / 431);
  assert.equal(metrics.precision, hits / predicted.filter((value) => value === 1).length);
  assert.equal(metrics.recall, hits / all.labels.filter((label) => label === 1).length);
  const brier = all.scores.reduce((sum, score, row) => sum + (score - (all.labels[row] ?? 0)) ** 2, 0) / 431;
  assert.ok(Math.abs((metrics.brier ?? 0) - brier) < 1e-14);
  const loss =
    all.scores.reduce((sum, score, row) => sum - Math.log(all.labels[row] === 1 ? score : 1 - score), 0) / 431;
  assert.ok(Math.abs((logLoss(merged) ?? 0) - loss) < 1e-12);
});

test('AUC from merged histograms is within the stated bound of the exact one, and the bound is not idle', () => {
  const { auc = 0, aucErrorMax = 0 } = evaluationMetrics(merged);
  const error = Math.abs(auc - exactAuc(all));
  assert.ok(error <= aucErrorMax && aucErrorMax < 0.005, `error ${error}, bound ${aucErrorMax}`);
  const coarse = { scores: [0.1001, 0.1002, 0.1003, 0.9], labels: [0, 1, 1, 0] };
  const worst = evaluationMetrics(evaluateScores(coarse.scores, coarse.labels));
  assert.equal(exactAuc(coarse), 0.5);
  assert.deepEqual([worst.auc, worst.aucErrorMax], [0.25, 0.25]);
});

test('calibration error is within 1/400 of the one from exact scores, and shows a model that is too sure', () => {
  let exact = 0;
  for (let tenth = 0; tenth < 10; tenth += 1) {
    const rows = all.scores.flatMap((score, row) => (Math.floor(score * 10) === tenth ? [row] : []));
    const gap = rows.reduce((sum, row) => sum + (all.scores[row] ?? 0) - (all.labels[row] ?? 0), 0);
    exact += Math.abs(gap) / 431;
  }
  assert.ok(Math.abs((evaluationMetrics(merged).calibrationError ?? 0) - exact) <= 1 / 400);
  const sure = evaluateScores(new Array<number>(20).fill(0.9912), [
    ...new Array<number>(10).fill(1),
    ...new Array<number>(10).fill(0),
  ]);
  assert.ok(Math.abs((evaluationMetrics(sure).calibrationError ?? 0) - 0.4912) <= 1 / 400);
  const table = reliabilityTable(merged);
  assert.equal(
    table.reduce((sum, tenth) => sum + tenth.rowCount, 0),
    431,
  );
  assert.ok(table.every((tenth) => tenth.meanScore >= tenth.scoreMin && tenth.meanScore <= tenth.scoreMax));
});

test('0.5 counts as positive, the float just below it as negative, and 1 has a bin', () => {
  const metrics = evaluationMetrics(evaluateScores([0.5, 0.5 - 2 ** -54, 1], [1, 0, 1]));
  assert.deepEqual([metrics.accuracy, metrics.precision, metrics.recall], [1, 1, 1]);
  assert.equal(evaluateScores([1], [1]).positives[SCORE_BIN_COUNT - 1], 1);
});

test('a metric without a value is absent, not zero', () => {
  const onlyPositive = evaluationMetrics(evaluateScores([0.2, 0.3], [1, 1]));
  assert.deepEqual([onlyPositive.auc, onlyPositive.precision, onlyPositive.recall], [undefined, undefined, 0]);
  assert.deepEqual(evaluationMetrics(evaluateScores([], [])), { rowCount: 0 });
  assert.equal(logLoss(evaluateScores([], [])), undefined);
});

test('a certain error costs a finite log loss', () => {
  assert.ok(Math.abs((logLoss(evaluateScores([0, 1], [1, 1])) ?? 0) - -Math.log(1e-7) / 2) < 1e-12);
});

test('a site that withholds its classes sends no histogram and counts only in the sums', () => {
  const [first, second] = sites.map(({ scores, labels }) => evaluateScores(scores, labels));
  assert.ok(first !== undefined && second !== undefined);
  const withheld = withholdClasses(second, ['auc', 'accuracy']);
  assert.deepEqual([withheld.positives, withheld.negatives], [[], []]);
  assert.deepEqual(Object.keys(evaluationMetrics(withheld)).sort(), ['brier', 'rowCount', 'withheld']);
  const together = evaluationMetrics(mergeEvaluations([first, withheld]));
  assert.equal(together.rowCount, 390);
  assert.equal(together.auc, evaluationMetrics(first).auc);
  assert.ok(Math.abs((together.brier ?? 0) - (first.squaredErrorSum + second.squaredErrorSum) / 390) < 1e-14);
  assert.equal(together.withheld, undefined);
  assert.deepEqual(mergeEvaluations([withheld, withheld]).withheld, ['auc', 'accuracy']);
});

test('scores that are no probabilities, other labels, other bins and sums that are not finite are refused', () => {
  const refuses = (code: string, run: () => unknown) =>
    assert.throws(run, (error) => error instanceof AppError && error.code === code);
  refuses('training.diverged', () => evaluateScores([Number.NaN], [1]));
  refuses('training.diverged', () => evaluateScores([1.01], [1]));
  refuses('dataset.invalid', () => evaluateScores([0.5], [2]));
  refuses('dataset.invalid', () => evaluateScores([0.5], []));
  const good = evaluateScores([0.3, 0.6], [0, 1]);
  refuses('update.invalid', () => mergeEvaluations([good, { ...good, positives: [1] }]));
  refuses('update.invalid', () => mergeEvaluations([good, { ...good, positives: [] }]));
  refuses('update.invalid', () => mergeEvaluations([good, { ...good, rowCount: 3 }]));
  refuses('update.invalid', () => mergeEvaluations([good, { ...good, logLossSum: Number.NaN }]));
});
