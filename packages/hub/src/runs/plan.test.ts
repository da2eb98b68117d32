import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BundleManifest, RoundState, RunState, SiteId } from '@lantern/contract';
import fc from 'fast-check';
import { type AskedSite, nextAction, type Outcome, type RunFacts, stepsOf, WAITING_AFTER_MS_MIN } from './plan.ts';

const site = (letter: string): SiteId => `site_${letter.repeat(24)}` as SiteId;
const A = site('a');
const B = site('b');
const C = site('c');
const OPENED = 1_000_000;
const HEAD = { schema: 'lantern.bundle/1', name: 'x', version: '1.0.0', description: 'x', kind: 'analysis' } as const;
const MOMENTS: BundleManifest = { ...HEAD, analysis: { kind: 'moments' }, files: [] };
const NEWTON: BundleManifest = {
  ...HEAD,
  analysis: { kind: 'logistic-regression', ridge: 1, damping: 1 },
  files: [],
};

function facts(change: Partial<RunFacts> & { asked?: AskedSite[]; roundState?: RoundState }): RunFacts {
  const { asked, roundState, ...rest } = change;
  const steps = stepsOf(NEWTON, { rounds: 2, standardisation: 'none' });
  const base = { state: 'running' as RunState, steps, quorum: 2, stragglerWaitMs: 5000, members: [A, B, C], ...rest };
  if (asked === undefined) return base;
  return { ...base, round: { number: 1, state: roundState ?? 'open', openedAtMs: OPENED, asked } };
}

const answered = (siteId: SiteId, afterMs: number): AskedSite => ({
  siteId,
  outcome: 'answered',
  answeredAtMs: OPENED + afterMs,
});
const other = (siteId: SiteId, outcome: Outcome): AskedSite => ({ siteId, outcome });

test('an analysis of moments is prepare and standardise only; others end with evaluate', () => {
  assert.deepEqual(stepsOf(MOMENTS, { rounds: 7, standardisation: 'pooled' }), ['prepare', 'standardise']);
  assert.deepEqual(stepsOf(NEWTON, { rounds: 2, standardisation: 'per-site' }), [
    'prepare',
    'newton',
    'newton',
    'evaluate',
  ]);
  assert.deepEqual(stepsOf(NEWTON, { rounds: 1, standardisation: 'pooled' }), [
    'prepare',
    'standardise',
    'newton',
    'evaluate',
  ]);
});

test('a run without rounds opens prepare for every member', () => {
  assert.deepEqual(nextAction(facts({}), OPENED), { kind: 'open', number: 0, step: 'prepare', sites: [A, B, C] });
});

test('a closed round is followed by the next, and the last by completion', () => {
  const asked = [answered(A, 1), answered(B, 2), answered(C, 3)];
  assert.deepEqual(nextAction(facts({ asked, roundState: 'closed' }), OPENED), {
    kind: 'open',
    number: 2,
    step: 'newton',
    sites: [A, B, C],
  });
  const last = facts({ asked, roundState: 'closed' });
  assert.deepEqual(
    nextAction({ ...last, round: { number: 3, state: 'closed', openedAtMs: OPENED, asked } }, OPENED + 9),
    { kind: 'complete' },
  );
});

test('a round closes at once when every site has answered or dropped out', () => {
  const asked = [answered(C, 20), other(B, 'failed'), answered(A, 10)];
  assert.deepEqual(nextAction(facts({ asked }), OPENED + 20), {
    kind: 'fold',
    number: 1,
    step: 'newton',
    counted: [A, C],
    stragglers: [],
  });
});

test('with quorum the round waits for stragglers until the wait is over, then closes without them', () => {
  const asked = [answered(C, 400), other(B, 'pending'), answered(A, 100)];
  const closesAtMs = OPENED + 400 + 5000; // from the instant quorum was reached, not from the first answer
  assert.deepEqual(nextAction(facts({ asked }), closesAtMs - 1), { kind: 'wait', untilMs: closesAtMs });
  assert.deepEqual(nextAction(facts({ asked }), closesAtMs), {
    kind: 'fold',
    number: 1,
    step: 'newton',
    counted: [A, C],
    stragglers: [B],
  });
});

test('below quorum because of silence the run waits, and resumes when a site comes back', () => {
  const silent = [answered(A, 100), other(B, 'pending'), other(C, 'pending')];
  assert.deepEqual(nextAction(facts({ asked: silent }), OPENED + 4999), { kind: 'wait', untilMs: OPENED + 5000 });
  assert.deepEqual(nextAction(facts({ asked: silent }), OPENED + 5000), { kind: 'suspend' });
  assert.deepEqual(nextAction(facts({ asked: silent, state: 'waiting' }), OPENED + 1e9), {
    kind: 'wait',
    untilMs: undefined,
  });
  const back = [answered(A, 100), answered(B, 9e6), other(C, 'pending')];
  assert.deepEqual(nextAction(facts({ asked: back, state: 'waiting' }), OPENED + 9e6), { kind: 'resume' });
});

test('a short straggler wait does not show an ordinary pause as waiting', () => {
  const asked = [other(A, 'pending'), other(B, 'pending')];
  assert.deepEqual(nextAction(facts({ asked, stragglerWaitMs: 0 }), OPENED + 3), {
    kind: 'wait',
    untilMs: OPENED + WAITING_AFTER_MS_MIN,
  });
});

test('below quorum because of refusals or failures the run fails at once', () => {
  const asked = [answered(A, 1), other(B, 'refused'), other(C, 'failed')];
  assert.deepEqual(nextAction(facts({ asked }), OPENED + 2), { kind: 'fail', reason: 'below-quorum', available: 1 });
  const between = facts({ asked: [answered(A, 1), answered(B, 1)], roundState: 'closed', members: [A] });
  assert.deepEqual(nextAction(between, OPENED + 2), { kind: 'fail', reason: 'below-quorum', available: 1 });
});

test('in the first round the run fails only once every site had time to say what is wrong', () => {
  const asked = [answered(A, 1), other(B, 'refused'), other(C, 'pending')];
  const late = OPENED + 60_000;
  const first = { ...facts({ asked, quorum: 3, stragglerWaitMs: 5000 }), steps: ['prepare', 'prepare'] as const };
  assert.deepEqual(nextAction(first, OPENED + 2), { kind: 'wait', untilMs: OPENED + 5000 });
  assert.deepEqual(nextAction(first, late), { kind: 'fail', reason: 'below-quorum', available: 2 });
});

test('a fold interrupted by a crash is done again over the same sites', () => {
  const asked = [answered(B, 3), other(C, 'cancelled'), answered(A, 8)];
  const expected = { kind: 'fold', number: 1, step: 'newton', counted: [A, B], stragglers: [] };
  assert.deepEqual(nextAction(facts({ asked, roundState: 'folding' }), OPENED + 1e7), expected);
});

test('nothing follows the end of a run', () => {
  for (const state of ['completed', 'failed', 'stopped'] as const) {
    assert.deepEqual(nextAction(facts({ state }), OPENED), { kind: 'nothing' });
  }
});

/** One generated site: what it does in each round, and after how long. */
type Behaviour = { outcome: 'answered' | 'failed' | 'refused' | 'silent'; afterMs: number };
const behaviour: fc.Arbitrary<Behaviour> = fc.record({
  outcome: fc.constantFrom('answered', 'answered', 'answered', 'answered', 'failed', 'refused', 'silent'),
  afterMs: fc.integer({ min: 0, max: 20_000 }),
});

/** Plays a run to its end against generated sites; asserts the invariants on the way; returns how it ended. */
function play(input: { behaviours: Behaviour[][]; quorum: number; stragglerWaitMs: number }): string {
  const steps = stepsOf(NEWTON, { rounds: 3, standardisation: 'pooled' });
  const sites = input.behaviours.map((_, index) => site(String.fromCharCode(97 + index)));
  const out = new Set<SiteId>();
  let state: RunState = 'running';
  let nowMs = OPENED;
  let round: RunFacts['round'];
  let due: { siteId: SiteId; outcome: Outcome; atMs: number }[] = [];
  for (let move = 0; move < 500; move++) {
    const members = sites.filter((id) => !out.has(id));
    const view: RunFacts = { state, steps, quorum: input.quorum, stragglerWaitMs: input.stragglerWaitMs, members };
    const action = nextAction(round === undefined ? view : { ...view, round }, nowMs);
    assert.deepEqual(nextAction(round === undefined ? view : { ...view, round }, nowMs), action);
    switch (action.kind) {
      case 'open': {
        assert.equal(action.number, (round?.number ?? -1) + 1, 'rounds follow one another');
        assert.ok(
          action.sites.every((id) => !out.has(id)),
          'a site that is out is never asked',
        );
        assert.ok(action.sites.length >= input.quorum);
        round = {
          number: action.number,
          state: 'open',
          openedAtMs: nowMs,
          asked: action.sites.map((siteId) => ({ siteId, outcome: 'pending' })),
        };
        due = action.sites.flatMap((siteId) => {
          const its = input.behaviours[sites.indexOf(siteId)]?.[action.number];
          if (its === undefined || its.outcome === 'silent') return [];
          return [{ siteId, outcome: its.outcome, atMs: nowMs + its.afterMs }];
        });
        break;
      }
      case 'fold': {
        assert.ok(round !== undefined && round.state === 'open');
        assert.ok(action.counted.length >= input.quorum, 'never below quorum');
        assert.deepEqual([...action.counted], [...action.counted].sort());
        for (const asked of round.asked) if (asked.outcome === 'refused') out.add(asked.siteId);
        round = { ...round, state: 'closed' };
        break;
      }
      case 'suspend':
        assert.equal(state, 'running');
        state = 'waiting';
        break;
      case 'resume':
        assert.equal(state, 'waiting');
        state = 'running';
        break;
      case 'wait': {
        const next = due.sort((a, b) => a.atMs - b.atMs).shift();
        if (next !== undefined && (action.untilMs === undefined || next.atMs <= action.untilMs)) {
          nowMs = Math.max(nowMs, next.atMs);
          const { siteId, outcome } = next;
          assert.ok(round !== undefined);
          round = {
            ...round,
            asked: round.asked.map((asked) =>
              asked.siteId === siteId ? { siteId, outcome, answeredAtMs: nowMs } : asked,
            ),
          };
          break;
        }
        if (next !== undefined) due.push(next);
        if (action.untilMs === undefined) return 'waits for a named site';
        assert.ok(action.untilMs > nowMs, 'a wait lies in the future');
        nowMs = action.untilMs;
        break;
      }
      case 'complete':
        assert.equal(round?.number, steps.length - 1);
        return 'complete';
      case 'fail':
        assert.ok(action.available < input.quorum);
        return 'fail';
      case 'nothing':
        assert.fail('a live run always has an action');
    }
  }
  return assert.fail('the run did not end within 500 moves');
}

test('every generated history ends, never folds below quorum and never asks a refused site again', () => {
  const endings = new Map<string, number>();
  fc.assert(
    fc.property(
      fc.array(fc.array(behaviour, { minLength: 6, maxLength: 6 }), { minLength: 1, maxLength: 6 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 0, max: 15_000 }),
      (behaviours, share, stragglerWaitMs) => {
        const quorum = Math.max(1, Math.ceil(share * behaviours.length));
        const ending = play({ behaviours, quorum, stragglerWaitMs });
        endings.set(ending, (endings.get(ending) ?? 0) + 1);
      },
    ),
    { numRuns: 1500 },
  );
  assert.equal(endings.size, 3, `all three endings occur: ${JSON.stringify([...endings])}`);
});
