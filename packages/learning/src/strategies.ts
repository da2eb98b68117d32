/**
 * What the hub does with the mean update of a round, one block of the model at a time: every function here is elementwise, so
 * the hub needs memory for a block, not for a model.
 *
 * Sites send deltas (weights after minus before). `meanDelta` is their weighted mean, with weights that sum to 1.
 *
 *   fedavg, fedprox   w <- w + D                                                       McMahan et al. 2017; Li et al. 2020
 *   fedadam           m <- b1 m + (1 - b1) D      v <- b2 v + (1 - b2) D^2             Reddi et al. 2021, Algorithm 2
 *   fedyogi           m as above                  v <- v - (1 - b2) D^2 sign(v - D^2)
 *   fedadagrad        m as above                  v <- v + D^2
 *                     all three: w <- w + eta m / (sqrt(v) + tau)
 *   scaffold          w <- w + eta D              c <- c + participation meanControlDelta       Karimireddy et al. 2020
 *
 * m, v and c start at zero. Beside FLamby's implementation (flamby/strategies): the same there, namely no bias correction,
 * momentum also in FedAdagrad, v from 0 where Reddi et al. ask for at least tau^2. Its class default tau is 1e-3, its published
 * heart-disease table used 1e-8. FLamby's SCAFFOLD keeps c_i - c in one variable, K-step option II, and averages by rows;
 * ours equals it when control deltas are averaged with the same weights and every site takes part (see `local-control.ts`).
 *
 * Arithmetic is in float64 per element and rounded once to float32.
 */
import { AppError, type Strategy } from '@lantern/contract';

/** Tensors the hub keeps for each parameter between rounds; all start at zero. */
export type ServerStateName = 'm' | 'v' | 'c';

/** One block of a model. `weights` and `state` are changed in place; all arrays have one length. */
export type StrategyBlock = {
  readonly weights: Float32Array;
  readonly meanDelta: Float32Array;
  /** The tensors that `serverStateNames` names. */
  readonly state: Readonly<Partial<Record<ServerStateName, Float32Array>>>;
  /** SCAFFOLD: weighted mean of the sites' control deltas. */
  readonly meanControlDelta?: Float32Array;
  /** SCAFFOLD: share of the federation (of its rows, when updates are weighted by rows) that this round heard; in (0, 1]. */
  readonly participation?: number;
};

export function serverStateNames(strategy: Strategy): readonly ServerStateName[] {
  switch (strategy.kind) {
    case 'fedavg':
    case 'fedprox':
      return [];
    case 'fedadam':
    case 'fedyogi':
    case 'fedadagrad':
      return ['m', 'v'];
    case 'scaffold':
      return ['c'];
  }
}

/** Applies one round to one block, in place. Throws `update.invalid` when arrays are missing or differ in length. */
export function applyStrategy(strategy: Strategy, block: StrategyBlock): void {
  switch (strategy.kind) {
    case 'fedavg':
    case 'fedprox':
      addScaled(block.weights, blockArray(block, block.meanDelta), 1);
      break;
    case 'fedadam':
    case 'fedyogi':
    case 'fedadagrad':
      applyAdaptive(strategy, block);
      break;
    case 'scaffold':
      addScaled(block.weights, blockArray(block, block.meanDelta), strategy.serverLearningRate);
      addScaled(blockArray(block, block.state.c), blockArray(block, block.meanControlDelta), block.participation ?? 1);
  }
}

type Adaptive = Extract<Strategy, { tau: number }>;

function applyAdaptive(strategy: Adaptive, block: StrategyBlock): void {
  const { weights } = block;
  const delta = blockArray(block, block.meanDelta);
  const m = blockArray(block, block.state.m);
  const v = blockArray(block, block.state.v);
  const { beta1, tau, serverLearningRate } = strategy;
  for (let index = 0; index < weights.length; index += 1) {
    const change = delta[index] ?? 0;
    const first = beta1 * (m[index] ?? 0) + (1 - beta1) * change;
    const second = secondMoment(strategy, v[index] ?? 0, change * change);
    m[index] = first;
    v[index] = second;
    weights[index] = (weights[index] ?? 0) + (serverLearningRate * first) / (Math.sqrt(second) + tau);
  }
}

function secondMoment({ kind, beta2 }: Adaptive, held: number, square: number): number {
  switch (kind) {
    case 'fedadam':
      return beta2 * held + (1 - beta2) * square;
    case 'fedyogi':
      return held - (1 - beta2) * square * Math.sign(held - square);
    case 'fedadagrad':
      return held + square;
  }
}

function addScaled(target: Float32Array, added: Float32Array, scale: number): void {
  for (let index = 0; index < target.length; index += 1) {
    target[index] = (target[index] ?? 0) + scale * (added[index] ?? 0);
  }
}

function blockArray(block: StrategyBlock, values: Float32Array | undefined): Float32Array {
  if (values?.length === block.weights.length) return values;
  throw new AppError(
    'update.invalid',
    'A block lacks an array of this strategy, or its length differs from the weights.',
  );
}
