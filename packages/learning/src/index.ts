export {
  type LabelledRows,
  localNewtonStatistics,
  logisticProbabilities,
  mergeNewtonStatistics,
  type NewtonStatistics,
  newtonConverged,
  newtonStep,
} from './analyses/logistic-regression.ts';
export { localMoments, mergeMoments, standardisationOf } from './analyses/moments.ts';
export {
  type Dtype,
  decodeTensors,
  elementCount,
  encodeHeader,
  encodeTensors,
  headerBytesNeeded,
  parseHeader,
  requireTensors,
  TENSOR_LIMITS,
  type Tensor,
  type TensorEntry,
  type TensorLayout,
  type TensorLimits,
  tensorAt,
} from './safetensors.ts';
export { buildTrainingGraph, type TrainingGraph } from './onnx/training-graph.ts';
