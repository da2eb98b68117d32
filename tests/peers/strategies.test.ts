/**
 * Our server steps beside Flower's classes (flwr.server.strategy), fed with the same updates of the same sites.
 *
 * Where the formulas differ: Flower's FedAdam multiplies its learning rate in round r by sqrt(1 - b2^(r+1)) / (1 - b1^(r+1)), a
 * bias correction that Reddi et al. leave out, as we do; and its FedAdagrad has no momentum (b1 = 0), which in ours is a choice.
 * With these two said to our side the rest must agree, round by round, up to our rounding to float32.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Strategy } from '@lantern/contract';
import { applyStrategy, createFolder, type FoldSource, serverStateNames } from '@lantern/learning';
import { askPython, peersMissing } from './python.ts';

const PARAMETERS = 14;
const ROW_COUNTS = [199, 172, 30, 85];
const ROUND_COUNT = 5;
const OPTIONS = { serverLearningRate: 0.1, beta1: 0.9, beta2: 0.95, tau: 0.01 };
const TOLERANCE = 1e-6; // sixteen float32 steps at 1, for five rounds and a division by a small root; measured: 7e-8

type Step = Record<'weights' | 'm' | 'v', number[]>;
type Kind = 'fedavg' | 'fedadam' | 'fedyogi' | 'fedadagrad';

/** Park and Miller's generator, in (-0.5, 0.5), rounded to float32 so that both sides begin with the same numbers. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 0x7fff_ffff;
    return Math.fround(state / 0x7fff_ffff - 0.5);
  };
}

const next = numbers(20);
const vector = () => Array.from({ length: PARAMETERS }, next);
const INITIAL = vector();
const ROUNDS = Array.from({ length: ROUND_COUNT }, () => ROW_COUNTS.map(vector));

function sourceOf(update: readonly number[], weight: number): FoldSource {
  const bytes = new Uint8Array(Float32Array.from(update).buffer);
  return {
    weight,
    readInto(target, byteOffset) {
      const part = bytes.subarray(byteOffset, byteOffset + target.length);
      target.set(part);
      return part.length;
    },
  };
}

/** The mean of the sites' updates, weighted by their rows, as the hub takes it. */
function meanOf(updates: readonly (readonly number[])[]): Float32Array {
  const rowCount = ROW_COUNTS.reduce((sum, count) => sum + count, 0);
  const mean = new Uint8Array(PARAMETERS * 4);
  const sources = updates.map((update, site) => sourceOf(update, (ROW_COUNTS[site] ?? 0) / rowCount));
  createFolder().fold(sources, { byteOffset: 0, byteLength: mean.length }, (block) => mean.set(block));
  return new Float32Array(mean.buffer);
}

function runOurs(strategyOf: (round: number) => Strategy): Step[] {
  const weights = Float32Array.from(INITIAL);
  const state = Object.fromEntries(serverStateNames(strategyOf(1)).map((name) => [name, new Float32Array(PARAMETERS)]));
  return ROUNDS.map((updates, index) => {
    applyStrategy(strategyOf(index + 1), { weights, state, meanDelta: meanOf(updates) });
    return { weights: [...weights], m: [...(state['m'] ?? [])], v: [...(state['v'] ?? [])] };
  });
}

function furthest(ours: readonly Step[], theirs: readonly Step[]): number {
  assert.equal(theirs.length, ROUND_COUNT);
  const pairs = ours.flatMap((step, round) =>
    (['weights', 'm', 'v'] as const).flatMap((name) => {
      const other = theirs[round]?.[name] ?? [];
      assert.equal(step[name].length, other.length, `${name} of round ${round + 1}`);
      return step[name].map((value, index) => Math.abs(value - (other[index] ?? Number.NaN)));
    }),
  );
  return Math.max(...pairs);
}

/** Flower's factor on the learning rate of FedAdam. */
function corrected(round: number): number {
  const { serverLearningRate, beta1, beta2 } = OPTIONS;
  return (serverLearningRate * Math.sqrt(1 - beta2 ** (round + 1))) / (1 - beta1 ** (round + 1));
}

test("FedAvg, FedAdam, FedYogi and FedAdagrad step as Flower's classes do, but for what the two define differently", {
  skip: peersMissing,
}, async () => {
  const flower = await askPython<Record<Kind, Step[]>>('strategies_peer.py', {
    initial: INITIAL,
    rowCounts: ROW_COUNTS,
    rounds: ROUNDS,
    options: OPTIONS,
  });
  const withoutMomentum = { ...OPTIONS, beta1: 0 };
  const agree = {
    fedavg: runOurs(() => ({ kind: 'fedavg' })),
    fedadam: runOurs((round) => ({ kind: 'fedadam', ...OPTIONS, serverLearningRate: corrected(round) })),
    fedyogi: runOurs(() => ({ kind: 'fedyogi', ...OPTIONS })),
    fedadagrad: runOurs(() => ({ kind: 'fedadagrad', ...withoutMomentum })),
  };
  for (const kind of ['fedavg', 'fedadam', 'fedyogi', 'fedadagrad'] as const) {
    const distance = furthest(agree[kind], flower[kind]);
    assert.ok(distance < TOLERANCE, `${kind}: ${distance}`);
  }

  // The controls: without what was said to our side they are visibly apart, and no two strategies are the same.
  assert.ok(
    furthest(
      runOurs(() => ({ kind: 'fedadam', ...OPTIONS })),
      flower.fedadam,
    ) > 0.01,
  );
  assert.ok(
    furthest(
      runOurs(() => ({ kind: 'fedadagrad', ...OPTIONS })),
      flower.fedadagrad,
    ) > 0.01,
  );
  assert.ok(furthest(agree.fedyogi, flower.fedadam) > 0.01);
});
