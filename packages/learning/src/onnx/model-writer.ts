/**
 * Bytes of an ONNX model. Field numbers are those of onnx.proto3. Deterministic: the same data gives the same bytes, so a site
 * can rebuild a graph from its specification and compare digests.
 */
import {
  ATTRIBUTE_TYPES,
  type AttributeValue,
  ELEMENT_TYPES,
  type Graph,
  type GraphNode,
  type GraphTensor,
  type OnnxModel,
  type ValueInfo,
} from './model.ts';
import { bytesField, concatenate, floatField, stringField, varintField } from './protobuf.ts';

const PRODUCER = 'lantern';

/** Bytes of a model; the same data gives the same bytes. */
export function encodeModel(model: OnnxModel): Uint8Array {
  return concatenate([
    varintField(1, model.irVersion),
    stringField(2, PRODUCER),
    bytesField(7, encodeGraph(model.graph)),
    bytesField(8, varintField(2, model.opsetVersion)), // the default domain is the empty string, left out
  ]);
}

function encodeGraph(graph: Graph): Uint8Array {
  return concatenate([
    ...graph.nodes.map((node) => bytesField(1, encodeNode(node))),
    stringField(2, graph.name),
    ...graph.initialisers.map((tensor) => bytesField(5, encodeTensor(tensor))),
    ...graph.inputs.map((value) => bytesField(11, encodeValueInfo(value))),
    ...graph.outputs.map((value) => bytesField(12, encodeValueInfo(value))),
  ]);
}

function encodeNode(node: GraphNode): Uint8Array {
  return concatenate([
    ...node.inputs.map((name) => stringField(1, name)),
    ...node.outputs.map((name) => stringField(2, name)),
    stringField(4, node.opType),
    ...Object.entries(node.attributes).map(([name, value]) => bytesField(5, encodeAttribute(name, value))),
  ]);
}

function encodeAttribute(name: string, value: AttributeValue): Uint8Array {
  return concatenate([stringField(1, name), ...attributePayload(value), varintField(20, ATTRIBUTE_TYPES[value.kind])]);
}

function attributePayload(value: AttributeValue): Uint8Array[] {
  switch (value.kind) {
    case 'float':
      return [floatField(2, value.value)];
    case 'int':
      return [varintField(3, value.value)];
    case 'string':
      return [stringField(4, value.value)];
    case 'tensor':
      return [bytesField(5, encodeTensor(value.tensor))];
    case 'floats':
      return value.values.map((each) => floatField(7, each));
    case 'ints':
      return value.values.map((each) => varintField(8, each));
  }
}

function encodeTensor(tensor: GraphTensor): Uint8Array {
  return concatenate([
    ...tensor.shape.map((size) => varintField(1, size)),
    varintField(2, ELEMENT_TYPES[tensor.elementType]),
    stringField(8, tensor.name),
    bytesField(9, tensor.raw),
  ]);
}

function encodeValueInfo(value: ValueInfo): Uint8Array {
  const dimensions = value.shape.map((size) =>
    bytesField(1, typeof size === 'number' ? varintField(1, size) : stringField(2, size)),
  );
  const tensorType = concatenate([
    varintField(1, ELEMENT_TYPES[value.elementType]),
    bytesField(2, concatenate(dimensions)),
  ]);
  return concatenate([stringField(1, value.name), bytesField(2, bytesField(1, tensorType))]);
}
