/** A safetensors file in the blob store or inside a message, read tensor by tensor straight into the caller's memory. */
import { AppError, type TensorRef } from '@lantern/contract';
import { headerBytesNeeded, parseHeader, type TensorEntry, type TensorLayout } from '@lantern/learning';
import { type BlobReader, type BlobStore, inlineBytes } from '@lantern/service';

const LENGTH_BYTES = 8;

export type TensorFile = {
  readonly layout: TensorLayout;
  /** Fills `target` from `byteOffset` of the tensor's data; gives how many bytes, at least 1 while there are any. */
  readonly readInto: (tensor: TensorEntry, target: Uint8Array, byteOffset: number) => number;
  readonly entry: (name: string) => TensorEntry;
  readonly close: () => void;
};

/** Throws `tensor.invalid` when the file is not safetensors, or not exactly as long as its header says; `input.digest-mismatch`. */
export async function openTensorFile(blobs: BlobStore, { bytes, ...blob }: TensorRef): Promise<TensorFile> {
  const reader =
    bytes === undefined ? await blobs.openReader(blob.digest) : memoryReader(inlineBytes({ ...blob, bytes }));
  try {
    const layout = readLayout(reader);
    return {
      layout,
      readInto: (tensor, target, byteOffset) => reader.readInto(target, layout.dataOffset + tensor.begin + byteOffset),
      entry(name) {
        const found = layout.tensors.find((tensor) => tensor.name === name);
        if (found === undefined) throw new AppError('tensor.invalid', `Tensor ${name} is missing.`);
        return found;
      },
      close: () => reader.close(),
    };
  } catch (caught) {
    reader.close();
    throw caught;
  }
}

function memoryReader(bytes: Uint8Array): BlobReader {
  return {
    sizeBytes: bytes.byteLength,
    readInto(target, byteOffset) {
      const part = bytes.subarray(byteOffset, byteOffset + target.byteLength);
      target.set(part);
      return part.byteLength;
    },
    close: () => undefined,
  };
}

function readLayout(reader: BlobReader): TensorLayout {
  const first = new Uint8Array(Math.min(LENGTH_BYTES, reader.sizeBytes));
  readFully(first, 0, (target, byteOffset) => reader.readInto(target, byteOffset));
  const header = new Uint8Array(Math.min(headerBytesNeeded(first), reader.sizeBytes));
  readFully(header, 0, (target, byteOffset) => reader.readInto(target, byteOffset));
  return parseHeader(header, {}, reader.sizeBytes);
}

/** Fills the whole of `target`; `read` may give less than it was asked for. */
export function readFully(
  target: Uint8Array,
  byteOffset: number,
  read: (target: Uint8Array, byteOffset: number) => number,
): void {
  let filled = 0;
  while (filled < target.byteLength) {
    const given = read(target.subarray(filled), byteOffset + filled);
    if (given <= 0) throw new AppError('tensor.invalid', 'A tensor file ends early.');
    filled += given;
  }
}
