import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { evenOutRareNumbers } from './rare-numbers.ts';
import { createRowFile, rowBlocks } from './row-file.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-rare-'));
});
after(() => rm(dir, { recursive: true, force: true }));

const ROWS = 40;
const THRESHOLD = 10;

/** By column: a number of the table, then an image of four. */
const COLUMNS: ((row: number) => number)[] = [
  (row) => (row === 3 ? 99 : 0), // no image: the gate judges it
  (row) => (row < 9 ? row + 1 : 0.5), // nine differ
  (row) => (row >= 30 ? row : 0.25), // ten differ
  () => 0.125,
  (row) => row, // all differ
];

it('a number of an image in which too few patients differ becomes what it is in all others, and no other does', async () => {
  const file = path.join(dir, 'rows');
  const shape = { rowCount: ROWS, featureCount: COLUMNS.length };
  const rows = Array.from({ length: ROWS }, (_, row) => COLUMNS.map((numberIn) => numberIn(row)));
  const labels = Float64Array.from({ length: ROWS }, (_, row) => row % 2);
  const writer = await createRowFile(file, shape, 'F64');
  await writer.append({ values: Float64Array.from(rows.flat()), labels });
  await writer.finish();
  const images = [{ first: 1, count: 4 }];
  assert.equal(await evenOutRareNumbers(file, { images, patientCountMin: THRESHOLD }), 1);
  const { value: block } = await rowBlocks(file).next();
  assert.ok(block);
  const expected = rows.map((row) => row.with(1, 0.5));
  assert.deepEqual([...block.values], expected.flat());
  assert.deepEqual(block.labels, labels);
  assert.equal(await evenOutRareNumbers(file, { images, patientCountMin: THRESHOLD }), 0);
  assert.equal(await evenOutRareNumbers(file, { images, patientCountMin: THRESHOLD + 1 }), 1);
});
