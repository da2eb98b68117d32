/**
 * Reads an ONNX model that a stranger may have made. Field numbers are those of onnx.proto3.
 *
 * Every field is either understood, passed over because it is text for people (doc strings, metadata, value infos), or a reason
 * to refuse the file by name: there is no third kind, so nothing can be carried past us into the runtime.
 */
import {
  ATTRIBUTE_TYPES,
  type AttributeValue,
  type Dimension,
  ELEMENT_BYTES,
  ELEMENT_TYPES,
  type ElementType,
  type Graph,
  type GraphNode,
  type GraphTensor,
  type OnnxModel,
  type ValueInfo,
} from './model.ts';
import { type ProtoField, readFields, readPackedVarints, refuseGraph } from './protobuf.ts';

/** Plain data of a model file. Throws `bundle.invalid` naming what is malformed or has no form here. */
export function decodeModel(bytes: Uint8Array): OnnxModel {
  let irVersion: number | undefined;
  let graph: Graph | undefined;
  const opsets: { domain: string; version: number }[] = [];
  for (const field of readFields(bytes)) {
    if (field.number === 1) irVersion = integerOf(field);
    else if (field.number === 7 && graph === undefined) graph = decodeGraph(bytesOf(field));
    else if (field.number === 8) opsets.push(decodeOpset(bytesOf(field)));
    else pass(field, 'model', { skip: [2, 3, 4, 5, 6, 14], refused: { 20: 'training information', 25: 'functions' } });
  }
  const [opset, ...others] = opsets;
  if (opset === undefined || others.length > 0 || !['', 'ai.onnx'].includes(opset.domain)) {
    throw refuseGraph('it must import exactly one operator set, the default domain');
  }
  if (graph === undefined || irVersion === undefined) throw refuseGraph('it has no graph or no IR version');
  return { irVersion, opsetVersion: opset.version, graph };
}

function decodeOpset(bytes: Uint8Array): { domain: string; version: number } {
  let domain = '';
  let version = 0;
  for (const field of readFields(bytes)) {
    if (field.number === 1) domain = textOf(field);
    else if (field.number === 2) version = integerOf(field);
    else pass(field, 'operator set', {});
  }
  return { domain, version };
}

function decodeGraph(bytes: Uint8Array): Graph {
  let name = '';
  const nodes: GraphNode[] = [];
  const initialisers: GraphTensor[] = [];
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  for (const field of readFields(bytes)) {
    if (field.number === 1) nodes.push(decodeNode(bytesOf(field)));
    else if (field.number === 2) name = textOf(field);
    else if (field.number === 5) initialisers.push(decodeTensor(bytesOf(field)));
    else if (field.number === 11) inputs.push(decodeValueInfo(bytesOf(field)));
    else if (field.number === 12) outputs.push(decodeValueInfo(bytesOf(field)));
    else pass(field, 'graph', { skip: [10, 13, 16], refused: { 14: 'quantisation', 15: 'sparse initialisers' } });
  }
  return { name, nodes, initialisers, inputs, outputs };
}

function decodeNode(bytes: Uint8Array): GraphNode {
  let opType = '';
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes = new Map<string, AttributeValue>();
  for (const field of readFields(bytes)) {
    if (field.number === 1) inputs.push(textOf(field));
    else if (field.number === 2) outputs.push(textOf(field));
    else if (field.number === 4) opType = textOf(field);
    else if (field.number === 5) {
      const [name, value] = decodeAttribute(bytesOf(field));
      if (attributes.has(name)) throw refuseGraph(`attribute ${name} is given twice`);
      attributes.set(name, value);
    } else if (field.number === 7 && !['', 'ai.onnx'].includes(textOf(field))) {
      throw refuseGraph('a node is of a domain other than the default');
    } else if (field.number !== 7) pass(field, 'node', { skip: [3, 6, 9], refused: { 8: 'overloads' } });
  }
  return { opType, inputs, outputs, attributes: Object.fromEntries(attributes) };
}

const SUBGRAPH = 'subgraphs in attributes';

function decodeAttribute(bytes: Uint8Array): [string, AttributeValue] {
  let name = '';
  let type = 0;
  const ints: number[] = [];
  const floats: number[] = [];
  const texts: string[] = [];
  const tensors: GraphTensor[] = [];
  for (const field of readFields(bytes)) {
    if (field.number === 1) name = textOf(field);
    else if (field.number === 2 || field.number === 7) floats.push(...floatsOf(field));
    else if (field.number === 3 || field.number === 8) ints.push(...integersOf(field));
    else if (field.number === 4) texts.push(textOf(field));
    else if (field.number === 5) tensors.push(decodeTensor(bytesOf(field)));
    else if (field.number === 20) type = integerOf(field);
    else pass(field, 'attribute', { skip: [13], refused: { 6: SUBGRAPH, 11: SUBGRAPH } });
  }
  return [name, attributeOf(name, { type, ints, floats, texts, tensors })];
}

function attributeOf(
  name: string,
  found: { type: number; ints: number[]; floats: number[]; texts: string[]; tensors: GraphTensor[] },
): AttributeValue {
  const { ints, floats, texts, tensors } = found;
  const [int = 0] = ints; // proto3 leaves a zero out
  const [float = 0] = floats;
  const [text = ''] = texts;
  const [tensor] = tensors;
  switch (found.type) {
    case ATTRIBUTE_TYPES.int:
      return { kind: 'int', value: int };
    case ATTRIBUTE_TYPES.float:
      return { kind: 'float', value: float };
    case ATTRIBUTE_TYPES.string:
      return { kind: 'string', value: text };
    case ATTRIBUTE_TYPES.ints:
      return { kind: 'ints', values: ints };
    case ATTRIBUTE_TYPES.floats:
      return { kind: 'floats', values: floats };
    case ATTRIBUTE_TYPES.tensor:
      if (tensor !== undefined) return { kind: 'tensor', tensor };
  }
  throw refuseGraph(`attribute ${name} has a type that is not allowed`);
}

/** Fields that hold numbers in a typed list instead of raw bytes: field number -> the element types that use it. */
const TYPED_DATA: Readonly<Record<number, readonly ElementType[]>> = {
  4: ['float32'],
  5: ['int32', 'int8', 'uint8', 'bool'],
  7: ['int64'],
  10: ['float64'],
};

function decodeTensor(bytes: Uint8Array): GraphTensor {
  let name = '';
  let elementType: ElementType | undefined;
  let raw: Uint8Array | undefined;
  const shape: number[] = [];
  const typed: { field: number; numbers: (number | bigint)[] }[] = [];
  for (const field of readFields(bytes)) {
    if (field.number === 1) shape.push(...integersOf(field));
    else if (field.number === 2) elementType = elementTypeOf(integerOf(field));
    else if (field.number === 8) name = textOf(field);
    else if (field.number === 9) raw = bytesOf(field);
    else if (field.number in TYPED_DATA) typed.push({ field: field.number, numbers: typedNumbers(field) });
    else if (field.number === 14 && integerOf(field) === 0)
      continue; // data location: in the file
    else pass(field, 'tensor', { skip: [12, 16], refused: { 13: 'external data', 14: 'external data' } });
  }
  if (elementType === undefined) throw refuseGraph(`tensor ${name} has no element type`);
  const data = raw ?? packed(elementType, typed, name);
  if (shape.some((size) => size < 0) || data.byteLength !== product(shape) * ELEMENT_BYTES[elementType]) {
    throw refuseGraph(`tensor ${name} has a length that is not its shape`);
  }
  return { name, elementType, shape, raw: data };
}

function typedNumbers(field: ProtoField): (number | bigint)[] {
  if (field.number === 4) return floatsOf(field);
  if (field.number !== 10) return field.kind === 'bytes' ? readPackedVarints(field.bytes) : [bigintOf(field)];
  const view = viewOf(bytesOf(field, 'fixed64'));
  return Array.from({ length: Math.floor(view.byteLength / 8) }, (_, index) => view.getFloat64(8 * index, true));
}

function packed(
  elementType: ElementType,
  typed: readonly { field: number; numbers: readonly (number | bigint)[] }[],
  name: string,
): Uint8Array {
  if (typed.some(({ field }) => TYPED_DATA[field]?.includes(elementType) !== true)) {
    throw refuseGraph(`tensor ${name} keeps its numbers in a field of another type`);
  }
  const numbers = typed.flatMap((part) => part.numbers);
  const width = ELEMENT_BYTES[elementType];
  const raw = new Uint8Array(numbers.length * width);
  const view = viewOf(raw);
  for (const [index, value] of numbers.entries()) {
    const at = index * width;
    if (elementType === 'float32') view.setFloat32(at, Number(value), true);
    else if (elementType === 'float64') view.setFloat64(at, Number(value), true);
    else if (elementType === 'int64') view.setBigInt64(at, BigInt(value), true);
    else if (elementType === 'int32') view.setInt32(at, Number(BigInt.asIntN(32, BigInt(value))), true);
    else view.setUint8(at, Number(BigInt.asUintN(8, BigInt(value))));
  }
  return raw;
}

function decodeValueInfo(bytes: Uint8Array): ValueInfo {
  let name = '';
  let type: Omit<ValueInfo, 'name'> | undefined;
  for (const field of readFields(bytes)) {
    if (field.number === 1) name = textOf(field);
    else if (field.number === 2) type = decodeType(bytesOf(field));
    else pass(field, 'value', { skip: [3, 4] });
  }
  if (type === undefined) throw refuseGraph(`value ${name} has no type`);
  return { name, ...type };
}

function decodeType(bytes: Uint8Array): Omit<ValueInfo, 'name'> {
  for (const field of readFields(bytes)) {
    if (field.number === 1) return decodeTensorType(bytesOf(field));
  }
  throw refuseGraph('a value is not a dense tensor');
}

function decodeTensorType(bytes: Uint8Array): Omit<ValueInfo, 'name'> {
  let elementType: ElementType | undefined;
  const shape: Dimension[] = [];
  for (const field of readFields(bytes)) {
    if (field.number === 1) elementType = elementTypeOf(integerOf(field));
    else if (field.number === 2) {
      for (const dimension of readFields(bytesOf(field))) shape.push(decodeDimension(bytesOf(dimension)));
    } else pass(field, 'tensor type', {});
  }
  if (elementType === undefined) throw refuseGraph('a value has no element type');
  return { elementType, shape };
}

function decodeDimension(bytes: Uint8Array): Dimension {
  for (const field of readFields(bytes)) {
    if (field.number === 1) return integerOf(field);
    if (field.number === 2) return textOf(field);
  }
  return '';
}

/** What to do with a field that has no form here: pass over it, refuse it by name, or refuse it by number. */
function pass(
  field: ProtoField,
  where: string,
  rules: { skip?: readonly number[]; refused?: Readonly<Record<number, string>> },
): void {
  if (rules.skip?.includes(field.number) === true) return;
  throw refuseGraph(`${rules.refused?.[field.number] ?? `field ${field.number} of a ${where}`} is not allowed`);
}

function bytesOf(field: ProtoField, alsoKind: 'fixed32' | 'fixed64' | 'bytes' = 'bytes'): Uint8Array {
  if (field.kind === 'bytes' || field.kind === alsoKind) return field.bytes;
  throw refuseGraph(`field ${field.number} has the wrong wire type`);
}

function textOf(field: ProtoField): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytesOf(field));
  } catch (cause) {
    throw refuseGraph('a name is not UTF-8', cause);
  }
}

function bigintOf(field: ProtoField): bigint {
  if (field.kind === 'varint') return field.value;
  throw refuseGraph(`field ${field.number} has the wrong wire type`);
}

function integerOf(field: ProtoField): number {
  return safeInteger(bigintOf(field));
}

function integersOf(field: ProtoField): number[] {
  return (field.kind === 'bytes' ? readPackedVarints(field.bytes) : [bigintOf(field)]).map(safeInteger);
}

function safeInteger(value: bigint): number {
  const signed = Number(BigInt.asIntN(64, value));
  if (!Number.isSafeInteger(signed)) throw refuseGraph('a number is beyond 2^53');
  return signed;
}

function floatsOf(field: ProtoField): number[] {
  const view = viewOf(bytesOf(field, 'fixed32'));
  return Array.from({ length: Math.floor(view.byteLength / 4) }, (_, index) => view.getFloat32(4 * index, true));
}

function elementTypeOf(code: number): ElementType {
  for (const [name, value] of Object.entries(ELEMENT_TYPES)) {
    if (value === code && isElementType(name)) return name;
  }
  throw refuseGraph(`element type ${code} is not allowed`);
}

function isElementType(name: string): name is ElementType {
  return Object.hasOwn(ELEMENT_TYPES, name);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function product(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}
