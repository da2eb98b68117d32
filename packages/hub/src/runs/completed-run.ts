/** A completed run as the registry needs it: what it was planned from, what it made, and how good that is. */
import {
  AppError,
  type BlobRef,
  type DatasetSchema,
  type Run,
  type RunId,
  type SiteId,
  type Standardisation,
} from '@lantern/contract';
import type { HubDb } from '../tables.ts';
import { loadBlueprint, type RunBlueprint } from './blueprint.ts';
import { resultOf } from './results.ts';
import * as store from './store.ts';

export type CompletedRun = RunBlueprint & {
  readonly weights: BlobRef;
  readonly standardisation: Standardisation | undefined;
  readonly schema: DatasetSchema;
  readonly trainRowCounts: Readonly<Record<SiteId, number>>;
  readonly evaluation: NonNullable<Run['evaluation']>;
};

function refuse(message: string): AppError {
  return new AppError('input.invalid', `runId: ${message}`, { field: '/runId' });
}

/** Throws `not-found`, or `input.invalid` saying what the run lacks. */
export async function completedRun(db: HubDb, runId: RunId): Promise<CompletedRun> {
  const row = await store.findRun(db, runId);
  if (row === undefined) throw new AppError('not-found', 'There is no such run.');
  if (row.state !== 'completed') throw refuse(`this run is ${row.state}; only a completed run can be released.`);
  const results = await store.newestResults(db, runId);
  const weights = (resultOf(results, 'trained') ?? resultOf(results, 'newton'))?.weights;
  const prepared = resultOf(results, 'prepared');
  if (weights === undefined || row.evaluation === null || prepared === undefined) {
    throw refuse('this run made no weights that could predict.');
  }
  if (prepared.schema === undefined) {
    throw refuse('no site offered the schema of the dataset when the run was prepared.');
  }
  const blueprint = await loadBlueprint(db, row);
  return {
    ...blueprint,
    weights,
    standardisation: resultOf(results, 'standardised')?.standardisation,
    schema: prepared.schema,
    trainRowCounts: prepared.trainRowCounts,
    evaluation: row.evaluation,
  };
}
