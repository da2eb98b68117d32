/** Scripts of sites that really compute: Newton statistics and moments of their rows; and invented but fixed weight updates. */
import type { AnswerBody, GraphManifest, Standardisation, TensorRef } from '@lantern/contract';
import {
  decodeTensors,
  encodeTensors,
  evaluateScores,
  localMoments,
  localNewtonStatistics,
  logisticProbabilities,
  standardise,
} from '@lantern/learning';
import { documentDigest } from '@lantern/service';
import { type Centre, columnsOf, type Rows } from './heart-disease.ts';
import type { Script, ScriptedSite } from './scripted-site.ts';
import { schemaOf } from './study.ts';

export function preparedBody(trainRowCount: number, testRowCount = 20, columns?: readonly string[]): AnswerBody {
  return { kind: 'prepared', schemaDigest: documentDigest(schemaOf(columns).columns), trainRowCount, testRowCount };
}

function scaled(rows: Rows, by: Standardisation | undefined): Rows {
  return by === undefined ? rows : { ...rows, values: [...standardise(rows.values, by)] };
}

/** A site that answers every step of an analysis from its own rows. */
export function analysisScript(centre: Centre): Script {
  return (task) => {
    const pooled = task.standardisation.kind === 'pooled' && 'values' in task.standardisation;
    const by = pooled && 'values' in task.standardisation ? task.standardisation.values : undefined;
    const { step } = task;
    switch (step.kind) {
      case 'prepare':
        return preparedBody(centre.train.labels.length, centre.test.labels.length);
      case 'standardise':
        return { kind: 'moments', moments: localMoments(columnsOf(centre.train)) };
      case 'newton': {
        const statistics = localNewtonStatistics(scaled(centre.train, by), step.theta);
        const { rowCount, gradient, hessian, logLikelihood } = statistics;
        return { kind: 'newton', rowCount, gradient: [...gradient], hessian: [...hessian], logLikelihood };
      }
      case 'evaluate': {
        const probabilities = logisticProbabilities(scaled(centre.test, by), step.theta ?? []);
        return { kind: 'evaluation', evaluation: evaluateScores(probabilities, centre.test.labels) };
      }
      case 'train':
        return { kind: 'failed', code: 'internal', message: 'an analysis has no train step' };
    }
  };
}

/** A tensor file of the shape of the parameters; element i of tensor t holds `value(t, i)`. */
export function parameterFile(manifest: GraphManifest, value: (tensor: number, index: number) => number): Uint8Array {
  return encodeTensors(
    Object.fromEntries(
      manifest.parameters.map(({ name, shape }, tensor) => {
        const count = shape.reduce((product, size) => product * size, 1);
        const data = Float32Array.from({ length: count }, (_, index) => value(tensor, index));
        return [name, { dtype: 'F32' as const, shape, data }];
      }),
    ),
  );
}

/** An update that depends on site and round alone, so that every run of a test folds the same numbers. */
export function deltaFor(manifest: GraphManifest, by: { salt: number; round: number }): Uint8Array {
  return parameterFile(
    manifest,
    (tensor, index) => Math.sin(1 + by.salt * 3.7 + by.round * 1.3 + tensor * 0.9 + index) / 8,
  );
}

/** A site that sends invented updates for a graph. `rowCount` weighs them. */
export function graphScript(
  site: Pick<ScriptedSite, 'upload'>,
  of: { rowCount: number; salt: number; columns: readonly string[] },
): Script {
  return async (task) => {
    const { step, manifest } = task;
    if (manifest.kind !== 'graph') return undefined;
    if (step.kind === 'prepare') return preparedBody(of.rowCount, 20, of.columns);
    if (step.kind === 'evaluate') {
      return { kind: 'evaluation', evaluation: evaluateScores([0.2, 0.8, 0.6, 0.4], [0, 1, 0, 1]) };
    }
    if (step.kind !== 'train') return undefined;
    const delta = await site.upload(deltaFor(manifest, { salt: of.salt, round: task.round }));
    const isScaffold = step.strategy.kind === 'scaffold';
    const controlDelta = isScaffold
      ? await site.upload(deltaFor(manifest, { salt: of.salt + 0.5, round: task.round }))
      : undefined;
    return updateBody({ rowCount: of.rowCount, delta, ...(controlDelta === undefined ? {} : { controlDelta }) });
  };
}

export function updateBody(of: { rowCount: number; delta: TensorRef; controlDelta?: TensorRef }): AnswerBody {
  return { kind: 'update', stepCount: 5, meanLoss: 0.6, ...of };
}

/** The float32 tensors of a file by name. */
export function floatsOf(bytes: Uint8Array): Map<string, Float32Array> {
  const floats = new Map<string, Float32Array>();
  for (const [name, tensor] of decodeTensors(bytes)) {
    if (tensor.dtype === 'F32') floats.set(name, tensor.data);
  }
  return floats;
}
