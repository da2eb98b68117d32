import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@lantern/contract';
import { type Generated, sql } from 'kysely';
import { createLogger } from '../log.ts';
import { type AnyTx, type Database, openDatabase, type Tx, transactionOf } from './database.ts';
import { openTestDatabase, startTestPostgres } from './test-database.ts';

type Tables = { study: { id: Generated<number>; modality: string; seen_on: string | null } };

const log = createLogger({ name: 'database-test', level: 'silent' });
const LIMIT_MS = 60_000;

async function until(what: string, isMet: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + LIMIT_MS;
  while (!(await isMet())) {
    assert.ok(performance.now() < deadlineMs, `waited in vain until ${what}`);
    await delay(5);
  }
}

describe('a database', () => {
  let db: Database;

  before(async () => {
    db = await openTestDatabase('database');
    await sql`create table study (
      id bigint generated always as identity primary key,
      modality text not null unique,
      seen_on date
    )`.execute(db.kysely());
  });
  after(() => db.close());

  const modalities = async () =>
    (await db.kysely<Tables>().selectFrom('study').select('modality').orderBy('id').execute()).map(
      (row) => row.modality,
    );

  test('keeps what a transaction wrote when it resolves, and its result comes back', async () => {
    const id = await db.transaction(async (tx: Tx<Tables>) => {
      const row = await tx.insertInto('study').values({ modality: 'CT' }).returning('id').executeTakeFirstOrThrow();
      return row.id;
    });
    assert.equal(typeof id, 'number');
    assert.deepEqual(await modalities(), ['CT']);
  });

  test('asks a statement with its values bound, and keeps no plan of it', async () => {
    const text = "CT' or true --";
    const rows = await db.ask(sql<{ text: string; two: number }>`select ${text}::text as text, ${1}::int + 1 as two`);
    assert.deepEqual(rows, [{ text, two: 2 }]);
    const prepared = await db.ask(sql`select statement from pg_prepared_statements where statement like '%as two%'`);
    assert.deepEqual(prepared, []);
    await assert.rejects(db.ask(sql`select nothing from study`), { code: '42703' });
  });

  test('keeps nothing of a transaction that rejects, and the error comes back as it was', async () => {
    const refusal = new AppError('conflict', 'changed meanwhile');
    const attempt = db.transaction(async (tx: Tx<Tables>) => {
      await tx.insertInto('study').values({ modality: 'MR' }).execute();
      throw refusal;
    });
    await assert.rejects(attempt, (caught) => caught === refusal);
    assert.deepEqual(await modalities(), ['CT']);
  });

  test('leaves an error about the data to the caller, with the code of PostgreSQL', async () => {
    const twice = db.transaction((tx: Tx<Tables>) => tx.insertInto('study').values({ modality: 'CT' }).execute());
    await assert.rejects(twice, { code: '23505' });
  });

  test('lends the transaction of a caller to others with tables of their own', async () => {
    type Audit = { audit: { entry: string } };
    await sql`create table audit (entry text not null)`.execute(db.kysely());
    const append = (tx: AnyTx, entry: string) =>
      transactionOf<Audit>(tx).insertInto('audit').values({ entry }).execute();
    await assert.rejects(
      db.transaction(async (tx: Tx<Tables>) => {
        await append(tx, 'rolled back');
        throw new AppError('conflict', 'x');
      }),
    );
    await db.transaction((tx) => append(tx, 'kept'));
    assert.deepEqual(await db.kysely<Audit>().selectFrom('audit').selectAll().execute(), [{ entry: 'kept' }]);
    assert.throws(() => transactionOf(db.kysely() as unknown as AnyTx), TypeError);
  });

  test('reads bigint as a number, and refuses one that a number cannot hold', async () => {
    const read = async (text: string) =>
      (await sql<{ n: number }>`select ${text}::bigint as n`.execute(db.kysely())).rows[0]?.n;
    assert.equal(await read('-9007199254740991'), -9_007_199_254_740_991);
    await assert.rejects(read('9007199254740993'), RangeError);
  });

  test('reads a date as the day it is, in whatever time zone the process lives', async () => {
    const { rows } = await sql`select '1962-02-28'::date as day, '2026-03-01T12:00:00+05'::timestamptz as at`.execute(
      db.kysely(),
    );
    assert.deepEqual(rows, [{ day: '1962-02-28', at: new Date('2026-03-01T07:00:00Z') }]);
  });

  test('runs transactions beside each other, which wait for each other’s rows and lose no update', async () => {
    await sql`create table counter (n int not null)`.execute(db.kysely());
    await sql`insert into counter values (0)`.execute(db.kysely());
    const increment = () => db.transaction((tx) => sql`update counter set n = n + 1`.execute(tx));
    await Promise.all(Array.from({ length: 40 }, increment));
    assert.deepEqual((await sql`select n from counter`.execute(db.kysely())).rows, [{ n: 40 }]);
  });

  test('hands a notification of a committed transaction to its listeners, until they stop', async () => {
    const heard: string[] = [];
    const stop = await db.listen('Study "arrived"', (payload) => heard.push(payload));
    const notify = (payload: string) =>
      db.transaction((tx) => sql`select pg_notify('Study "arrived"', ${payload})`.execute(tx));
    await notify('first');
    await until('it is heard', () => heard.length === 1);
    await stop();
    await notify('second');
    await sql`select 1`.execute(db.kysely());
    assert.deepEqual(heard, ['first']);
  });

  test('goes on after its connections were cut, and listeners are told that they may have missed something', async () => {
    const heard: string[] = [];
    const stop = await db.listen('cut', (payload) => heard.push(payload));
    await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`.execute(db.kysely());
    await until('the listener was told', () => heard.includes(''));
    await sql`notify cut, 'again'`.execute(db.kysely());
    await until('it hears again', () => heard.includes('again'));
    assert.deepEqual(heard, ['', 'again']);
    await stop();
    const answers = Array.from({ length: 12 }, () =>
      sql`select 1`.execute(db.kysely()).then(
        () => true,
        (caught) => caught.code,
      ),
    );
    for (const answer of await Promise.all(answers)) assert.ok(answer === true || answer === 'database.unavailable');
    assert.deepEqual((await sql`select 5 as n`.execute(db.kysely())).rows, [{ n: 5 }]);
  });

  test('reports a connection that is cut inside a transaction as retryable', async () => {
    const cut = db.transaction(async (tx) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
      await sql`select pg_terminate_backend(${rows[0]?.pid}::int)`.execute(db.kysely());
      await sql`select 1`.execute(tx);
    });
    await assert.rejects(cut, { code: 'database.unavailable' });
  });
});

test('every test database is empty and its own', async () => {
  const [one, other] = await Promise.all([openTestDatabase('twin'), openTestDatabase('twin')]);
  await sql`create table only_here ()`.execute(one.kysely());
  const { rows } = await sql`select count(*) as count from pg_tables where schemaname = 'public'`.execute(
    other.kysely(),
  );
  assert.deepEqual(rows, [{ count: 0 }]);
  await Promise.all([one.close(), other.close()]);
});

test('a database needs a url or a folder', async () => {
  await assert.rejects(openDatabase({ log, applicationName: 'x' }), { code: 'config.invalid', field: 'databaseUrl' });
});

test('a database that is away makes each query fail at once, and serves again when it is back', async () => {
  const server = await startTestPostgres();
  const db = await openDatabase({ url: server.url, log, applicationName: 'away' });
  const stopped: string[] = [];
  const stop = await db.listen('x', () => stopped.push('told'));
  const killed = server.pid();
  assert.ok(killed !== undefined);
  process.kill(killed, 'SIGKILL');
  let refusedCount = 0;
  await until('it answers again', () =>
    sql`select 1`.execute(db.kysely()).then(
      () => refusedCount > 0 && server.pid() !== killed,
      (caught) => {
        assert.equal(caught.code, 'database.unavailable');
        refusedCount += 1;
        return false;
      },
    ),
  );
  await until('the listener is connected again', () => stopped.length > 0);
  await stop();
  await db.close();
  await server.close();
});
