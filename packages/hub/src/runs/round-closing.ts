/** What a round comes to, for each step: its answers read, put together by `closing.ts` or `folding.ts`. */
import { AppError } from '@lantern/contract';
import { offeredSchema } from '../datasets/datasets.ts';
import { namesOfSites } from '../enrolment/enrolment.ts';
import type { HubDb, HubTx } from '../tables.ts';
import type { RunBlueprint } from './blueprint.ts';
import {
  bodiesOf,
  type Closing,
  closeEvaluate,
  closeNewton,
  closePrepare,
  closeStandardise,
  prepareMetrics,
} from './closing.ts';
import { type FoldingDeps, foldRound } from './folding.ts';
import type { NewestResults } from './newest-results.ts';
import { parameterBytes, weightsOf } from './opening.ts';
import type { Action } from './plan.ts';
import { graphOf, resultOf, thetaOf } from './results.ts';
import type { RoundResult } from './round-result.ts';
import * as store from './store.ts';

type FoldAction = Extract<Action, { kind: 'fold' }>;

/** A model up to this size is folded within milliseconds, less than a transaction of its own would cost. */
const FOLDED_INSIDE_BYTES_MAX = 1024 * 1024;

/**
 * Whether a round may be closed in the pass that found it ready. A fold that takes long must not hold a transaction open; and
 * while answers are still to come, the set of updates has to be fixed durably before they are read.
 */
export function isFoldedInside({ manifest }: RunBlueprint, action: FoldAction): boolean {
  if (action.step !== 'train') return true;
  return action.stragglers.length === 0 && parameterBytes(graphOf(manifest)) <= FOLDED_INSIDE_BYTES_MAX;
}

export async function closeFromAnswers(
  deps: FoldingDeps,
  tx: HubTx,
  of: { blueprint: RunBlueprint; action: FoldAction; results: NewestResults; signal: AbortSignal },
): Promise<Closing> {
  const { blueprint, action } = of;
  const { manifest, plan, runId } = blueprint;
  if (action.step === 'train') return foldTrainRound(deps, tx, { ...of, number: action.number });
  const answers = await store.listUsableAnswers(tx, runId, action.number);
  switch (action.step) {
    case 'prepare': {
      const prepared = closePrepare(answers, await namesOfSites(tx, plan.sites));
      const schema = await offeredSchema(tx, { schemaDigest: prepared.schemaDigest, siteIds: action.counted });
      const result: RoundResult = schema === undefined ? prepared : { ...prepared, schema };
      return { result, metrics: prepareMetrics(answers) };
    }
    case 'standardise':
      return closeStandardise(answers);
    case 'newton': {
      if (manifest.kind !== 'analysis' || manifest.analysis.kind !== 'logistic-regression') {
        throw new AppError('internal', 'A newton step needs a logistic regression.');
      }
      const size = bodiesOf(answers, 'newton')[0]?.body.gradient.length ?? 1;
      return closeNewton(answers, {
        theta: thetaOf(await of.results.all(), size - 1),
        ...manifest.analysis,
        blobs: deps.blobs,
      });
    }
    case 'evaluate':
      return closeEvaluate(answers);
  }
}

/** Folds the counted updates of a round, which are fixed: no answer to it counts any more. */
export async function foldTrainRound(
  deps: FoldingDeps,
  db: HubDb,
  of: { blueprint: RunBlueprint; number: number; results: NewestResults; signal: AbortSignal },
): Promise<Closing> {
  const { blueprint, number, signal } = of;
  const { plan } = blueprint;
  if (plan.strategy === undefined) throw new AppError('internal', 'A train step needs a strategy.');
  const answers = await store.listUsableAnswers(db, blueprint.runId, number);
  const results = await of.results.all();
  const manifest = graphOf(blueprint.manifest);
  const weightOf = (rowCount: number) => (plan.weightSitesBy === 'rows' ? rowCount : 1);
  const updates = bodiesOf(answers, 'update').map(({ body }) => ({ ...body, weight: weightOf(body.rowCount) }));
  const federation = Object.values<number>(resultOf(results, 'prepared')?.trainRowCounts ?? {});
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const share = sum(updates.map((update) => update.weight)) / sum(federation.map(weightOf));
  return foldRound(deps, {
    runId: blueprint.runId,
    round: number,
    manifest,
    strategy: plan.strategy,
    weights: weightsOf(manifest, results),
    serverState: resultOf(results, 'trained')?.serverState ?? {},
    updates,
    participation: Math.min(1, share),
    signal,
  });
}
