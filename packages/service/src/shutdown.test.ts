import assert from 'node:assert/strict';
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
});
