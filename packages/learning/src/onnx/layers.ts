/**
 * The layers of a network as ONNX nodes: forward, and backward by the chain rule. Shapes as in PyTorch: a dense layer keeps its
 * weight as [units, inputs] and computes a W^T + b.
 */
import type { Layer, TensorShape } from '@lantern/contract';
import { type GraphBuilder, int } from './graph-builder.ts';
import { ELEMENT_TYPES } from './model.ts';
import { refuseGraph } from './protobuf.ts';

/** A parameter of the network: a weight [units, fanIn] or a bias [units]. */
export type Parameter = TensorShape & { readonly fanIn: number };

/** A layer placed in a network: what it reads, and the names of its parameters. */
export type PlacedLayer =
  | { readonly kind: 'dense'; readonly weight: Parameter; readonly bias: Parameter | undefined; readonly units: number }
  | { readonly kind: 'relu' | 'tanh' | 'sigmoid' };

/** Names the parameters `layers.<index>.weight` and `.bias`, as `torch.nn.Sequential` would. Last layer must be dense. */
export function placeLayers(
  featureCount: number,
  layers: readonly Layer[],
): { placed: PlacedLayer[]; outputs: number } {
  let width = featureCount;
  const placed = layers.map((layer, index): PlacedLayer => {
    if (layer.kind !== 'dense') return { kind: layer.kind };
    const fanIn = width;
    width = layer.units;
    const weight = { name: `layers.${index}.weight`, shape: [width, fanIn], fanIn };
    const bias = layer.bias ? { name: `layers.${index}.bias`, shape: [width], fanIn } : undefined;
    return { kind: 'dense', weight, bias, units: width };
  });
  if (placed.at(-1)?.kind !== 'dense')
    throw refuseGraph('the last layer must be dense; the loss has its own activation');
  return { placed, outputs: width };
}

export function parametersOf(placed: readonly PlacedLayer[]): Parameter[] {
  return placed.flatMap((layer) =>
    layer.kind === 'dense' ? [layer.weight, ...(layer.bias === undefined ? [] : [layer.bias])] : [],
  );
}

/** Forward pass: the names of each layer's output, `values[0]` being the input. All [batch, width]. */
export function forward(builder: GraphBuilder, placed: readonly PlacedLayer[], input: string): string[] {
  const values = [input];
  for (const layer of placed) {
    const below = values.at(-1) ?? input;
    values.push(forwardLayer(builder, layer, below));
  }
  return values;
}

function forwardLayer(builder: GraphBuilder, layer: PlacedLayer, input: string): string {
  switch (layer.kind) {
    case 'dense': {
      const bias = layer.bias === undefined ? [] : [layer.bias.name];
      return builder.node('Gemm', [input, layer.weight.name, ...bias], { attributes: { transB: int(1) } });
    }
    case 'relu':
      return builder.node('Relu', [input]);
    case 'tanh':
      return builder.node('Tanh', [input]);
    case 'sigmoid':
      return builder.node('Sigmoid', [input]);
  }
}

/**
 * Backward pass: from the loss's gradient at the last output to that at each parameter.
 *
 * values    as `forward` returned them
 * gradient  d loss / d last output [batch, outputs]
 * returns   parameter name -> name of its gradient, of the parameter's shape
 */
export function backward(
  builder: GraphBuilder,
  placed: readonly PlacedLayer[],
  { values, gradient }: { values: readonly string[]; gradient: string },
): Map<string, string> {
  const gradients = new Map<string, string>();
  let above = gradient;
  for (let index = placed.length - 1; index >= 0; index -= 1) {
    const [layer, input, output] = [placed[index], values[index], values[index + 1]];
    if (layer === undefined || input === undefined || output === undefined) break;
    if (layer.kind === 'dense') {
      const weight = builder.node('Gemm', [above, input], { attributes: { transA: int(1) } }); // [units, fanIn]
      gradients.set(layer.weight.name, weight);
      if (layer.bias !== undefined) gradients.set(layer.bias.name, sumOverRows(builder, above));
      if (index > 0) above = builder.node('MatMul', [above, layer.weight.name]); // [batch, fanIn]
    } else {
      above = builder.node('Mul', [above, slope(builder, layer.kind, output)]);
    }
  }
  return gradients;
}

/** Derivative of an activation, written in its output. At 0 the slope of relu is taken as 0, as PyTorch does. */
function slope(builder: GraphBuilder, kind: 'relu' | 'tanh' | 'sigmoid', output: string): string {
  const one = builder.scalar(1);
  switch (kind) {
    case 'relu':
      return builder.node('Cast', [builder.node('Greater', [output, builder.scalar(0)])], {
        attributes: { to: int(ELEMENT_TYPES[builder.elementType]) },
      });
    case 'tanh':
      return builder.node('Sub', [one, builder.node('Mul', [output, output])]);
    case 'sigmoid':
      return builder.node('Mul', [output, builder.node('Sub', [one, output])]);
  }
}

/** [batch, width] -> [width] */
function sumOverRows(builder: GraphBuilder, value: string): string {
  return builder.node('ReduceSum', [value, builder.integers([0])], { attributes: { keepdims: int(0) } });
}
