/** Collects nodes and constants of a graph in an order that runs, and names what they produce. */
import type { AttributeValue, ElementType, GraphNode, GraphTensor } from './model.ts';

export type FloatType = 'float32' | 'float64';
export type Attributes = Readonly<Record<string, AttributeValue>>;

export type GraphBuilder = {
  /** Adds a node with one output and returns the output's name; `output` names it, else a fresh name is made. */
  node(opType: string, inputs: readonly string[], options?: { attributes?: Attributes; output?: string }): string;
  /** A scalar of the graph's float type, or of the type given. */
  scalar(value: number, elementType?: FloatType): string;
  /** A list of int64, as the axes of a reduction are. */
  integers(values: readonly number[]): string;
  readonly elementType: FloatType;
  readonly nodes: readonly GraphNode[];
  readonly initialisers: readonly GraphTensor[];
};

/** `elementType` is what the graph computes in. */
export function createGraphBuilder(elementType: FloatType): GraphBuilder {
  const nodes: GraphNode[] = [];
  const initialisers = new Map<string, GraphTensor>();
  const constant = (name: string, type: ElementType, shape: readonly number[], raw: Uint8Array): string => {
    initialisers.set(name, { name, elementType: type, shape, raw });
    return name;
  };
  return {
    elementType,
    nodes,
    get initialisers() {
      return [...initialisers.values()];
    },
    node(opType, inputs, options = {}) {
      const output = options.output ?? `${opType}_${nodes.length}`;
      nodes.push({ opType, inputs, outputs: [output], attributes: options.attributes ?? {} });
      return output;
    },
    scalar(value, type = elementType) {
      const data = type === 'float32' ? Float32Array.of(value) : Float64Array.of(value);
      return constant(`${type}_${value}`, type, [], new Uint8Array(data.buffer));
    },
    integers(values) {
      const data = BigInt64Array.from(values, BigInt);
      return constant(`int64_${values.join('_')}`, 'int64', [values.length], new Uint8Array(data.buffer));
    },
  };
}

export const int = (value: number): AttributeValue => ({ kind: 'int', value });
