/** A CDM in a PostgreSQL of the hospital's: read in one transaction that can write nothing. */
import { quoteIdentifier, quoteLiteral } from '@lantern/omop';
import { openReadOnlyConnection } from '@lantern/service';
import type { Cdm, CdmOptions } from './cdm.ts';
import { tablesOf } from './cdm-schema-check.ts';
import { openDuckDbSession } from './duckdb-session.ts';

export async function openPostgresCdm({ where, schema, signal, onProgress, bounds }: CdmOptions): Promise<Cdm> {
  const connection = await openReadOnlyConnection({ url: where, applicationName: 'lantern-cohort', signal });
  const results = await openDuckDbSession(signal, bounds);
  const close = async () => {
    await connection.close();
    await results.close();
  };
  try {
    const schemas = schema === undefined ? 'ANY (current_schemas(false))' : quoteLiteral(schema);
    const columns = await connection.rows(
      `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ${schemas}`,
    );
    const persons = await connection.rows(
      `SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_name = 'person' ORDER BY 1`,
    );
    const tables = tablesOf(columns, { schema, schemasWithPersons: persons.map(([name]) => name ?? '') });
    return {
      dialect: 'postgres',
      schema,
      tables,
      prepare: async () => [],
      rows: (sql) => connection.rows(sql),
      async gather(sql, types) {
        const names = Object.keys(types).map(quoteIdentifier);
        await results.run(`CREATE OR REPLACE TABLE texts (${names.map((name) => `${name} VARCHAR`).join(', ')})`);
        let count = 0;
        await connection.batches(sql, async (rows) => {
          await results.append('texts', rows);
          count += rows.length;
          onProgress(0, 1, `${count} rows`);
        });
        const typed = Object.entries(types).map(
          ([name, type]) => `CAST(${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`,
        );
        await results.run(`CREATE OR REPLACE TEMP TABLE result AS SELECT ${typed.join(', ')} FROM texts`);
        await results.run('DROP TABLE texts');
      },
      results,
      close,
    };
  } catch (caught) {
    await close();
    throw caught;
  }
}
