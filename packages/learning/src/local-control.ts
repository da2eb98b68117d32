/**
 * The site's half of SCAFFOLD (Karimireddy et al. 2020): a control variate c_i per site, an estimate of its own gradient, so
 * that local steps follow the federation's gradient and not only the site's.
 *
 *   each local step        w <- w - lr (g + correction)         correction = c - c_i      (an input of the training graph)
 *   after K local steps    c_i+ = c_i - c + (w_before - w_after) / (K lr)                 (option II, Algorithm 1 line 12)
 *   sent                   c_i+ - c_i
 *
 * Holds for plain SGD without momentum and a constant learning rate, which is what (w_before - w_after) / (K lr) assumes: the
 * mean of the steps. c_i and c start at zero, stay at the site and the hub respectively.
 *
 * FLamby writes d_i = c_i - c and updates d_i <- d_i + (w_next - y_i) / (eta K lr) once the next global weights are known. With
 * c = sum_i p_i c_i over all sites, p_i the weights of the mean, the two are the same; a test holds them together.
 *
 * FedProx needs nothing of this: its term mu (w - w_global) is inside the training graph.
 */
import { AppError } from '@lantern/contract';

/** c - c_i, in a new array: what the training graph adds to the gradient. */
export function controlCorrection(control: Float32Array, localControl: Float32Array): Float32Array {
  if (control.length !== localControl.length)
    throw new AppError('update.invalid', 'Control variates differ in length.');
  return control.map((value, index) => value - (localControl[index] ?? 0));
}

/**
 * The site's next control variate, and what it sends.
 *
 * control, localControl  c and c_i as they were during the round
 * before, after          the parameter at the start and end of local training
 * stepCount              K, local steps taken, >= 1
 * learningRate           lr of the local steps, > 0
 */
export function nextLocalControl(input: {
  control: Float32Array;
  localControl: Float32Array;
  before: Float32Array;
  after: Float32Array;
  stepCount: number;
  learningRate: number;
}): { localControl: Float32Array; controlDelta: Float32Array } {
  const { control, before, after, stepCount, learningRate } = input;
  const correction = controlCorrection(control, input.localControl);
  if (before.length !== control.length || after.length !== control.length || !(stepCount >= 1) || !(learningRate > 0)) {
    throw new AppError('update.invalid', 'Weights and control variates differ in length, or no step was taken.');
  }
  const localControl = correction.map(
    (value, index) => ((before[index] ?? 0) - (after[index] ?? 0)) / (stepCount * learningRate) - value,
  );
  return { localControl, controlDelta: localControl.map((value, index) => value - (input.localControl[index] ?? 0)) };
}
