/**
 * Local training in one round: the loop around a training graph, inside the worker process.
 *
 * Memory: the parameters before and after a step plus their gradients, so about 3 x the model with plain SGD; each optimiser
 * state twice; once more for FedProx (the global weights as input) and for SCAFFOLD (the correction). The update itself is
 * never held: it is written block by block against the file of the global weights.
 *
 * Strategies, in the client's part: FedProx (Li et al. 2020) by the graph's proximal inputs; SCAFFOLD (Karimireddy et al.
 * 2020, option II) by its correction input c - c_i and, afterwards,
 *   c_i <- c_i - c + (x - y_i) / (K learningRate)
 * with x - y_i taken from the update as it leaves, so that the control variate reveals nothing that clipping removed.
 */
import { AppError, type GraphManifest, type LocalTraining, type Strategy, type TensorShape } from '@lantern/contract';
import { controlCorrection, elementCount, nextLocalControl } from '@lantern/learning';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { batches } from './batches.ts';
import { type LabelledRows, labelColumns } from './labelled-rows.ts';
import { parameterBytes, TensorFile, writeFloats } from './tensor-file.ts';

const BLOCK_ELEMENTS = 1024 ** 2; // 4 MiB of float32 per block when updates are formed

/** From here on the weights of the step before are freed at once: the collector does not see how large they are. */
const COLLECTED_BYTES_MIN = 16 * 1024 ** 2;

export type LocalTrainingRequest = {
  readonly manifest: GraphManifest;
  readonly weightsFile: string;
  /** SCAFFOLD's c, from the hub; absent: zeros. */
  readonly controlFile?: string;
  /** SCAFFOLD's c_i, this site's own of the last round that counted; absent: zeros. */
  readonly clientControlFile?: string;
  readonly strategy: Strategy;
  readonly local: LocalTraining;
  readonly seed: string;
  readonly stepsBefore?: number;
  readonly updateNormMax?: number;
  readonly deltaOutFile: string;
  readonly controlDeltaOutFile?: string;
  readonly clientControlOutFile?: string;
};

/** `meanLoss` over the rows seen; `deltaNorm` is the L2 norm of the update before clipping [weight units]. */
export type LocalTrainingResult = {
  readonly stepCount: number;
  readonly meanLoss: number;
  readonly deltaNorm: number;
  readonly clipped: boolean;
};

/** Trains and writes the update. Throws `training.diverged`, `training.refused`, `tensor.invalid`, `bundle.invalid`. */
export async function trainLocally(
  session: InferenceSession,
  request: LocalTrainingRequest,
  rows: LabelledRows,
): Promise<LocalTrainingResult> {
  checkStrategy(request);
  const weights = TensorFile.open(request.weightsFile);
  try {
    weights.require(request.manifest.parameters, 'weights');
    const state = new ModelState(request.manifest, weights);
    const constants = constantInputs(request, weights);
    const { stepCount, meanLoss } = await runSteps(session, request, { rows, state, constants });
    const { deltaNorm, scale } = measureDelta(request, weights, state);
    writeDelta(request, { weights, state, scale });
    if (request.strategy.kind === 'scaffold') writeControls(request, stepCount);
    return { stepCount, meanLoss, deltaNorm, clipped: scale < 1 };
  } finally {
    weights.close();
  }
}

function checkStrategy({ strategy, manifest, controlDeltaOutFile, clientControlOutFile }: LocalTrainingRequest): void {
  if (strategy.kind === 'fedprox' && !manifest.model.proximal) {
    throw new AppError('training.refused', 'FedProx needs a bundle whose model was built with proximal: true.');
  }
  if (strategy.kind !== 'scaffold') return;
  if (!manifest.model.control) {
    throw new AppError('training.refused', 'SCAFFOLD needs a bundle whose model was built with control: true.');
  }
  if (controlDeltaOutFile === undefined || clientControlOutFile === undefined) {
    throw new AppError('internal', 'SCAFFOLD needs controlDeltaOutFile and clientControlOutFile.');
  }
}

/** Parameters and optimiser state as they stand between two steps. */
class ModelState {
  #tensors: Record<string, Tensor> = {};
  readonly #collectsGarbage: boolean;

  constructor(manifest: GraphManifest, weights: TensorFile) {
    for (const { name, shape } of manifest.parameters) {
      this.#tensors[name] = new Tensor('float32', weights.readFloats(name, 'weights'), shape);
    }
    for (const { name, shape } of manifest.optimiserState) {
      this.#tensors[name] = new Tensor('float32', new Float32Array(elementCount(shape, name)), shape);
    }
    this.#collectsGarbage = parameterBytes(manifest) >= COLLECTED_BYTES_MIN;
  }

  get inputs(): Readonly<Record<string, Tensor>> {
    return this.#tensors;
  }

  /** Takes over what a step put out as `next.<name>`. */
  advance(results: InferenceSession.ReturnType): void {
    const next: Record<string, Tensor> = {};
    for (const name of Object.keys(this.#tensors)) {
      const tensor = results[`next.${name}`];
      if (tensor === undefined)
        throw new AppError('bundle.invalid', `The training graph does not put out next.${name}.`);
      next[name] = tensor;
    }
    this.#tensors = next;
    if (this.#collectsGarbage) globalThis.gc?.();
  }

  /** The current values of a parameter. */
  values(name: string): Float32Array {
    const data = this.#tensors[name]?.data;
    if (!(data instanceof Float32Array)) throw new AppError('internal', `Parameter ${name} has no values.`);
    return data;
  }
}

/** Inputs that do not change from step to step: learning rate, FedProx's and SCAFFOLD's. */
function constantInputs(request: LocalTrainingRequest, weights: TensorFile): Record<string, Tensor> {
  const { manifest, strategy } = request;
  const inputs: Record<string, Tensor> = { learning_rate: scalar(request.local.learningRate) };
  if (manifest.model.proximal) {
    inputs['mu'] = scalar(strategy.kind === 'fedprox' ? strategy.mu : 0);
    for (const { name, shape } of manifest.parameters) {
      inputs[`global.${name}`] = new Tensor('float32', weights.readFloats(name, 'weights'), shape);
    }
  }
  if (!manifest.model.control) return inputs;
  const control = readControl(request, request.controlFile);
  const local = readControl(request, request.clientControlFile);
  try {
    for (const { name, shape } of manifest.parameters) {
      const correction = controlCorrection(control.read(name), local.read(name));
      inputs[`correction.${name}`] = new Tensor('float32', correction, shape);
    }
  } finally {
    control.close();
    local.close();
  }
  return inputs;
}

/** c or c_i of a parameter; zeros in the first round, and where SCAFFOLD is not asked for. */
type ControlReader = { read(name: string): Float32Array; close(): void };

function readControl({ manifest, strategy }: LocalTrainingRequest, file: string | undefined): ControlReader {
  const opened = strategy.kind === 'scaffold' ? openControl(file, manifest.parameters) : undefined;
  const shapes = new Map(manifest.parameters.map(({ name, shape }) => [name, shape]));
  return {
    read: (name) => opened?.readFloats(name, 'control') ?? new Float32Array(elementCount(shapes.get(name) ?? [], name)),
    close: () => opened?.close(),
  };
}

function openControl(file: string | undefined, parameters: readonly TensorShape[]): TensorFile | undefined {
  if (file === undefined) return undefined;
  const opened = TensorFile.open(file);
  opened.require(parameters, 'control variate');
  return opened;
}

function scalar(value: number): Tensor {
  return new Tensor('float32', Float32Array.of(value), []);
}

async function runSteps(
  session: InferenceSession,
  request: LocalTrainingRequest,
  parts: { rows: LabelledRows; state: ModelState; constants: Readonly<Record<string, Tensor>> },
): Promise<{ stepCount: number; meanLoss: number }> {
  const { model } = request.manifest;
  const batch = new BatchBuffers(request.manifest, parts.rows);
  const plan = {
    rowCount: parts.rows.rowCount,
    batchSize: model.batchSize,
    work: request.local.work,
    seed: request.seed,
  };
  let stepCount = 0;
  let lossSum = 0;
  let rowsSeen = 0;
  for (const rowNumbers of batches({ ...plan, stepsBefore: request.stepsBefore ?? 0 })) {
    stepCount += 1;
    batch.fill(rowNumbers);
    const step = model.optimiser.kind === 'adam' ? { step: scalar(stepCount) } : {};
    const feeds = { ...batch.inputs, ...parts.constants, ...parts.state.inputs, ...step };
    const results = await session.run(feeds);
    parts.state.advance(results);
    const loss = Number(results['loss']?.data[0]);
    if (!Number.isFinite(loss))
      throw new AppError('training.diverged', `The loss is not finite after step ${stepCount}.`);
    lossSum += loss * rowNumbers.length;
    rowsSeen += rowNumbers.length;
  }
  return { stepCount, meanLoss: lossSum / rowsSeen };
}

/** The inputs of one batch in arrays that are filled again for each step; a short batch is padded with weight 0. */
class BatchBuffers {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly #x: Float32Array;
  readonly #y: Float32Array;
  readonly #weight: Float32Array;
  readonly #rows: LabelledRows;
  readonly #columns: number;

  constructor(manifest: GraphManifest, rows: LabelledRows) {
    const { batchSize, featureCount } = manifest.model;
    this.#rows = rows;
    this.#columns = labelColumns(manifest.model);
    this.#x = new Float32Array(batchSize * featureCount);
    this.#y = new Float32Array(batchSize * this.#columns);
    this.#weight = new Float32Array(batchSize);
    this.inputs = {
      x: new Tensor('float32', this.#x, [batchSize, featureCount]),
      y: new Tensor('float32', this.#y, [batchSize, this.#columns]),
      row_weight: new Tensor('float32', this.#weight, [batchSize]),
    };
  }

  fill(rowNumbers: Uint32Array): void {
    const { featureCount } = this.#rows;
    this.#y.fill(0);
    this.#weight.fill(0).fill(1, 0, rowNumbers.length);
    for (const [place, row] of rowNumbers.entries()) {
      this.#x.set(this.#rows.x.subarray(row * featureCount, (row + 1) * featureCount), place * featureCount);
      const label = this.#rows.y[row] ?? 0;
      if (this.#columns === 1) this.#y[place] = label;
      else this.#y[place * this.#columns + label] = 1;
    }
    this.#x.fill(0, rowNumbers.length * featureCount); // a stale row of weight 0 could still turn 0 x infinity into NaN
  }
}

/** Blocks of after - before, in float32 as it will be sent. The array is reused. */
function* deltaBlocks(name: string, weights: TensorFile, state: ModelState): Generator<Float32Array, void, undefined> {
  const after = state.values(name);
  const entry = weights.entry(name, 'weights');
  const block = new Float32Array(Math.min(BLOCK_ELEMENTS, after.length));
  for (let begin = 0; begin < after.length; begin += BLOCK_ELEMENTS) {
    const before = block.subarray(0, Math.min(BLOCK_ELEMENTS, after.length - begin));
    weights.readInto(entry, begin, before);
    for (let index = 0; index < before.length; index += 1) {
      before[index] = (after[begin + index] ?? Number.NaN) - (before[index] ?? Number.NaN);
    }
    yield before;
  }
}

/** L2 norm of the update and the factor that brings it down to the allowed norm (McMahan et al. 2018, flat clipping). */
function measureDelta(
  { manifest, updateNormMax }: LocalTrainingRequest,
  weights: TensorFile,
  state: ModelState,
): { deltaNorm: number; scale: number } {
  let squareSum = 0;
  for (const { name } of manifest.parameters) {
    for (const block of deltaBlocks(name, weights, state)) {
      for (const value of block) squareSum += value * value;
    }
    if (!Number.isFinite(squareSum)) throw new AppError('training.diverged', `Parameter ${name} is not finite.`);
  }
  const deltaNorm = Math.sqrt(squareSum);
  const scale = updateNormMax === undefined || deltaNorm <= updateNormMax ? 1 : updateNormMax / deltaNorm;
  return { deltaNorm, scale };
}

function writeDelta(
  { manifest, deltaOutFile }: LocalTrainingRequest,
  { weights, state, scale }: { weights: TensorFile; state: ModelState; scale: number },
): void {
  writeFloats(deltaOutFile, manifest.parameters, function* (name) {
    for (const block of deltaBlocks(name, weights, state)) {
      if (scale < 1) for (let index = 0; index < block.length; index += 1) block[index] = (block[index] ?? 0) * scale;
      yield block;
    }
  });
}

/** Writes c_i and its change, from the update that was just written. */
function writeControls(request: LocalTrainingRequest, stepCount: number): void {
  const { manifest, controlDeltaOutFile, clientControlOutFile } = request;
  if (controlDeltaOutFile === undefined || clientControlOutFile === undefined) return;
  const { learningRate } = request.local;
  const delta = TensorFile.open(request.deltaOutFile);
  const control = readControl(request, request.controlFile);
  const local = readControl(request, request.clientControlFile);
  const next = (name: string) => {
    const after = delta.readFloats(name, 'update'); // relative to the weights before, which therefore are zeros here
    const before = new Float32Array(after.length);
    const parts = { control: control.read(name), localControl: local.read(name), before, after };
    return nextLocalControl({ ...parts, stepCount, learningRate });
  };
  try {
    writeFloats(controlDeltaOutFile, manifest.parameters, (name) => [next(name).controlDelta]);
    writeFloats(clientControlOutFile, manifest.parameters, (name) => [next(name).localControl]);
  } finally {
    delta.close();
    control.close();
    local.close();
  }
}
