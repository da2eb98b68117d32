/**
 * The same CDM in a PostgreSQL of its own: rows clustered by person, keys and indexes as OHDSI's script for CDM 5.4 has them, the
 * settings of a server that has the machine for itself, statistics, and pages marked as all visible.
 *
 * Nothing here has to survive a crash, so that loading writes no log; what is measured afterwards only reads.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { cdmFields, cdmTableStatements } from '@lantern/omop';
import { createLogger, type Database, openDatabase } from '@lantern/service';

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

/** A quarter of the memory as buffers and three as what the operating system keeps, as PostgreSQL's manual advises. */
export function analysisSettings(): Record<string, string> {
  const memoryMiB = Math.floor(totalmem() / 2 ** 20);
  const cores = String(availableParallelism());
  return {
    shared_buffers: `${Math.floor(memoryMiB / 4)}MB`,
    effective_cache_size: `${Math.floor((memoryMiB * 3) / 4)}MB`,
    work_mem: '256MB',
    maintenance_work_mem: '1GB',
    random_page_cost: '1.1',
    max_parallel_workers: cores,
    max_parallel_workers_per_gather: cores,
    max_parallel_maintenance_workers: '1',
    max_worker_processes: '8',
    io_method: 'worker',
    max_wal_size: '8GB',
    wal_level: 'minimal',
    max_wal_senders: '0',
    fsync: 'off',
    autovacuum: 'off',
  };
}

/** Tables are copied by two at a time: one is written by DuckDB or loaded while the other gets its indexes. */
const LANE_COUNT = 2;

export async function copyToPostgres(file: string, url: string): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'lantern-bench-copy-'));
  chmodSync(folder, 0o755); // the server may run as another user
  const log = createLogger({ name: 'bench', level: 'silent' });
  const db = await openDatabase({ url, applicationName: 'bench', log });
  const instance = await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' });
  try {
    await db.pool.query(cdmTableStatements().join(';\n'));
    const waiting = await bySize(instance);
    const lane = async (): Promise<void> => {
      const connection = await instance.connect();
      for (let table = waiting.shift(); table !== undefined; table = waiting.shift()) {
        await copyTable({ table, connection, db, csv: path.join(folder, `${table}.csv`) });
        process.stderr.write(`  ${table} is in PostgreSQL\n`);
      }
      connection.closeSync();
    };
    await Promise.all(Array.from({ length: LANE_COUNT }, lane));
  } finally {
    instance.closeSync();
    await db.close();
    rmSync(folder, { recursive: true });
  }
}

/** Large ones first, so that the lanes end together. */
async function bySize(instance: DuckDBInstance): Promise<string[]> {
  const connection = await instance.connect();
  const sizes = new Map<string, number>();
  for (const table of Object.keys(INDEXES)) {
    const [[count] = []] = (await connection.runAndReadAll(`SELECT count(*) FROM ${table}`)).getRows();
    sizes.set(table, Number(count));
  }
  connection.closeSync();
  return [...sizes].sort(([, left], [, right]) => right - left).map(([table]) => table);
}

type Copying = {
  readonly table: string;
  readonly connection: DuckDBConnection;
  readonly db: Database;
  readonly csv: string;
};

async function copyTable({ table, connection, db, csv }: Copying): Promise<void> {
  const fields = (cdmFields(table) ?? []).map(({ name }) => name);
  const names = fields.join(', ');
  const clustered = fields.includes('person_id') ? ' ORDER BY person_id' : '';
  await connection.run(`COPY (SELECT ${names} FROM ${table}${clustered}) TO '${csv}' (FORMAT csv, HEADER false)`);
  chmodSync(csv, 0o644);
  // In one transaction: rows of a table that was emptied in it need no log, and can be frozen.
  const client = await db.pool.connect();
  try {
    await client.query('BEGIN');
    await client.query(`TRUNCATE ${table}`);
    await client.query(`COPY ${table} (${names}) FROM '${csv}' (FORMAT csv, FREEZE)`);
    await client.query('COMMIT');
  } finally {
    client.release();
  }
  rmSync(csv);
  const { key, columns } = INDEXES[table] ?? { columns: [] };
  if (key !== undefined) await db.pool.query(`ALTER TABLE ${table} ADD PRIMARY KEY (${key})`);
  for (const column of columns) await db.pool.query(`CREATE INDEX ON ${table} (${column})`);
  await db.pool.query(`VACUUM ANALYZE ${table}`);
}
