export {
  type LabelledRows,
  localNewtonStatistics,
  logisticProbabilities,
  mergeNewtonStatistics,
  type NewtonStatistics,
  newtonStep,
} from './analyses/logistic-regression.ts';
export { localMoments, mergeMoments, standardisationOf } from './analyses/moments.ts';
export {
  evaluateScores,
  evaluationMetrics,
  mergeEvaluations,
  withholdClasses,
} from './evaluation.ts';
export { type ColumnValue, type EncodedRow, encodeRow, featureNames, standardise } from './features.ts';
export {
  BLOCK_ELEMENTS_DEFAULT,
  createFolder,
  type Folder,
  type FoldRange,
  type FoldSource,
} from './fold.ts';
export { controlCorrection, nextLocalControl } from './local-control.ts';
export {
  checkGraph,
  type DeclaredEnds,
  type GraphLimits,
  type GraphSummary,
} from './onnx/graph-rules.ts';
export { buildTrainingGraph, type TrainingGraph } from './onnx/training-graph.ts';
export {
  type Dtype,
  decodeTensors,
  elementCount,
  encodeHeader,
  encodeTensors,
  headerBytesNeeded,
  parseHeader,
  requireTensors,
  type Tensor,
  type TensorEntry,
  type TensorLayout,
  type TensorLimits,
} from './safetensors.ts';
export { applyStrategy, type ServerStateName, type StrategyBlock, serverStateNames } from './strategies.ts';
