import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { EXIT } from './cli/exit-codes.ts';

const MAIN = path.resolve(import.meta.dirname, 'main.ts');

/** Every command writes; this one needs no server. */
async function helpTo(stdout: 'nobody' | number): Promise<{ code: number | null; err: string }> {
  const out = stdout === 'nobody' ? 'pipe' : stdout;
  const child = spawn(process.execPath, [MAIN, '--help'], { stdio: ['ignore', out, 'pipe'] });
  child.stdout?.destroy();
  assert.ok(child.stderr !== null);
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const err = await text(child.stderr);
  return { code: await ended, err };
}

describe('the command line as a process', () => {
  it('ends quietly, and not as a success, when its reader has seen enough', async () => {
    assert.deepEqual(await helpTo('nobody'), { code: EXIT.interrupted, err: '' });
  });

  it('says in one line that its output cannot be written', {
    skip: process.platform !== 'linux' && 'only Linux has /dev/full',
  }, async () => {
    const full = openSync('/dev/full', 'w');
    try {
      const { code, err } = await helpTo(full);
      assert.equal(code, EXIT.interrupted);
      assert.equal(err, 'Error: Standard output cannot be written (ENOSPC).\n');
    } finally {
      closeSync(full);
    }
  });
});
