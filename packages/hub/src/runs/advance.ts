/**
 * Performs what `plan.ts` decides, one action after the other, until the run has to wait.
 *
 * Rows first: each pass is one transaction that locks the run, so passes of one run follow one another and a crash leaves the
 * run between two actions. Only the fold of weight updates happens outside: the set of updates is fixed by a first
 * transaction (`folding`), the fold is repeatable, and a second transaction takes its result in only if the round is still
 * folding. Closing a round and opening the next commit together.
 */
import {
  AppError,
  type HUB_TASK_STATES,
  type Project,
  ROUND_STATES,
  type RunId,
  type SiteId,
  toAppError,
  transition,
} from '@lantern/contract';
import { type BlobStore, faultPoint } from '@lantern/service';
import { manifestOf } from '../bundles/bundles.ts';
import { offeredSchema } from '../datasets/datasets.ts';
import { activeSites, namesOfSites } from '../enrolment/enrolment.ts';
import { cancelRunTasks } from '../exchange/tasks.ts';
import { audit, type HubContext } from '../hub-context.ts';
import { enqueueAdvanceAt } from '../jobs.ts';
import { projectFor } from '../projects/projects.ts';
import type { HubTx } from '../tables.ts';
import { wake } from '../wakeups.ts';
import {
  bodiesOf,
  type Closing,
  closeEvaluate,
  closeNewton,
  closePrepare,
  closeStandardise,
  prepareMetrics,
} from './closing.ts';
import { foldRound } from './folding.ts';
import { openRound, type RunBlueprint, weightsOf } from './opening.ts';
import { type Action, nextAction, type Outcome, type RunFacts, stepsOf, WAITING_AFTER_MS_MIN } from './plan.ts';
import { graphOf, resultOf, thetaOf } from './results.ts';
import type { RoundResult } from './round-result.ts';
import { endRun, moveRun, type RunHandle } from './run-state.ts';
import * as store from './store.ts';

export type AdvanceDeps = HubContext & { readonly blobs: BlobStore };

type FoldAction = Extract<Action, { kind: 'fold' }>;

/** What a pass leaves to do outside its transaction. */
type Pass =
  | { readonly kind: 'done'; readonly crossed: readonly ('hub.round.closed' | 'hub.round.opened')[] }
  | { readonly kind: 'fold'; readonly blueprint: RunBlueprint; readonly number: number };

export type Advancer = { advance(runId: RunId, signal: AbortSignal): Promise<void> };

export function createAdvancer(deps: AdvanceDeps): Advancer {
  const folding = new Set<RunId>();
  return {
    async advance(runId, signal) {
      if (folding.has(runId)) return; // whoever folds looks again when the fold is done
      let pass = await runPass(deps, runId, undefined);
      while (pass.kind === 'fold') {
        folding.add(runId);
        const { blueprint, number } = pass;
        try {
          const closing = await foldTrainRound(deps, { blueprint, number, signal });
          faultPoint('hub.round.folded');
          folding.delete(runId);
          pass = await runPass(deps, runId, { number, closing });
        } finally {
          folding.delete(runId);
        }
      }
    },
  };
}

async function runPass(
  deps: AdvanceDeps,
  runId: RunId,
  folded: { number: number; closing: Closing } | undefined,
): Promise<Pass> {
  const pass = await deps.transaction(async (tx: HubTx): Promise<Pass> => {
    const row = await store.lockRun(tx, runId);
    if (row === undefined) return { kind: 'done', crossed: [] };
    return advanceLocked({ deps, tx, run: await loadRun(tx, row), folded });
  });
  if (pass.kind === 'done') for (const point of pass.crossed) faultPoint(point);
  else faultPoint('hub.round.folding');
  return pass;
}

type LoadedRun = RunHandle & { readonly blueprint: RunBlueprint };

async function loadRun(tx: HubTx, row: store.RunRow): Promise<LoadedRun> {
  const project: Project = await projectFor(tx, row.project_id);
  const algorithm = project.spec.algorithms.find((candidate) => candidate.name === row.plan.algorithm);
  const manifest = await manifestOf(tx, row.bundle_digest);
  if (algorithm === undefined || manifest === undefined) {
    throw new AppError('internal', 'A run lost its algorithm or its bundle.');
  }
  return {
    runId: row.run_id,
    state: row.state,
    blueprint: { runId: row.run_id, plan: row.plan, project, algorithm, manifest },
  };
}

type PassInput = {
  readonly deps: AdvanceDeps;
  readonly tx: HubTx;
  readonly run: LoadedRun;
  readonly folded: { readonly number: number; readonly closing: Closing } | undefined;
};

async function advanceLocked(input: PassInput): Promise<Pass> {
  const { deps, tx, run, folded } = input;
  const crossed: ('hub.round.closed' | 'hub.round.opened')[] = [];
  if (run.state === 'planned') await moveRun(deps, tx, run, 'start');
  for (;;) {
    const nowMs = deps.clock.now().getTime();
    const action = nextAction(await loadFacts(tx, run), nowMs);
    switch (action.kind) {
      case 'open':
        await open(input, action);
        crossed.push('hub.round.opened');
        return { kind: 'done', crossed };
      case 'fold': {
        const given = folded?.number === action.number ? folded.closing : undefined;
        if (action.step === 'train' && given === undefined) {
          await startFolding(input, action);
          return { kind: 'fold', blueprint: run.blueprint, number: action.number };
        }
        if (!(await close(input, action, given))) return { kind: 'done', crossed };
        crossed.push('hub.round.closed');
        break;
      }
      case 'suspend':
        await moveRun(deps, tx, run, 'wait');
        return { kind: 'done', crossed };
      case 'resume':
        await moveRun(deps, tx, run, 'resume');
        break;
      case 'complete':
        await moveRun(deps, tx, run, 'complete');
        return { kind: 'done', crossed };
      case 'fail':
        await failRun(input, await belowQuorumMessage(tx, run.blueprint, action.available));
        return { kind: 'done', crossed };
      case 'wait':
        if (action.untilMs !== undefined) await enqueueAdvanceAt(tx, run.blueprint.runId, new Date(action.untilMs));
        return { kind: 'done', crossed };
      case 'nothing':
        return { kind: 'done', crossed };
    }
  }
}

const OUTCOME_OF_STATE = {
  queued: 'pending',
  delivered: 'pending',
  answered: 'answered',
  refused: 'refused',
  failed: 'failed',
  cancelled: 'cancelled',
} as const satisfies Record<keyof typeof HUB_TASK_STATES, Outcome>;

async function loadFacts(tx: HubTx, run: LoadedRun): Promise<RunFacts> {
  const { runId, plan, manifest } = run.blueprint;
  const last = await store.findLastRound(tx, runId);
  const facts = {
    state: run.state,
    steps: stepsOf(manifest, plan),
    quorum: plan.quorum,
    stragglerWaitMs: plan.stragglerWaitMs,
    members: last === undefined || last.state === 'closed' ? await listMembers(tx, run.blueprint) : [],
  };
  if (last === undefined) return facts;
  const asked = (await store.listTaskStates(tx, runId, last.number)).map(({ siteId, state, endedAt }) => ({
    siteId,
    outcome: OUTCOME_OF_STATE[state],
    ...(endedAt === null ? {} : { answeredAtMs: endedAt.getTime() }),
  }));
  return { ...facts, round: { number: last.number, state: last.state, openedAtMs: last.opened_at.getTime(), asked } };
}

/** Sites of the plan that are members of the hub and not out of this run, in ascending order. */
async function listMembers(tx: HubTx, { runId, plan }: RunBlueprint): Promise<SiteId[]> {
  const out = new Set(await store.listSitesOut(tx, runId));
  const active = await activeSites(tx, plan.sites);
  return active.filter((siteId) => !out.has(siteId));
}

async function open({ deps, tx, run }: PassInput, action: Extract<Action, { kind: 'open' }>): Promise<void> {
  const { runId, plan } = run.blueprint;
  const results = await store.newestResults(tx, runId);
  await openRound(deps, tx, { blueprint: run.blueprint, round: action, results });
  const silentAtMs = deps.clock.now().getTime() + Math.max(plan.stragglerWaitMs, WAITING_AFTER_MS_MIN);
  await enqueueAdvanceAt(tx, runId, new Date(silentAtMs));
  await wake(tx, `run:${runId}`);
}

/** Fixes which updates are folded: from here on no answer to this round counts. */
async function startFolding({ deps, tx, run }: PassInput, action: FoldAction): Promise<void> {
  const { runId } = run.blueprint;
  const round = await store.findLastRound(tx, runId);
  if (round?.state !== 'open') return; // the hub died while it folded; the set is fixed already
  const state = transition(ROUND_STATES, { what: 'round', state: round.state, event: 'fold' });
  await store.updateRoundState(tx, { runId, number: action.number, state });
  await cancelStragglers({ deps, tx, run }, action);
}

async function cancelStragglers({ deps, tx, run }: Omit<PassInput, 'folded'>, action: FoldAction): Promise<void> {
  if (action.stragglers.length === 0) return;
  await cancelRunTasks(deps, tx, {
    runId: run.blueprint.runId,
    message: 'The round was closed before the answer came.',
  });
}

async function foldTrainRound(
  deps: AdvanceDeps,
  input: { blueprint: RunBlueprint; number: number; signal: AbortSignal },
): Promise<Closing> {
  const { blueprint, number, signal } = input;
  const answers = await store.listUsableAnswers(deps.db, blueprint.runId, number);
  const results = await store.newestResults(deps.db, blueprint.runId);
  const manifest = graphOf(blueprint.manifest);
  const { plan } = blueprint;
  if (plan.strategy === undefined) throw new AppError('internal', 'A train step needs a strategy.');
  const weightOf = (rowCount: number) => (plan.weightSitesBy === 'rows' ? rowCount : 1);
  const updates = bodiesOf(answers, 'update').map(({ body }) => ({ ...body, weight: weightOf(body.rowCount) }));
  const federation = Object.values<number>(resultOf(results, 'prepared')?.trainRowCounts ?? {});
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const share = sum(updates.map((update) => update.weight)) / sum(federation.map(weightOf));
  return foldRound(deps.blobs, {
    manifest,
    strategy: plan.strategy,
    weights: weightsOf(manifest, results),
    serverState: resultOf(results, 'trained')?.serverState ?? {},
    updates,
    participation: Math.min(1, share),
    signal,
  });
}

/** Closes a round; false when its answers cannot be put together, which ends the run. */
async function close(input: PassInput, action: FoldAction, given: Closing | undefined): Promise<boolean> {
  const { deps, tx, run } = input;
  const { runId } = run.blueprint;
  if (given === undefined) faultPoint('hub.round.folding');
  let closing: Closing;
  try {
    closing = given ?? (await closeFromAnswers(input, action));
  } catch (caught) {
    const error = toAppError(caught);
    if (error.failureClass !== 'permanent' || error.code === 'internal') throw caught;
    await failRun(input, `Round ${action.number} (${action.step}): ${error.code}: ${error.message}`);
    return false;
  }
  if (given === undefined) faultPoint('hub.round.folded');
  await cancelStragglers(input, action);
  await store.closeRound(tx, { runId, number: action.number, closedAt: deps.clock.now(), ...closing });
  if (closing.evaluation !== undefined) await store.updateRunEvaluation(tx, runId, closing.evaluation);
  audit(deps, tx, {
    actor: 'hub',
    action: 'round.close',
    object: runId,
    details: { round: action.number, step: action.step, siteCount: action.counted.length },
  });
  await wake(tx, `run:${runId}`);
  return true;
}

async function closeFromAnswers({ deps, tx, run }: PassInput, action: FoldAction): Promise<Closing> {
  const { blueprint } = run;
  const { manifest, plan } = blueprint;
  const answers = await store.listUsableAnswers(tx, blueprint.runId, action.number);
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
      const results = await store.newestResults(tx, blueprint.runId);
      const size = bodiesOf(answers, 'newton')[0]?.body.gradient.length ?? 1;
      return closeNewton(answers, { theta: thetaOf(results, size - 1), ...manifest.analysis, blobs: deps.blobs });
    }
    case 'evaluate':
      return closeEvaluate(answers);
    case 'train':
      throw new AppError('internal', 'A train round is folded before it is closed.');
  }
}

async function failRun(input: PassInput, message: string): Promise<void> {
  await endRun(input.deps, input.tx, input.run, { event: 'fail', message });
}

async function belowQuorumMessage(tx: HubTx, blueprint: RunBlueprint, available: number): Promise<string> {
  const { runId, plan } = blueprint;
  const round = await store.findLastRound(tx, runId);
  const dropOuts = await store.listDropOuts(tx, runId, round?.number ?? 0);
  const names = await namesOfSites(tx, plan.sites);
  const reasons = dropOuts.map((out) => `${names.get(out.siteId) ?? out.siteId} (round ${out.round}): ${out.message}`);
  const head = `${available} of ${plan.sites.length} sites can take part; the plan needs ${plan.quorum}.`;
  return [head, ...reasons].join(' ').slice(0, MESSAGE_LENGTH_MAX);
}

const MESSAGE_LENGTH_MAX = 4000; // a hundred sites with a sentence each would be no message any more
