/**
 * An ONNX model as plain data: what `model-writer.ts` turns into bytes and `model-reader.ts` reads from a stranger's bytes.
 *
 * Only what a data-flow graph over dense tensors needs has a form here. What could reach outside or hide work (external data,
 * functions, training information, sparse initialisers, subgraphs in attributes) has none.
 *
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */

/** TensorProto.DataType of the element types we know. */
export const ELEMENT_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, float64: 11 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;
/** Bytes per element. */
export const ELEMENT_BYTES: Record<ElementType, number> = {
  float32: 4,
  uint8: 1,
  int8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
  float64: 8,
};

/** A dimension is a length, or a name when it may vary from call to call. */
export type Dimension = number | string;
export type ValueInfo = {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly Dimension[];
};

/** `raw` holds little-endian elements, row-major. */
export type GraphTensor = {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly number[];
  readonly raw: Uint8Array;
};

export type AttributeValue =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly values: readonly number[] }
  | { readonly kind: 'floats'; readonly values: readonly number[] }
  | { readonly kind: 'tensor'; readonly tensor: GraphTensor };

export type GraphNode = {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
};

export type Graph = {
  readonly name: string;
  readonly nodes: readonly GraphNode[];
  readonly initialisers: readonly GraphTensor[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
};

export type OnnxModel = { readonly irVersion: number; readonly opsetVersion: number; readonly graph: Graph };

/** AttributeProto.AttributeType of the kinds we know. */
export const ATTRIBUTE_TYPES = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7 } as const;
