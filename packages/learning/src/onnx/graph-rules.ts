/**
 * What lets a site run a stranger's graph: the rules an ONNX file must keep before ONNX Runtime sees it.
 *
 * The file is data flow over dense tensors and nothing else. Refused are operators that are not on the list below (so loops,
 * branches, sequences, strings and random numbers), operators of other domains, functions, external data, sparse or quantised
 * initialisers (by the reader: they have no form), values used before they are made or made twice, and anything beyond the
 * limits. A graph that passes cannot open a file or a socket and runs every node once.
 *
 * Not promised here: a bound on the memory of intermediate values, which only shapes at run time give. Operators that make a
 * large tensor from a small number (Expand, Tile, Range, Pad, Resize, ConstantOfShape) are not on the list, but a product or a
 * concatenation may still be larger than what it is made of; the process that runs a graph has its own memory limit.
 */
import type { TensorShape } from '@lantern/contract';
import type { Graph, ValueInfo } from './model.ts';
import { decodeModel } from './model-reader.ts';
import { refuseGraph } from './protobuf.ts';

export type GraphLimits = {
  readonly sizeBytesMax: number;
  readonly nodeCountMax: number;
  readonly initialiserBytesMax: number;
  readonly nameLengthMax: number;
  readonly rankMax: number;
};

const GRAPH_LIMITS: GraphLimits = {
  sizeBytesMax: 64 * 1024 ** 2, // weights travel beside the graph, not in it
  nodeCountMax: 50_000, // 100 layers with Adam need about 3,000
  initialiserBytesMax: 32 * 1024 ** 2,
  nameLengthMax: 512,
  rankMax: 8,
};

const OPSET_VERSIONS = { min: 17, max: 22 }; // what the pinned ONNX Runtime computes; 17 is what we write
const IR_VERSIONS = { min: 4, max: 10 }; // before 4, initialisers had to be inputs as well

/** Operators of the default domain a graph may use: ours, and those of common networks for training and inference. */
const ALLOWED_OPERATORS: ReadonlySet<string> = new Set(
  [
    'Abs Add And Cast Ceil Clip Div Equal Erf Exp Floor Greater GreaterOrEqual Identity Less LessOrEqual Log Max Min Mul Neg',
    'Not Or Pow Reciprocal Round Sign Sqrt Sub Sum Where Xor',
    'Elu Gelu HardSigmoid HardSwish LeakyRelu LogSoftmax Mish PRelu Relu Selu Sigmoid Softmax Softplus Softsign Tanh',
    'ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare',
    'Gemm MatMul Conv ConvTranspose AveragePool GlobalAveragePool GlobalMaxPool MaxPool',
    'BatchNormalization InstanceNormalization LayerNormalization',
    'Concat Constant Flatten Gather Reshape Shape Slice Split Squeeze Transpose Unsqueeze',
  ].flatMap((line) => line.split(' ')),
);

/** What a graph is, for people and for comparison with a manifest. */
export type GraphSummary = {
  readonly opsetVersion: number;
  readonly nodeCount: number;
  readonly operators: Readonly<Record<string, number>>;
  readonly initialiserBytes: number;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
};

/** Inputs or outputs a caller will use, and their shapes; -1 for a dimension that may vary. */
export type DeclaredEnds = { readonly inputs?: readonly TensorShape[]; readonly outputs?: readonly TensorShape[] };

/**
 * Checks a graph and says what it is. Where `declared` is given, inputs and outputs must be exactly those names and shapes.
 * Throws `bundle.invalid` naming the rule.
 */
export function checkGraph(
  bytes: Uint8Array,
  options: { limits?: Partial<GraphLimits>; declared?: DeclaredEnds } = {},
): GraphSummary {
  const limits = { ...GRAPH_LIMITS, ...options.limits };
  if (bytes.byteLength > limits.sizeBytesMax) throw refuseGraph(`larger than ${limits.sizeBytesMax} bytes`);
  const { graph, irVersion, opsetVersion } = decodeModel(bytes);
  if (irVersion < IR_VERSIONS.min || irVersion > IR_VERSIONS.max) {
    throw refuseGraph(`IR version ${irVersion} is not between ${IR_VERSIONS.min} and ${IR_VERSIONS.max}`);
  }
  if (opsetVersion < OPSET_VERSIONS.min || opsetVersion > OPSET_VERSIONS.max) {
    throw refuseGraph(`operator set ${opsetVersion} is not between ${OPSET_VERSIONS.min} and ${OPSET_VERSIONS.max}`);
  }
  const initialiserBytes = checkSizes(graph, limits);
  checkOrder(graph, limits);
  const { inputs, outputs } = options.declared ?? {};
  if (inputs !== undefined) checkEnds('input', graph.inputs, inputs);
  if (outputs !== undefined) checkEnds('output', graph.outputs, outputs);
  const operators: Record<string, number> = {};
  for (const { opType } of graph.nodes) operators[opType] = (operators[opType] ?? 0) + 1;
  const { length: nodeCount } = graph.nodes;
  return { opsetVersion, nodeCount, operators, initialiserBytes, inputs: graph.inputs, outputs: graph.outputs };
}

/** Returns the bytes of all initialisers, those in `Constant` nodes included. */
function checkSizes(graph: Graph, limits: GraphLimits): number {
  if (graph.nodes.length === 0) throw refuseGraph('it has no node');
  if (graph.nodes.length > limits.nodeCountMax) throw refuseGraph(`more than ${limits.nodeCountMax} nodes`);
  const constants = graph.nodes.flatMap((node) =>
    Object.values(node.attributes).flatMap((attribute) => (attribute.kind === 'tensor' ? [attribute.tensor] : [])),
  );
  const tensors = [...graph.initialisers, ...constants];
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.raw.byteLength, 0);
  if (bytes > limits.initialiserBytesMax) throw refuseGraph(`initialisers above ${limits.initialiserBytesMax} bytes`);
  for (const { name, shape } of [...tensors, ...graph.inputs, ...graph.outputs]) {
    if (shape.length > limits.rankMax) throw refuseGraph(`${name} has more than ${limits.rankMax} dimensions`);
  }
  return bytes;
}

/** Every value is made once, before it is used, by an allowed operator; every output is made. */
function checkOrder(graph: Graph, limits: GraphLimits): void {
  const made = new Set<string>();
  const make = (name: string) => {
    if (name === '' || name.length > limits.nameLengthMax) throw refuseGraph('a value has no name or one too long');
    if (made.has(name)) throw refuseGraph(`value ${name} is made twice`);
    made.add(name);
  };
  for (const { name } of [...graph.inputs, ...graph.initialisers]) make(name);
  for (const { opType, inputs, outputs } of graph.nodes) {
    if (!ALLOWED_OPERATORS.has(opType)) throw refuseGraph(`operator ${opType.slice(0, 64)} is not allowed`);
    for (const input of inputs) {
      if (input !== '' && !made.has(input)) throw refuseGraph(`value ${input} is used before it is made`);
    }
    for (const output of outputs) if (output !== '') make(output); // an empty name is an output left out
  }
  for (const { name } of graph.outputs) if (!made.has(name)) throw refuseGraph(`output ${name} is not made`);
}

function checkEnds(end: 'input' | 'output', found: readonly ValueInfo[], declared: readonly TensorShape[]): void {
  const byName = new Map(found.map((value) => [value.name, value]));
  for (const { name, shape } of declared) {
    const value = byName.get(name);
    if (value === undefined) throw refuseGraph(`${end} ${name} is missing`);
    const fits = value.shape.length === shape.length && shape.every((size, at) => fitsSize(value.shape[at], size));
    if (value.elementType !== 'float32' || !fits) throw refuseGraph(`${end} ${name} is not float32 [${shape}]`);
    byName.delete(name);
  }
  const [extra] = byName.keys();
  if (extra !== undefined) throw refuseGraph(`${end} ${extra} is not declared`);
}

function fitsSize(found: number | string | undefined, declared: number): boolean {
  return declared === -1 ? typeof found === 'string' : found === declared;
}
