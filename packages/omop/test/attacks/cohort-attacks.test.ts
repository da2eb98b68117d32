/**
 * The attackers of `attacks.test.ts` with what a question about a cohort adds: a total with a table that divides it, stages on the way
 * to it, and lists of the largest sets, whose names could come and go with one patient.
 */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { COUNT_POLICY_DEFAULT, type ReleasedCount, type ReleasedTable } from '@lantern/contract';
import { listCost, tableCost } from '../../src/disclosure/budget.ts';
import { answerDescription, type CountGate, type DescriptionTable } from '../../src/disclosure/gate.ts';
import type { PatientSet } from '../../src/disclosure/patient-set.ts';
import { type Bits, combine, createWorld, seededRandom, type World, withTarget } from './world.ts';

const SEED = 20_261_127;
const CLAIM = 0.6;
const STD_ERRORS = 3;
const TRIALS = 2000;

type Question = { total: PatientSet; stages?: readonly PatientSet[]; tables?: readonly DescriptionTable[] };
type Answer = { total: ReleasedCount; stages: readonly ReleasedCount[]; tables: readonly ReleasedTable[] };
/** `undefined`: the budget is spent. */
type Respondent = (question: Question) => Answer | undefined;

/** `isForgetful`: keeps no set that it answered. */
type Rules = { readonly questionsMax?: number; readonly isForgetful?: boolean };

/** A site with the default policy and one approved project: whatever is asked is worded differently. */
function site(
  random: () => number,
  { questionsMax = COUNT_POLICY_DEFAULT.questionsMax, isForgetful = false }: Rules = {},
): Respondent {
  const secret = Uint8Array.from({ length: 32 }, () => Math.floor(random() * 256));
  const keyedHash: CountGate['keyedHash'] = (purpose, message) =>
    hash('sha256', Buffer.concat([secret, Buffer.from(`${purpose}\0`), message]), 'buffer');
  const history: CountGate['history'][number][] = [];
  const charged = new Map<string, number>();
  return ({ total, stages = [], tables = [] }) => {
    const policy = { ...COUNT_POLICY_DEFAULT, questionsMax };
    const gate: CountGate = { policy, keyedHash, history, budget: { granted: 0, charged, shared: undefined } };
    const price = {
      key: `question ${charged.size}`,
      cost: 1 + stages.length + tables.reduce((sum, one) => sum + cost(one), 0),
    };
    const answer = answerDescription(gate, { price, total, stages, tables });
    if (answer.kind === 'budget-spent') return undefined;
    if (!isForgetful) history.push(...answer.keep.answered);
    if (answer.keep.charge !== undefined) charged.set(answer.keep.charge.key, answer.keep.charge.cost);
    return answer;
  };
}

function cost(described: DescriptionTable): number {
  if (described.kind === 'largest') return listCost(described.limit);
  return tableCost({ cellCount: described.table.cells.length, disjoint: described.kind === 'partition' });
}

type Attacker = (world: World, ask: Respondent) => 0 | 1;

const without = (a: Bits, b: Bits) => combine(a, b, (x, y) => x & ~y);
const both = (a: Bits, b: Bits) => combine(a, b, (x, y) => x & y);
const size = (count: ReleasedCount | undefined) => (count?.kind === 'released' ? count.value : 5);

/** A cohort and the same with the target, each with all that is shown of it. */
const differencing: Attacker = (world, ask) => {
  for (;;) {
    const set = world.choose(0.05 + world.random() * 0.3);
    const [first, second] = [set, withTarget(set)].map((one) =>
      ask({ total: world.withSecret(one), tables: [halves(world, one)] }),
    );
    if (first === undefined || second === undefined) return 0;
    if (JSON.stringify(first.tables) !== JSON.stringify(second.tables)) return 1;
    if (JSON.stringify(first.total) !== JSON.stringify(second.total)) return 1;
  }
};

/** Divides by something that everybody knows of everybody. */
function halves(world: World, set: Bits, half = HALF): DescriptionTable {
  const cells = [both(set, half), without(set, half)].map((one, index) => ({
    label: String(index),
    patients: world.withSecret(one),
  }));
  return { kind: 'partition', table: { column: 'half', cells } };
}

const HALF: Bits = new Uint32Array(125).fill(0xffff);

/** |X| + |Y| - |X or Y| by one question: the total, a stage and the cells of a table, none of which isolates the target. */
const tracker: Attacker = (world, ask) => {
  let sum = 0;
  let made = 0;
  for (;;) {
    const half = world.choose(0.5);
    const some = withTarget(world.choose(0.4));
    const x = both(some, withTarget(half));
    const y = withTarget(without(some, half));
    const answer = ask({ total: world.withSecret(some), stages: [x, y].map((one) => world.withSecret(one)) });
    if (answer === undefined) break;
    sum += size(answer.stages[0]) + size(answer.stages[1]) - size(answer.total);
    made += 1;
  }
  return sum > made / 2 || (sum === made / 2 && world.random() < 0.5) ? 1 : 0;
};

/** The secret as one of many conditions of a cohort: do names or their order change when the target comes into it? */
const listed =
  (limit: number): Attacker =>
  (world, ask) => {
    const others = Array.from({ length: 12 }, () => world.choose(0.3));
    const everybody = world.choose(1);
    for (;;) {
      const set = world.choose(0.05 + world.random() * 0.3);
      const lists = [set, withTarget(set)].map((one) => {
        const candidates = [world.withSecret(one), ...others.map((other) => exactly(both(one, other)))];
        const cells = candidates.map((patients, index) => ({ label: String(index + 10), patients }));
        return ask({
          total: exactly(both(one, everybody)),
          tables: [{ kind: 'largest', limit, table: { column: 'top', cells } }],
        });
      });
      const [first, second] = lists;
      if (first === undefined || second === undefined) return 0;
      if (JSON.stringify(first.tables[0]?.cells) !== JSON.stringify(second.tables[0]?.cells)) return 1;
    }
  };

function exactly(bits: Bits): PatientSet {
  let count = 0;
  for (const word of bits) for (let left = word; left !== 0; left &= left - 1) count += 1;
  let length = bits.length;
  while (length > 0 && bits[length - 1] === 0) length -= 1;
  return { count, words: bits.slice(0, length) };
}

function play(attacker: Attacker, { trials = TRIALS, ...rules }: Rules & { trials?: number } = {}) {
  const random = seededRandom(SEED);
  let right = 0;
  for (let trial = 0; trial < trials; trial += 1) {
    const world = createWorld(random);
    if (attacker(world, site(random, rules)) === world.secretBit) right += 1;
  }
  const share = right / trials;
  return { share, stdError: Math.sqrt((share * (1 - share)) / trials) };
}

const ATTACKERS = {
  'pairs of cohorts with a table': differencing,
  'trackers of a total and two stages': tracker,
  'lists of the largest, 1 named': listed(1),
  'lists of the largest, 4 named': listed(4),
};

for (const [name, attacker] of Object.entries(ATTACKERS)) {
  test(`${name} are right in at most 0.60 of the cases within the budget`, () => {
    const { share, stdError } = play(attacker);
    console.log(`  ${name.padEnd(40)} ${share.toFixed(3)} ± ${stdError.toFixed(3)}`);
    assert.ok(share + STD_ERRORS * stdError <= CLAIM, `${share}`);
  });
}

test('trackers without a budget do find out, so that their failure says something', () => {
  const { share } = play(tracker, { trials: 200, questionsMax: 400 });
  console.log(`  trackers without a budget ${share.toFixed(3)}`);
  assert.ok(share >= 0.63, `${share}`);
});

test('pairs of lists do find out where a site forgets what it named and what it did not', () => {
  const { share } = play(listed(4), { trials: 300, isForgetful: true });
  console.log(`  lists at a forgetful site ${share.toFixed(3)}`);
  assert.ok(share >= 0.75, `${share}`);
});
