/** The same CDM in a PostgreSQL of its own, with the keys and indexes of OHDSI's script for CDM 5.4, settings for analysis, and statistics. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { cdmFields, cdmTableStatements } from '@lantern/omop';
import { createLogger, openDatabase } from '@lantern/service';

/** Those of the tables that are filled here: key, then columns with an index of their own. */
const INDEXES: Readonly<Record<string, { key?: string; columns: readonly string[] }>> = {
  person: { key: 'person_id', columns: ['gender_concept_id'] },
  observation_period: { key: 'observation_period_id', columns: ['person_id'] },
  visit_occurrence: { key: 'visit_occurrence_id', columns: ['person_id', 'visit_concept_id'] },
  condition_occurrence: {
    key: 'condition_occurrence_id',
    columns: ['person_id', 'condition_concept_id', 'visit_occurrence_id'],
  },
  drug_exposure: { key: 'drug_exposure_id', columns: ['person_id', 'drug_concept_id', 'visit_occurrence_id'] },
  procedure_occurrence: {
    key: 'procedure_occurrence_id',
    columns: ['person_id', 'procedure_concept_id', 'visit_occurrence_id'],
  },
  measurement: { key: 'measurement_id', columns: ['person_id', 'measurement_concept_id', 'visit_occurrence_id'] },
  observation: { key: 'observation_id', columns: ['person_id', 'observation_concept_id', 'visit_occurrence_id'] },
  drug_era: { key: 'drug_era_id', columns: ['person_id', 'drug_concept_id'] },
  dose_era: { key: 'dose_era_id', columns: ['person_id', 'drug_concept_id'] },
  condition_era: { key: 'condition_era_id', columns: ['person_id', 'condition_concept_id'] },
  death: { columns: ['person_id'] },
  concept: { key: 'concept_id', columns: ['concept_code', 'vocabulary_id', 'domain_id', 'concept_class_id'] },
  concept_ancestor: { columns: ['ancestor_concept_id', 'descendant_concept_id'] },
};

const SETTINGS = {
  work_mem: '256MB',
  maintenance_work_mem: '1GB',
  effective_cache_size: '12GB',
  random_page_cost: '1.1',
  max_parallel_workers_per_gather: '2',
} as const;

export async function copyToPostgres(file: string, url: string): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'lantern-bench-copy-'));
  chmodSync(folder, 0o755); // the server may run as another user
  const db = await openDatabase({
    url,
    applicationName: 'bench',
    log: createLogger({ name: 'bench', level: 'silent' }),
  });
  const instance = await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  try {
    const { pathname } = new URL(url);
    for (const [name, value] of Object.entries(SETTINGS)) {
      await db.pool.query(`ALTER DATABASE "${pathname.slice(1)}" SET ${name} = '${value}'`);
      await db.pool.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    }
    await db.pool.query(`ALTER SYSTEM SET max_wal_size = '8GB'`);
    await db.pool.query('SELECT pg_reload_conf()');
    await db.pool.query(cdmTableStatements().join(';\n'));
    for (const [table, { key, columns }] of Object.entries(INDEXES)) {
      const csv = path.join(folder, 'rows.csv');
      const names = (cdmFields(table) ?? []).map(({ name }) => name).join(', ');
      await connection.run(`COPY (SELECT ${names} FROM ${table}) TO '${csv}' (FORMAT csv, HEADER false)`);
      chmodSync(csv, 0o644);
      await db.pool.query(`COPY ${table} (${names}) FROM '${csv}' (FORMAT csv)`);
      rmSync(csv);
      if (key !== undefined) await db.pool.query(`ALTER TABLE ${table} ADD PRIMARY KEY (${key})`);
      for (const column of columns) await db.pool.query(`CREATE INDEX ON ${table} (${column})`);
      await db.pool.query(`VACUUM ANALYZE ${table}`);
      process.stderr.write(`  ${table} is in PostgreSQL\n`);
    }
  } finally {
    connection.closeSync();
    instance.closeSync();
    await db.close();
    rmSync(folder, { recursive: true });
  }
}
