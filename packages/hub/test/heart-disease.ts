/** Rows of the four hospitals in fixtures/heart-disease for tests: eight numeric columns, those that the published split keeps. */
import { readFileSync } from 'node:fs';

export const HEART_COLUMNS = ['age', 'sex', 'trestbps', 'chol', 'fbs', 'thalach', 'exang', 'oldpeak'] as const;
const COLUMN_INDEX = [0, 1, 3, 4, 5, 7, 8, 9];

export type Rows = {
  readonly featureCount: number;
  /** Row-major [rows, features]. */
  readonly values: number[];
  readonly labels: number[];
};
export type Centre = { readonly name: string; readonly train: Rows; readonly test: Rows };

const CENTRES = { cleveland: 'Cleveland', hungarian: 'Budapest', switzerland: 'Zurich', va: 'Long Beach' } as const;
const folder = new URL('../../../fixtures/heart-disease/', import.meta.url);

export function loadHeartDisease(): Centre[] {
  const split = readFileSync(new URL('flamby-split.csv', folder), 'utf8').trim().split('\n').slice(1);
  return Object.entries(CENTRES).map(([file, name]) => {
    const lines = readFileSync(new URL(`processed.${file}.data`, folder), 'utf8')
      .trim()
      .split('\n');
    const rowsOf = (set: string): Rows => {
      const labels: number[] = [];
      const values: number[] = [];
      for (const entry of split) {
        const [centre, , rawLine, , itsSet, label] = entry.split(',');
        if (centre !== file || itsSet !== set) continue;
        const cells = (lines[Number(rawLine)] ?? '').split(',');
        values.push(...COLUMN_INDEX.map((index) => Number(cells[index])));
        labels.push(Number(label));
      }
      return { featureCount: HEART_COLUMNS.length, values, labels };
    };
    return { name, train: rowsOf('train'), test: rowsOf('test') };
  });
}

export function pool(parts: readonly Rows[]): Rows {
  return {
    featureCount: parts[0]?.featureCount ?? 0,
    values: parts.flatMap((part) => part.values),
    labels: parts.flatMap((part) => part.labels),
  };
}

/** One array per feature. */
export function columnsOf(rows: Rows): number[][] {
  return Array.from({ length: rows.featureCount }, (_, feature) =>
    rows.labels.map((_label, row) => rows.values[row * rows.featureCount + feature] ?? Number.NaN),
  );
}
