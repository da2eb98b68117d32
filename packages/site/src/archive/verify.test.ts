import assert from 'node:assert/strict';
import { readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startTestImaging, type TestImaging, takeIn } from '../../test/imaging-harness.ts';
import { syntheticInstance } from '../../test/synthetic-images.ts';
import { verifyArchive } from './verify.ts';

let node: TestImaging;

before(async () => {
  node = await startTestImaging({ name: 'archive-verify' });
});

after(async () => {
  await node?.close();
});

async function receive(number: number, patientName?: string): Promise<void> {
  const image = { study: 1, series: 1, number, ...(patientName === undefined ? {} : { patientName }) };
  await takeIn(node.imaging, syntheticInstance(image));
}

async function fileOf(number: number): Promise<string> {
  const { rows } = await node.database.pool.query('select file from image_instance where instance_number = $1', [
    number,
  ]);
  return node.imaging.archive.files.pathOf(rows[0].file);
}

const verify = (hashes: boolean) => {
  const { database, imaging } = node;
  return verifyArchive({ database, files: imaging.archive.files, hashes });
};

describe('verifying an archive', () => {
  it('finds nothing wrong with what was received, and counts it', async () => {
    for (let number = 1; number <= 5; number += 1) await receive(number);
    await receive(5, 'Other^Person');
    const { instanceCount, conflictCount, problems, sizeBytes } = await verify(true);
    assert.deepEqual({ instanceCount, conflictCount, problems }, { instanceCount: 5, conflictCount: 1, problems: [] });
    assert.ok(sizeBytes > 5 * 128);
  });

  it("names what is missing, cut, changed, and nobody's", async () => {
    unlinkSync(await fileOf(1));
    truncateSync(await fileOf(2), 300);
    const changed = await fileOf(3);
    const content = readFileSync(changed);
    content[content.byteLength - 1] = (content.at(-1) ?? 0) ^ 1;
    writeFileSync(changed, content);
    writeFileSync(path.join(path.dirname(changed), 'stray.dcm'), 'x');
    const kinds = async (hashes: boolean) => (await verify(hashes)).problems.map(({ kind }) => kind).sort();
    assert.deepEqual(await kinds(true), ['content', 'missing', 'size', 'unknown-file']);
    assert.deepEqual(await kinds(false), ['missing', 'size', 'unknown-file']);
  });

  it('leaves the stray file to the check, which removes that alone', async () => {
    assert.equal(await node.imaging.archive.check(), 1);
    const kinds = (await verify(true)).problems.map(({ kind }) => kind).sort();
    assert.deepEqual(kinds, ['content', 'missing', 'size']);
  });
});
