/**
 * The UCI heart-disease data of four hospitals as FLamby prepares it: drop slope, ca, thal; drop rows with a missing value;
 * label num > 0; one-hot cp and restecg without their first level; FLamby's own split. 13 features.
 */
import { readFileSync } from 'node:fs';

export type Rows = { featureCount: number; values: number[]; labels: number[] };
export type Centre = { name: string; train: Rows; test: Rows };

const CENTRES = ['cleveland', 'hungarian', 'switzerland', 'va'];
const FEATURE_COUNT = 13;

const HEART_DISEASE_DIR = new URL('../../../fixtures/heart-disease/', import.meta.url);

export function loadHeartDisease(dir: URL = HEART_DISEASE_DIR): Centre[] {
  const [header = '', ...lines] = readFileSync(new URL('flamby-split.csv', dir), 'utf8').trim().split(/\r?\n/);
  const names = header.split(',');
  const split = lines.map((line) => new Map(line.split(',').map((cell, index) => [names[index] ?? '', cell])));
  return CENTRES.map((name, index) => {
    const raw = readFileSync(new URL(`processed.${name}.data`, dir), 'utf8')
      .trim()
      .split(/\r?\n/);
    const rowsOf = (set: string): Rows => {
      const chosen = split.filter((row) => row.get('center_id') === String(index) && row.get('set') === set);
      const cells = chosen.map((row) => (raw[Number(row.get('raw_line'))] ?? '').split(',').map(Number));
      return {
        featureCount: FEATURE_COUNT,
        values: cells.flatMap(encode),
        labels: cells.map((row) => ((row[13] ?? 0) > 0 ? 1 : 0)),
      };
    };
    return { name, train: rowsOf('train'), test: rowsOf('test') };
  });
}

/** age, sex, trestbps, chol, fbs, thalach, exang, oldpeak, cp 2 3 4, restecg 1 2. */
function encode(row: number[]): number[] {
  const [age, sex, cp, trestbps, chol, fbs, restecg, thalach, exang, oldpeak] = row;
  const hot = (value: number | undefined, levels: number[]) => levels.map((level) => (value === level ? 1 : 0));
  const plain = [age, sex, trestbps, chol, fbs, thalach, exang, oldpeak].map((value) => value ?? Number.NaN);
  return [...plain, ...hot(cp, [2, 3, 4]), ...hot(restecg, [1, 2])];
}

export function columnsOf(rows: Rows): number[][] {
  return Array.from({ length: rows.featureCount }, (_, feature) =>
    rows.labels.map((_label, row) => rows.values[row * rows.featureCount + feature] ?? Number.NaN),
  );
}

/** (x - mean) / stdDev; a feature without spread becomes 0. */
export function standardise(rows: Rows, by: { mean: readonly number[]; stdDev: readonly number[] }): Rows {
  const values = rows.values.map((value, index) => {
    const feature = index % rows.featureCount;
    const spread = by.stdDev[feature] ?? 0;
    return spread > 0 ? (value - (by.mean[feature] ?? 0)) / spread : 0;
  });
  return { ...rows, values };
}

export function pool(parts: Rows[]): Rows {
  return {
    featureCount: FEATURE_COUNT,
    values: parts.flatMap((part) => part.values),
    labels: parts.flatMap((part) => part.labels),
  };
}
