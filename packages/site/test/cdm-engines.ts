/**
 * The same CDM in a DuckDB file and in a PostgreSQL, for tests that both engines have to pass.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { cdmTableNames, cdmTableStatements, quoteIdentifier } from '@lantern/omop';
import { openTestDatabase } from '@lantern/service';
import { openCdm } from '../src/cdm/cdm.ts';

export const ENGINES = ['duckdb', 'postgres'] as const;
export type Engine = (typeof ENGINES)[number];

export type EngineCdm = { readonly where: string; close(): Promise<void> };

/** `isStrict`: with the rules of the CDM about what must be there. */
export async function makeCdm(
  engine: Engine,
  statements: readonly string[],
  { isStrict = true }: { isStrict?: boolean } = {},
): Promise<EngineCdm> {
  const tables = cdmTableStatements().map((one) => (isStrict ? one : one.replaceAll(' not null', '')));
  const all = [...tables, ...statements];
  if (engine === 'postgres') {
    const db = await openTestDatabase('cdm');
    await db.pool.query(all.join(';\n'));
    return { where: db.url, close: () => db.close() };
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'lantern-cdm-test-'));
  const where = path.join(folder, 'cdm.duckdb');
  const instance = await DuckDBInstance.create(where);
  const connection = await instance.connect();
  for (const statement of all) await connection.run(statement);
  connection.closeSync();
  instance.closeSync();
  return { where, close: () => rm(folder, { recursive: true, force: true }) };
}

/** Rows that go to PostgreSQL at once. */
const COPY_ROW_COUNT = 10_000;

/** A PostgreSQL with the tables and rows of a CDM in a DuckDB file. */
export async function copyToPostgres(file: string): Promise<EngineCdm> {
  const db = await openTestDatabase('cdm_copy');
  await db.pool.query(cdmTableStatements().join(';\n'));
  const { signal } = new AbortController();
  const source = await openCdm({ where: file, schema: undefined, signal, onProgress: () => undefined });
  for (const table of cdmTableNames()) {
    const names = [...(source.tables.get(table) ?? [])];
    const rows = await source.rows(`SELECT ${names.map(quoteIdentifier).join(', ')} FROM ${table}`);
    for (let from = 0; from < rows.length; from += COPY_ROW_COUNT) {
      const objects = rows
        .slice(from, from + COPY_ROW_COUNT)
        .map((row) => Object.fromEntries(names.map((name, index) => [name, row[index]])));
      await db.pool.query(`INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, $1)`, [
        JSON.stringify(objects),
      ]);
    }
    await db.pool.query(`ANALYZE ${table}`);
  }
  await source.close();
  return { where: db.url, close: () => db.close() };
}
