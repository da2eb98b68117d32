import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { manualClock } from '../clock.ts';
import { createLogger } from '../log.ts';
import { type Database, openDatabase } from '../postgres/database.ts';
import { openTestDatabase } from '../postgres/test-database.ts';
import { createNonceStore } from './nonce-store.ts';
import { migrateService } from './service-migrations.ts';

const START = '2026-03-01T08:00:00Z';
const startMs = Date.parse(START);

let db: Database;
before(async () => {
  db = await openTestDatabase('nonce');
  await migrateService(db);
});
after(() => db.close());

test('a nonce of a key is spent once, also when many requests race for it', async () => {
  const store = createNonceStore({ db, clock: manualClock(START) });
  const spent = await Promise.all(
    Array.from({ length: 20 }, () => store.spend({ keyId: 'key-race', nonce: 'n-1', createdMs: startMs })),
  );
  assert.equal(spent.filter((fresh) => fresh).length, 1);
  assert.equal(await store.spend({ keyId: 'key-race', nonce: 'n-2', createdMs: startMs }), true);
  assert.equal(await store.spend({ keyId: 'key-other', nonce: 'n-1', createdMs: startMs }), true);
});

test('nonces that come at once are each judged on their own', async () => {
  const store = createNonceStore({ db, clock: manualClock(START) });
  await store.spend({ keyId: 'key-b', nonce: 'old', createdMs: startMs });
  const nonces = ['first', 'new-1', 'old', 'new-2', 'new-1', 'new-3'];
  const spent = await Promise.all(nonces.map((nonce) => store.spend({ keyId: 'key-b', nonce, createdMs: startMs })));
  // Which of two equal ones comes first is for the database to say.
  const [first, one, old, second, other, third] = spent;
  assert.deepEqual([first, old, second, third], [true, false, true, true]);
  assert.notEqual(one, other);
});

test('a spent nonce is remembered by another process on the same database', async () => {
  const clock = manualClock(START);
  assert.equal(await createNonceStore({ db, clock }).spend({ keyId: 'key-a', nonce: 'n', createdMs: startMs }), true);
  const log = createLogger({ name: 'test', level: 'silent' });
  const second = await openDatabase({ url: db.url, log, applicationName: 'second' });
  try {
    const store = createNonceStore({ db: second, clock });
    assert.equal(await store.spend({ keyId: 'key-a', nonce: 'n', createdMs: startMs }), false);
  } finally {
    await second.close();
  }
});

test('nonces are swept once no fresh signature can carry them, and not before', async () => {
  const clock = manualClock(START);
  const skewMsMax = 300_000;
  const store = createNonceStore({ db, clock, skewMsMax });
  const remembered = async (nonce: string): Promise<boolean> => {
    const { rows } = await db.pool.query('SELECT 1 FROM request_nonce WHERE key_id = $1 AND nonce = $2', [
      'key-s',
      nonce,
    ]);
    return rows.length === 1;
  };
  // Signed by a clock that is 299 s ahead: fresh until 599 s from now.
  await store.spend({ keyId: 'key-s', nonce: 'ahead', createdMs: startMs + 299_000 });
  await store.spend({ keyId: 'key-s', nonce: 'now', createdMs: startMs });
  clock.advanceMs(598_000);
  await store.spend({ keyId: 'key-s', nonce: 'later', createdMs: startMs + 598_000 });
  assert.deepEqual([await remembered('ahead'), await remembered('now')], [true, true]);
  clock.advanceMs(61_000);
  await store.spend({ keyId: 'key-s', nonce: 'last', createdMs: startMs + 659_000 });
  assert.deepEqual(
    [await remembered('ahead'), await remembered('now'), await remembered('later')],
    [true, false, true],
  );
});

test('migrating a second time changes nothing', async () => {
  assert.deepEqual(await migrateService(db), []);
});
