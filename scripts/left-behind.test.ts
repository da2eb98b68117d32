import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { openEnclosure } from './left-behind.ts';

function folderOf(environment: Readonly<Record<string, string>>): string {
  const folder = environment['TMPDIR'];
  assert.ok(folder !== undefined);
  return folder;
}

describe('an enclosure', () => {
  it('has nothing to name when everything was cleaned up, and removes its folder', async () => {
    const enclosure = openEnclosure();
    assert.deepEqual(await enclosure.clear(), []);
    assert.equal(existsSync(folderOf(enclosure.environment)), false);
  });

  it('names and removes a file that was left', async () => {
    const enclosure = openEnclosure();
    const folder = folderOf(enclosure.environment);
    writeFileSync(path.join(folder, 'forgotten.txt'), 'x');
    assert.deepEqual(await enclosure.clear(), ['file forgotten.txt']);
    assert.equal(existsSync(folder), false);
  });

  it('names and ends a process that was left', { skip: process.platform !== 'linux' && 'reads /proc' }, async () => {
    const enclosure = openEnclosure();
    const child = spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1000)'], {
      env: { ...process.env, ...enclosure.environment },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    const ended = once(child, 'exit');
    const left = await enclosure.clear();
    assert.equal(left.length, 1);
    assert.match(left[0] ?? '', new RegExp(`^process ${child.pid}: .*setInterval`));
    assert.deepEqual(await ended, [null, 'SIGKILL']);
  });
});
