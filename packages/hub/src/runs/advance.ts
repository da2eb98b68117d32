/**
 * Performs what `plan.ts` decides, one action after the other, until the run has to wait.
 *
 * Rows first: each pass is one transaction that locks the run, so passes of one run follow one another and a crash leaves the
 * run between two actions. Closing a round and opening the next commit together.
 *
 * Only the fold of large updates happens outside a transaction: the set of updates is fixed by a first pass (`folding`), the
 * fold is repeatable, and a second pass takes its result in only if the round is still folding.
 */
import { AppError, ROUND_STATES, type RunId, toAppError, transition } from '@lantern/contract';
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
import { openRound } from './opening.ts';
import { type Action, nextAction, WAITING_AFTER_MS_MIN } from './plan.ts';
import { closeFromAnswers, foldTrainRound, isFoldedInside } from './round-closing.ts';
import { endRun, moveRun, type RunHandle } from './run-state.ts';
import * as store from './store.ts';

export type AdvanceDeps = HubContext & FoldingDeps;

type FoldAction = Extract<Action, { kind: 'fold' }>;
type Crossed = 'hub.round.closed' | 'hub.round.opened';

/** What a pass leaves to do outside its transaction. */
type Pass =
  | { readonly kind: 'done'; readonly crossed: readonly Crossed[] }
  | { readonly kind: 'fold'; readonly blueprint: RunBlueprint; readonly number: number };

type Folded = { readonly number: number; readonly closing: Closing };

type PassInput = {
  readonly deps: AdvanceDeps;
  readonly tx: HubTx;
  readonly run: RunHandle & { readonly blueprint: RunBlueprint };
  readonly folded: Folded | undefined;
  readonly signal: AbortSignal;
};

export type Advancer = {
  /** Job: performs whatever a run does next. */
  advance(runId: RunId, signal: AbortSignal): Promise<void>;
  /** The same at once and in this process, for what was just committed; a failure is left to the run's job. */
  look(runId: RunId): void;
  /** Aborts and awaits what `look` began. */
  close(): Promise<void>;
};

/** A job that finds its run being folded comes back after this long, should the folding process die. */
const FOLDING_LOOK_MS = 30_000;

export function createAdvancer(deps: AdvanceDeps): Advancer {
  const folding = new Set<RunId>();
  const blueprints = createBlueprints();
  const closing = new AbortController();
  const looks = new Set<Promise<void>>();
  const advancer: Advancer = {
    look(runId) {
      const look = advancer.advance(runId, closing.signal).catch((err: unknown) => {
        if (!closing.signal.aborted) deps.log.warn({ err, runId }, 'a run is looked at again by its job');
      });
      looks.add(look);
      void look.finally(() => looks.delete(look));
    },
    async close() {
      closing.abort(new AppError('stopped', 'The hub is shutting down.'));
      await Promise.all(looks);
    },
    async advance(runId, signal) {
      if (folding.has(runId)) {
        const at = new Date(deps.clock.now().getTime() + FOLDING_LOOK_MS);
        await deps.transaction((tx: HubTx) => enqueueAdvanceAt(tx, runId, at));
        return;
      }
      let pass = await runPass(deps, blueprints, { runId, folded: undefined, signal });
      while (pass.kind === 'fold') {
        faultPoint('hub.round.folding');
        const { blueprint, number } = pass;
        folding.add(runId);
        try {
          const closing = await foldTrainRound(deps, deps.db, { blueprint, number, signal });
          faultPoint('hub.round.folded');
          folding.delete(runId);
          pass = await runPass(deps, blueprints, { runId, folded: { number, closing }, signal });
        } finally {
          folding.delete(runId);
        }
      }
    },
  };
  return advancer;
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
  of: { runId: RunId; folded: Folded | undefined; signal: AbortSignal },
): Promise<Pass> {
  const pass = await deps.transaction(async (tx: HubTx): Promise<Pass> => {
    const row = await store.lockRun(tx, of.runId);
    if (row === undefined) return { kind: 'done', crossed: [] };
    const run = { runId: row.run_id, state: row.state, blueprint: await blueprints.of(tx, row) };
    return advanceLocked({ deps, tx, run, folded: of.folded, signal: of.signal });
  });
  if (pass.kind === 'done') for (const point of pass.crossed) faultPoint(point);
  return pass;
}

async function advanceLocked(input: PassInput): Promise<Pass> {
  const { deps, tx, run } = input;
  const crossed: Crossed[] = [];
  if (run.state === 'planned') await moveRun(deps, tx, run, 'start');
  for (;;) {
    const action = nextAction(await loadFacts(tx, run), deps.clock.now().getTime());
    switch (action.kind) {
      case 'open':
        await open(input, action);
        crossed.push('hub.round.opened');
        return { kind: 'done', crossed };
      case 'fold': {
        const given = input.folded?.number === action.number ? input.folded.closing : undefined;
        if (given === undefined && !isFoldedInside(run.blueprint, action)) {
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
        if (action.untilMs !== undefined) await enqueueAdvanceAt(tx, run.runId, new Date(action.untilMs));
        return { kind: 'done', crossed };
      case 'nothing':
        return { kind: 'done', crossed };
    }
  }
}

async function open({ deps, tx, run }: PassInput, action: Extract<Action, { kind: 'open' }>): Promise<void> {
  const { plan } = run.blueprint;
  const results = await store.newestResults(tx, run.runId);
  await openRound(deps, tx, { blueprint: run.blueprint, round: action, results });
  const silentAtMs = deps.clock.now().getTime() + Math.max(plan.stragglerWaitMs, WAITING_AFTER_MS_MIN);
  await enqueueAdvanceAt(tx, run.runId, new Date(silentAtMs));
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
  const { deps, tx, run, signal } = input;
  let closing = given;
  if (closing === undefined) {
    faultPoint('hub.round.folding');
    try {
      closing = await closeFromAnswers(deps, tx, { blueprint: run.blueprint, action, signal });
    } catch (caught) {
      const error = toAppError(caught);
      if (error.failureClass !== 'permanent' || error.code === 'internal') throw caught;
      await failRun(input, `Round ${action.number} (${action.step}): ${error.code}: ${error.message}`);
      return false;
    }
    faultPoint('hub.round.folded');
  }
  await cancelStragglers(input, action);
  await store.closeRound(tx, { runId: run.runId, number: action.number, closedAt: deps.clock.now(), ...closing });
  if (closing.leavesBlobs === true) await enqueueSweep(tx, { runId: run.runId, round: action.number });
  if (closing.evaluation !== undefined) await store.updateRunEvaluation(tx, run.runId, closing.evaluation);
  audit(deps, tx, {
    actor: 'hub',
    action: 'round.close',
    object: run.runId,
    details: { round: action.number, step: action.step, siteCount: action.counted.length },
  });
  await wake(tx, `run:${run.runId}`);
  return true;
}

async function failRun({ deps, tx, run }: PassInput, message: string): Promise<void> {
  await endRun(deps, tx, run, { event: 'fail', message });
}
