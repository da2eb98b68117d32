/**
 * Which rows each step of local training sees: every epoch goes through all rows once, in a fresh random order, and its last
 * batch may be short (the semantics of the data loaders the published federated benchmarks used).
 *
 * The order of epoch e depends on the seed and e alone. So a step can be found again without replaying those before it: a
 * crashed round repeats itself exactly, and a site can go on in the middle of an epoch where its last round stopped.
 *
 * A batch that holds all rows is taken in the order of the table: there is nothing to choose, and the sums of its gradient come
 * out the same to the last bit under every seed.
 */
import type { LocalTraining } from '@lantern/contract';
import { seededRandom, shuffle } from '../seeded-random.ts';

export type BatchPlan = {
  readonly rowCount: number;
  readonly batchSize: number;
  readonly work: LocalTraining['work'];
  readonly seed: string;
  /** Steps done in earlier rounds under this seed; the first batch is the one after them. Only with `steps`. Default 0. */
  readonly stepsBefore?: number;
};

export function stepCountOf(plan: BatchPlan): number {
  return plan.work.kind === 'steps' ? plan.work.count : plan.work.count * batchesPerEpoch(plan);
}

function batchesPerEpoch({ rowCount, batchSize }: BatchPlan): number {
  return Math.ceil(rowCount / batchSize);
}

/** Row numbers of each batch, in order: 1 ... batchSize of them. The array is a view that the next batch may overwrite. */
export function* batches(plan: BatchPlan): Generator<Uint32Array, void, undefined> {
  const perEpoch = batchesPerEpoch(plan);
  const first = plan.work.kind === 'steps' ? (plan.stepsBefore ?? 0) : 0;
  const order = Uint32Array.from({ length: plan.rowCount }, (_, row) => row);
  let ordered = -1;
  for (let step = first; step < first + stepCountOf(plan); step += 1) {
    const epoch = Math.floor(step / perEpoch);
    if (epoch !== ordered && perEpoch > 1) orderEpoch(order, plan.seed, epoch);
    ordered = epoch;
    const begin = (step % perEpoch) * plan.batchSize;
    yield order.subarray(begin, Math.min(begin + plan.batchSize, plan.rowCount));
  }
}

function orderEpoch(order: Uint32Array, seed: string, epoch: number): void {
  for (let row = 0; row < order.length; row += 1) order[row] = row;
  shuffle(order, seededRandom(`${seed}/epoch/${epoch}`));
}
