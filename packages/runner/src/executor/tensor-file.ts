/**
 * safetensors files read and written tensor by tensor, so that a model is in memory once, in the arrays the computation
 * uses, whatever its size. Synchronous, because it runs in the worker process, which does one thing at a time.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { AppError, type GraphManifest, type TensorShape } from '@lantern/contract';
import {
  elementCount,
  encodeHeader,
  headerBytesNeeded,
  parseHeader,
  type TensorEntry,
  type TensorLayout,
} from '@lantern/learning';

const LENGTH_BYTES = 8;
const CHUNK_BYTES = 64 * 1024 ** 2; // one system call; far below the 2 GiB that Linux moves at once
const FLOAT_BYTES = 4;

/** Size of a model: its parameters as float32. */
export function parameterBytes(manifest: GraphManifest): number {
  return manifest.parameters.reduce((sum, { name, shape }) => sum + elementCount(shape, name) * FLOAT_BYTES, 0);
}

/** An open file whose header was parsed and checked. Close it. */
export class TensorFile {
  readonly layout: TensorLayout;
  readonly #descriptor: number;

  private constructor(descriptor: number, layout: TensorLayout) {
    this.#descriptor = descriptor;
    this.layout = layout;
  }

  /** Throws `tensor.invalid` for a file that is not safetensors. */
  static open(file: string): TensorFile {
    const descriptor = openSync(file, 'r');
    try {
      const first = new Uint8Array(LENGTH_BYTES);
      fill(descriptor, first, 0);
      const header = new Uint8Array(headerBytesNeeded(first));
      fill(descriptor, header, 0);
      return new TensorFile(descriptor, parseHeader(header, {}, fstatSync(descriptor).size));
    } catch (caught) {
      closeSync(descriptor);
      throw caught;
    }
  }

  /** Checks names, shapes and dtype F32 against what is expected. Throws `tensor.invalid` naming tensor and rule. */
  require(expected: readonly TensorShape[], what: string): void {
    const found = new Map(this.layout.tensors.map((tensor) => [tensor.name, tensor]));
    for (const { name, shape } of expected) {
      const tensor = found.get(name);
      if (tensor === undefined) throw refused(what, `tensor ${name} is missing`);
      if (tensor.dtype !== 'F32') throw refused(what, `tensor ${name} is not F32`);
      if (tensor.shape.join() !== shape.join()) {
        throw refused(what, `tensor ${name} has shape [${tensor.shape}], expected was [${shape}]`);
      }
    }
    if (found.size !== expected.length) throw refused(what, `it holds ${found.size} tensors, not ${expected.length}`);
  }

  entry(name: string, what: string): TensorEntry {
    const entry = this.layout.tensors.find((tensor) => tensor.name === name);
    if (entry === undefined) throw refused(what, `tensor ${name} is missing`);
    return entry;
  }

  /** One F32 tensor in an array of its own. */
  readFloats(name: string, what: string): Float32Array {
    const entry = this.entry(name, what);
    if (entry.dtype !== 'F32') throw refused(what, `tensor ${name} is not F32`);
    const values = new Float32Array(elementCount(entry.shape, name));
    this.readInto(entry, 0, values);
    return values;
  }

  /** Elements `firstElement` ... of an F32 tensor, as many as `target` holds. */
  readInto(entry: TensorEntry, firstElement: number, target: Float32Array): void {
    const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
    fill(this.#descriptor, bytes, this.layout.dataOffset + entry.begin + firstElement * FLOAT_BYTES);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function refused(what: string, rule: string): AppError {
  return new AppError('tensor.invalid', `${what}: ${rule}.`);
}

function fill(descriptor: number, target: Uint8Array, position: number): void {
  let done = 0;
  while (done < target.byteLength) {
    const wanted = Math.min(CHUNK_BYTES, target.byteLength - done);
    const count = readSync(descriptor, target, done, wanted, position + done);
    if (count === 0) throw new AppError('tensor.invalid', 'The tensor file ends before its data does.');
    done += count;
  }
}

/**
 * Writes F32 tensors to a new file, which whoever keeps it makes durable. `valuesOf` gives each tensor in the order of the file and may
 * reuse its array.
 */
export function writeFloats(
  file: string,
  tensors: readonly TensorShape[],
  valuesOf: (name: string) => Iterable<Float32Array>,
): void {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  const descriptor = openSync(file, 'w', 0o600);
  try {
    drain(descriptor, encodeHeader(sorted.map(({ name, shape }) => ({ name, dtype: 'F32', shape }))));
    for (const { name } of sorted) {
      for (const block of valuesOf(name)) {
        drain(descriptor, new Uint8Array(block.buffer, block.byteOffset, block.byteLength));
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

function drain(descriptor: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.byteLength) {
    done += writeSync(descriptor, bytes, done, Math.min(CHUNK_BYTES, bytes.byteLength - done));
  }
}
