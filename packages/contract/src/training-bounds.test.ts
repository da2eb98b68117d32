import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LocalTraining, Strategy } from './run.ts';
import { brokenBound, type TrainingBounds } from './training-bounds.ts';

const BOUNDS: TrainingBounds = { strategies: ['fedavg', 'fedprox'], learningRateMax: 0.2, stepsMax: 7, proximalMax: 3 };
const fedavg: Strategy = { kind: 'fedavg' };
const steps = (count: number, learningRate = 0.2): LocalTraining => ({ learningRate, work: { kind: 'steps', count } });

describe('the bounds of a training', () => {
  it('include their limits', () => {
    assert.equal(brokenBound(BOUNDS, { strategy: fedavg, local: steps(7) }), undefined);
    assert.equal(brokenBound(BOUNDS, { strategy: { kind: 'fedprox', mu: 3 }, local: steps(7) }), undefined);
  });

  const beyond: [string, Strategy, LocalTraining, string][] = [
    ['another strategy', { kind: 'scaffold', serverLearningRate: 1 }, steps(7), 'strategy/kind'],
    ['a greater learning rate', fedavg, steps(7, 0.21), 'local/learningRate'],
    ['a learning rate that is no number', fedavg, steps(7, Number.NaN), 'local/learningRate'],
    ['more steps', fedavg, steps(8), 'local/work/steps'],
    [
      'a kind of work without a bound',
      fedavg,
      { learningRate: 0.1, work: { kind: 'epochs', count: 1 } },
      'local/work/epochs',
    ],
    ['a greater proximal term', { kind: 'fedprox', mu: 3.5 }, steps(7), 'strategy/mu'],
  ];
  for (const [what, strategy, local, field] of beyond) {
    it(`do not allow ${what}`, () => assert.equal(brokenBound(BOUNDS, { strategy, local })?.field, field));
  }

  it('allow no proximal term where they name none', () => {
    const { proximalMax: _, ...without } = BOUNDS;
    assert.equal(brokenBound(without, { strategy: { kind: 'fedprox', mu: 0 }, local: steps(1) })?.field, 'strategy/mu');
  });
});
