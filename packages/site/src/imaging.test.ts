import assert from 'node:assert/strict';
import { chmod, stat } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import { startTestImaging } from '../test/imaging-harness.ts';

it('the folders of images are closed to other users of the machine, also those that were open', async () => {
  const test = await startTestImaging({ name: 'image-folder' });
  try {
    const folders = ['images', 'research-images'].map((name) => path.join(test.dir, name));
    const modes = () => Promise.all(folders.map(async (folder) => ((await stat(folder)).mode & 0o777).toString(8)));
    assert.deepEqual(await modes(), ['700', '700']);
    await test.stop();
    for (const folder of folders) await chmod(folder, 0o755);
    await test.restart();
    assert.deepEqual(await modes(), ['700', '700']);
  } finally {
    await test.close();
  }
});
