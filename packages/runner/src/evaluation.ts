/** How well a graph's weights do on rows with known labels, in the form that merges over sites. */
import { AppError, type EvaluationMessage } from '@lantern/contract';
import { evaluateScores } from '@lantern/learning';
import type { GraphExecutor, PredictRequest } from './executor/graph-executor.ts';
import { labelColumns, readLabelledRows } from './executor/labelled-rows.ts';

export type EvaluationRequest = Omit<Extract<PredictRequest, { rowsFile: string }>, 'x'>;

/**
 * Predicts for the rows of `rowsFile` (tensors `x` and `y`) and compares. A model of two classes counts by the probability
 * of class 1. Throws `training.refused` for a model of more classes, else as the executor's `predict`.
 */
export async function evaluateGraph(
  executor: GraphExecutor,
  request: EvaluationRequest,
  signal?: AbortSignal,
): Promise<EvaluationMessage> {
  const { model } = request.manifest;
  const outputs = labelColumns(model);
  if (outputs > 2) throw new AppError('training.refused', 'Evaluation is of two classes; this model has more.');
  const { y } = readLabelledRows(request.rowsFile, model);
  const probabilities = await executor.score(request, signal);
  return evaluateScores(outputs === 1 ? probabilities : probabilities.filter((_, index) => index % 2 === 1), y);
}
