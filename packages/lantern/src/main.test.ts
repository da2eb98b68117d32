import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT } from './cli/exit-codes.ts';

const END_WAIT_MS_MAX = 60_000; // a hub and four sites on a busy machine finish their start before they stop

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

/** A demonstration that a shell started, as npm does, from when its hub answers; with the ids of its processes. */
async function demoOfShell(tmp: string) {
  const demo = `"${process.execPath}" "${MAIN}" demo --keep; :`; // more than one command, so that the shell stays between us
  const shell = spawn('sh', ['-c', demo], {
    env: { PATH: process.env['PATH'], TMPDIR: tmp },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = '';
  for await (const chunk of shell.stdout.iterator({ destroyOnReturn: false })) {
    told += String(chunk);
    if (/The hub answers/.test(told)) break;
  }
  shell.stdout.resume();
  const hubPid = Number(/The hub answers.*\(process (\d+)\)/.exec(told)?.[1]);
  const status = await readFile(`/proc/${hubPid}/status`, 'utf8');
  return { shell, demoPid: Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) };
}

/** Waits until no process has the folder on its command line, as hub, sites and databases have. */
async function untilNobodyUses(folder: string): Promise<void> {
  const deadlineMs = performance.now() + END_WAIT_MS_MAX;
  for (;;) {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
    const left = lines.filter((line) => line.includes(folder));
    if (left.length === 0) return;
    assert.ok(performance.now() < deadlineMs, `still running: ${left.join('; ').replaceAll('\0', ' ')}`);
    await delay(100);
  }
}

describe('a demonstration', { skip: process.platform !== 'linux' && 'processes are looked up in /proc' }, () => {
  let tmp: string;
  before(async () => {
    tmp = await mkdtemp(path.join(os.tmpdir(), 'lantern-launched-'));
    await chmod(tmp, 0o711); // the database may have to run as another user
  });
  after(() => rm(tmp, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));

  it('stops and removes what it started when the shell that started it is killed', {
    timeout: 2 * END_WAIT_MS_MAX,
  }, async () => {
    const { shell } = await demoOfShell(tmp);
    shell.kill('SIGKILL');
    await untilNobodyUses(tmp);
    while ((await readdir(tmp)).length > 0) await delay(100); // the folder is the last to go
  });

  it('leaves no hub and no database running when it is killed itself', async () => {
    const { shell, demoPid } = await demoOfShell(tmp);
    const ended = once(shell, 'exit');
    process.kill(demoPid, 'SIGKILL');
    await ended;
    await untilNobodyUses(tmp);
  });
});

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
