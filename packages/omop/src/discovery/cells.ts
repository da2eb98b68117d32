/**
 * The cells of a characteristic: their labels, which depend on the question alone and never on the data, and SQL for DuckDB that
 * says in which of them a patient stands. The rows it reads are those of `gathered-rows.ts`, with `number`, the patient's number at
 * this site, instead of the person.
 *
 * Who stands in no cell is only in the total: a gender that is neither female nor male, an age below 0, a year yet to come, no
 * measurement. A cell for them would nearly always be suppressed, and secondary suppression would hide a real one beside it.
 */
import type { Characteristic, Crossed } from '@lantern/contract';

/** `expression`: index of the cell, or null; over the columns of the view `entry`: sex, age, year. */
export type EntryCells = { readonly column: string; readonly labels: readonly string[]; readonly expression: string };

const FEMALE = 8532; // concepts of OMOP's domain Gender
const MALE = 8507;
const AGE_TOP = 100;
/** Ages are coarser where they are crossed with something else. */
const CROSSED_BAND_YEARS = 20;
/** Older years are one cell. */
const YEAR_COUNT = 30;

/** `currentYear` at the site. */
export function entryCells(
  characteristic: Extract<Characteristic, { kind: 'sex' | 'age' | 'year' | 'crossing' }>,
  currentYear: number,
): EntryCells {
  switch (characteristic.kind) {
    case 'sex':
      return sexCells();
    case 'age':
      return ageCells(characteristic.bandYears);
    case 'year':
      return yearCells(currentYear);
    case 'crossing':
      return characteristic.of.map((of) => crossedCells(of, currentYear)).reduce(crossing);
  }
}

/** Whether the labels change with the year. */
export function dependsOnYear(characteristic: Characteristic): boolean {
  return characteristic.kind === 'year' || (characteristic.kind === 'crossing' && characteristic.of.includes('year'));
}

function crossedCells(of: Crossed, currentYear: number): EntryCells {
  return entryCells(of === 'age' ? { kind: 'age', bandYears: CROSSED_BAND_YEARS } : { kind: of }, currentYear);
}

function sexCells(): EntryCells {
  const expression = `CASE sex WHEN ${FEMALE} THEN 0 WHEN ${MALE} THEN 1 END`;
  return { column: 'sex', labels: ['female', 'male'], expression };
}

function ageCells(bandYears: 5 | 10 | 20): EntryCells {
  const bandCount = AGE_TOP / bandYears;
  const bands = Array.from({ length: bandCount }, (_, band) => `${band * bandYears} to ${(band + 1) * bandYears - 1}`);
  const expression = `CASE WHEN age >= 0 THEN least(age // ${bandYears}, ${bandCount}) END`;
  return { column: 'age', labels: [...bands, `${AGE_TOP} or older`], expression };
}

function yearCells(currentYear: number): EntryCells {
  const first = currentYear - YEAR_COUNT + 1;
  const years = Array.from({ length: YEAR_COUNT }, (_, index) => String(first + index));
  const expression = `CASE WHEN year <= ${currentYear} THEN greatest(year - ${first - 1}, 0) END`;
  return { column: 'year', labels: [`before ${first}`, ...years], expression };
}

function crossing(first: EntryCells, second: EntryCells): EntryCells {
  return {
    column: `${first.column} by ${second.column}`,
    labels: first.labels.flatMap((one) => second.labels.map((other) => `${one}, ${other}`)),
    expression: `(${first.expression}) * ${second.labels.length} + (${second.expression})`,
  };
}

/** Bins from each bound to below the next, and what lies below the first and from the last on; over the column `amount`. */
export function measurementCells(bounds: readonly number[]): Omit<EntryCells, 'column'> {
  const first = bounds[0] ?? 0;
  const last = bounds.at(-1) ?? first;
  const between = bounds.slice(1).map((bound, index) => `${bounds[index]} to below ${bound}`);
  const branches = bounds.map((bound, index) => `WHEN amount < CAST(${bound} AS DOUBLE) THEN ${index}`);
  return {
    labels: [`below ${first}`, ...between, `${last} or above`],
    expression: `CASE ${branches.join(' ')} ELSE ${bounds.length} END`,
  };
}
