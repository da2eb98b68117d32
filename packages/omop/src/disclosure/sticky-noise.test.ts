import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyedHashOf } from '../../test/keyed-hash.ts';
import { discreteGaussian, stickyNoise } from './sticky-noise.ts';

test('the distribution has mean 0 and the standard deviation asked for, and its quantiles are those of the Gaussian', () => {
  const draws = Array.from({ length: 20_001 }, (_, index) => discreteGaussian((index + 0.5) / 20_001, 6));
  const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
  const variance = draws.reduce((sum, draw) => sum + draw * draw, 0) / draws.length;
  assert.ok(Math.abs(mean) < 0.01);
  assert.ok(Math.abs(Math.sqrt(variance) - 6) < 0.02);
  assert.equal(discreteGaussian(0.5, 6), 0);
  assert.equal(discreteGaussian(0.975, 6), 12); // 1.96 * 6 = 11.8
  assert.ok(draws.every(Number.isInteger));
});

test('the far tails stay finite', () => {
  assert.ok(discreteGaussian(1 - 2 ** -54, 6) <= 54);
  assert.ok(discreteGaussian(2 ** -54, 6) >= -54);
  assert.equal(discreteGaussian(0.999, 0), 0);
});

test('the same key, purpose and set give the same noise; another key, purpose or set gives another', () => {
  const fingerprints = Array.from({ length: 200 }, (_, index) => Uint8Array.of(index, 7, 9));
  const draw = (secret: string, purpose: 'count' | 'separation') =>
    fingerprints.map((fingerprint) => stickyNoise({ keyedHash: keyedHashOf(secret), purpose, fingerprint, stdDev: 6 }));
  assert.deepEqual(draw('a', 'count'), draw('a', 'count'));
  assert.notDeepEqual(draw('a', 'count'), draw('b', 'count'));
  assert.notDeepEqual(draw('a', 'count'), draw('a', 'separation'));
  assert.ok(new Set(draw('a', 'count')).size > 15);
});
