/** Whether an uploaded update is what the plan asked for: exactly its tensors, every element finite. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AppError, type TensorRef, type TensorShape } from '@lantern/contract';
import { type Folder, requireTensors } from '@lantern/learning';
import type { FoldingDeps } from './folding.ts';
import { openTensorFile, type TensorFile } from './tensor-file.ts';

/** Between two of these the process serves others; a check of 4 MiB takes about 5 ms. */
const BYTES_PER_TURN = 4 * 1024 * 1024;

/** `undefined` when the file is usable; else what is wrong, naming tensor and rule. */
export async function checkUpdateFile(
  { blobs, folder }: FoldingDeps,
  file: TensorRef,
  parameters: readonly TensorShape[],
): Promise<string | undefined> {
  let update: TensorFile | undefined;
  try {
    update = await openTensorFile(blobs, file);
    requireTensors(update.layout, parameters);
    return await nonFiniteProblem(folder, update);
  } catch (caught) {
    const isProblem =
      caught instanceof AppError && ['tensor.invalid', 'update.invalid', 'input.digest-mismatch'].includes(caught.code);
    if (isProblem) return caught.message;
    throw caught;
  } finally {
    update?.close();
  }
}

async function nonFiniteProblem(folder: Folder, update: TensorFile): Promise<string | undefined> {
  for (const tensor of update.layout.tensors) {
    const source = { readInto: (target: Uint8Array, offset: number) => update.readInto(tensor, target, offset) };
    const sizeBytes = tensor.end - tensor.begin;
    for (let at = 0; at < sizeBytes; at += BYTES_PER_TURN) {
      const range = { byteOffset: at, byteLength: Math.min(BYTES_PER_TURN, sizeBytes - at) };
      if (folder.findNonFinite(source, range) >= 0) return `Tensor ${tensor.name} holds NaN or an infinity.`;
      if (sizeBytes > BYTES_PER_TURN) await nextTurn();
    }
  }
  return undefined;
}
