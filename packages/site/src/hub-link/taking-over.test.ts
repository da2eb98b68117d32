import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { it } from 'node:test';
import { AppError, type HubLink, type SignedEnvelope } from '@lantern/contract';
import { createLogger, generateKeyPair, newId, signEnvelope, systemClock } from '@lantern/service';
import { startHubLink } from './hub-link.ts';

const FAILURES = 3; // the waits double, so a few show it

const task: SignedEnvelope = signEnvelope({ payloadType: 'test', payload: {}, keyPair: generateKeyPair() });

it('a task that cannot be taken over (full disk) is asked for again, ever more seldom, and told once, not at every try', async () => {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const polledMs: number[] = [];
  const statuses: HubLink[] = [];
  let connections = 0;
  const taken = Promise.withResolvers<void>();
  const loop = startHubLink({
    link: {
      schema: 'lantern.hub-link/1',
      hubUrl: 'http://127.0.0.1:1',
      hubName: 'Hub',
      hubPublicKeyPem: '',
      siteId: newId('SiteId'),
      siteName: 'Clinic',
      joinedAt: systemClock.now().toISOString(),
    },
    outbound: {
      async call(operation: string) {
        assert.equal(operation, 'pollTasks');
        if (polledMs.length > 0) statuses.push(loop.status());
        polledMs.push(performance.now());
        return { tasks: [task] };
      },
    } as never,
    clock: systemClock,
    log: createLogger({ name: 'test', level: 'warn', destination }),
    uniform: () => 0,
    async receive() {
      if (polledMs.length <= FAILURES) throw new AppError('storage.full', 'The disk of the database is full.');
      return 1;
    },
    onConnected: async () => {
      connections += 1;
      taken.resolve();
    },
    onContact: async () => undefined,
  });
  await taken.promise;
  await loop.close();
  assert.deepEqual(
    statuses.slice(0, FAILURES).map((status) => [status.connected, status.lastError?.code]),
    Array(FAILURES).fill([false, 'storage.full']),
  );
  assert.equal(connections, 1);
  const waitsMs = polledMs.slice(1, FAILURES + 1).map((atMs, index) => atMs - (polledMs[index] ?? 0));
  for (const [index, waitMs] of waitsMs.entries()) {
    // A timer is never early by more than its own rounding; late it may be, on a busy machine.
    assert.ok(waitMs >= 125 * 2 ** index - 2, `wait ${index} was ${waitMs} ms`);
  }
  assert.equal(lines.length, 1, lines.join(''));
  assert.match(lines[0] ?? '', /storage\.full.*tasks of the hub cannot be taken over/);
});
