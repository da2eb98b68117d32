/**
 * The same CDM in a DuckDB file and in a PostgreSQL, for tests that both engines have to pass.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { cdmTableStatements } from '@lantern/omop';
import { openTestDatabase } from '@lantern/service';

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
