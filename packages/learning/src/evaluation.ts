/**
 * How well probabilities fit labels, in a form that merges: each site sends histograms of its scores by true class and two
 * sums; added up they are those of all rows together.
 *
 * Exact from this form: accuracy, precision and recall at 0.5 (a bin edge), Brier score and log loss (sums of exact scores).
 * Approximate, with the error stated beside them:
 *   AUC          two rows of different class in one bin count one half, as ties do; the true value is within
 *                sum_b positives_b negatives_b / (2 positives negatives) of it (`aucErrorMax`)
 *   calibration  expected calibration error over 10 bins (Guo et al. 2017, eq. 3), scores taken at the middle of their fine
 *                bin: within 1/400 of the exact value
 *
 * The bins are fixed, never made from the data. A site whose gate withholds a class sends empty histograms (so that one class
 * does not follow from the other and the total), and its rows then count only in the sums.
 */
import { AppError, type EvaluationMessage, type EvaluationMetrics } from '@lantern/contract';

export const SCORE_BIN_COUNT = 200; // 0.5 is an edge, ten calibration bins fit, and AUC of a few hundred rows is good to 0.01
const CALIBRATION_BIN_COUNT = 10;
const THRESHOLD_BIN = SCORE_BIN_COUNT / 2;
/** Scores are moved this far from 0 and 1 before the logarithm, about float32's resolution at 1: a certain error costs 16, not infinity. */
const LOG_LOSS_CLIP = 1e-7;

/**
 * scores   probability of label 1, each in [0, 1]
 * labels   0 or 1, as many
 * throws   `training.diverged` for a score outside [0, 1] or not a number; `dataset.invalid` for labels that do not fit
 */
export function evaluateScores(scores: ArrayLike<number>, labels: ArrayLike<number>): EvaluationMessage {
  if (scores.length !== labels.length) throw new AppError('dataset.invalid', 'There are not as many labels as scores.');
  const histograms = { positives: emptyBins(), negatives: emptyBins() };
  let squaredErrorSum = 0;
  let logLossSum = 0;
  for (let row = 0; row < scores.length; row += 1) {
    const score = scores[row] ?? Number.NaN;
    const label = labels[row];
    if (!(score >= 0 && score <= 1)) throw new AppError('training.diverged', 'A score is not a probability.');
    if (label !== 0 && label !== 1) throw new AppError('dataset.invalid', 'A label is neither 0 nor 1.');
    const bins = label === 1 ? histograms.positives : histograms.negatives;
    const bin = Math.min(SCORE_BIN_COUNT - 1, Math.floor(score * SCORE_BIN_COUNT));
    bins[bin] = (bins[bin] ?? 0) + 1;
    squaredErrorSum += (score - label) ** 2;
    logLossSum -= Math.log(Math.max(LOG_LOSS_CLIP, label === 1 ? score : 1 - score));
  }
  return { rowCount: scores.length, ...histograms, squaredErrorSum, logLossSum, withheld: [] };
}

/** Without the histograms by class, which the gate does not let go; `metrics` names what cannot be computed then. */
export function withholdClasses(evaluation: EvaluationMessage, metrics: readonly string[]): EvaluationMessage {
  return { ...evaluation, positives: [], negatives: [], withheld: [...metrics] };
}

/**
 * The evaluation of all rows together. Metrics by class are those of the sites that sent histograms; `withheld` is kept only
 * when none did. Throws `update.invalid` when a site's histograms have
 * other bins or do not add up to its rows.
 */
export function mergeEvaluations(parts: readonly EvaluationMessage[]): EvaluationMessage {
  for (const part of parts) {
    checkEvaluation(part);
    if (hasHistograms(part) && binnedRows(part) !== part.rowCount) {
      throw new AppError('update.invalid', 'The bins of an evaluation do not add up to its rows.');
    }
  }
  const open = parts.filter(hasHistograms);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const addBins = (name: 'positives' | 'negatives') =>
    open.length === 0 ? [] : emptyBins().map((_, bin) => sum(open.map((part) => part[name][bin] ?? 0)));
  return {
    rowCount: sum(parts.map((part) => part.rowCount)),
    positives: addBins('positives'),
    negatives: addBins('negatives'),
    squaredErrorSum: sum(parts.map((part) => part.squaredErrorSum)),
    logLossSum: sum(parts.map((part) => part.logLossSum)),
    withheld: open.length > 0 ? [] : [...new Set(parts.flatMap((part) => part.withheld))],
  };
}

/** The metrics; one that has no value (AUC of one class, precision without a positive prediction) is absent. */
export function evaluationMetrics(evaluation: EvaluationMessage): EvaluationMetrics {
  checkEvaluation(evaluation);
  const { rowCount } = evaluation;
  return {
    rowCount,
    ...(hasHistograms(evaluation) ? metricsByClass(evaluation) : {}),
    ...(rowCount > 0 ? { brier: evaluation.squaredErrorSum / rowCount } : {}),
    ...(evaluation.withheld.length > 0 ? { withheld: evaluation.withheld } : {}),
  };
}

/** Mean of -log(probability given to the true class); undefined without rows. */
export function logLoss(evaluation: EvaluationMessage): number | undefined {
  return evaluation.rowCount > 0 ? evaluation.logLossSum / evaluation.rowCount : undefined;
}

/**
 * Reliability diagram: per tenth of the score, how many rows, their mean score (to 1/400) and the share that was positive.
 * Tenths without rows are left out.
 */
export function reliabilityTable(
  evaluation: EvaluationMessage,
): { scoreMin: number; scoreMax: number; rowCount: number; meanScore: number; positiveShare: number }[] {
  if (!hasHistograms(evaluation)) return [];
  const width = SCORE_BIN_COUNT / CALIBRATION_BIN_COUNT;
  return Array.from({ length: CALIBRATION_BIN_COUNT }, (_, tenth) => {
    let [rowCount, positives, scoreSum] = [0, 0, 0];
    for (let bin = tenth * width; bin < (tenth + 1) * width; bin += 1) {
      const inBin = (evaluation.positives[bin] ?? 0) + (evaluation.negatives[bin] ?? 0);
      rowCount += inBin;
      positives += evaluation.positives[bin] ?? 0;
      scoreSum += (inBin * (bin + 0.5)) / SCORE_BIN_COUNT;
    }
    return {
      scoreMin: tenth / CALIBRATION_BIN_COUNT,
      scoreMax: (tenth + 1) / CALIBRATION_BIN_COUNT,
      rowCount,
      meanScore: scoreSum / rowCount,
      positiveShare: positives / rowCount,
    };
  }).filter((tenth) => tenth.rowCount > 0);
}

function metricsByClass(evaluation: EvaluationMessage): Omit<EvaluationMetrics, 'rowCount'> {
  const { positives, negatives } = evaluation;
  const [positiveCount, negativeCount] = [total(positives), total(negatives)];
  const rowCount = positiveCount + negativeCount;
  if (rowCount === 0) return {};
  const truePositives = total(positives.slice(THRESHOLD_BIN));
  const predictedPositives = truePositives + total(negatives.slice(THRESHOLD_BIN));
  const trueNegatives = total(negatives.slice(0, THRESHOLD_BIN));
  const table = reliabilityTable(evaluation);
  const gap = table.reduce((sum, tenth) => sum + tenth.rowCount * Math.abs(tenth.meanScore - tenth.positiveShare), 0);
  return {
    accuracy: (truePositives + trueNegatives) / rowCount,
    ...(predictedPositives > 0 ? { precision: truePositives / predictedPositives } : {}),
    ...(positiveCount > 0 ? { recall: truePositives / positiveCount } : {}),
    ...(positiveCount > 0 && negativeCount > 0 ? areaUnderCurve(positives, negatives) : {}),
    calibrationError: gap / rowCount,
  };
}

/** Mann-Whitney: the share of pairs of different class that the scores put in order, ties one half. */
function areaUnderCurve(
  positives: readonly number[],
  negatives: readonly number[],
): { auc: number; aucErrorMax: number } {
  let ordered = 0; // pairs, ties one half
  let tied = 0; // pairs within one bin
  let negativesBelow = 0;
  for (const [bin, count] of positives.entries()) {
    const beside = negatives[bin] ?? 0;
    ordered += count * (negativesBelow + beside / 2);
    tied += count * beside;
    negativesBelow += beside;
  }
  const pairs = total(positives) * total(negatives);
  return { auc: ordered / pairs, aucErrorMax: tied / 2 / pairs };
}

function checkEvaluation(part: EvaluationMessage): void {
  if (!Number.isFinite(part.squaredErrorSum) || !Number.isFinite(part.logLossSum)) {
    throw new AppError('update.invalid', 'An evaluation holds a sum that is not finite.');
  }
  const lengths = [part.positives.length, part.negatives.length];
  if (lengths.every((length) => length === 0)) return;
  if (lengths.some((length) => length !== SCORE_BIN_COUNT)) {
    throw new AppError('update.invalid', `An evaluation does not have ${SCORE_BIN_COUNT} bins for both classes.`);
  }
}

/** True where histograms were sent. */
function hasHistograms(evaluation: EvaluationMessage): boolean {
  return evaluation.positives.length > 0;
}

function binnedRows(evaluation: EvaluationMessage): number {
  return total(evaluation.positives) + total(evaluation.negatives);
}

function total(bins: readonly number[]): number {
  return bins.reduce((sum, count) => sum + count, 0);
}

function emptyBins(): number[] {
  return new Array<number>(SCORE_BIN_COUNT).fill(0);
}
