/** The original files as numbers: a second, independent implementation of the thirteen features, for comparisons only. */
import { type Hospital, hospitalCsv } from './fixtures.ts';
import { FEATURES } from './heart-disease.ts';

/** `x` [rows, 13], not standardised; `y` 1 for disease. */
export type Rows = { readonly x: number[][]; readonly y: number[] };

export async function heartRows(hospital: Hospital): Promise<{ train: Rows; test: Rows }> {
  const [header = '', ...lines] = (await hospitalCsv(hospital)).trim().split('\n');
  const names = header.split(',');
  const result = {
    train: { x: [] as number[][], y: [] as number[] },
    test: { x: [] as number[][], y: [] as number[] },
  };
  for (const line of lines) {
    const cells = new Map(line.split(',').map((value, index) => [names[index] ?? '', value]));
    const split = cells.get('split');
    const row = encode(cells);
    if (row === undefined || (split !== 'train' && split !== 'test')) continue;
    result[split].x.push(row);
    result[split].y.push(Number(cells.get('num')) > 0 ? 1 : 0);
  }
  return result;
}

/** The thirteen features of one patient, or `undefined` when a needed value is missing. */
function encode(cells: ReadonlyMap<string, string>): number[] | undefined {
  const row: number[] = [];
  for (const feature of FEATURES.features) {
    const value = Number(cells.get(feature.column));
    if (!Number.isFinite(value)) return undefined;
    if (feature.kind === 'numeric') row.push(value);
    else if (feature.kind === 'one-hot')
      row.push(
        ...feature.categories.slice(feature.dropFirst ? 1 : 0).map((category) => (value === Number(category) ? 1 : 0)),
      );
  }
  return row;
}
