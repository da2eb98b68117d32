import assert from 'node:assert/strict';
import { test } from 'node:test';
import { solveCholesky } from './cholesky.ts';

test('a Hilbert-like system is solved to the accuracy its condition allows', () => {
  const size = 6;
  const matrix = Array.from({ length: size * size }, (_, at) => 1 / (Math.floor(at / size) + (at % size) + 1));
  const wanted = [1, -2, 3, 0.5, -0.25, 7];
  const vector = wanted.map((_, row) =>
    wanted.reduce((sum, value, column) => sum + value * (matrix[row * size + column] ?? 0), 0),
  );
  const solution = solveCholesky(matrix, vector);
  assert.ok(solution !== undefined);
  for (const [index, value] of wanted.entries()) {
    assert.ok(Math.abs((solution[index] ?? 0) - value) < 1e-8); // condition 1.5e7 x 2^-52, with room
  }
});

test('only the lower triangle is read', () => {
  const solution = solveCholesky([4, 99, 2, 3], [2, 5]);
  assert.ok(Math.abs((solution?.[0] ?? 0) + 0.5) < 1e-15);
  assert.ok(Math.abs((solution?.[1] ?? 0) - 2) < 1e-15);
});

test('singular, indefinite and not-a-number matrices have no answer', () => {
  assert.equal(solveCholesky([1, 2, 2, 4], [1, 1]), undefined);
  assert.equal(solveCholesky([1, 2, 2, 1], [1, 1]), undefined);
  assert.equal(solveCholesky([0, 0, 0, 0], [1, 1]), undefined);
  assert.equal(solveCholesky([Number.NaN, 0, 0, 1], [1, 1]), undefined);
});
