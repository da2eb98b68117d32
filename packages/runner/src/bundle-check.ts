/**
 * Whether a bundle is what its manifest says, asked by the hub on the way in and by each site before it runs anything:
 * every file by size and digest, the graphs by the rules that make a stranger's graph safe to run, and the tensors by the
 * declared layout.
 *
 * A file is read in blocks, so that first weights of any size are checked in the memory of one block; only graphs are held whole.
 */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  AppError,
  BUNDLE_FILE_PATHS,
  type BundleManifest,
  type Digest,
  type GraphManifest,
  type TensorShape,
  toAppError,
} from '@lantern/contract';
import {
  buildTrainingGraph,
  checkGraph,
  type DeclaredEnds,
  headerBytesNeeded,
  parseHeader,
  type TensorLayout,
} from '@lantern/learning';
import { labelColumns } from './executor/labelled-rows.ts';

const BLOCK_BYTES = 1024 * 1024; // hashed or looked through in about a millisecond, then others have their turn
const HEADER_LENGTH_BYTES = 8;
const GRAPH_BYTES_MAX = 16 * 1024 * 1024; // weights are inputs of a graph; a graph of a thousand layers has about a MiB

export type BundleFile = { readonly path: string; readonly digest: Digest; readonly sizeBytes: number };

/** An open file of a bundle, as a blob store gives it. */
export type BundleFileReader = {
  readonly sizeBytes: number;
  /** Fills `target` from `byteOffset` on; returns how many bytes there were. */
  readInto(target: Uint8Array, byteOffset: number): number;
  close(): void;
};

/**
 * Checks a bundle of either kind. `openFile` opens a file of the manifest; it is closed here.
 * Throws `bundle.invalid` naming file and rule.
 */
export async function checkBundle(
  manifest: BundleManifest,
  openFile: (file: BundleFile) => Promise<BundleFileReader>,
): Promise<void> {
  if (manifest.kind === 'analysis') return;
  checkFileList(manifest);
  checkDeclaredTensors(manifest);
  for (const file of manifest.files) {
    const reader = await openFile(file);
    try {
      if (reader.sizeBytes !== file.sizeBytes)
        throw refused(file.path, `has ${reader.sizeBytes} bytes, not ${file.sizeBytes}`);
      if ((await digestOf(reader)) !== file.digest)
        throw refused(file.path, 'does not have the digest of the manifest');
      await checkContent(manifest, file.path, reader);
    } finally {
      reader.close();
    }
  }
}

function refused(path: string, rule: string, cause?: unknown): AppError {
  return new AppError('bundle.invalid', `File ${path} ${rule}.`, { field: path, cause });
}

async function digestOf(reader: BundleFileReader): Promise<string> {
  const hash = createHash('sha256');
  for await (const block of blocksOf(reader, 0)) hash.update(block);
  return hash.digest('hex');
}

/** The bytes from `begin` to the end; each block overwrites the one before. */
async function* blocksOf(reader: BundleFileReader, begin: number): AsyncGenerator<Uint8Array, void, undefined> {
  const memory = new Uint8Array(Math.min(BLOCK_BYTES, reader.sizeBytes - begin));
  for (let at = begin; at < reader.sizeBytes; at += memory.byteLength) {
    const block = memory.subarray(0, Math.min(memory.byteLength, reader.sizeBytes - at));
    fill(reader, block, at);
    yield block;
    await nextTurn();
  }
}

function fill(reader: BundleFileReader, target: Uint8Array, byteOffset: number): void {
  let filled = 0;
  while (filled < target.byteLength) {
    const count = reader.readInto(target.subarray(filled), byteOffset + filled);
    if (count === 0) throw new AppError('storage.corrupt', 'A file of a bundle is shorter than it was.');
    filled += count;
  }
}

function checkFileList({ files }: GraphManifest): void {
  const known = new Set<string>(Object.values(BUNDLE_FILE_PATHS));
  const seen = new Set<string>();
  for (const { path } of files) {
    if (!known.has(path)) throw refused(path, 'is not a file of a graph bundle');
    if (seen.has(path)) throw refused(path, 'is named twice');
    seen.add(path);
  }
  for (const path of known) if (!seen.has(path)) throw refused(path, 'is missing from the manifest');
}

/** Parameters and optimiser state follow from the model; a manifest that says otherwise describes another graph. */
function checkDeclaredTensors(manifest: GraphManifest): void {
  const { parameters, optimiserState } = buildTrainingGraph(manifest.model);
  if (!sameTensors(manifest.parameters, parameters))
    throw refused('manifest', 'has parameters that do not follow from its model');
  if (!sameTensors(manifest.optimiserState, optimiserState)) {
    throw refused('manifest', 'has an optimiser state that does not follow from its model');
  }
}

function sameTensors(left: readonly TensorShape[], right: readonly TensorShape[]): boolean {
  const spelt = (tensors: readonly TensorShape[]) =>
    tensors.map(({ name, shape }) => `${name} ${shape.join('x')}`).sort();
  return spelt(left).join('\n') === spelt(right).join('\n');
}

async function checkContent(manifest: GraphManifest, path: string, reader: BundleFileReader): Promise<void> {
  if (path === BUNDLE_FILE_PATHS.initialWeights) await checkInitialWeights(manifest, reader);
  if (path === BUNDLE_FILE_PATHS.train) checkGraphFile(path, reader, trainEnds(manifest));
  if (path === BUNDLE_FILE_PATHS.predict) checkGraphFile(path, reader, predictEnds(manifest));
}

function checkGraphFile(path: string, reader: BundleFileReader, declared: DeclaredEnds): void {
  if (reader.sizeBytes > GRAPH_BYTES_MAX) throw refused(path, `has more than ${GRAPH_BYTES_MAX} bytes`);
  const bytes = new Uint8Array(reader.sizeBytes);
  fill(reader, bytes, 0);
  try {
    checkGraph(bytes, { declared });
  } catch (cause) {
    throw refused(path, `breaks a rule of graphs: ${toAppError(cause).message}`, cause);
  }
}

/** The inputs and outputs the executor feeds and reads; see learning's training graph. */
function trainEnds({ model, parameters, optimiserState }: GraphManifest): DeclaredEnds {
  const { batchSize, featureCount, proximal, control, optimiser } = model;
  const prefixed = (prefix: string) => parameters.map(({ name, shape }) => ({ name: prefix + name, shape }));
  const scalar = (name: string): TensorShape => ({ name, shape: [] });
  const kept = [...parameters, ...optimiserState];
  return {
    inputs: [
      { name: 'x', shape: [batchSize, featureCount] },
      { name: 'y', shape: [batchSize, labelColumns(model)] },
      { name: 'row_weight', shape: [batchSize] },
      scalar('learning_rate'),
      ...(optimiser.kind === 'adam' ? [scalar('step')] : []),
      ...kept,
      ...(proximal ? [scalar('mu'), ...prefixed('global.')] : []),
      ...(control ? prefixed('correction.') : []),
    ],
    outputs: [scalar('loss'), ...kept.map(({ name, shape }) => ({ name: `next.${name}`, shape }))],
  };
}

function predictEnds({ model, parameters }: GraphManifest): DeclaredEnds {
  return {
    inputs: [{ name: 'x', shape: [-1, model.featureCount] }, ...parameters],
    outputs: [{ name: 'probability', shape: [-1, labelColumns(model)] }],
  };
}

async function checkInitialWeights(manifest: GraphManifest, reader: BundleFileReader): Promise<void> {
  const path = BUNDLE_FILE_PATHS.initialWeights;
  const layout = readLayout(path, reader);
  const notFloat = layout.tensors.find(({ dtype }) => dtype !== 'F32');
  if (notFloat !== undefined) throw refused(path, `holds tensor ${notFloat.name}, which is not F32`);
  const held = layout.tensors.map(({ name, shape }) => ({ name, shape: [...shape] }));
  if (!sameTensors(held, manifest.parameters))
    throw refused(path, 'does not hold exactly the parameters of the manifest');
  for await (const block of blocksOf(reader, layout.dataOffset)) {
    if (!allFinite(new Float32Array(block.buffer, block.byteOffset, block.byteLength / Float32Array.BYTES_PER_ELEMENT)))
      throw refused(path, 'holds a number that is not finite');
  }
}

function allFinite(values: Float32Array): boolean {
  for (let index = 0; index < values.length; index += 1) {
    if (!Number.isFinite(values[index])) return false;
  }
  return true;
}

function readLayout(path: string, reader: BundleFileReader): TensorLayout {
  try {
    const first = new Uint8Array(Math.min(HEADER_LENGTH_BYTES, reader.sizeBytes));
    fill(reader, first, 0);
    const header = new Uint8Array(Math.min(headerBytesNeeded(first), reader.sizeBytes));
    fill(reader, header, 0);
    return parseHeader(header, {}, reader.sizeBytes);
  } catch (cause) {
    throw refused(path, 'is not a valid safetensors file', cause);
  }
}
