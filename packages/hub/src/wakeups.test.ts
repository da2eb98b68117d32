import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Database, openTestDatabase } from '@lantern/service';
import { createTransactions } from './hub-context.ts';
import type { HubTx } from './tables.ts';
import { openWakeups, wake } from './wakeups.ts';

const never = new AbortController().signal;
const LONG_MS = 20_000;

async function setting(t: TestContext) {
  const database = await openTestDatabase('wakeups');
  const wakeups = await openWakeups(database);
  t.after(async () => {
    await wakeups.close();
    await database.close();
  });
  return { database, wakeups };
}

const inTransaction = (database: Database, work: (tx: HubTx) => Promise<void>) => createTransactions(database)(work);

test('a waiter is woken when the change commits, not before, and never by one that was rolled back', async (t) => {
  const { database, wakeups } = await setting(t);
  const subscription = wakeups.subscribe('run:a');
  let woken = false;
  const waiting = subscription.wait(LONG_MS, never).then((rang) => {
    woken = rang;
  });
  const failed = inTransaction(database, async (tx) => {
    wake(tx, 'run:a');
    throw new RangeError('rolled back');
  });
  await assert.rejects(failed, RangeError);
  await inTransaction(database, async (tx) => {
    wake(tx, 'run:b', 'run:a');
    assert.equal(woken, false);
  });
  await waiting;
  assert.equal(woken, true);
  subscription.close();
});

test('a change between the reading and the waiting is not lost, and wakes once', async (t) => {
  const { database, wakeups } = await setting(t);
  const subscription = wakeups.subscribe('site:x');
  const beside = wakeups.subscribe('site:x');
  await inTransaction(database, async (tx) => wake(tx, 'site:x'));
  assert.equal(await beside.wait(LONG_MS, never), true, 'now the notification is here');
  assert.equal(await subscription.wait(LONG_MS, never), true);
  assert.equal(await subscription.wait(5, never), false);
});

test('a wait ends with its time or with its signal, and says that nothing rang', async (t) => {
  const { wakeups } = await setting(t);
  const subscription = wakeups.subscribe('question:x');
  assert.equal(await subscription.wait(5, never), false);
  const gone = new AbortController();
  const waiting = subscription.wait(LONG_MS, gone.signal);
  gone.abort();
  assert.equal(await waiting, false);
  assert.equal(await subscription.wait(LONG_MS, gone.signal), false);
});

test('when the listening connection was lost, everybody looks again', async (t) => {
  const { database, wakeups } = await setting(t);
  const waiting = wakeups.subscribe('run:a').wait(LONG_MS, never);
  await database.pool.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'",
  );
  assert.equal(await waiting, true);
});
