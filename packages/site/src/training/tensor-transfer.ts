/**
 * Tensor files of a step on their way in and out: small ones inside task and answer, large ones as blobs.
 *
 * What came in is needed only while the step is computed: the next round brings new weights, and a step done again after a
 * crash takes them from its task or fetches them again. What goes out is durable before the answer that names it is stored:
 * inside that answer, or in the run's store of files. Small files are read and written synchronously: a trip through the thread
 * pool takes longer than the bytes.
 */
import { createReadStream, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type BlobRef, INLINE_TENSOR_BYTES_MAX, type TensorRef } from '@lantern/contract';
import { type BlobStore, inlineBlob, inlineBytes } from '@lantern/service';
import type { Outbound } from '../hub-link/outbound.ts';
import { downloadBlob } from '../hub-link/transfer.ts';

/** A file with the tensors, for a program that reads by path. Throws `input.digest-mismatch` for bytes of another name. */
export async function fetchTensors(
  deps: { readonly outbound: Outbound },
  ref: TensorRef,
  to: { dir: string; name: string; part: string; files: BlobStore; signal: AbortSignal },
): Promise<string> {
  const { bytes, ...blob } = ref;
  if (bytes === undefined) {
    await downloadBlob(deps.outbound, to.files, { ...blob, signal: to.signal });
    return to.files.pathOf(blob.digest);
  }
  const file = path.join(to.dir, `${to.name}.${to.part}.safetensors`);
  writeFileSync(file, inlineBytes({ ...blob, bytes }));
  return file;
}

/** Removes files that `fetchTensors` gave. */
export function forgetInputs(inputs: readonly (string | undefined)[]): void {
  for (const input of inputs) if (input !== undefined) rmSync(input, { force: true });
}

/** Takes over a file that is to leave: small ones into memory, others into `files`. */
export async function takeTensors(files: BlobStore, file: string): Promise<TensorRef> {
  if (statSync(file).size > INLINE_TENSOR_BYTES_MAX) return storeFile(files, file);
  const ref = inlineBlob(readFileSync(file));
  rmSync(file);
  return ref;
}

/** Moves a file into a store. */
export async function storeFile(store: BlobStore, file: string): Promise<BlobRef> {
  const { digest, sizeBytes } = await store.put(createReadStream(file));
  rmSync(file);
  return { digest, sizeBytes };
}
