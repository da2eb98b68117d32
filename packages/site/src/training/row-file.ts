/**
 * The rows of a run as a safetensors file: `x` [rows, features] row-major and `y` [rows]. Written once by streaming, read in
 * blocks, so that memory does not grow with the number of patients.
 *
 * float64 for the analyses, whose sums must equal the pooled computation; float32, standardised, for the graphs.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { AppError, type Standardisation } from '@lantern/contract';
import { encodeHeader, headerBytesNeeded, parseHeader, standardise, type TensorLayout } from '@lantern/learning';

const BLOCK_ROWS = 8192; // about a megabyte of a dozen features; one block for the tables of a single clinic
const BLOCK_NUMBERS_MAX = 1024 ** 2; // rows with images are fewer: 8 MiB
const LENGTH_BYTES = 8;

export type RowBlock = {
  readonly rowCount: number;
  readonly featureCount: number;
  /** Row-major [rowCount, featureCount]. */
  readonly values: Float64Array;
  /** [rowCount], each 0 or 1. */
  readonly labels: Float64Array;
};

type Shape = { readonly rowCount: number; readonly featureCount: number };

/** Writes rows in the order in which they are appended; `finish` refuses another number of rows than announced. */
export async function createRowFile(file: string, shape: Shape, dtype: 'F64' | 'F32') {
  const handle = await open(file, 'w');
  const tensors = [
    { name: 'x', dtype, shape: [shape.rowCount, shape.featureCount] },
    { name: 'y', dtype, shape: [shape.rowCount] },
  ];
  const header = encodeHeader(tensors);
  await handle.write(header, 0, header.byteLength, 0);
  const labels = dtype === 'F64' ? new Float64Array(shape.rowCount) : new Float32Array(shape.rowCount);
  let position = header.byteLength;
  let written = 0;
  return {
    async append(block: Pick<RowBlock, 'values' | 'labels'>): Promise<void> {
      if (written + block.labels.length > shape.rowCount) throw unequalRows();
      labels.set(block.labels, written);
      written += block.labels.length;
      position += await writeAll(handle, dtype === 'F64' ? block.values : Float32Array.from(block.values), position);
    },
    async finish(): Promise<void> {
      if (written !== shape.rowCount) throw unequalRows();
      await writeAll(handle, labels, position);
      await handle.close();
    },
    abandon: () => handle.close(),
  };
}

async function writeAll(handle: FileHandle, numbers: Float64Array | Float32Array, position: number): Promise<number> {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  let done = 0;
  while (done < bytes.byteLength) {
    done += (await handle.write(bytes, done, bytes.byteLength - done, position + done)).bytesWritten;
  }
  return done;
}

function unequalRows(): AppError {
  return new AppError('internal', 'The rows of a run are not as many as were counted.');
}

/** Reads a float64 file block by block. */
export async function* rowBlocks(file: string): AsyncGenerator<RowBlock, void, undefined> {
  const handle = await open(file, 'r');
  try {
    const layout = await readLayout(handle);
    const [x, y] = layout.tensors;
    const [rowCount = 0, featureCount = 0] = x?.shape ?? [];
    if (x?.dtype !== 'F64' || y === undefined)
      throw new AppError('storage.corrupt', 'A file of rows has another form.');
    const blockRows = Math.max(1, Math.min(BLOCK_ROWS, Math.floor(BLOCK_NUMBERS_MAX / featureCount)));
    for (let first = 0; first < rowCount; first += blockRows) {
      const count = Math.min(blockRows, rowCount - first);
      const values = await readDoubles(
        handle,
        layout.dataOffset + x.begin + first * featureCount * 8,
        count * featureCount,
      );
      const labels = await readDoubles(handle, layout.dataOffset + y.begin + first * 8, count);
      yield { rowCount: count, featureCount, values, labels };
    }
  } finally {
    await handle.close();
  }
}

async function readLayout(handle: FileHandle): Promise<TensorLayout> {
  const first = await readBytes(handle, 0, LENGTH_BYTES);
  return parseHeader(await readBytes(handle, 0, headerBytesNeeded(first)), {}, (await handle.stat()).size);
}

async function readDoubles(handle: FileHandle, position: number, count: number): Promise<Float64Array> {
  const bytes = await readBytes(handle, position, count * 8);
  return new Float64Array(bytes.buffer, bytes.byteOffset, count);
}

async function readBytes(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new AppError('storage.corrupt', 'A file of rows is shorter than it was.');
    done += bytesRead;
  }
  return bytes;
}

/** The same block with its features standardised; unchanged without a standardisation. */
export function standardiseBlock(block: RowBlock, by: Standardisation | undefined): RowBlock {
  return by === undefined ? block : { ...block, values: standardise(block.values, by) };
}

/** Writes the float32, standardised twin of a float64 file. */
export async function writeStandardised(
  source: string,
  target: { file: string; shape: Shape; by: Standardisation | undefined },
): Promise<void> {
  const writer = await createRowFile(target.file, target.shape, 'F32');
  try {
    for await (const block of rowBlocks(source)) await writer.append(standardiseBlock(block, target.by));
    await writer.finish();
  } catch (caught) {
    await writer.abandon().catch(() => undefined); // closed already; the first error tells more
    throw caught;
  }
}
