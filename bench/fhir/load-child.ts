/**
 * One loading of a folder into a new database by a process of its own, as the command does it; then the same texts as bare rows. Prints
 * what it took as JSON.
 *
 *   node load-child.ts FOLDER
 */
import { strict as assert } from 'node:assert';
import { systemClock } from '@lantern/service';
import { createFhirStore } from '../../packages/site/src/fhir/fhir-store.ts';
import { loadFiles } from '../../packages/site/src/fhir/loader.ts';
import { startTestFhir, type TestFhir } from '../../packages/site/test/fhir-harness.ts';

const BATCH_COUNT = 500;

export type Loading = {
  /** Read; some stand in several bundles. */
  readonly resources: number;
  readonly created: number;
  readonly seconds: number;
  /** Processor time of this process. */
  readonly cpuSeconds: number;
  /** For PostgreSQL to take the texts of those created without index, check or history. */
  readonly bareSeconds: number;
};

async function bareRows({ database }: TestFhir): Promise<number> {
  const { pool } = database;
  const { rows } = await pool.query<{ id: string; body: string }>('select id, body from fhir_resource');
  await pool.query('create table bare (id text primary key, body text)');
  const begin = performance.now();
  for (let at = 0; at < rows.length; at += BATCH_COUNT) {
    const batch = rows.slice(at, at + BATCH_COUNT);
    const columns = [batch.map(({ id }) => id), batch.map(({ body }) => body)];
    await pool.query('insert into bare select * from unnest($1::text[], $2::text[])', columns);
  }
  return (performance.now() - begin) / 1000;
}

const fhir = await startTestFhir('bench-fhir-load');
try {
  const store = createFhirStore({ database: fhir.database, clock: systemClock });
  const cpu = process.cpuUsage();
  const begin = performance.now();
  const { total, refusedBy } = await loadFiles(store, process.argv[2] ?? '');
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  assert.deepEqual(refusedBy, {});
  const loading: Loading = {
    resources: total.read,
    created: total.created,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    bareSeconds: await bareRows(fhir),
  };
  process.stdout.write(`${JSON.stringify(loading)}\n`);
} finally {
  await fhir.close();
}
