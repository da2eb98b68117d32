/**
 * The two-way tables that stand in Newton statistics, as the gate judges them.
 *
 * At coefficients of zero every row weighs the same, so the Hessian holds for each two features the sum of their product, and
 * the gradient the sum of each feature over the rows with the label: for one-hot features these are the cells of every table
 * of two columns, exactly. A margin of fifty does not protect a cell of one.
 *
 * A numeric column has two sides here: its most common value and all others. The other side of it counts in every table (one
 * patient with a value other than 0 in a category gives that value away); the common side counts only where all others are
 * equal, for such a column is a category in other words.
 *
 * Patients are counted, not rows: the rows come sorted by patient, and each cell remembers the last patient it counted. The
 * memory is that of the cells; no set of patients is kept.
 */
import { AppError } from '@lantern/contract';

/** Columns that may be looked at in pairs: 5,000 tables. Wider analyses are refused by the gate unless its rule is off. */
export const PAIRED_COLUMN_COUNT_MAX = 100;

/** `codes`: how many sides the column has; `isNumeric`: side 0 is its most common value, side 1 all others. */
export type PairedColumn = { readonly name: string; readonly codeCount: number; readonly isNumeric: boolean };

/** Two columns and the patients [distinct persons] in the emptiest cell of their table. */
export type PairSize = { readonly columns: readonly [string, string]; readonly patientCount: number };

type Pair = {
  readonly first: number;
  readonly second: number;
  /** Patients in each cell, and the last one counted; index = side of the first column * sides of the second + side of it. */
  readonly counts: Uint32Array;
  readonly last: Float64Array;
};

/**
 * Counts the table of each two columns.
 *
 * columns  the columns in the order of the chunks; with their patient in front: a chunk is [patient, side of column 0, ...]
 */
export function createPairCounter(columns: readonly PairedColumn[]) {
  const pairs = columns.flatMap((first, a) =>
    columns.slice(a + 1).map((second, offset): Pair => {
      const cellCount = first.codeCount * second.codeCount;
      return {
        first: a,
        second: a + 1 + offset,
        counts: new Uint32Array(cellCount),
        last: new Float64Array(cellCount).fill(-1),
      };
    }),
  );
  return {
    /** Rows of a patient must follow one another, over chunks too. */
    add(chunk: readonly Float64Array[]): void {
      const [patients, ...sides] = chunk;
      if (patients === undefined || sides.length !== columns.length) {
        throw new AppError('internal', 'The rows of the tables of two columns have another form.');
      }
      for (const pair of pairs) {
        const { first, second } = pair;
        const [firstSides, secondSides] = [sides[first], sides[second]];
        if (firstSides === undefined || secondSides === undefined) continue; // checked above
        countCells(pair, { patients, firstSides, secondSides, secondCodeCount: columns[second]?.codeCount ?? 0 });
      }
    },

    /** The emptiest cell of each table. `twoValued`: names of the numeric columns of which all other values are equal. */
    sizes(twoValued: ReadonlySet<string>): PairSize[] {
      return pairs.flatMap(({ first, second, counts }) => {
        const [a, b] = [columns[first], columns[second]];
        if (a === undefined || b === undefined) return [];
        let patientCount = Number.POSITIVE_INFINITY;
        for (const i of countingSides(a, twoValued)) {
          for (const j of countingSides(b, twoValued)) {
            patientCount = Math.min(patientCount, counts[i * b.codeCount + j] ?? 0);
          }
        }
        return [{ columns: [a.name, b.name], patientCount }];
      });
    },
  };
}

function countCells(
  { counts, last }: Pair,
  rows: { patients: Float64Array; firstSides: Float64Array; secondSides: Float64Array; secondCodeCount: number },
): void {
  const { patients, firstSides, secondSides, secondCodeCount } = rows;
  for (let row = 0; row < patients.length; row += 1) {
    const cell = (firstSides[row] ?? 0) * secondCodeCount + (secondSides[row] ?? 0);
    const patient = patients[row] ?? 0;
    if (last[cell] === patient) continue;
    last[cell] = patient;
    counts[cell] = (counts[cell] ?? 0) + 1;
  }
}

function countingSides({ name, codeCount, isNumeric }: PairedColumn, twoValued: ReadonlySet<string>): number[] {
  if (isNumeric && !twoValued.has(name)) return [1];
  return Array.from({ length: codeCount }, (_, side) => side);
}
