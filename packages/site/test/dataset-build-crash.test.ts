/** A site that is killed, as by `kill -9`, while it builds a dataset: at every named point, and once each. It makes one version. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FAULT_POINTS, SITE_API } from '@lantern/contract';
import { CONCEPTS, circe, recordsStatements } from './records-cdm.ts';
import { RecordsSite } from './records-site.ts';

let asker: RecordsSite;
const children = new Set<ChildProcess>();

before(async () => {
  asker = await RecordsSite.start('duckdb', 'site-dataset-build-crash', {
    statements: recordsStatements({ count: 40 }),
  });
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await asker?.close();
});

async function startProcess(faultPoint: string): Promise<ChildProcess> {
  const settings = JSON.stringify({ ...asker.site.settings, faultPoint });
  const script = path.join(import.meta.dirname, 'site-process.ts');
  const child = spawn(process.execPath, [script, settings], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

describe('a dataset whose site is killed while it is built', () => {
  it('is there once, with its report, after the restart', async () => {
    const column = {
      kind: 'year',
      name: 'year',
      description: 'year',
      range: { min: 1900, max: 2100 },
      missing: 'keep',
    } as const;
    const specification = {
      schema: 'lantern.feature-specification/1',
      name: 'diabetes',
      title: 'Diabetes',
      description: 'Persons with diabetes.',
      cohort: circe(CONCEPTS.diabetes),
      index: 'first-entry',
      columns: [column],
      testShare: 0,
    } as const;
    const points = FAULT_POINTS.filter((name) => name.startsWith('dataset-build.'));
    assert.equal(points.length, 2);
    const api = asker.site.as('data-engineer');
    const { buildId } = await api.call(SITE_API.buildDataset, {
      body: { specification: { ...specification, columns: [column] }, feasibility: 'approved-projects' },
    });
    await asker.site.stop();
    // Whatever that process had done by now: the build begins again.
    await asker.site.database.pool.query('delete from dataset');
    await asker.site.database.pool.query(
      "update dataset_build set state = 'asked', report = null, content_digest = null",
    );
    for (const point of points) {
      await asker.site.database.pool.query(
        `select graphile_worker.add_job('datasets.build', json_build_object('buildId', $1::text), queue_name => 'datasets.build')`,
        [buildId],
      );
      const child = await startProcess(point);
      const [, signal] = await once(child, 'exit');
      assert.equal(signal, 'SIGKILL', point);
    }
    await asker.site.start();
    for (;;) {
      const { rows } = await asker.site.database.pool.query(
        `select id from graphile_worker.jobs where task_identifier = 'datasets.build'`,
      );
      if (rows.length === 0) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { rows } = await asker.site.database.pool.query('select row_count from dataset');
    assert.deepEqual(rows, [{ row_count: 40 }]);
    const build = await asker.site.as('data-engineer').call(SITE_API.readDatasetBuild, { params: { buildId } });
    assert.equal(build.state, 'done');
    assert.equal(build.report?.rowCount, 40);
    const left = await readdir(path.join(asker.site.settings.dataDir, 'work', 'tables'));
    assert.deepEqual(
      left.filter((name) => name.startsWith('build-')),
      [],
    );
  });
});
