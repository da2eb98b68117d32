import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { createLogger } from './log.ts';
import { createShutdown } from './shutdown.ts';

const silent = createLogger({ name: 'test', level: 'silent' });

describe('shutdown', () => {
  it('closes what was opened last first, once', async () => {
    const closed: string[] = [];
    const shutdown = createShutdown(silent);
    for (const name of ['database', 'queue', 'http']) shutdown.onClose(name, () => void closed.push(name));
    await Promise.all([shutdown.close(), shutdown.close()]);
    assert.deepEqual(closed, ['http', 'queue', 'database']);
  });

  it('goes on when a part fails or never ends', async () => {
    const closed: string[] = [];
    const shutdown = createShutdown(silent, { waitMsMax: 20 });
    shutdown.onClose('database', () => void closed.push('database'));
    shutdown.onClose('stuck', () => new Promise(() => undefined));
    shutdown.onClose('broken', () => Promise.reject(new TypeError('no')));
    await shutdown.close();
    assert.deepEqual(closed, ['database']);
  });

  /** A process that says when it is up and when its part, which takes `closeMs`, begins to close. */
  function start(closeMs: number) {
    const source = `
      import { createLogger } from ${JSON.stringify(new URL('log.ts', import.meta.url).href)};
      import { createShutdown } from ${JSON.stringify(new URL('shutdown.ts', import.meta.url).href)};
      const shutdown = createShutdown(createLogger({ name: 'test', level: 'silent' }));
      shutdown.onClose('slow', () => new Promise((resolve) => {
        console.log('closing');
        setTimeout(resolve, ${closeMs});
      }));
      shutdown.onSignals();
      setInterval(() => undefined, 1000);
      console.log('up');`;
    return spawn(process.execPath, ['--input-type=module', '--eval', source], { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  it('ends the process well after the first signal, when everything is closed', async () => {
    const child = start(5);
    await once(child.stdout, 'data');
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
  });

  it('ends the process at once after a second signal, however long a part takes', async () => {
    const child = start(60_000);
    await once(child.stdout, 'data');
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    assert.deepEqual(await exit, [1, null]);
  });
});
