import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../packages/site/test/seeded-random.ts';
import { areaInterval, areaOf, heldOutAccuracy, shuffled } from './threshold-attack.ts';

const times = (count: number, base: number, random: () => number) =>
  Array.from({ length: count }, () => base + random());

describe('the attacker of times', () => {
  it('counts pairs in order, ties by halves, whichever way round says more', () => {
    // Of the 12 pairs 8 are in order and 1 is a tie.
    const kinds = { nobody: [1, 2, 5], other: [2, 3, 4, 9] };
    assert.equal((12 * areaOf(kinds)).toFixed(6), '8.500000');
    assert.equal((12 * areaOf({ nobody: kinds.other, other: kinds.nobody })).toFixed(6), '8.500000');
    assert.equal(areaOf({ nobody: [3, 3], other: [3] }), 0.5);
  });

  it('is right about kinds that do not meet, on the half that it has not seen too, slower or faster', () => {
    const random = seededRandom(3);
    const apart = { nobody: times(200, 10, random), other: times(200, 12, random) };
    assert.equal(areaOf(apart), 1);
    assert.ok(heldOutAccuracy(apart, random) > 0.95);
    assert.ok(heldOutAccuracy({ nobody: apart.other, other: apart.nobody }, random) > 0.95);
    assert.deepEqual(areaInterval(apart, random), [1, 1]);
  });

  it('guesses where the kinds are alike, and is not flattered by the times it learnt from', () => {
    const random = seededRandom(5);
    const shares = Array.from({ length: 60 }, () =>
      heldOutAccuracy({ nobody: times(40, 10, random), other: times(40, 10, random) }, random),
    );
    const mean = shares.reduce((sum, one) => sum + one, 0) / shares.length;
    assert.ok(mean > 0.46 && mean < 0.54, String(mean));
  });

  it('draws every order, and loses nothing', () => {
    const random = seededRandom(7);
    const orders = new Set(Array.from({ length: 200 }, () => shuffled(['a', 'b', 'c'], random).join('')));
    assert.equal(orders.size, 6);
  });
});
