/**
 * Federated logistic regression by Newton-Raphson. Each round the sites send gradient and Hessian of the log-likelihood at the
 * common theta; both are sums over rows, so their sums over sites are those of all rows together, and the federated fit is the
 * pooled fit.
 *
 *   p_i = 1 / (1 + exp(-theta . (1, x_i)))        the intercept comes first
 *   gradient = sum_i (y_i - p_i) (1, x_i)
 *   Hessian  = sum_i p_i (1 - p_i) (1, x_i) (1, x_i)^T      (of the negative log-likelihood: positive semi-definite)
 *   theta   <- theta + damping (Hessian + ridge I)^-1 gradient
 *
 * `ridge` steadies the step as in Levenberg's method; it is not a penalty, since the gradient has no -ridge theta: the fixed
 * point is the maximum-likelihood fit. NVFLARE's hello-lr does the same with ridge 1.0 (damping 1.0 centrally, 0.8 federated).
 */
import { AppError } from '@lantern/contract';
import { solveCholesky } from './cholesky.ts';

/** Sums over one site's, or all sites', rows. `hessian` row-major [p + 1, p + 1], symmetric. */
export type NewtonStatistics = {
  readonly rowCount: number;
  readonly gradient: readonly number[];
  readonly hessian: readonly number[];
  readonly logLikelihood: number;
};

/** `values` row-major [rowCount, featureCount]; `labels` [rowCount], each 0 or 1. */
export type LabelledRows = {
  readonly featureCount: number;
  readonly values: ArrayLike<number>;
  readonly labels: ArrayLike<number>;
};

/**
 * Gradient, Hessian and log-likelihood of these rows at theta [featureCount + 1, intercept first].
 * Throws `dataset.invalid` for shapes that do not fit, a label that is not 0 or 1, or a value that is not finite.
 */
export function localNewtonStatistics(rows: LabelledRows, theta: readonly number[]): NewtonStatistics {
  const rowCount = checkRows(rows, theta);
  const size = theta.length;
  const gradient = new Float64Array(size);
  const hessian = new Float64Array(size * size);
  const extended = new Float64Array(size);
  let logLikelihood = 0;
  for (let row = 0; row < rowCount; row += 1) {
    const score = extend(rows, row, { theta, into: extended });
    const label = rows.labels[row] ?? 0;
    const probability = sigmoid(score);
    logLikelihood += label * score - softplus(score);
    accumulate(
      { extended, residual: label - probability, curvature: probability * (1 - probability) },
      gradient,
      hessian,
    );
  }
  if (!Number.isFinite(logLikelihood) || !gradient.every(Number.isFinite)) {
    throw new AppError('dataset.invalid', 'A feature value or theta is not a finite number.');
  }
  mirror(hessian, size);
  return { rowCount, gradient: [...gradient], hessian: [...hessian], logLikelihood };
}

/** Probability of label 1 for each row, at theta. */
export function logisticProbabilities(
  rows: Pick<LabelledRows, 'featureCount' | 'values'>,
  theta: readonly number[],
): Float64Array {
  const rowCount = rows.values.length / rows.featureCount;
  const extended = new Float64Array(theta.length);
  return Float64Array.from({ length: rowCount }, (_, row) => sigmoid(extend(rows, row, { theta, into: extended })));
}

/** Sums over the sites. Sort the parts (by site id) so that a repeated merge gives the same bytes. Throws `update.invalid`. */
export function mergeNewtonStatistics(parts: readonly NewtonStatistics[]): NewtonStatistics {
  const size = parts[0]?.gradient.length ?? 0;
  const gradient = new Array<number>(size).fill(0);
  const hessian = new Array<number>(size * size).fill(0);
  let rowCount = 0;
  let logLikelihood = 0;
  for (const part of parts) {
    checkStatistics(part, size);
    addTo(gradient, part.gradient);
    addTo(hessian, part.hessian);
    rowCount += part.rowCount;
    logLikelihood += part.logLikelihood;
  }
  return { rowCount, gradient, hessian, logLikelihood };
}

/**
 * One Newton-Raphson step.
 *
 * ridge    added to the Hessian's diagonal, >= 0
 * damping  share of the step taken, in (0, 1]
 * returns  the next theta and the largest absolute change of a coefficient
 * throws   `training.refused` when the data does not determine every coefficient (and no ridge helps it)
 */
export function newtonStep(input: {
  theta: readonly number[];
  gradient: readonly number[];
  hessian: readonly number[];
  ridge: number;
  damping: number;
}): { theta: number[]; changeMax: number } {
  const { theta, gradient, ridge, damping } = input;
  const size = theta.length;
  if (gradient.length !== size || input.hessian.length !== size * size) {
    throw new AppError('update.invalid', `Gradient or Hessian does not fit the ${size} coefficients.`);
  }
  const hessian = Float64Array.from(input.hessian);
  for (let index = 0; index < size; index += 1)
    hessian[index * size + index] = (hessian[index * size + index] ?? 0) + ridge;
  const direction = solveCholesky(hessian, gradient);
  if (direction === undefined) {
    throw new AppError(
      'training.refused',
      'The rows do not determine every coefficient (constant or dependent features): leave one out or set ridge above 0.',
    );
  }
  const next = theta.map((value, index) => value + damping * (direction[index] ?? 0));
  if (!next.every(Number.isFinite)) throw new AppError('training.diverged', 'A coefficient left the finite numbers.');
  return { theta: next, changeMax: direction.reduce((most, value) => Math.max(most, Math.abs(damping * value)), 0) };
}

/** Converged when no coefficient moved by more than `tolerance` (in units of the coefficients; default 1e-10). */
export function newtonConverged(step: { changeMax: number }, tolerance = 1e-10): boolean {
  return step.changeMax <= tolerance;
}

/** 1 / (1 + e^-z) without overflow. */
function sigmoid(z: number): number {
  if (z >= 0) return 1 / (1 + Math.exp(-z));
  const exp = Math.exp(z);
  return exp / (1 + exp);
}

/** log(1 + e^z) without overflow and without losing small values. */
function softplus(z: number): number {
  return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
}

/** Writes (1, x_row) into `into` and returns its dot product with theta. */
function extend(
  rows: Pick<LabelledRows, 'featureCount' | 'values'>,
  row: number,
  { theta, into }: { theta: readonly number[]; into: Float64Array },
): number {
  into[0] = 1;
  let score = theta[0] ?? 0;
  for (let feature = 0; feature < rows.featureCount; feature += 1) {
    const value = rows.values[row * rows.featureCount + feature] ?? Number.NaN;
    into[feature + 1] = value;
    score += value * (theta[feature + 1] ?? 0);
  }
  return score;
}

/** Adds one row's part; of the Hessian only the lower triangle. */
function accumulate(
  row: { extended: Float64Array; residual: number; curvature: number },
  gradient: Float64Array,
  hessian: Float64Array,
): void {
  const { extended, residual, curvature } = row;
  const size = extended.length;
  for (let i = 0; i < size; i += 1) {
    const value = extended[i] ?? 0;
    gradient[i] = (gradient[i] ?? 0) + residual * value;
    const scaled = curvature * value;
    for (let j = 0; j <= i; j += 1) hessian[i * size + j] = (hessian[i * size + j] ?? 0) + scaled * (extended[j] ?? 0);
  }
}

function mirror(hessian: Float64Array, size: number): void {
  for (let i = 0; i < size; i += 1) {
    for (let j = 0; j < i; j += 1) hessian[j * size + i] = hessian[i * size + j] ?? 0;
  }
}

function addTo(sum: number[], part: readonly number[]): void {
  for (const [index, value] of part.entries()) sum[index] = (sum[index] ?? 0) + value;
}

function checkRows(rows: LabelledRows, theta: readonly number[]): number {
  const rowCount = rows.labels.length;
  if (theta.length !== rows.featureCount + 1 || rows.values.length !== rowCount * rows.featureCount) {
    throw new AppError('dataset.invalid', `Rows, labels and the ${theta.length} coefficients do not fit each other.`);
  }
  for (let row = 0; row < rowCount; row += 1) {
    if (rows.labels[row] !== 0 && rows.labels[row] !== 1) {
      throw new AppError('dataset.invalid', 'A label is neither 0 nor 1.');
    }
  }
  return rowCount;
}

function checkStatistics(part: NewtonStatistics, size: number): void {
  if (part.gradient.length !== size || part.hessian.length !== size * size) {
    throw new AppError('update.invalid', `Gradient or Hessian does not have the ${size} coefficients of the others.`);
  }
  if (![...part.gradient, ...part.hessian, part.logLikelihood].every(Number.isFinite)) {
    throw new AppError('update.invalid', 'Gradient, Hessian or log-likelihood holds a number that is not finite.');
  }
}
