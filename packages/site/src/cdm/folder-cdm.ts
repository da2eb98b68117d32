/**
 * A CDM as a folder of files. Of the tables that are asked for, the columns that are asked for are read into a DuckDB in memory,
 * strictly, as when they are loaded for good.
 */
import { AppError } from '@lantern/contract';
import { cdmFields, cdmTableStatements, quoteIdentifier } from '@lantern/omop';
import type { Cdm, CdmOptions } from './cdm.ts';
import { openDuckDbSession } from './duckdb-session.ts';
import { findTableFiles } from './table-files.ts';
import { importTable, type OpenedTable, openTable, type TableAccount } from './table-import.ts';

export async function openFolderCdm({ where, schema, signal, onProgress, bounds }: CdmOptions): Promise<Cdm> {
  if (schema !== undefined)
    throw new AppError('input.invalid', 'A folder of files has no schemas; leave --schema out.');
  const { tables: files } = await findTableFiles(where);
  if (!files.some(({ table }) => table === 'person')) {
    throw new AppError(
      'dataset.invalid',
      `${where} holds no file of the table "person", as person.csv or person.parquet.`,
    );
  }
  const session = await openDuckDbSession(signal, bounds);
  try {
    const tables = new Map<string, ReadonlySet<string>>();
    for (const file of files) tables.set(file.table, columnsOf(await openTable(session, file)));
    return {
      dialect: 'duckdb',
      schema: undefined,
      tables,
      async prepare(needs) {
        for (const statement of cdmTableStatements()) await session.run(withoutRules(statement));
        const accounts: TableAccount[] = [];
        const wanted = files.filter(({ table }) => needs.has(table));
        for (const [index, file] of wanted.entries()) {
          onProgress(index, wanted.length, file.table);
          const opened = await openTable(session, file, needs.get(file.table));
          if (opened.plan.present.length === 0) continue;
          accounts.push(await importTable(session, opened, quoteIdentifier(file.table)));
        }
        onProgress(1, 1, '');
        return accounts;
      },
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

/** Optional columns that a file lacks are empty; the account of its rows says so. */
function columnsOf({ file, plan }: OpenedTable): ReadonlySet<string> {
  const optional = (cdmFields(file.table) ?? []).filter(({ isRequired }) => !isRequired).map(({ name }) => name);
  return new Set([...plan.present, ...optional]);
}

/** Required columns that nobody asks for stay empty. */
function withoutRules(statement: string): string {
  return statement.replaceAll(' not null', '');
}
