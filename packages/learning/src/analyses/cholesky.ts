/**
 * Solves A x = b for a symmetric positive definite A by A = L L^T (Cholesky), which needs no pivoting and fails exactly when A
 * is not positive definite: the sign that a model has a direction the data says nothing about.
 *
 * Golub & Van Loan, Matrix Computations, 4th ed., section 4.2.
 */

/** A pivot below this share of its diagonal element is rounding noise of a singular matrix (about size x 2^-52). */
const PIVOT_SHARE_MIN = 1e-13;

/**
 * matrix   row-major [size, size]; only the lower triangle is read
 * vector   [size]
 * returns  x [size], or `undefined` when the matrix is not positive definite
 */
export function solveCholesky(matrix: ArrayLike<number>, vector: ArrayLike<number>): Float64Array | undefined {
  const size = vector.length;
  const lower = factor(matrix, size);
  if (lower === undefined) return undefined;
  const solution = Float64Array.from(vector);
  for (let row = 0; row < size; row += 1) {
    let sum = solution[row] ?? 0;
    for (let k = 0; k < row; k += 1) sum -= at(lower, row * size + k) * at(solution, k);
    solution[row] = sum / at(lower, row * size + row);
  }
  for (let row = size - 1; row >= 0; row -= 1) {
    let sum = at(solution, row);
    for (let k = row + 1; k < size; k += 1) sum -= at(lower, k * size + row) * at(solution, k);
    solution[row] = sum / at(lower, row * size + row);
  }
  return solution;
}

function factor(matrix: ArrayLike<number>, size: number): Float64Array | undefined {
  const lower = new Float64Array(size * size);
  for (let column = 0; column < size; column += 1) {
    const diagonal = at(matrix, column * size + column);
    let pivot = diagonal;
    for (let k = 0; k < column; k += 1) pivot -= at(lower, column * size + k) ** 2;
    if (!(pivot > PIVOT_SHARE_MIN * diagonal)) return undefined; // also when NaN
    const root = Math.sqrt(pivot);
    lower[column * size + column] = root;
    for (let row = column + 1; row < size; row += 1) {
      let sum = at(matrix, row * size + column);
      for (let k = 0; k < column; k += 1) sum -= at(lower, row * size + k) * at(lower, column * size + k);
      lower[row * size + column] = sum / root;
    }
  }
  return lower;
}

function at(values: ArrayLike<number>, index: number): number {
  return values[index] ?? Number.NaN;
}
