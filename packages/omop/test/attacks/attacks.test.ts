/**
 * The attacks that the gate must stand, played against it and against the published rules it replaces. A naive threshold must
 * fall to the same code: if the attackers were too weak to break that, their failure against the gate would prove nothing.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { COUNT_POLICY_DEFAULT } from '@lantern/contract';
import {
  type Attacker,
  allKnowing,
  complement,
  descending,
  differencing,
  snappingEdge,
  steppingStone,
  thresholdEdge,
  tracker,
} from './attackers.ts';
import { ourGate, type Respondent, thresholdOnly } from './policies.ts';
import { createWorld, seededRandom } from './world.ts';

const SEED = 20_260_923;
const CLAIM = 0.6;
const STD_ERRORS = 3; // one-sided chance of a false verdict: 0.13 %
const TRIALS = 2000;

/** Share of right guesses about the secret bit; 0.5 is guessing. */
type Result = { readonly share: number; readonly stdError: number };
type Policy = (random: () => number) => Respondent;

const naive: Policy = () => thresholdOnly(1);
const roundTo5: Policy = () => thresholdOnly(5);
const roundTo10: Policy = () => thresholdOnly(10);
const gate: Policy = (random) => ourGate(random);
const gateWithoutBudget: Policy = (random) => ourGate(random, { policy: { questionsMax: 1_000_000 } });
const fortyProjects =
  (approved: boolean): Policy =>
  (random) =>
    ourGate(random, { projects: 40, approved });

function play(options: { attacker: Attacker; policy: Policy; tries: number; trials: number }): Result {
  const random = seededRandom(SEED);
  let right = 0;
  for (let trial = 0; trial < options.trials; trial += 1) {
    const world = createWorld(random);
    if (options.attacker(world, options.policy(random), options.tries) === world.secretBit) right += 1;
  }
  const share = right / options.trials;
  return { share, stdError: Math.sqrt((share * (1 - share)) / options.trials) };
}

const atMost = ({ share, stdError }: Result) => share + STD_ERRORS * stdError;

function report(name: string, results: readonly Result[]): void {
  const cells = results.map(({ share, stdError }) => `${share.toFixed(3)} ± ${stdError.toFixed(3)}`);
  console.log(`  ${name.padEnd(58)} ${cells.join('   ')}`);
}

before(() => console.log(`Share of right guesses, seed ${SEED}; 0.5 is guessing.`));

for (const [name, attacker] of Object.entries({ differencing, tracker })) {
  test(`a naive threshold falls to ${name}, and the published rounding rules do not save it`, () => {
    const threshold = play({ attacker, policy: naive, tries: 10, trials: 200 });
    const five = [1, 10, 50].map((tries) => play({ attacker, policy: roundTo5, tries, trials: 300 }));
    const ten = [1, 10, 50].map((tries) => play({ attacker, policy: roundTo10, tries, trials: 300 }));
    report(`${name}, threshold 10, exact (10 tries)`, [threshold]);
    report(`${name}, threshold 10, rounded to 5 (1, 10, 50 tries)`, five);
    report(`${name}, threshold 10, rounded to 10 (1, 10, 50 tries)`, ten);
    assert.ok(threshold.share >= 0.95);
    assert.ok((five.at(-1)?.share ?? 0) >= 0.75);
  });
}

test('50 differencing pairs do no better than 0.60 within the budget', () => {
  const results = [1, 50].map((tries) => play({ attacker: differencing, policy: gate, tries, trials: TRIALS }));
  report('differencing, gate (1, 50 tries)', results);
  for (const result of results) assert.ok(atMost(result) <= CLAIM);
});

test('10 three-set trackers, the whole budget, do no better than 0.60', () => {
  const results = [1, 10].map((tries) => play({ attacker: tracker, policy: gate, tries, trials: 2 * TRIALS }));
  report('tracker, gate (1, 10 tries)', results);
  for (const result of results) assert.ok(atMost(result) <= CLAIM);
});

test('a tracker that opens forty projects does no better than 0.60, as long as nobody has approved them', () => {
  const approved = play({ attacker: tracker, policy: fortyProjects(true), tries: 400, trials: 60 });
  const undecided = play({ attacker: tracker, policy: fortyProjects(false), tries: 400, trials: 2 * TRIALS });
  report('tracker, gate, 40 projects: each its budget, all one budget', [approved, undecided]);
  assert.ok(approved.share >= 0.65, 'the attack is worth something where each project has a budget of its own');
  assert.ok(atMost(undecided) <= CLAIM);
});

test('50 differencing pairs do no better than 0.60 even when no budget stops them', () => {
  const result = play({ attacker: differencing, policy: gateWithoutBudget, tries: 50, trials: 300 });
  report('differencing, gate without budget (50 tries)', [result]);
  assert.ok(atMost(result) <= CLAIM);
});

test('attackers who know no other patient gain nothing from the edges of snapping and suppression', () => {
  for (const [name, attacker] of Object.entries({ complement, steppingStone, descending })) {
    const result = play({ attacker, policy: gate, tries: 50, trials: 700 });
    report(`${name}, gate (whole budget)`, [result]);
    assert.ok(atMost(result) <= CLAIM, name);
  }
});

test('attackers who know other patients exactly stay below the stated bound for the all-knowing', () => {
  const { questionsMax, noiseStdDev } = COUNT_POLICY_DEFAULT;
  const bound = normalDistribution(Math.sqrt(questionsMax) / (2 * noiseStdDev));
  const attackers = {
    'know 9 others per question, edge of suppression': thresholdEdge(9),
    'know 24 others per question, edge of suppression': thresholdEdge(24),
    'know 9 others per question, edge of snapping': snappingEdge(9),
    'know 17 others per question, edge of snapping': snappingEdge(17),
    'know everybody': allKnowing,
  };
  console.log(`  bound for the all-knowing within the budget: ${bound.toFixed(3)}`);
  for (const [name, attacker] of Object.entries(attackers)) {
    const result = play({ attacker, policy: gate, tries: 50, trials: TRIALS });
    report(`${name}, gate (whole budget)`, [result]);
    assert.ok(result.share <= bound, name);
  }
});

/** Distribution function of the standard normal by Simpson's rule on [0, x]. */
function normalDistribution(x: number): number {
  const steps = 200;
  const density = (at: number) => Math.exp(-(at * at) / 2) / Math.sqrt(2 * Math.PI);
  let sum = density(0) + density(x);
  for (let i = 1; i < steps; i += 1) sum += density((i * x) / steps) * (i % 2 === 1 ? 4 : 2);
  return 0.5 + (sum * x) / (3 * steps);
}
