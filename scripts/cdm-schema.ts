/**
 * Writes packages/omop/src/cdm/cdm-tables.ts from OHDSI's table of the fields of OMOP CDM 5.4 (OMOP_CDMv5.4_Field_Level.csv):
 *
 *   LANTERN_DATA_DIR=… node scripts/cdm-schema.ts
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';

const data = process.env['LANTERN_DATA_DIR'];
if (data === undefined) throw new Error('LANTERN_DATA_DIR names no folder.');
const source = path.join(data, 'omop-cdm-5.4', 'OMOP_CDMv5.4_Field_Level.csv');
const target = path.resolve(import.meta.dirname, '../packages/omop/src/cdm/cdm-tables.ts');

const instance = await DuckDBInstance.create(':memory:');
const connection = await instance.connect();
const reader = await connection.runAndReadAll(
  `SELECT lower(cdmTableName), trim(lower(cdmFieldName), '"'), lower(cdmDatatype), isRequired = 'Yes' FROM read_csv($1, all_varchar = true)`,
  [source],
);
const tables: Record<string, Record<string, string>> = {};
for (const [table, field, type, isRequired] of reader.getRows()) {
  const columns = tables[String(table)] ?? {};
  tables[String(table)] = columns;
  columns[String(field)] = `${String(type).replace('varchar(max)', 'text')}${isRequired === true ? ' not null' : ''}`;
}
writeFileSync(
  target,
  `/** Fields of OMOP CDM 5.4 by table, with their types there; made by scripts/cdm-schema.ts, not by hand. */
export const CDM_TABLES: Readonly<Record<string, Readonly<Record<string, string>>>> = ${JSON.stringify(tables, null, 2)};
`,
);
spawnSync('npx', ['biome', 'check', '--write', target], { stdio: 'inherit' });
