import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { createLogger } from '../log.ts';
import type { Database } from './database.ts';
import { openSession } from './session.ts';
import { openTestDatabase } from './test-database.ts';

const log = createLogger({ name: 'session-test', level: 'silent' });
const LIMIT_MS = 60_000;

describe('a kept connection', () => {
  let db: Database;
  before(async () => {
    db = await openTestDatabase('session');
  });
  after(() => db.close());

  const open = (onConnect: (isFirst: boolean) => Promise<void>) =>
    openSession({ url: db.url, applicationName: 'kept', log, onConnect: (_client, isFirst) => onConnect(isFirst) });

  const cut = () =>
    sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'kept'`.execute(db.kysely());

  test('is set up anew after each break, and fails queries in between instead of hanging', async () => {
    const seen: boolean[] = [];
    const session = await open(async (isFirst) => void seen.push(isFirst));
    for (const breakCount of [1, 2]) {
      const { rows: before_ } = await session.query('select pg_backend_pid() as pid');
      await cut();
      const deadlineMs = performance.now() + LIMIT_MS;
      for (;;) {
        assert.ok(performance.now() < deadlineMs);
        const answer = await session.query('select pg_backend_pid() as pid').catch((caught) => {
          assert.equal(caught.code, 'database.unavailable');
          return undefined;
        });
        if (answer !== undefined && answer.rows[0]?.pid !== before_[0]?.pid) break;
        await delay(5);
      }
      assert.deepEqual(seen, [true, false, false].slice(0, breakCount + 1));
    }
    await session.close();
  });

  test('that cannot be set up is tried again', async () => {
    let attemptCount = 0;
    const ready = Promise.withResolvers<void>();
    const session = await open(async (isFirst) => {
      if (isFirst) return;
      attemptCount += 1;
      if (attemptCount < 3) throw new TypeError('not yet');
      ready.resolve();
    });
    await cut();
    await ready.promise;
    assert.equal(attemptCount, 3);
    await session.close();
  });

  test('leaves no connection behind, closed at once, after a break or twice', async () => {
    const session = await open(async () => undefined);
    await cut();
    await Promise.all([session.close(), session.close()]);
    await (await open(async () => undefined)).close();
    const deadlineMs = performance.now() + LIMIT_MS;
    for (;;) {
      const { rows } = await sql`select 1 from pg_stat_activity where application_name = 'kept'`.execute(db.kysely());
      if (rows.length === 0) break;
      assert.ok(performance.now() < deadlineMs, 'a connection was left behind');
      await delay(5);
    }
  });

  test('to nowhere is refused at once', async () => {
    const url = 'postgres://x@localhost/x?host=/nowhere&port=5432';
    const attempt = openSession({ url, applicationName: 'kept', log, onConnect: async () => undefined });
    await assert.rejects(attempt, { code: 'database.unavailable' });
  });
});
