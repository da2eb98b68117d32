/**
 * Turns a model specification into two ONNX graphs: one that trains (forward, loss, backward and optimiser step in one run) and
 * one that predicts. A graph is data flow: it cannot open a file or a socket, so a site may run a stranger's.
 *
 * Training graph, all float32 (`batch` fixed; pad a short batch with rows of `row_weight` 0):
 *   in   x [batch, featureCount] · y [batch, outputs] · row_weight [batch] · learning_rate [] · step [] (Adam; from 1)
 *        <parameter> · <state> · global.<parameter>, mu [] (proximal) · correction.<parameter> (control)
 *   out  loss [] · next.<parameter> · next.<state>
 * Prediction graph: x [rows, featureCount] and each parameter in, probability [rows, outputs] out.
 *
 * proximal  FedProx, Li et al. 2020: mu (w - w_global) is added to the gradient, the slope of mu/2 ||w - w_global||^2
 * control   SCAFFOLD, Karimireddy et al. 2020, eq. 3: c - c_i is added to the gradient
 * The loss that is put out is that of the data alone.
 */
import type { ModelSpec, TensorShape } from '@lantern/contract';
import { elementCount, type Tensor } from '../safetensors.ts';
import { createGraphBuilder, type FloatType, type GraphBuilder } from './graph-builder.ts';
import { backward, forward, type Parameter, type PlacedLayer, parametersOf, placeLayers } from './layers.ts';
import { addLoss, addProbability } from './losses.ts';
import type { ValueInfo } from './model.ts';
import { encodeModel } from './model-writer.ts';
import { addOptimiserStep, NEXT, needsStep, optimiserStateOf } from './optimisers.ts';
import { refuseGraph } from './protobuf.ts';

const IR_VERSION = 8;
const OPSET_VERSION = 17;

export type TrainingGraph = {
  readonly trainModel: Uint8Array;
  readonly predictModel: Uint8Array;
  readonly parameters: TensorShape[];
  readonly optimiserState: TensorShape[];
  /** Columns of `y` and of `probability`. */
  readonly outputCount: number;
  /**
   * First weights as PyTorch's `Linear` has them: uniform in +-1/sqrt(fanIn) for weights and biases alike.
   * `uniform` gives numbers in [0, 1); they are used in the order of `parameters`, row-major.
   */
  readonly initialWeights: (uniform: () => number) => Record<string, Tensor>;
};

/**
 * Builds both graphs; the same specification gives the same bytes.
 * `precision` float64 exists to check gradients; runs use float32. Throws `bundle.invalid` when layers and loss do not fit.
 */
export function buildTrainingGraph(spec: ModelSpec, options: { precision?: FloatType } = {}): TrainingGraph {
  const precision = options.precision ?? 'float32';
  const { placed, outputs } = placeLayers(spec.featureCount, spec.layers);
  if (spec.loss === 'softmax-cross-entropy' && outputs < 2) throw refuseGraph('softmax needs at least two outputs');
  const network = { placed, outputs, parameters: parametersOf(placed) };
  return {
    trainModel: trainModel(spec, network, precision),
    predictModel: predictModel(spec, network, precision),
    parameters: network.parameters.map(({ name, shape }) => ({ name, shape })),
    optimiserState: optimiserStateOf(spec.optimiser, network.parameters),
    outputCount: outputs,
    initialWeights: (uniform) =>
      Object.fromEntries(network.parameters.map((parameter) => [parameter.name, drawInitial(parameter, uniform)])),
  };
}

type Network = {
  readonly placed: readonly PlacedLayer[];
  readonly outputs: number;
  readonly parameters: readonly Parameter[];
};

function trainModel(spec: ModelSpec, network: Network, precision: FloatType): Uint8Array {
  const builder = createGraphBuilder(precision);
  const values = forward(builder, network.placed, 'x');
  const scores = values.at(-1) ?? 'x';
  const slope = addLoss(builder, spec.loss, { scores, labels: 'y', rowWeight: 'row_weight', outputs: network.outputs });
  const dataGradients = backward(builder, network.placed, { values, gradient: slope });
  const gradients = new Map(
    network.parameters.map(({ name }) => [
      name,
      corrected(builder, spec, { name, gradient: dataGradients.get(name) ?? '' }),
    ]),
  );
  addOptimiserStep(builder, spec.optimiser, gradients);
  const state = optimiserStateOf(spec.optimiser, network.parameters);
  const tensors = [...network.parameters, ...state];
  return encodeGraph(builder, 'train', {
    inputs: trainInputs(spec, network, precision),
    outputs: [
      scalar('loss', precision),
      ...tensors.map(({ name, shape }) => ({ name: NEXT + name, elementType: precision, shape })),
    ],
  });
}

/** The gradient of the data, with the terms FedProx and SCAFFOLD add. */
function corrected(
  builder: GraphBuilder,
  spec: ModelSpec,
  { name, gradient }: { name: string; gradient: string },
): string {
  let sum = gradient;
  if (spec.proximal) {
    const drift = builder.node('Sub', [name, `global.${name}`]);
    sum = builder.node('Add', [sum, builder.node('Mul', [drift, 'mu'])]);
  }
  if (spec.control) sum = builder.node('Add', [sum, `correction.${name}`]);
  return sum;
}

function trainInputs(spec: ModelSpec, network: Network, precision: FloatType): ValueInfo[] {
  const value = (name: string, shape: readonly number[]): ValueInfo => ({ name, elementType: precision, shape });
  const perParameter = (prefix: string) => network.parameters.map(({ name, shape }) => value(prefix + name, shape));
  return [
    value('x', [spec.batchSize, spec.featureCount]),
    value('y', [spec.batchSize, network.outputs]),
    value('row_weight', [spec.batchSize]),
    scalar('learning_rate', precision),
    ...(needsStep(spec.optimiser) ? [scalar('step', precision)] : []),
    ...perParameter(''),
    ...optimiserStateOf(spec.optimiser, network.parameters).map(({ name, shape }) => value(name, shape)),
    ...(spec.proximal ? [...perParameter('global.'), scalar('mu', precision)] : []),
    ...(spec.control ? perParameter('correction.') : []),
  ];
}

function predictModel(spec: ModelSpec, network: Network, precision: FloatType): Uint8Array {
  const builder = createGraphBuilder(precision);
  const scores = forward(builder, network.placed, 'x').at(-1) ?? 'x';
  addProbability(builder, spec.loss, scores);
  const parameters = network.parameters.map(({ name, shape }) => ({ name, elementType: precision, shape }));
  return encodeGraph(builder, 'predict', {
    inputs: [{ name: 'x', elementType: precision, shape: ['rows', spec.featureCount] }, ...parameters],
    outputs: [{ name: 'probability', elementType: precision, shape: ['rows', network.outputs] }],
  });
}

function encodeGraph(
  builder: GraphBuilder,
  name: string,
  ends: { inputs: readonly ValueInfo[]; outputs: readonly ValueInfo[] },
): Uint8Array {
  const { nodes, initialisers } = builder;
  return encodeModel({
    irVersion: IR_VERSION,
    opsetVersion: OPSET_VERSION,
    graph: { name, nodes, initialisers, ...ends },
  });
}

function scalar(name: string, elementType: FloatType): ValueInfo {
  return { name, elementType, shape: [] };
}

function drawInitial({ name, shape, fanIn }: Parameter, uniform: () => number): Tensor {
  const bound = 1 / Math.sqrt(fanIn);
  const data = new Float32Array(elementCount(shape, name));
  for (let index = 0; index < data.length; index += 1) data[index] = (2 * uniform() - 1) * bound;
  return { dtype: 'F32', shape: [...shape], data };
}
