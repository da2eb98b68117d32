/**
 * The attackers. Each asks until it has made its tries or the budget is spent, then guesses the target's secret bit.
 *
 * An attacker whose two sets are identical when the bit is 0 needs no arithmetic: any visible difference proves a 1.
 * The others estimate the bit by sums and guess the likelier value.
 */
import type { Reply, Respondent } from './policies.ts';
import { type Bits, combine, known, type World, withTarget } from './world.ts';

export type Attacker = (world: World, ask: Respondent, tries: number) => 0 | 1;

const union = (a: Bits, b: Bits) => combine(a, b, (x, y) => x | y);
const without = (a: Bits, b: Bits) => combine(a, b, (x, y) => x & ~y);
const size = (reply: Reply, whenHidden: number) => (typeof reply === 'number' ? reply : whenHidden);

/** Two sets that differ only by the target; moves towards the size where suppression begins, where one patient shows most. */
export const differencing: Attacker = (world, ask, tries) => {
  let share = 0.25;
  for (let i = 0; i < tries; i += 1) {
    const set = world.choose(share);
    const first = ask(world.withSecret(set));
    const second = ask(world.withSecret(withTarget(set)));
    if (second === 'refused') break;
    if (first !== second) return 1;
    share = first === 'suppressed' ? Math.min(0.5, share * 1.5) : Math.max(0.008, share * 0.8);
  }
  return 0;
};

/** Three large sets, none of which isolates the target: |X| + |Y| - |X or Y| = |X and Y|, and only the target is in both. */
export const tracker: Attacker = (world, ask, tries) => {
  let sum = 0;
  let made = 0;
  for (let i = 0; i < tries; i += 1) {
    const some = world.choose(0.4);
    const half = world.choose(0.5);
    const x = withTarget(combine(some, half, (a, b) => a & b));
    const y = withTarget(without(some, half));
    const replies = [x, y, union(x, y)].map((set) => ask(world.withSecret(set)));
    if (replies.includes('refused')) break;
    const [inX = 0, inY = 0, inEither = 0] = replies.map((reply) => size(reply, 5));
    sum += inX + inY - inEither;
    made += 1;
  }
  return sum > made / 2 || (sum === made / 2 && world.random() < 0.5) ? 1 : 0;
};

/** Differencing over the complement, which shares no patients with the first set and so cannot be snapped to it. */
export const complement: Attacker = (world, ask, tries) => {
  const total = size(ask(world.withSecret(withTarget(world.choose(1)))), 0);
  let sum = 0;
  let made = 0;
  for (let i = 0; i < tries; i += 1) {
    const set = world.choose(0.5);
    const inside = ask(world.withSecret(set));
    const outside = ask(world.withSecret(without(world.choose(1), set)));
    if (inside === 'refused' || outside === 'refused') break;
    sum += total - size(inside, 5) - size(outside, 5);
    made += 1;
  }
  return sum > made / 2 ? 1 : 0;
};

/** Steps over the edge of snapping: a base, a set some patients away that may or may not repeat, and that set with the target. */
export const steppingStone: Attacker = (world, ask, tries) => {
  for (let i = 0; i < tries; i += 1) {
    const base = world.choose(0.25);
    ask(world.withSecret(base));
    const stone = union(base, world.choose(0.008 + world.random() * 0.02));
    const first = ask(world.withSecret(stone));
    const second = ask(world.withSecret(withTarget(stone)));
    if (second === 'refused') break;
    if (first !== second) return 1;
  }
  return 0;
};

/** Carries a shown answer down towards the threshold in small steps, each time asking with the target first, then without. */
export const descending: Attacker = (world, ask, tries) => {
  for (let i = 0; i < tries; i += 1) {
    let set = world.choose(0.026);
    if (ask(world.withSecret(set)) === 'refused') break;
    for (let step = 0; step < 4; step += 1) {
      set = without(set, world.choose(0.25));
      const first = ask(world.withSecret(withTarget(set)));
      const second = ask(world.withSecret(set));
      if (second === 'refused') return 0;
      if (first !== second) return 1;
      if (first === 'suppressed') break;
    }
  }
  return 0;
};

/** Knows `others` patients with the secret property and asks for them and the target: is the size at the edge of suppression? */
export function thresholdEdge(others: number): Attacker {
  return (world, ask, tries) => {
    let used = without(world.choose(1), world.choose(1));
    let shown = 0;
    let made = 0;
    for (let i = 0; i < tries; i += 1) {
      const group = known(world, without(world.choose(1), used), others);
      used = union(used, group);
      const reply = ask(world.withSecret(withTarget(group)));
      if (reply === 'refused') break;
      if (reply !== 'suppressed') shown += 1;
      made += 1;
    }
    return shown > between(others, (count) => chanceAtLeast(count, 10, { edge: 25, stdDev: 6 })) * made ? 1 : 0;
  };
}

/** Knows `others` patients and asks a base, then the base with them and the target: is the answer repeated? */
export function snappingEdge(others: number): Attacker {
  return (world, ask, tries) => {
    let changed = 0;
    let made = 0;
    for (let i = 0; i < tries; i += 1) {
      const base = world.choose(0.25);
      const group = known(world, without(world.choose(1), base), others);
      const first = ask(world.withSecret(base));
      const second = ask(world.withSecret(withTarget(union(base, group))));
      if (second === 'refused') break;
      if (first !== second) changed += 1;
      made += 1;
    }
    return changed > 0.7 * between(others, (apart) => chanceAtLeast(apart, 10, { edge: 17.5, stdDev: 3 })) * made
      ? 1
      : 0;
  };
}

/** Halfway between what the two values of the bit give on average: the attacker knows the gate's published edges. */
const between = (others: number, chance: (count: number) => number) => (chance(others) + chance(others + 1)) / 2;

/** P(count + noise >= edge), and 0 below `least`. */
function chanceAtLeast(count: number, least: number, { edge, stdDev }: { edge: number; stdDev: number }): number {
  let above = 0;
  let all = 0;
  for (let noise = -9 * stdDev; noise <= 9 * stdDev; noise += 1) {
    const weight = Math.exp((-noise * noise) / (2 * stdDev * stdDev));
    all += weight;
    if (count >= least && count + noise >= edge) above += weight;
  }
  return above / all;
}

/** Knows everybody but the target's bit: every answer minus what it should be without the target. */
export const allKnowing: Attacker = (world, ask, tries) => {
  let sum = 0;
  let made = 0;
  for (let i = 0; i < tries; i += 1) {
    const set = world.choose(0.25);
    const reply = ask(world.withSecret(withTarget(set)));
    if (reply === 'refused') break;
    sum += size(reply, 5) - world.withSecret(set).count;
    made += 1;
  }
  return sum > made / 2 ? 1 : 0;
};
