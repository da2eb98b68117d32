/**
 * A Parquet file on the whole path: made by DuckDB, with numbers as numbers and gaps as NULL, imported, registered, counted and
 * trained on. It is the same table as the clinic's CSV, so it must say the same everywhere.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { type AnswerBody, type DatasetSchema, type Filter, SITE_API, type SiteTask } from '@lantern/contract';
import { newId } from '@lantern/service';
import { APPROVE, type ClinicRun, GRAPH, graphRun, train, useClinic } from '../../test/clinic-runs.ts';
import { clinicCsv, FEATURES, SCHEMA, TRAINING_BOUNDS } from '../../test/documents.ts';
import { upload } from '../../test/site-harness.ts';

const clinic = useClinic('site-parquet');
const { perform, specOf } = clinic;

const TYPES =
  "{patient: 'VARCHAR', age: 'INTEGER', pressure: 'DOUBLE', sex: 'TINYINT', outcome: 'BIGINT', split: 'VARCHAR'}";

async function parquetOf(csv: string): Promise<Buffer> {
  const dir = await mkdtemp(path.join(tmpdir(), 'lantern-parquet-'));
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  try {
    const [source, target] = [path.join(dir, 'clinic.csv'), path.join(dir, 'clinic.parquet')];
    await writeFile(source, csv);
    const table = `read_csv('${source}', header = true, delim = ',', auto_detect = false, nullstr = '?', columns = ${TYPES})`;
    await connection.run(`COPY (SELECT * FROM ${table}) TO '${target}' (FORMAT parquet)`);
    return await readFile(target);
  } finally {
    connection.closeSync();
    instance.closeSync();
    await rm(dir, { recursive: true });
  }
}

async function register(schema: DatasetSchema, content: Buffer, format: 'csv' | 'parquet') {
  const digest = await upload(clinic.site.url(), clinic.site.tokens()['data-engineer'], content);
  const body = { schema, source: { digest, format }, feasibility: 'any-project' } as const;
  return clinic.site.as('data-engineer').call(SITE_API.registerDataset, { body });
}

async function count(dataset: string, filter: Filter): Promise<AnswerBody> {
  const ids = { taskId: newId('TaskId'), siteId: clinic.hub.siteId(), projectId: newId('ProjectId') };
  const task: SiteTask = {
    ...{ schema: 'lantern.task/1', kind: 'count', createdAt: new Date().toISOString() },
    ...ids,
    ...{ dataset, filter },
  };
  clinic.hub.send(task);
  return (await clinic.hub.answerTo(task.taskId)).body;
}

async function trained(dataset: string): Promise<AnswerBody> {
  const features = { ...FEATURES, dataset };
  const algorithm = { name: 'network', bundleDigest: GRAPH.bundleDigest, roundsMax: 5, training: TRAINING_BOUNDS };
  const spec = specOf({ datasets: [dataset], algorithms: [{ ...algorithm, features }] });
  const allowed = { ...spec, algorithms: [{ ...algorithm, features }] };
  const projectId = await clinic.site.project(clinic.hub, allowed, APPROVE);
  const run: ClinicRun = { spec: allowed, projectId, runId: newId('RunId'), rest: graphRun };
  const prepared = await perform(run, 0, { kind: 'prepare' });
  assert.ok(prepared.kind === 'prepared', JSON.stringify(prepared));
  assert.equal(prepared.trainRowCount, train.length);
  const weights = clinic.hub.putBlob(GRAPH.files.get('initial-weights.safetensors') ?? assert.fail());
  const local = { learningRate: 0.1, work: { kind: 'epochs' as const, count: 1 } };
  return perform(run, 1, { kind: 'train', weights, strategy: { kind: 'fedavg' }, local, seed: 7 });
}

describe('a table that comes as Parquet', () => {
  it('is registered, counted and trained on like the same table as CSV', async () => {
    const schema = { ...SCHEMA, name: 'formats' };
    const csv = clinicCsv(300);
    assert.match(csv, /,\?,/, 'there are gaps');
    const older: Filter = { kind: 'compare', column: 'age', operator: '>', value: 50 };
    const said = [];
    for (const format of ['csv', 'parquet'] as const) {
      const content = format === 'csv' ? Buffer.from(csv) : await parquetOf(csv);
      const { rowCount, patientCount, contentDigest } = await register(schema, content, format);
      const counted = await count('formats', older);
      const update = await trained('formats');
      assert.ok(counted.kind === 'count' && counted.count.kind === 'released', JSON.stringify(counted));
      assert.ok(update.kind === 'update', JSON.stringify(update));
      said.push({ rowCount, patientCount, contentDigest, count: counted.count, delta: update.delta });
    }
    assert.deepEqual(said[1], said[0]);
    assert.equal(said[0]?.patientCount, 300);
  });

  it('names column and row where it breaks its schema', async () => {
    const wrong = clinicCsv(30).replace(/^p4,\d+,/m, 'p4,431,');
    await assert.rejects(register(SCHEMA, await parquetOf(wrong), 'parquet'), {
      code: 'dataset.invalid',
      message: /^Column age: outside the range 18 to 110 \(unit "a"\) \(1 row: 5\)\.$/,
    });
  });

  it('is refused when it lacks a declared column', async () => {
    const schema = {
      ...SCHEMA,
      columns: SCHEMA.columns.map((one, index) => (index === 2 ? { ...one, name: 'bp' } : one)),
    };
    await assert.rejects(register(schema, await parquetOf(clinicCsv(30)), 'parquet'), {
      code: 'dataset.invalid',
      message: 'The file lacks 1 declared column: bp.',
    });
  });
});
