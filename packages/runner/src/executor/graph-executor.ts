/**
 * Runs the graphs of a bundle in two warm processes: one for long work (training, scoring whole test sets), one for single
 * predictions, so that an answer at the bedside never waits behind an hour of training. Everything goes by files: a model of a gigabyte does not cross a pipe.
 */
import { AppError } from '@lantern/contract';
import type { LocalTrainingResult } from './local-training.ts';
import type { PredictCall, TrainCall } from './messages.ts';
import { type ExecutorLog, type WorkerAnswer, WorkerProcess } from './worker-process.ts';

/** See `LocalTrainingRequest`. `oneClassAllowed`: rows of one class only are accepted, as inside a federation. */
export type TrainRequest = Omit<TrainCall, 'kind' | 'oneClassAllowed'> & { readonly oneClassAllowed?: boolean };

/** Exactly one of `rowsFile` (tensor `x`) and `x` (row-major [rows, featureCount]). */
export type PredictRequest = Omit<PredictCall, 'kind' | 'rows'> &
  ({ readonly rowsFile: string } | { readonly x: Float32Array });

export type GraphExecutor = {
  /**
   * One round of local training; the update is at `deltaOutFile`, whole and synced, when it resolves. The same request gives the same
   * bytes. Throws `training.diverged`, `training.refused`, `bundle.invalid`, `tensor.invalid`, `dataset.invalid`,
   * `storage.full`, `executor.failed` (worth another try), or the signal's reason.
   */
  train(request: TrainRequest, signal?: AbortSignal): Promise<LocalTrainingResult>;
  /** Probabilities for a few rows, at once; row-major [rows, outputs]. Throws as `train`. */
  predict(request: PredictRequest, signal?: AbortSignal): Promise<Float32Array>;
  /** The same for many rows, in turn with the trainings. */
  score(request: PredictRequest, signal?: AbortSignal): Promise<Float32Array>;
  /** Ends the processes; calls still running reject with `stopped`. */
  close(): Promise<void>;
};

/** `threadCount` threads inside one operator; 1 (the default) gives the same bytes whatever the machine's load. */
export function createGraphExecutor(options: { threadCount?: number; log?: ExecutorLog } = {}): GraphExecutor {
  const settings = { threadCount: options.threadCount ?? 1, log: options.log };
  const longWork = new WorkerProcess(settings);
  const prediction = new WorkerProcess(settings);
  return {
    async train(request, signal) {
      const call: TrainCall = { oneClassAllowed: false, ...request, kind: 'train' };
      const answer = accepted(await longWork.call(call, signal), 'trained');
      const { stepCount, meanLoss, deltaNorm, clipped } = answer;
      return { stepCount, meanLoss, deltaNorm, clipped };
    },
    predict: (request, signal) => probabilitiesBy(prediction, request, signal),
    score: (request, signal) => probabilitiesBy(longWork, request, signal),
    async close() {
      await Promise.all([longWork.close(), prediction.close()]);
    },
  };
}

async function probabilitiesBy(
  worker: WorkerProcess,
  request: PredictRequest,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const { manifest, predictModelFile, weightsFile } = request;
  const rows = 'x' in request ? { x: request.x } : { file: request.rowsFile };
  const call: PredictCall = { kind: 'predict', manifest, predictModelFile, weightsFile, rows };
  const { probabilities } = accepted(await worker.call(call, signal), 'predicted');
  if (!(probabilities instanceof Float32Array)) throw new AppError('executor.failed', 'No probabilities came back.');
  return probabilities;
}

function accepted<K extends WorkerAnswer['kind']>(answer: WorkerAnswer, kind: K): Extract<WorkerAnswer, { kind: K }> {
  if (answer.kind === 'failed') {
    const { cause } = answer;
    throw new AppError(answer.code, answer.message, cause === undefined ? {} : { cause: new TypeError(cause) });
  }
  if (answer.kind !== kind) throw new AppError('executor.failed', 'The worker process answered another question.');
  return answer as Extract<WorkerAnswer, { kind: K }>; // compared on the line above
}
