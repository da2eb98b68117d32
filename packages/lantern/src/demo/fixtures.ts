/**
 * Turns the four original UCI files into the tables the four hospitals register: a header, FLamby's published split as a
 * column, nothing else changed. Rows that FLamby leaves out stay in the table, marked `unused`.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { DATASET } from './heart-disease.ts';

export const HOSPITALS = [
  { key: 'cleveland', siteName: 'Cleveland' },
  { key: 'hungarian', siteName: 'Budapest' },
  { key: 'switzerland', siteName: 'Zurich/Basel' },
  { key: 'va', siteName: 'Long Beach' },
] as const;
export type Hospital = (typeof HOSPITALS)[number];

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/heart-disease');
const COLUMN_COUNT = 14;

/** The hospital's table as CSV text, one line per patient of the original file, in its order. */
export async function hospitalCsv(hospital: Hospital): Promise<string> {
  const lines = (await readFile(path.join(FIXTURES, `processed.${hospital.key}.data`), 'utf8')).trim().split('\n');
  const split = await readSplit(hospital);
  const header = DATASET.columns.map((column) => column.name).join(',');
  const rows = lines.map((line, index) => {
    const cells = line.trim().split(',');
    if (cells.length !== COLUMN_COUNT) {
      throw new AppError(
        'dataset.invalid',
        `fixture of ${hospital.siteName}: line ${index + 1} has not ${COLUMN_COUNT} columns.`,
      );
    }
    return `${cells.join(',')},${split.get(index) ?? 'unused'}`;
  });
  return `${[header, ...rows].join('\n')}\n`;
}

/** 0-based line of the original file -> "train" or "test". */
async function readSplit(hospital: Hospital): Promise<Map<number, string>> {
  const [header, ...lines] = (await readFile(path.join(FIXTURES, 'flamby-split.csv'), 'utf8')).trim().split('\n');
  if (header !== 'center,center_id,raw_line,kept_row,set,label') {
    throw new AppError('dataset.invalid', 'fixture flamby-split.csv: unexpected header.');
  }
  return new Map(
    lines
      .map((line) => line.split(','))
      .filter((cells) => cells[0] === hospital.key)
      .map((cells) => [Number(cells[2]), cells[4] ?? 'unused']),
  );
}
