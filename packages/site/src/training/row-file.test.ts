import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { decodeTensors } from '@lantern/learning';
import { createRowFile, type RowBlock, rowBlocks, writeStandardised } from './row-file.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-rows-'));
});
after(() => rm(dir, { recursive: true, force: true }));

const FEATURES = 3;
const ROWS = 20_011; // more than two blocks, and no multiple of one
const valueAt = (row: number, feature: number) => row * 1.25 - feature * 1000 + 1e-9 * (row % 7);

function block(first: number, count: number): RowBlock {
  const values = Float64Array.from({ length: count * FEATURES }, (_, i) =>
    valueAt(first + Math.floor(i / FEATURES), i % FEATURES),
  );
  const labels = Float64Array.from({ length: count }, (_, row) => ((first + row) % 3 === 0 ? 1 : 0));
  return { rowCount: count, featureCount: FEATURES, values, labels };
}

async function written(name: string): Promise<string> {
  const file = path.join(dir, name);
  const writer = await createRowFile(file, { rowCount: ROWS, featureCount: FEATURES }, 'F64');
  for (let first = 0; first < ROWS; first += 777) await writer.append(block(first, Math.min(777, ROWS - first)));
  await writer.finish();
  return file;
}

describe('a file of rows', () => {
  it('gives back every number, bit for bit, whatever the pieces it was written in', async () => {
    let next = 0;
    for await (const { rowCount, featureCount, values, labels } of rowBlocks(await written('all'))) {
      assert.equal(featureCount, FEATURES);
      assert.deepEqual(values, block(next, rowCount).values);
      assert.deepEqual(labels, block(next, rowCount).labels);
      next += rowCount;
    }
    assert.equal(next, ROWS);
  });

  it('is a safetensors file with x and y', async () => {
    const tensors = decodeTensors(await readFile(await written('tensors')));
    assert.deepEqual(tensors.get('x')?.shape, [ROWS, FEATURES]);
    assert.deepEqual(tensors.get('y')?.shape, [ROWS]);
  });

  it('refuses more or fewer rows than were announced', async () => {
    const shape = { rowCount: 5, featureCount: FEATURES };
    const short = await createRowFile(path.join(dir, 'short'), shape, 'F64');
    await short.append(block(0, 4));
    await assert.rejects(short.finish(), { code: 'internal' });
    await assert.rejects(short.append(block(4, 2)), { code: 'internal' });
    await short.abandon();
  });

  it('has a standardised twin in float32: value minus mean by deviation, and 0 where there is no deviation', async () => {
    const source = await written('source');
    const by = { mean: [100, -900, 5], stdDev: [50, 25, 0] };
    const target = path.join(dir, 'scaled');
    await writeStandardised(source, { file: target, shape: { rowCount: ROWS, featureCount: FEATURES }, by });
    const x = decodeTensors(await readFile(target)).get('x');
    assert.ok(x?.dtype === 'F32');
    for (const row of [0, 8191, 8192, ROWS - 1]) {
      assert.equal(x.data[row * FEATURES], Math.fround((valueAt(row, 0) - 100) / 50));
      assert.equal(x.data[row * FEATURES + 1], Math.fround((valueAt(row, 1) + 900) / 25));
      assert.equal(x.data[row * FEATURES + 2], 0);
    }
  });
});
