import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomFromState, seededRandom, shuffle } from './seeded-random.ts';

test('the generator gives the published sequence of xoshiro128** 1.1', () => {
  // From the authors' C program, version 1.1, with the state {1, 2, 3, 4}; Rust's rand_xoshiro tests the same numbers.
  const random = randomFromState(Uint32Array.of(1, 2, 3, 4));
  assert.deepEqual(
    Array.from({ length: 10 }, () => random.uint32()),
    [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804],
  );
});

test('equal seeds give equal sequences and different seeds different ones', () => {
  const draw = (seed: string) => {
    const random = seededRandom(seed);
    return Array.from({ length: 8 }, () => random.uniform());
  };
  assert.deepEqual(draw('run/site'), draw('run/site'));
  assert.notDeepEqual(draw('run/site'), draw('run/sitf'));
  assert.ok(draw('run/site').every((value) => value >= 0 && value < 1));
});

test('numbers below a bound are even over it', () => {
  const random = seededRandom('even');
  const counts = new Array<number>(7).fill(0);
  for (let draw = 0; draw < 70_000; draw += 1) {
    const value = random.below(7);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  assert.ok(chiSquare < 22.5, `chi square ${chiSquare} of 6 degrees of freedom`); // p = 0.001
  assert.throws(() => random.below(0), RangeError);
});

test('a shuffle keeps every value and gives every order alike', () => {
  const random = seededRandom('orders');
  const orders = new Map<string, number>();
  for (let draw = 0; draw < 6000; draw += 1) {
    const values = Uint32Array.of(0, 1, 2);
    shuffle(values, random);
    orders.set(values.join(''), (orders.get(values.join('')) ?? 0) + 1);
  }
  assert.deepEqual([...orders.keys()].sort(), ['012', '021', '102', '120', '201', '210']);
  const chiSquare = [...orders.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  assert.ok(chiSquare < 20.5, `chi square ${chiSquare} of 5 degrees of freedom`); // p = 0.001
});
