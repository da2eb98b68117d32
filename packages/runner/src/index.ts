export { type BuiltBundle, buildAnalysisBundle, buildGraphBundle, bundleDigest } from './bundle.ts';
export { type BundleFile, checkBundle } from './bundle-check.ts';
export { type EvaluationRequest, evaluateGraph } from './evaluation.ts';
export {
  createGraphExecutor,
  type GraphExecutor,
  type PredictRequest,
  type TrainRequest,
} from './executor/graph-executor.ts';
export { assertTwoClasses } from './executor/labelled-rows.ts';
export type { LocalTrainingResult } from './executor/local-training.ts';
