/**
 * The rows a model trains on or predicts for, read from a file: `x` F32 [rows, features] and, for training, `y` F32 [rows]:
 * 0 or 1 for a sigmoid model, the number of the class for a softmax model.
 */
import { AppError, type ModelSpec } from '@lantern/contract';
import { TensorFile } from './tensor-file.ts';

export type LabelledRows = {
  readonly rowCount: number;
  readonly featureCount: number;
  /** Row-major [rowCount, featureCount]. */
  readonly x: Float32Array;
  readonly y: Float32Array;
};

/** Width of a model's output, and of its labels once expanded. */
export function labelColumns(model: ModelSpec): number {
  const dense = model.layers.filter((layer) => layer.kind === 'dense');
  return dense.at(-1)?.units ?? 1;
}

/** `x` alone, row-major. Throws `tensor.invalid` or `dataset.invalid` naming tensor and rule. */
export function readFeatures(file: string, featureCount: number): { rowCount: number; x: Float32Array } {
  const opened = TensorFile.open(file);
  try {
    const [rowCount, columns, ...rest] = opened.entry('x', 'rows').shape;
    if (rowCount === undefined || columns !== featureCount || rest.length > 0) {
      throw new AppError('tensor.invalid', `rows: tensor x must have the shape [rows, ${featureCount}].`);
    }
    return { rowCount, x: finite(opened.readFloats('x', 'rows')) };
  } finally {
    opened.close();
  }
}

/** `x` and `y`, checked against the model: one label per row, each one the model can have. */
export function readLabelledRows(file: string, model: ModelSpec): LabelledRows {
  const { rowCount, x } = readFeatures(file, model.featureCount);
  const opened = TensorFile.open(file);
  try {
    const y = opened.readFloats('y', 'rows');
    if (y.length !== rowCount)
      throw new AppError('tensor.invalid', `rows: tensor y must have the shape [${rowCount}].`);
    checkLabels(y, model);
    if (rowCount === 0) throw new AppError('training.refused', 'There are no rows to train on.');
    return { rowCount, featureCount: model.featureCount, x, y };
  } finally {
    opened.close();
  }
}

function finite(values: Float32Array): Float32Array {
  for (const value of values) {
    if (!Number.isFinite(value)) throw new AppError('dataset.invalid', 'rows: a feature is not a finite number.');
  }
  return values;
}

function checkLabels(y: Float32Array, model: ModelSpec): void {
  const columns = labelColumns(model);
  if (columns > 1 && model.loss === 'sigmoid-cross-entropy') {
    throw new AppError('training.refused', 'A sigmoid model with several outputs needs several labels per row.');
  }
  const classes = columns === 1 ? 2 : columns;
  for (const label of y) {
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new AppError('dataset.invalid', `rows: a label is not an integer in 0 ... ${classes - 1}.`);
    }
  }
}

/**
 * Refuses labels of one class only: a classifier cannot learn from them. Inside a federation it is legitimate, as other
 * sites have the other class; alone it is not. Throws `training.refused`.
 */
export function assertTwoClasses(labels: ArrayLike<number>): void {
  const first = labels[0];
  if (first === undefined) throw new AppError('training.refused', 'There are no rows to train on.');
  for (let row = 1; row < labels.length; row += 1) if (labels[row] !== first) return;
  throw new AppError(
    'training.refused',
    `All training rows have label ${first}: a classifier cannot learn from one class.`,
  );
}
