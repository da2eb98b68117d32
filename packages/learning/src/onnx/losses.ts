/**
 * The losses as ONNX nodes: value and gradient, both of the mean over rows weighted by `row_weight`. A short last batch is
 * padded with rows of weight 0, which then count neither in the loss nor in any gradient.
 *
 *   loss = sum_i r_i L_i / sum_i r_i
 *   sigmoid cross-entropy   L = mean over outputs of  max(z, 0) - z y + log(1 + exp(-|z|))     dL/dz = (sigmoid(z) - y) / outputs
 *   softmax cross-entropy   L = -sum over outputs of  y log softmax(z)                         dL/dz = softmax(z) - y
 *
 * The first is the form that neither overflows nor cancels (as PyTorch's BCEWithLogitsLoss); the second needs rows of y that
 * sum to 1.
 */
import type { ModelSpec } from '@lantern/contract';
import { type GraphBuilder, int } from './graph-builder.ts';

/** Guards 0 / 0 when every row of a batch is padding: loss and gradients are then 0. */
const WEIGHT_SUM_MIN = 1e-12;

type LossInputs = {
  /** Scores before the activation [batch, outputs]. */
  readonly scores: string;
  /** y [batch, outputs]: probabilities, in practice 0 and 1. */
  readonly labels: string;
  /** [batch] */
  readonly rowWeight: string;
  readonly outputs: number;
};

/** Adds the loss as output `loss` (a scalar) and returns the name of its gradient at the scores [batch, outputs]. */
export function addLoss(builder: GraphBuilder, kind: ModelSpec['loss'], inputs: LossInputs): string {
  const weight = builder.node('Unsqueeze', [inputs.rowWeight, builder.integers([1])]); // [batch, 1]
  const total = builder.node('ReduceSum', [weight], { attributes: { keepdims: int(0) } });
  const share = builder.node('Div', [weight, builder.node('Max', [total, builder.scalar(WEIGHT_SUM_MIN)])]);
  const { elementLoss, slope } =
    kind === 'sigmoid-cross-entropy' ? sigmoidLoss(builder, inputs) : softmaxLoss(builder, inputs);
  const perOutput = builder.scalar(kind === 'sigmoid-cross-entropy' ? 1 / inputs.outputs : 1);
  const scale = builder.node('Mul', [share, perOutput]); // [batch, 1]
  builder.node('ReduceSum', [builder.node('Mul', [elementLoss, scale])], {
    attributes: { keepdims: int(0) },
    output: 'loss',
  });
  return builder.node('Mul', [slope, scale]);
}

/** The probabilities of a network's scores, as output `probability`. */
export function addProbability(builder: GraphBuilder, kind: ModelSpec['loss'], scores: string): void {
  if (kind === 'sigmoid-cross-entropy') builder.node('Sigmoid', [scores], { output: 'probability' });
  else builder.node('Softmax', [scores], { attributes: { axis: int(-1) }, output: 'probability' });
}

function sigmoidLoss(builder: GraphBuilder, { scores, labels }: LossInputs): { elementLoss: string; slope: string } {
  const tail = builder.node('Exp', [builder.node('Neg', [builder.node('Abs', [scores])])]);
  const softplus = builder.node('Add', [
    builder.node('Relu', [scores]),
    builder.node('Log', [builder.node('Add', [tail, builder.scalar(1)])]),
  ]);
  return {
    elementLoss: builder.node('Sub', [softplus, builder.node('Mul', [scores, labels])]),
    slope: builder.node('Sub', [builder.node('Sigmoid', [scores]), labels]),
  };
}

function softmaxLoss(builder: GraphBuilder, { scores, labels }: LossInputs): { elementLoss: string; slope: string } {
  const attributes = { axis: int(-1) };
  const logProbability = builder.node('LogSoftmax', [scores], { attributes });
  return {
    elementLoss: builder.node('Neg', [builder.node('Mul', [labels, logProbability])]),
    slope: builder.node('Sub', [builder.node('Softmax', [scores], { attributes }), labels]),
  };
}
