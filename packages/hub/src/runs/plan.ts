/**
 * What a run does next: the heart of the hub, and pure. Given the plan, the round that is under way and what its sites
 * have said, it names exactly one action; `runs.ts` performs it and asks again. Nothing else decides.
 *
 * Invariants (tested over generated histories): a round is folded only with a quorum of usable answers; a site that refused
 * is never asked again; a site that failed or straggled is; every history ends or waits for a named instant or a named
 * site; the same facts give the same action, so a crash between two actions changes nothing.
 */
import type { BundleManifest, RoundState, RunPlan, RunState, SiteId, StepKind } from '@lantern/contract';

/** What a site did with its task of the round under way. `cancelled`: it straggled. */
export type Outcome = 'pending' | 'answered' | 'refused' | 'failed' | 'cancelled';

export type AskedSite = { readonly siteId: SiteId; readonly outcome: Outcome; readonly answeredAtMs?: number };

export type CurrentRound = {
  readonly number: number;
  readonly state: RoundState;
  readonly openedAtMs: number;
  readonly asked: readonly AskedSite[];
};

/** The facts of a run. `members`: sites of the plan that are still part of it, in ascending order. */
export type RunFacts = {
  readonly state: RunState;
  readonly steps: readonly StepKind[];
  readonly quorum: number;
  readonly stragglerWaitMs: number;
  readonly members: readonly SiteId[];
  readonly round?: CurrentRound;
};

export type Action =
  | { readonly kind: 'open'; readonly number: number; readonly step: StepKind; readonly sites: readonly SiteId[] }
  | {
      readonly kind: 'fold';
      readonly number: number;
      readonly step: StepKind;
      readonly counted: readonly SiteId[];
      readonly stragglers: readonly SiteId[];
    }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'resume' }
  | { readonly kind: 'complete' }
  | { readonly kind: 'fail'; readonly reason: 'below-quorum'; readonly available: number }
  | { readonly kind: 'wait'; readonly untilMs: number | undefined }
  | { readonly kind: 'nothing' };

/** A round below quorum for this long shows as waiting; shorter silences are ordinary. */
export const WAITING_AFTER_MS_MIN = 1000;

/** Every step of a run in order; a round's number is its place in this list. */
export function stepsOf(manifest: BundleManifest, plan: Pick<RunPlan, 'rounds' | 'standardisation'>): StepKind[] {
  const before: StepKind[] = plan.standardisation === 'pooled' ? ['prepare', 'standardise'] : ['prepare'];
  if (manifest.kind === 'analysis' && manifest.analysis.kind === 'moments') return before;
  const step: StepKind = manifest.kind === 'graph' ? 'train' : 'newton';
  return [...before, ...Array.from({ length: plan.rounds }, () => step), 'evaluate'];
}

/** The one next action of a run at instant `nowMs` [ms since 1970]. */
export function nextAction(facts: RunFacts, nowMs: number): Action {
  if (facts.state === 'completed' || facts.state === 'failed' || facts.state === 'stopped') return { kind: 'nothing' };
  const { round } = facts;
  if (round === undefined) return openNext(facts, 0);
  switch (round.state) {
    case 'open':
      return actOnOpenRound(facts, round, nowMs);
    case 'folding':
      return fold(facts, round);
    case 'closed':
      return openNext(facts, round.number + 1);
    case 'abandoned':
      return { kind: 'nothing' };
  }
}

function openNext(facts: RunFacts, number: number): Action {
  const step = facts.steps[number];
  if (step === undefined) return { kind: 'complete' };
  if (facts.members.length < facts.quorum) {
    return { kind: 'fail', reason: 'below-quorum', available: facts.members.length };
  }
  return { kind: 'open', number, step, sites: facts.members };
}

function actOnOpenRound(facts: RunFacts, round: CurrentRound, nowMs: number): Action {
  const pending = round.asked.filter((site) => site.outcome === 'pending').length;
  const answeredAtMs = round.asked
    .filter((site) => site.outcome === 'answered')
    .map((site) => site.answeredAtMs ?? round.openedAtMs)
    .sort((a, b) => a - b);
  const available = answeredAtMs.length + pending;
  const silentAtMs = round.openedAtMs + Math.max(facts.stragglerWaitMs, WAITING_AFTER_MS_MIN);
  if (available < facts.quorum) {
    // In the first round the others may still say what is wrong with them, so that a researcher sees every refusal at once.
    const othersMaySay = facts.steps[round.number] === 'prepare' && pending > 0 && nowMs < silentAtMs;
    return othersMaySay ? { kind: 'wait', untilMs: silentAtMs } : { kind: 'fail', reason: 'below-quorum', available };
  }
  const quorumReachedAtMs = answeredAtMs[facts.quorum - 1];
  if (quorumReachedAtMs === undefined) {
    if (facts.state === 'waiting') return { kind: 'wait', untilMs: undefined };
    return nowMs >= silentAtMs ? { kind: 'suspend' } : { kind: 'wait', untilMs: silentAtMs };
  }
  if (facts.state === 'waiting') return { kind: 'resume' };
  const closesAtMs = quorumReachedAtMs + facts.stragglerWaitMs;
  if (pending === 0 || nowMs >= closesAtMs) return fold(facts, round);
  return { kind: 'wait', untilMs: closesAtMs };
}

function fold(facts: RunFacts, round: CurrentRound): Action {
  const step = facts.steps[round.number];
  if (step === undefined) return { kind: 'nothing' };
  const sitesThat = (outcome: Outcome) =>
    round.asked
      .filter((site) => site.outcome === outcome)
      .map((site) => site.siteId)
      .sort();
  return { kind: 'fold', number: round.number, step, counted: sitesThat('answered'), stragglers: sitesThat('pending') };
}
