/**
 * The fold of a training round: mean update over the sites in ascending order of site id, then the strategy's step, block by
 * block from file to file. Memory holds a few blocks, whatever the size of the model or the number of sites.
 *
 * Repeatable: the same updates give the same bytes, so a hub that dies while folding folds again and makes the same model.
 * It reads only blobs and writes only new blobs; nothing is changed until the round is closed with their digests.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  AppError,
  type BlobRef,
  type GraphManifest,
  type RunId,
  type Strategy,
  type TensorRef,
} from '@lantern/contract';
import {
  applyStrategy,
  BLOCK_ELEMENTS_DEFAULT,
  elementCount,
  encodeHeader,
  type Folder,
  type ServerStateName,
  serverStateNames,
} from '@lantern/learning';
import type { BlobStore, BlobWriter } from '@lantern/service';
import type { Closing } from './closing.ts';
import type { ServerState } from './round-result.ts';
import { openTensorFile, readFully, type TensorFile } from './tensor-file.ts';

const FLOAT32_BYTES = 4;
/** Elements per block of each tensor involved: what the folder reads of an update at once, about a MiB. */
const BLOCK_ELEMENTS = BLOCK_ELEMENTS_DEFAULT;

export type SiteUpdate = {
  /** Weight of this site's update before normalisation: its rows, or 1. */
  readonly weight: number;
  readonly rowCount: number;
  readonly meanLoss: number;
  readonly delta: TensorRef;
  readonly controlDelta?: TensorRef;
};

export type FoldInput = {
  readonly runId: RunId;
  readonly round: number;
  readonly manifest: GraphManifest;
  readonly strategy: Strategy;
  /** Global weights before the round. */
  readonly weights: BlobRef;
  /** The strategy's tensors after the round before; missing ones are zero. */
  readonly serverState: ServerState;
  /** In ascending order of site id; at least one. */
  readonly updates: readonly SiteUpdate[];
  /** Share of the federation that this round heard, in (0, 1]: by rows, or by sites. */
  readonly participation: number;
  readonly signal: AbortSignal;
};

/** `folder` may be shared: no fold of it lasts longer than one call. */
export type FoldingDeps = { readonly blobs: BlobStore; readonly folder: Folder };

/** New weights and server state as blobs. Throws `update.invalid`, `training.diverged`, `storage.full`, `stopped`. */
export async function foldRound({ blobs, folder }: FoldingDeps, input: FoldInput): Promise<Closing> {
  const files = await openFiles(blobs, input);
  const writers = await openWriters(blobs, input);
  try {
    await foldTensors({ input, files, folder, blocks: createBlocks(input) }, writers);
    const { weights, serverState } = await finish(writers);
    return {
      result: { kind: 'trained', weights, serverState },
      weightsDigest: weights.digest,
      leavesBlobs: leavesBlobs(input),
      metrics: metricsOf(input.updates),
    };
  } catch (caught) {
    for (const writer of writers.values()) await writer.abort();
    throw caught;
  } finally {
    for (const file of files.all) file.close();
  }
}

function leavesBlobs({ updates, serverState }: FoldInput): boolean {
  const files = updates.flatMap(({ delta, controlDelta }) =>
    controlDelta === undefined ? [delta] : [delta, controlDelta],
  );
  return files.some((file) => file.bytes === undefined) || Object.keys(serverState).length > 0;
}

function metricsOf(updates: readonly SiteUpdate[]): Record<string, number> {
  const rowCount = updates.reduce((sum, update) => sum + update.rowCount, 0);
  const lossSum = updates.reduce((sum, update) => sum + update.rowCount * update.meanLoss, 0);
  return { siteCount: updates.length, rowCount, meanLoss: lossSum / rowCount };
}

type Files = {
  readonly weights: TensorFile;
  readonly state: ReadonlyMap<ServerStateName, TensorFile>;
  readonly deltas: readonly TensorFile[];
  readonly controlDeltas: readonly TensorFile[];
  readonly all: readonly TensorFile[];
};

async function openFiles(blobs: BlobStore, input: FoldInput): Promise<Files> {
  const all: TensorFile[] = [];
  const open = async (ref: TensorRef) => {
    const file = await openTensorFile(blobs, ref);
    all.push(file);
    return file;
  };
  try {
    const weights = await open(input.weights);
    const state = new Map<ServerStateName, TensorFile>();
    for (const name of serverStateNames(input.strategy)) {
      const held = input.serverState[name];
      if (held !== undefined) state.set(name, await open(held));
    }
    const deltas: TensorFile[] = [];
    const controlDeltas: TensorFile[] = [];
    for (const update of input.updates) {
      deltas.push(await open(update.delta));
      if (update.controlDelta !== undefined) controlDeltas.push(await open(update.controlDelta));
    }
    return { weights, state, deltas, controlDeltas, all };
  } catch (caught) {
    for (const file of all) file.close();
    throw caught;
  }
}

type Writers = ReadonlyMap<'weights' | ServerStateName, BlobWriter>;

async function openWriters(blobs: BlobStore, input: FoldInput): Promise<Writers> {
  const writers = new Map<'weights' | ServerStateName, BlobWriter>();
  const tensors = input.manifest.parameters.map(({ name, shape }) => ({ name, shape, dtype: 'F32' as const }));
  for (const name of ['weights' as const, ...serverStateNames(input.strategy)]) {
    const writer = await blobs.createWriter();
    writers.set(name, writer);
    // Weights are the same bytes however they came about; server state belongs to one round of one run.
    const owner: Record<string, string> = name === 'weights' ? {} : { run: input.runId, round: String(input.round) };
    await writer.write(encodeHeader(tensors, owner));
  }
  return writers;
}

async function finish(writers: Writers): Promise<{ weights: BlobRef; serverState: ServerState }> {
  const serverState: Record<string, BlobRef> = {};
  let weights: BlobRef | undefined;
  for (const [name, writer] of writers) {
    const ref = await writer.finish();
    if (name === 'weights') weights = ref;
    else serverState[name] = ref;
  }
  if (weights === undefined) throw new AppError('internal', 'A fold without weights.');
  return { weights, serverState };
}

/** Tensors in the order of the file that is written: by name, in code units. */
async function foldTensors(tools: FoldTools, writers: Writers): Promise<void> {
  const { input, files, blocks } = tools;
  const names = input.manifest.parameters.map((parameter) => parameter.name).sort((a, b) => (a < b ? -1 : 1));
  for (const name of names) {
    const length = elementCountOf(files.weights, name);
    for (let at = 0; at < length; at += BLOCK_ELEMENTS) {
      if (input.signal.aborted) throw new AppError('stopped', 'The hub is shutting down; the fold is done again.');
      const range = { name, firstElement: at, count: Math.min(BLOCK_ELEMENTS, length - at) };
      foldBlock(tools, range);
      for (const [target, writer] of writers) await writer.write(bytesOf(blocks[target], range.count));
      if (length > BLOCK_ELEMENTS) await nextTurn();
    }
  }
}

function elementCountOf(file: TensorFile, name: string): number {
  const { begin, end } = file.entry(name);
  return (end - begin) / FLOAT32_BYTES;
}

type BlockName = 'weights' | 'meanDelta' | 'meanControlDelta' | ServerStateName;
type Blocks = Readonly<Record<BlockName, Float32Array>>;

/** One block of each tensor involved, no longer than the longest tensor. */
function createBlocks({ manifest, strategy }: FoldInput): Blocks {
  const used = new Set<BlockName>(['weights', 'meanDelta', ...serverStateNames(strategy)]);
  if (strategy.kind === 'scaffold') used.add('meanControlDelta');
  const longest = manifest.parameters.reduce((most, { name, shape }) => Math.max(most, elementCount(shape, name)), 0);
  const length = Math.min(BLOCK_ELEMENTS, longest);
  const block = (name: BlockName) => new Float32Array(used.has(name) ? length : 0);
  return {
    weights: block('weights'),
    meanDelta: block('meanDelta'),
    meanControlDelta: block('meanControlDelta'),
    m: block('m'),
    v: block('v'),
    c: block('c'),
  };
}

type Range = { readonly name: string; readonly firstElement: number; readonly count: number };
type FoldTools = {
  readonly input: FoldInput;
  readonly files: Files;
  readonly folder: Folder;
  readonly blocks: Blocks;
};

function foldBlock(tools: FoldTools, range: Range): void {
  const { input, files, blocks } = tools;
  readBlock(files.weights, range, blocks.weights);
  for (const name of serverStateNames(input.strategy)) {
    const file = files.state.get(name);
    if (file === undefined) blocks[name].fill(0, 0, range.count);
    else readBlock(file, range, blocks[name]);
  }
  meanBlock(tools, files.deltas, range, blocks.meanDelta);
  const isScaffold = input.strategy.kind === 'scaffold';
  if (isScaffold) meanBlock(tools, files.controlDeltas, range, blocks.meanControlDelta);
  const part = (block: Float32Array) => block.subarray(0, range.count);
  applyStrategy(input.strategy, {
    weights: part(blocks.weights),
    meanDelta: part(blocks.meanDelta),
    state: { m: part(blocks.m), v: part(blocks.v), c: part(blocks.c) },
    participation: input.participation,
    ...(isScaffold ? { meanControlDelta: part(blocks.meanControlDelta) } : {}),
  });
  if (!allFinite(part(blocks.weights))) {
    throw new AppError('training.diverged', `Tensor ${range.name}: the new weights left the finite numbers.`);
  }
}

/** A plain loop: `every` calls a function per element, which takes ten times as long. */
function allFinite(values: Float32Array): boolean {
  for (let index = 0; index < values.length; index += 1) {
    if (!Number.isFinite(values[index])) return false;
  }
  return true;
}

/** sum_k (weight_k / sum of weights) x_k over one block, in the order of the updates. */
function meanBlock(tools: FoldTools, files: readonly TensorFile[], range: Range, target: Float32Array): void {
  const { updates } = tools.input;
  const weightSum = updates.reduce((sum, update) => sum + update.weight, 0);
  const sources = files.map((file, position) => {
    const tensor = file.entry(range.name);
    return {
      weight: (updates[position]?.weight ?? 0) / weightSum,
      readInto: (into: Uint8Array, byteOffset: number) => file.readInto(tensor, into, byteOffset),
    };
  });
  const byteOffset = range.firstElement * FLOAT32_BYTES;
  const bytes = bytesOf(target, range.count);
  let filled = 0;
  tools.folder.fold(sources, { byteOffset, byteLength: bytes.byteLength }, (block) => {
    bytes.set(block, filled);
    filled += block.byteLength;
  });
}

function readBlock(file: TensorFile, range: Range, target: Float32Array): void {
  const tensor = file.entry(range.name);
  readFully(bytesOf(target, range.count), range.firstElement * FLOAT32_BYTES, (into, byteOffset) =>
    file.readInto(tensor, into, byteOffset),
  );
}

function bytesOf(values: Float32Array, count: number): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, count * FLOAT32_BYTES);
}
