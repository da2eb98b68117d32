/**
 * safetensors: how weights and updates travel and rest. Eight bytes of header length, a JSON header, then the numbers.
 *
 * There is no code in the format, but a header can lie. Everything it claims is checked against the file's size and our
 * limits before a byte is allocated for it. Invariant of a `TensorLayout`: the tensors, in the order of `begin`, cover the
 * data without hole and without overlap, and each one's length is the product of its shape and its element size.
 *
 * What we write is deterministic (tensors sorted by name, canonical JSON, header padded with spaces to 8 bytes), so equal
 * tensors have equal bytes and one digest, and two updates of one model have the same offsets.
 *
 * Numbers are little-endian in the format and read through typed arrays, so this needs a little-endian machine, as do
 * ONNX Runtime and every platform Node.js ships for except IBM Z.
 */
import { AppError, canonicalJson, type TensorShape } from '@lantern/contract';
import { refuseTensorFile, scanHeader } from './safetensors-header.ts';

/** Bytes per element of each dtype of the format. We compute with the first three; a limit refuses the others. */
const ELEMENT_BYTES = {
  F32: 4,
  F64: 8,
  I64: 8,
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  U64: 8,
} as const;
export type Dtype = keyof typeof ELEMENT_BYTES;

/** `begin` and `end` in bytes from the start of the data, that is from `dataOffset` of the file. */
export type TensorEntry = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
};

/** Tensors in the order of their bytes. `sizeBytes` is that of the whole file. */
export type TensorLayout = {
  readonly tensors: readonly TensorEntry[];
  readonly dataOffset: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
};

export type Tensor =
  | { readonly dtype: 'F32'; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: 'F64'; readonly shape: readonly number[]; readonly data: Float64Array }
  | { readonly dtype: 'I64'; readonly shape: readonly number[]; readonly data: BigInt64Array };

export type TensorLimits = {
  readonly headerSizeBytesMax: number;
  readonly tensorCountMax: number;
  readonly nameLengthMax: number;
  readonly rankMax: number;
  readonly sizeBytesMax: number;
  readonly dtypes: readonly Dtype[];
};

const TENSOR_LIMITS: TensorLimits = {
  headerSizeBytesMax: 8 * 1024 ** 2, // 20,000 tensors with long names need 6 MB
  tensorCountMax: 20_000, // parameters and optimiser state of the largest manifest
  nameLengthMax: 256, // as the bundle manifest
  rankMax: 8,
  sizeBytesMax: 12 * 1024 ** 3, // the largest bundle
  dtypes: ['F32', 'F64', 'I64'],
};

const LENGTH_BYTES = 8;
const ALIGNMENT = 8;

/** Bytes from the start of the file up to the data, read from its first 8 bytes. Throws `tensor.invalid` beyond the limit. */
export function headerBytesNeeded(first8: Uint8Array, limits: Partial<TensorLimits> = {}): number {
  const { headerSizeBytesMax } = { ...TENSOR_LIMITS, ...limits };
  if (first8.byteLength < LENGTH_BYTES) throw refuseTensorFile('shorter than its 8 bytes of header length');
  const length = new DataView(first8.buffer, first8.byteOffset).getBigUint64(0, true);
  if (length > BigInt(headerSizeBytesMax)) throw refuseTensorFile(`header longer than ${headerSizeBytesMax} bytes`);
  if (length < 2n) throw refuseTensorFile('header length below 2');
  return LENGTH_BYTES + Number(length);
}

/**
 * Parses and checks a header.
 *
 * bytes          the file from its start; at least `headerBytesNeeded` bytes, more does not matter
 * limits         overrides of `TENSOR_LIMITS`
 * fileSizeBytes  the true size, where known: a file shorter or longer than its header says is refused
 * throws         `tensor.invalid` naming the rule
 */
export function parseHeader(
  bytes: Uint8Array,
  limits: Partial<TensorLimits> = {},
  fileSizeBytes?: number,
): TensorLayout {
  const bound = { ...TENSOR_LIMITS, ...limits };
  const dataOffset = headerBytesNeeded(bytes, bound);
  if (bytes.byteLength < dataOffset) throw refuseTensorFile('shorter than its header');
  const scanned = scanHeader(headerText(bytes.subarray(LENGTH_BYTES, dataOffset)), {
    memberCountMax: bound.tensorCountMax,
    rankMax: bound.rankMax,
  });
  const tensors = scanned.members
    .map((member) => checkMember(member, bound))
    .sort((a, b) => a.begin - b.begin || a.end - b.end || (a.name < b.name ? -1 : 1));
  let end = 0;
  for (const tensor of tensors) {
    if (tensor.begin !== end) throw refuseTensorFile(`tensor ${tensor.name} leaves a hole or overlaps another`);
    end = tensor.end;
  }
  const sizeBytes = dataOffset + end;
  if (sizeBytes > bound.sizeBytesMax) throw refuseTensorFile(`larger than ${bound.sizeBytesMax} bytes`);
  if (fileSizeBytes !== undefined && fileSizeBytes !== sizeBytes) {
    throw refuseTensorFile(`the file has ${fileSizeBytes} bytes, its header says ${sizeBytes}`);
  }
  return { tensors, dataOffset, metadata: Object.fromEntries(scanned.metadata), sizeBytes };
}

function headerText(bytes: Uint8Array): string {
  if (bytes[0] !== 0x7b) throw refuseTensorFile('the header does not begin with "{"');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AppError('tensor.invalid', 'safetensors: the header is not UTF-8.', { cause });
  }
}

function checkMember(
  member: { name: string; dtype: string; shape: readonly number[]; offsets: readonly number[] },
  limits: TensorLimits,
): TensorEntry {
  const { name, dtype, shape } = member;
  if (name.length === 0 || name.length > limits.nameLengthMax) {
    throw refuseTensorFile(`a tensor name is empty or longer than ${limits.nameLengthMax} characters`);
  }
  if (!isDtype(dtype)) throw refuseTensorFile(`tensor ${name} has a dtype the format does not know`);
  if (!limits.dtypes.includes(dtype)) throw refuseTensorFile(`tensor ${name} is ${dtype}, allowed: ${limits.dtypes}`);
  const [begin, end] = member.offsets;
  if (begin === undefined || end === undefined || begin > end) {
    throw refuseTensorFile(`tensor ${name} needs two rising data_offsets`);
  }
  if (end - begin !== elementCount(shape, name) * ELEMENT_BYTES[dtype]) {
    throw refuseTensorFile(`tensor ${name} has a length that is not its shape times ${ELEMENT_BYTES[dtype]} bytes`);
  }
  return { name, dtype, shape, begin, end };
}

function isDtype(text: string): text is Dtype {
  return Object.hasOwn(ELEMENT_BYTES, text);
}

/** Product of a shape; 1 for a scalar. Throws `tensor.invalid` when its bytes would leave the safe integers. */
export function elementCount(shape: readonly number[], name = 'given'): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) throw refuseTensorFile(`tensor ${name} has a size that is no integer`);
    count *= size;
    if (count * 8 > Number.MAX_SAFE_INTEGER) throw refuseTensorFile(`tensor ${name} has a shape too large to address`);
  }
  return count;
}

/** The header of a file with these tensors, which must follow it sorted by name (code units) without gaps. */
export function encodeHeader(
  tensors: readonly { readonly name: string; readonly dtype: Dtype; readonly shape: readonly number[] }[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const members: [string, unknown][] = [];
  let end = 0;
  for (const { name, dtype, shape } of [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const begin = end;
    end += elementCount(shape, name) * ELEMENT_BYTES[dtype];
    members.push([name, { dtype, shape, data_offsets: [begin, end] }]);
  }
  if (new Set(members.map(([name]) => name)).size !== members.length) throw refuseTensorFile('two tensors of one name');
  if (Object.keys(metadata).length > 0) members.push(['__metadata__', metadata]);
  const json = new TextEncoder().encode(canonicalJson(Object.fromEntries(members)));
  const padded = Math.ceil(json.byteLength / ALIGNMENT) * ALIGNMENT;
  const header = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, LENGTH_BYTES);
  return header;
}

/** A whole file. Each `data` must hold exactly the product of `shape`; it is copied. */
export function encodeTensors(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const sorted = Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, { shape, data }] of sorted) {
    if (data.length !== elementCount(shape, name)) {
      throw refuseTensorFile(`tensor ${name} has ${data.length} elements, its shape says otherwise`);
    }
  }
  const header = encodeHeader(
    sorted.map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    metadata,
  );
  const sizeBytes = sorted.reduce((sum, [, { data }]) => sum + data.byteLength, header.byteLength);
  const file = new Uint8Array(sizeBytes);
  file.set(header);
  let at = header.byteLength;
  for (const [, { data }] of sorted) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/**
 * All tensors of a whole file. `data` shares the memory of `bytes` where its alignment allows, so treat it as read-only.
 * Throws `tensor.invalid`.
 */
export function decodeTensors(bytes: Uint8Array, limits: Partial<TensorLimits> = {}): Map<string, Tensor> {
  const layout = parseHeader(bytes, limits, bytes.byteLength);
  const tensors = new Map<string, Tensor>();
  for (const entry of layout.tensors) {
    const raw = bytes.subarray(layout.dataOffset + entry.begin, layout.dataOffset + entry.end);
    tensors.set(entry.name, tensorOf(entry, raw));
  }
  return tensors;
}

function tensorOf({ name, dtype, shape }: TensorEntry, raw: Uint8Array): Tensor {
  const aligned = raw.byteOffset % ELEMENT_BYTES[dtype] === 0 ? raw : new Uint8Array(raw);
  const length = raw.byteLength / ELEMENT_BYTES[dtype];
  switch (dtype) {
    case 'F32':
      return { dtype, shape, data: new Float32Array(aligned.buffer, aligned.byteOffset, length) };
    case 'F64':
      return { dtype, shape, data: new Float64Array(aligned.buffer, aligned.byteOffset, length) };
    case 'I64':
      return { dtype, shape, data: new BigInt64Array(aligned.buffer, aligned.byteOffset, length) };
    default:
      throw refuseTensorFile(`tensor ${name} is ${dtype}, which is not computed with`);
  }
}

/**
 * Checks that a file holds exactly the tensors a plan asked for: same names, same shapes, float32. Throws `update.invalid`
 * naming the tensor and the rule.
 */
export function requireTensors(layout: TensorLayout, expected: readonly TensorShape[]): void {
  const found = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name, shape } of expected) {
    const tensor = found.get(name);
    if (tensor === undefined) throw new AppError('update.invalid', `Tensor ${name} is missing.`);
    if (tensor.dtype !== 'F32') throw new AppError('update.invalid', `Tensor ${name} is not F32.`);
    if (tensor.shape.join() !== shape.join()) {
      throw new AppError('update.invalid', `Tensor ${name} has shape [${tensor.shape}], asked was [${shape}].`);
    }
    found.delete(name);
  }
  const [extra] = found.keys();
  if (extra !== undefined) throw new AppError('update.invalid', `Tensor ${extra} was not asked for.`);
}
