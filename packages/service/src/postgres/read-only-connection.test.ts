import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import type { Database } from './database.ts';
import { openReadOnlyConnection, type ReadOnlyConnection } from './read-only-connection.ts';
import { openTestDatabase } from './test-database.ts';

let db: Database;
before(async () => {
  db = await openTestDatabase('read_only');
  await db.pool.query('CREATE TABLE large (id bigint, on_day date)');
  await db.pool.query(
    `INSERT INTO large SELECT 9007199254740993 + n, DATE '2020-01-01' + n FROM generate_series(0, 44999) n`,
  );
});
after(() => db.close());

async function withConnection<T>(work: (connection: ReadOnlyConnection) => Promise<T>): Promise<T> {
  const { signal } = new AbortController();
  const connection = await openReadOnlyConnection({ url: db.url, applicationName: 'test', signal });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

const refusal = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof AppError && error.code === code && message.test(error.message);

describe('a read-only connection', () => {
  it('gives numbers above 2^53 and days as they are', async () => {
    const rows = await withConnection((connection) =>
      connection.rows('SELECT id, on_day FROM large ORDER BY id LIMIT 2'),
    );
    assert.deepEqual(rows, [
      ['9007199254740993', '2020-01-01'],
      ['9007199254740994', '2020-01-02'],
    ]);
  });

  it('gives every row of a large result once, in batches', async () => {
    const sizes: number[] = [];
    const ids = new Set<string | null>();
    await withConnection((connection) =>
      connection.batches('SELECT id FROM large', (rows) => {
        sizes.push(rows.length);
        for (const [id] of rows) ids.add(id ?? null);
      }),
    );
    assert.deepEqual(sizes, [20_000, 20_000, 5000]);
    assert.equal(ids.size, 45_000);
  });

  it('writes nothing, whatever it is asked', async () => {
    await assert.rejects(
      withConnection((connection) => connection.rows('DELETE FROM large')),
      AppError,
    );
    assert.equal((await db.pool.query('SELECT 1 FROM large')).rowCount, 45_000);
  });

  it('says which table is not there, and no value of a row that breaks a query', async () => {
    await assert.rejects(
      withConnection((connection) => connection.rows('SELECT * FROM nowhere')),
      refusal('peer.refused', /nowhere/),
    );
    await assert.rejects(
      withConnection((connection) => connection.rows(`SELECT CAST('Agnes' AS integer)`)),
      (error) => error instanceof AppError && !error.message.includes('Agnes'),
    );
  });

  it('stops the statement at the server when it is told to', async () => {
    const stop = new AbortController();
    const connection = await openReadOnlyConnection({ url: db.url, applicationName: 'told', signal: stop.signal });
    const asked = connection.rows('SELECT pg_sleep(600)');
    stop.abort();
    await assert.rejects(asked, { name: 'AbortError' });
    await connection.close();
    const { rows } = await db.pool.query(`SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'`);
    assert.equal(rows.length, 0);
  });

  it('says that an address is none without repeating it', async () => {
    const { signal } = new AbortController();
    await assert.rejects(
      openReadOnlyConnection({ url: 'postgres://secret@:::', applicationName: 'test', signal }),
      refusal('input.invalid', /^(?!.*secret)/),
    );
  });
});
