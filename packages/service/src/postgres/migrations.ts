/**
 * Schema changes as numbered plain SQL files, `001-name.sql` onwards without a gap. Each runs in a transaction of its own,
 * together with the record that it ran: never half, never twice. The record holds the SHA-256 of the file, so a file that
 * was changed after it ran is noticed instead of silently differing between two hospitals.
 *
 * Processes that start at the same time take turns under an advisory lock; the later one finds the work done.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@lantern/contract';
import type pg from 'pg';
import type { Database } from './database.ts';
import { fromDatabaseError } from './database-error.ts';

/** Any number, the same in all processes: it names "the schema of this database" among the advisory locks. */
const MIGRATION_LOCK_KEY = 4_702_219_301;

/** Another process may be busy with a long migration. */
const LOCK_WAIT_MS_MAX = 15 * 60_000;

const RECORD_TABLE = `
  create table if not exists schema_migration (
    owner text not null,
    number int not null,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now(),
    primary key (owner, number)
  )`;

type Migration = { readonly number: number; readonly name: string; readonly sql: string; readonly sha256: string };

type Recorded = { readonly number: number; readonly name: string; readonly sha256: string };

async function readMigrations(dir: string): Promise<Migration[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.sql')).sort();
  const migrations: Migration[] = [];
  for (const [index, name] of names.entries()) {
    const number = Number(/^(\d{3})-[a-z0-9-]+\.sql$/.exec(name)?.[1]);
    if (number !== index + 1) {
      throw new AppError(
        'set-up.failed',
        `Migration ${name}: expected the number ${index + 1} and a name like 001-name.sql.`,
      );
    }
    const sql = await readFile(join(dir, name), 'utf8');
    migrations.push({ number, name, sql, sha256: createHash('sha256').update(sql).digest('hex') });
  }
  return migrations;
}

/** The migrations still to run. Throws `set-up.failed` when what ran is not what the files say. */
function pending(owner: string, migrations: readonly Migration[], recorded: readonly Recorded[]): Migration[] {
  for (const past of recorded) {
    const file = migrations[past.number - 1];
    if (file === undefined) {
      throw new AppError(
        'set-up.failed',
        `The database has migration ${past.name} of ${owner}, which this version does not know; it is newer.`,
      );
    }
    if (file.sha256 !== past.sha256) {
      throw new AppError(
        'set-up.failed',
        `Migration ${file.name} of ${owner} was changed after it ran; add a new one instead.`,
      );
    }
  }
  return migrations.slice(recorded.length);
}

async function apply(client: pg.PoolClient, owner: string, migration: Migration): Promise<void> {
  await client.query('begin');
  try {
    await client.query(migration.sql);
    await client.query('insert into schema_migration (owner, number, name, sha256) values ($1, $2, $3, $4)', [
      owner,
      migration.number,
      migration.name,
      migration.sha256,
    ]);
    await client.query('commit');
  } catch (caught) {
    await client.query('rollback').catch(() => undefined);
    const translated = fromDatabaseError(caught);
    if (translated instanceof AppError) throw translated;
    throw new AppError('set-up.failed', `Migration ${migration.name} of ${owner} failed and was rolled back.`, {
      cause: caught,
    });
  }
}

async function applyPending(client: pg.PoolClient, owner: string, migrations: readonly Migration[]): Promise<string[]> {
  await client.query(RECORD_TABLE);
  const { rows } = await client.query<Recorded>(
    'select number, name, sha256 from schema_migration where owner = $1 order by number',
    [owner],
  );
  const applied: string[] = [];
  for (const migration of pending(owner, migrations, rows)) {
    await apply(client, owner, migration);
    applied.push(migration.name);
  }
  return applied;
}

/**
 * Brings the part of the schema that `name` owns up to the files in `dir`; returns the names of those that ran now.
 * Throws `set-up.failed` for a gap, a changed or unknown migration or a failing one, `database.unavailable` for the rest.
 */
export async function migrate(db: Database, options: { name: string; dir: string }): Promise<string[]> {
  const migrations = await readMigrations(options.dir);
  try {
    const client = await db.pool.connect();
    try {
      await client.query(`set lock_timeout = ${LOCK_WAIT_MS_MAX}`);
      await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK_KEY]);
      return await applyPending(client, options.name, migrations);
    } finally {
      client.release(true); // Ending the session frees the lock and the setting, whatever state the connection is in.
    }
  } catch (caught) {
    throw fromDatabaseError(caught);
  }
}
