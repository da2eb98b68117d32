/**
 * Performs what `plan.ts` decides, one action after the other, until the run has to wait.
 *
 * Rows first: each pass is one transaction that locks the run, so passes of one run follow one another and a crash leaves the
 * run between two actions. Closing a round and opening the next commit together.
 *
 * Only the fold of large updates happens outside a transaction: the set of updates is fixed by a first pass (`folding`), the
 * fold is repeatable, and a second pass takes its result in only if the round is still folding.
 */
import { ROUND_STATES, type RunId, toAppError, transition } from '@lantern/contract';
import { faultPoint } from '@lantern/service';
import { cancelRunTasks } from '../exchange/tasks.ts';
import { audit, type HubContext } from '../hub-context.ts';
import { enqueueAdvance, enqueueAdvanceAt, enqueueSweep } from '../jobs.ts';
import type { HubTx } from '../tables.ts';
import { wake } from '../wakeups.ts';
import { type Blueprints, createBlueprints, type RunBlueprint } from './blueprint.ts';
import type { Closing } from './closing.ts';
import { belowQuorumMessage, loadFacts } from './facts.ts';
import type { FoldingDeps } from './folding.ts';
import { createNewestResults, type NewestResults } from './newest-results.ts';
import { openRound } from './opening.ts';
import { type Action, nextAction, WAITING_AFTER_MS_MIN } from './plan.ts';
import { closeFromAnswers, foldTrainRound, isFoldedInside } from './round-closing.ts';
import { endRun, moveRun, type RunHandle } from './run-state.ts';
import * as store from './store.ts';

export type AdvanceDeps = HubContext & FoldingDeps;

type FoldAction = Extract<Action, { kind: 'fold' }>;
type Crossed = 'hub.round.closed' | 'hub.round.opened';

/** What a pass leaves to do outside its transaction. `lookAt`: for when it put a job into the queue. */
type Pass = (
  | { readonly kind: 'done'; readonly crossed: readonly Crossed[] }
  | { readonly kind: 'fold'; readonly blueprint: RunBlueprint; readonly number: number }
) & { readonly lookAt?: Date };

type Folded = { readonly number: number; readonly closing: Closing };

type PassInput = {
  readonly deps: AdvanceDeps;
  readonly tx: HubTx;
  readonly run: RunHandle & { readonly blueprint: RunBlueprint };
  readonly results: NewestResults;
  readonly folded: Folded | undefined;
  /** When a job looks at the run in any case, as far as this process knows. */
  readonly nextLookAt: Date | undefined;
  readonly signal: AbortSignal;
};

/** Job, or a look of this process: performs whatever a run does next. */
export type Advance = (runId: RunId, why: { signal: AbortSignal; isJob: boolean }) => Promise<void>;

/**
 * A run that is under way is looked at by a job at least this often, whatever it waits for: should the process have died that
 * took the last answer of a round, another goes on with the run that much later.
 */
const LOOK_INTERVAL_MS = 60_000;
/** A job that finds its run being folded comes back after this long, should the folding process die. */
const FOLDING_LOOK_MS = 30_000;
const RUN_COUNT_MAX = 1000; // ten times the runs that are under way at once

export function createAdvance(deps: AdvanceDeps): Advance {
  const folding = new Set<RunId>();
  const blueprints = createBlueprints();
  const nextLooks = new Map<RunId, Date>();

  async function pass(runId: RunId, folded: Folded | undefined, signal: AbortSignal): Promise<Pass> {
    const done = await runPass(deps, blueprints, { runId, folded, nextLookAt: nextLooks.get(runId), signal });
    if (nextLooks.size >= RUN_COUNT_MAX) nextLooks.clear();
    if (done.lookAt !== undefined) nextLooks.set(runId, done.lookAt);
    return done;
  }

  return async (runId, { signal, isJob }) => {
    if (isJob) nextLooks.delete(runId); // it may be the job that was to look then
    if (folding.has(runId)) {
      const at = new Date(deps.clock.now().getTime() + FOLDING_LOOK_MS);
      await deps.transaction((tx: HubTx) => enqueueAdvanceAt(tx, runId, at));
      return;
    }
    let done = await pass(runId, undefined, signal);
    while (done.kind === 'fold') {
      faultPoint('hub.round.folding');
      const { blueprint, number } = done;
      folding.add(runId);
      try {
        const results = createNewestResults(deps.db, runId);
        const closing = await foldTrainRound(deps, deps.db, { blueprint, number, results, signal });
        faultPoint('hub.round.folded');
        folding.delete(runId);
        done = await pass(runId, { number, closing }, signal);
      } finally {
        folding.delete(runId);
      }
    }
  };
}

/** Puts every run that is under way into the queue; at start, since a look that died with the process left only a later job. */
export async function resumeRuns(deps: Pick<HubContext, 'transaction'>): Promise<void> {
  await deps.transaction(async (tx: HubTx) => {
    for (const runId of await store.listLiveRunIds(tx)) await enqueueAdvance(tx, runId);
  });
}

async function runPass(
  deps: AdvanceDeps,
  blueprints: Blueprints,
  of: { runId: RunId; folded: Folded | undefined; nextLookAt: Date | undefined; signal: AbortSignal },
): Promise<Pass> {
  const { runId, ...rest } = of;
  const pass = await deps.transaction(async (tx: HubTx): Promise<Pass> => {
    const row = await store.lockRun(tx, runId);
    if (row === undefined) return { kind: 'done', crossed: [] };
    const run = { runId, state: row.state, blueprint: await blueprints.of(tx, row) };
    return advanceLocked({ deps, tx, run, results: createNewestResults(tx, runId), ...rest });
  });
  if (pass.kind === 'done') for (const point of pass.crossed) faultPoint(point);
  return pass;
}

async function advanceLocked(input: PassInput): Promise<Pass> {
  const { deps, tx, run, results } = input;
  const crossed: Crossed[] = [];
  const done = async (lookAt?: Date): Promise<Pass> => {
    if (lookAt !== undefined) await enqueueAdvanceAt(tx, run.runId, lookAt);
    return { kind: 'done', crossed, ...(lookAt === undefined ? {} : { lookAt }) };
  };
  let last = await store.findLastRoundState(tx, run.runId);
  if (run.state === 'planned') await moveRun(deps, tx, run, 'start');
  for (;;) {
    const nowMs = deps.clock.now().getTime();
    const action = nextAction(await loadFacts(tx, run, last), nowMs);
    switch (action.kind) {
      case 'open': {
        const { blueprint } = run;
        await openRound(deps, tx, { blueprint, round: action, results: await results.all() });
        crossed.push('hub.round.opened');
        return done(lookAt(input, nowMs + Math.max(blueprint.plan.stragglerWaitMs, WAITING_AFTER_MS_MIN)));
      }
      case 'fold': {
        const given = input.folded?.number === action.number ? input.folded.closing : undefined;
        if (given === undefined && !isFoldedInside(run.blueprint, action)) {
          await startFolding(input, action);
          return { kind: 'fold', blueprint: run.blueprint, number: action.number };
        }
        if (!(await close(input, action, given))) return done();
        crossed.push('hub.round.closed');
        if (last !== undefined) last = { ...last, state: 'closed' };
        break;
      }
      case 'suspend':
        await moveRun(deps, tx, run, 'wait');
        return done(lookAt(input, undefined));
      case 'resume':
        await moveRun(deps, tx, run, 'resume');
        break;
      case 'complete':
        await moveRun(deps, tx, run, 'complete');
        return done();
      case 'fail':
        await failRun(input, await belowQuorumMessage(tx, run.blueprint, action.available));
        return done();
      case 'wait':
        return done(lookAt(input, action.untilMs));
      case 'nothing':
        return done();
    }
  }
}

/** When a job is to look at the run; `undefined` where one that is in the queue already looks early enough. */
function lookAt({ deps, nextLookAt }: PassInput, wantedMs: number | undefined): Date | undefined {
  const nowMs = deps.clock.now().getTime();
  const atMs = Math.min(wantedMs ?? Number.POSITIVE_INFINITY, nowMs + LOOK_INTERVAL_MS);
  const knownMs = nextLookAt?.getTime() ?? Number.POSITIVE_INFINITY;
  return nowMs < knownMs && knownMs <= atMs ? undefined : new Date(atMs);
}

/** Fixes which updates are folded: from here on no answer to this round counts. */
async function startFolding(input: PassInput, action: FoldAction): Promise<void> {
  const { tx, run } = input;
  const round = await store.findLastRoundState(tx, run.runId);
  if (round?.state !== 'open') return; // the hub died while it folded; the set is fixed already
  const state = transition(ROUND_STATES, { what: 'round', state: round.state, event: 'fold' });
  await store.updateRoundState(tx, { runId: run.runId, number: action.number, state });
  await cancelStragglers(input, action);
}

async function cancelStragglers({ deps, tx, run }: PassInput, action: FoldAction): Promise<void> {
  if (action.stragglers.length === 0) return;
  await cancelRunTasks(deps, tx, { runId: run.runId, message: 'The round was closed before the answer came.' });
}

/** Closes a round; false when its answers cannot be put together, which ends the run. */
async function close(input: PassInput, action: FoldAction, given: Closing | undefined): Promise<boolean> {
  const { deps, tx, run, results, signal } = input;
  await cancelStragglers(input, action); // first: an answer that commits meanwhile then counts, or its task has ended
  let closing = given;
  if (closing === undefined) {
    faultPoint('hub.round.folding');
    try {
      closing = await closeFromAnswers(deps, tx, { blueprint: run.blueprint, action, results, signal });
    } catch (caught) {
      const error = toAppError(caught);
      if (error.failureClass !== 'permanent' || error.code === 'internal') throw caught;
      await failRun(input, `Round ${action.number} (${action.step}): ${error.code}: ${error.message}`);
      return false;
    }
    faultPoint('hub.round.folded');
  }
  await store.closeRound(tx, { runId: run.runId, number: action.number, closedAt: deps.clock.now(), ...closing });
  results.add(closing.result);
  if (closing.leavesBlobs === true) await enqueueSweep(tx, { runId: run.runId, round: action.number });
  if (closing.evaluation !== undefined) await store.updateRunEvaluation(tx, run.runId, closing.evaluation);
  audit(deps, tx, {
    actor: 'hub',
    action: 'round.close',
    object: run.runId,
    details: { round: action.number, step: action.step, siteCount: action.counted.length },
  });
  wake(tx, `run:${run.runId}`);
  return true;
}

async function failRun({ deps, tx, run }: PassInput, message: string): Promise<void> {
  await endRun(deps, tx, run, { event: 'fail', message });
}
