import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Database } from './database.ts';
import { migrate } from './migrations.ts';
import { openTestDatabase } from './test-database.ts';

describe('migrations', () => {
  let db: Database;
  let dir: string;
  let ownerCount = 0;
  let name: string;

  before(async () => {
    db = await openTestDatabase('migrations');
  });
  after(() => db.close());
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lantern-migrations-'));
    ownerCount += 1;
    name = `owner${ownerCount}`;
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const file = (fileName: string, text: string) => writeFile(join(dir, fileName), text);
  const tables = async () =>
    (
      await sql<{ name: string }>`select tablename as name from pg_tables
        where schemaname = 'public' and tablename like ${`${name}_%`} order by 1`.execute(db.kysely())
    ).rows.map((row) => row.name);

  test('run in the order of their numbers, each once, and several statements in one file', async () => {
    await file('001-first.sql', `create table ${name}_a (n int); insert into ${name}_a values (3), (4);`);
    await file('002-second.sql', `create table ${name}_b as select sum(n)::int as total from ${name}_a`);
    assert.deepEqual(await migrate(db, { name, dir }), ['001-first.sql', '002-second.sql']);
    assert.deepEqual(await migrate(db, { name, dir }), []);
    await file('003-third.sql', `update ${name}_b set total = total * 10`);
    assert.deepEqual(await migrate(db, { name, dir }), ['003-third.sql']);
    assert.deepEqual((await sql`select total from ${sql.table(`${name}_b`)}`.execute(db.kysely())).rows, [
      { total: 70 },
    ]);
  });

  test('leave nothing of one that fails, and what ran before it stays', async () => {
    await file('001-good.sql', `create table ${name}_good ()`);
    await file('002-bad.sql', `create table ${name}_bad (); select * from no_such_table;`);
    await assert.rejects(migrate(db, { name, dir }), {
      code: 'set-up.failed',
      message: `Migration 002-bad.sql of ${name} failed and was rolled back.`,
    });
    assert.deepEqual(await tables(), [`${name}_good`]);
    await file('002-bad.sql', `create table ${name}_mended ()`);
    assert.deepEqual(await migrate(db, { name, dir }), ['002-bad.sql']);
    assert.deepEqual(await tables(), [`${name}_good`, `${name}_mended`]);
  });

  test('refuse a file that was changed after it ran', async () => {
    await file('001-first.sql', `create table ${name}_a ()`);
    await migrate(db, { name, dir });
    await file('001-first.sql', `create table ${name}_a (n int)`);
    await file('002-second.sql', `create table ${name}_b ()`);
    await assert.rejects(migrate(db, { name, dir }), {
      code: 'set-up.failed',
      message: /001-first.sql .* was changed/,
    });
    assert.deepEqual(await tables(), [`${name}_a`]);
  });

  test('refuse a database that is newer than the program', async () => {
    await file('001-first.sql', `create table ${name}_a ()`);
    await file('002-second.sql', `create table ${name}_b ()`);
    await migrate(db, { name, dir });
    await rm(join(dir, '002-second.sql'));
    await assert.rejects(migrate(db, { name, dir }), { code: 'set-up.failed', message: /002-second.sql .* newer/ });
  });

  test('refuse gaps, doubles and names that say nothing', async () => {
    for (const names of [
      ['002-late.sql'],
      ['001-a.sql', '003-c.sql'],
      ['001-a.sql', '001-b.sql'],
      ['1-a.sql'],
      ['001.sql'],
    ]) {
      for (const fileName of names) await file(fileName, 'select 1');
      await assert.rejects(migrate(db, { name, dir }), { code: 'set-up.failed' }, names.join());
      for (const fileName of names) await rm(join(dir, fileName));
    }
  });

  test('of several processes at once run once', async () => {
    await file('001-first.sql', `create table ${name}_a (n int)`);
    await file('002-second.sql', `insert into ${name}_a values (1)`);
    const applied = await Promise.all(Array.from({ length: 5 }, () => migrate(db, { name, dir })));
    assert.deepEqual(applied.flat().sort(), ['001-first.sql', '002-second.sql']);
    assert.deepEqual((await sql`select n from ${sql.table(`${name}_a`)}`.execute(db.kysely())).rows, [{ n: 1 }]);
  });

  test('of two owners do not know of each other', async () => {
    await file('001-first.sql', `create table if not exists ${name}_a ()`);
    assert.deepEqual(await migrate(db, { name, dir }), ['001-first.sql']);
    assert.deepEqual(await migrate(db, { name: `${name}-other`, dir }), ['001-first.sql']);
  });
});
