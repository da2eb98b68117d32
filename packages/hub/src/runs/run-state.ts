/** Moves of a run along RUN_STATES, each with its audit record and its wake-up, in the caller's transaction. */
import {
  type EventOf,
  isFinal,
  ROUND_STATES,
  RUN_STATES,
  type RunId,
  type RunState,
  transition,
} from '@lantern/contract';
import { cancelRunTasks } from '../exchange/tasks.ts';
import { audit, type HubContext } from '../hub-context.ts';
import type { HubTx } from '../tables.ts';
import { wake } from '../wakeups.ts';
import * as store from './store.ts';

/** A run locked by the transaction; `state` follows its moves. */
export type RunHandle = { readonly runId: RunId; state: RunState };

type RunEvent = EventOf<typeof RUN_STATES>;

export async function moveRun(
  context: Pick<HubContext, 'clock'>,
  tx: HubTx,
  run: RunHandle,
  event: RunEvent,
  message?: string,
): Promise<void> {
  run.state = transition(RUN_STATES, { what: 'run', state: run.state, event });
  await store.updateRunState(tx, {
    runId: run.runId,
    state: run.state,
    ...(message === undefined ? {} : { message }),
    ...(isFinal(RUN_STATES, run.state) ? { endedAt: context.clock.now() } : {}),
  });
  const outcome = event === 'fail' ? 'failure' : 'success';
  audit(context, tx, { actor: 'hub', action: `run.${event}`, object: run.runId, outcome });
  wake(tx, `run:${run.runId}`);
}

/** Ends a run early: its open round is abandoned, its open tasks are cancelled. */
export async function endRun(
  context: Pick<HubContext, 'clock'>,
  tx: HubTx,
  run: RunHandle,
  end: { event: 'fail' | 'stop'; message: string },
): Promise<void> {
  const { runId } = run;
  const round = await store.findLastRoundState(tx, runId);
  if (round !== undefined && !isFinal(ROUND_STATES, round.state)) {
    const state = transition(ROUND_STATES, { what: 'round', state: round.state, event: 'abandon' });
    await store.updateRoundState(tx, { runId, number: round.number, state, closedAt: context.clock.now() });
  }
  await cancelRunTasks(context, tx, { runId, message: 'The run has ended.' });
  await moveRun(context, tx, run, end.event, end.message);
}
