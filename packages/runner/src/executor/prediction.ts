/** Probabilities of a prediction graph, in blocks of rows so that intermediate results stay small. */
import { AppError, type GraphManifest } from '@lantern/contract';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { labelColumns } from './labelled-rows.ts';
import { TensorFile } from './tensor-file.ts';

const BLOCK_ROWS = 4096;

/**
 * x        row-major [rows, featureCount]
 * returns  row-major [rows, outputs], each in [0, 1]
 * Throws `training.diverged` when a probability is not a number in [0, 1], `tensor.invalid` for weights that do not fit.
 */
export async function predictRows(
  session: InferenceSession,
  input: { manifest: GraphManifest; weightsFile: string; x: Float32Array },
): Promise<Float32Array> {
  const { featureCount } = input.manifest.model;
  const outputs = labelColumns(input.manifest.model);
  const parameters = readParameters(input.manifest, input.weightsFile);
  const rowCount = input.x.length / featureCount;
  if (!Number.isInteger(rowCount)) throw new AppError('input.invalid', `A row has ${featureCount} features.`);
  const probabilities = new Float32Array(rowCount * outputs);
  for (let begin = 0; begin < rowCount; begin += BLOCK_ROWS) {
    const end = Math.min(begin + BLOCK_ROWS, rowCount);
    const x = input.x.subarray(begin * featureCount, end * featureCount);
    const results = await session.run({ ...parameters, x: new Tensor('float32', x, [end - begin, featureCount]) });
    const data = results['probability']?.data;
    if (!(data instanceof Float32Array) || data.length !== (end - begin) * outputs) {
      throw new AppError('bundle.invalid', 'The prediction graph does not put out one probability per row and output.');
    }
    probabilities.set(data, begin * outputs);
  }
  if (!probabilities.every((value) => value >= 0 && value <= 1)) {
    throw new AppError('training.diverged', 'A predicted probability is not a number in [0, 1].');
  }
  return probabilities;
}

function readParameters(manifest: GraphManifest, weightsFile: string): Record<string, Tensor> {
  const weights = TensorFile.open(weightsFile);
  try {
    weights.require(manifest.parameters, 'weights');
    return Object.fromEntries(
      manifest.parameters.map(({ name, shape }) => [
        name,
        new Tensor('float32', weights.readFloats(name, 'weights'), shape),
      ]),
    );
  } finally {
    weights.close();
  }
}
