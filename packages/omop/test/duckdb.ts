/** A real DuckDB in memory for the tests of the SQL we print. */
import { DOUBLE, DuckDBInstance, VARCHAR } from '@duckdb/node-api';
import type { SqlQuery } from '../src/dataset/sql-text.ts';

export type TestDuckDb = {
  readonly run: (sql: string) => Promise<void>;
  readonly rows: (query: SqlQuery | string) => Promise<Record<string, unknown>[]>;
  readonly columns: (table: string) => Promise<string[]>;
  readonly close: () => void;
};

export async function openTestDuckDb(): Promise<TestDuckDb> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const rows: TestDuckDb['rows'] = async (query) => {
    const { sql, parameters } = typeof query === 'string' ? { sql: query, parameters: [] } : query;
    const types = parameters.map((value) => (typeof value === 'number' ? DOUBLE : VARCHAR));
    const reader = await connection.runAndReadAll(sql, [...parameters], types);
    return reader.getRowObjectsJS();
  };
  return {
    run: async (sql) => {
      await connection.run(sql);
    },
    rows,
    columns: async (table) =>
      (await rows(`SELECT column_name FROM (DESCRIBE ${table})`)).map((row) => String(row['column_name'])),
    close: () => {
      connection.closeSync();
      instance.closeSync();
    },
  };
}
