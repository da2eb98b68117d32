/** The facts of a run as `plan.ts` wants them, read inside the transaction that acts on them. */
import type { HUB_TASK_STATES, RunState, SiteId } from '@lantern/contract';
import { activeSites, namesOfSites } from '../enrolment/enrolment.ts';
import type { HubTx } from '../tables.ts';
import type { RunBlueprint } from './blueprint.ts';
import { type Outcome, type RunFacts, stepsOf } from './plan.ts';
import * as store from './store.ts';

const MESSAGE_LENGTH_MAX = 4000; // a hundred sites with a sentence each would be no message any more

const OUTCOME_OF_STATE = {
  queued: 'pending',
  delivered: 'pending',
  answered: 'answered',
  refused: 'refused',
  failed: 'failed',
  cancelled: 'cancelled',
} as const satisfies Record<keyof typeof HUB_TASK_STATES, Outcome>;

/** `last`: the round that was opened last, as it is now. */
export async function loadFacts(
  tx: HubTx,
  run: { readonly state: RunState; readonly blueprint: RunBlueprint },
  last: store.RoundStateRow | undefined,
): Promise<RunFacts> {
  const { runId, plan, manifest } = run.blueprint;
  const opensNext = last === undefined || last.state === 'closed';
  const facts = {
    state: run.state,
    steps: stepsOf(manifest, plan),
    quorum: plan.quorum,
    stragglerWaitMs: plan.stragglerWaitMs,
    members: opensNext ? await listMembers(tx, run.blueprint) : [],
  };
  if (last === undefined) return facts;
  const tasks = opensNext ? [] : await store.listTaskStates(tx, runId, last.number);
  const asked = tasks.map(({ siteId, state, endedAt }) => ({
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

/** Why a run cannot go on, naming the sites that dropped out and what they said. */
export async function belowQuorumMessage(tx: HubTx, blueprint: RunBlueprint, available: number): Promise<string> {
  const { runId, plan } = blueprint;
  const round = await store.findLastRoundState(tx, runId);
  const dropOuts = await store.listDropOuts(tx, runId, round?.number ?? 0);
  const names = await namesOfSites(tx, plan.sites);
  const reasons = dropOuts.map((out) => `${names.get(out.siteId) ?? out.siteId} (round ${out.round}): ${out.message}`);
  const head = `${available} of ${plan.sites.length} sites can take part; the plan needs ${plan.quorum}.`;
  return [head, ...reasons].join(' ').slice(0, MESSAGE_LENGTH_MAX);
}
