/** A CDM in a DuckDB file, attached read-only. */
import { AppError } from '@lantern/contract';
import { quoteIdentifier } from '@lantern/omop';
import { sqlText } from '../datasets/table-engine.ts';
import type { Cdm, CdmOptions } from './cdm.ts';
import { tablesOf } from './cdm-schema-check.ts';
import { openDuckDbSession } from './duckdb-session.ts';

const DEFAULT_SCHEMA = 'main';

export async function openDuckDbFileCdm({ where, schema = DEFAULT_SCHEMA, signal, bounds }: CdmOptions): Promise<Cdm> {
  const session = await openDuckDbSession(signal, bounds);
  try {
    await session.run(`ATTACH ${sqlText(where)} AS cdm (READ_ONLY)`).catch((cause: unknown) => {
      signal.throwIfAborted();
      const rule = 'is no DuckDB database, or another program is writing to it';
      throw new AppError('input.invalid', `${where} ${rule}.`, { cause });
    });
    const columns = (rule: string) =>
      session.rows(`SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'cdm' AND ${rule}`);
    const found = await columns(`schema_name = ${sqlText(schema)}`);
    const persons = await session.rows(
      `SELECT DISTINCT schema_name FROM duckdb_columns() WHERE database_name = 'cdm' AND lower(table_name) = 'person' ORDER BY 1`,
    );
    const tables = tablesOf(found, { schema, schemasWithPersons: persons.map(([name]) => name ?? '') });
    await session.run(`USE cdm.${quoteIdentifier(schema)}`);
    return {
      dialect: 'duckdb',
      schema: undefined, // that of USE
      tables,
      prepare: async () => [],
      rows: (sql) => session.rows(sql),
      gather: (sql) => session.run(`CREATE OR REPLACE TEMP TABLE result AS ${sql}`),
      results: session,
      close: () => session.close(),
    };
  } catch (caught) {
    await session.close();
    throw caught;
  }
}
