import assert from 'node:assert/strict';
import { access, rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { newId } from '@lantern/service';
import { APPROVE, type ClinicRun, test, train, useClinic } from '../../test/clinic-runs.ts';
import { clinicCsv, FEATURES, MOMENTS, projectSpec, REGRESSION, SCHEMA } from '../../test/documents.ts';
import { schemaDigestOf } from '../datasets/datasets.ts';

const clinic = useClinic('site-analysis-runs');
const { openRun, perform } = clinic;

const mean = [0, 1, 2].map((f) => train.reduce((sum, { x }) => sum + (x[f] ?? 0), 0) / train.length);
const stdDev = mean.map((m, f) =>
  Math.sqrt(train.reduce((sum, { x }) => sum + ((x[f] ?? 0) - m) ** 2, 0) / (train.length - 1)),
);
const scaled = (x: number[]) => x.map((value, f) => (value - (mean[f] ?? 0)) / (stdDev[f] ?? 1));

const close = (actual: number | undefined, wanted: number) =>
  assert.ok(
    Math.abs((actual ?? Number.NaN) - wanted) <= 1e-9 * Math.max(1, Math.abs(wanted)),
    `${actual} is not ${wanted}`,
  );

describe('an analysis run', () => {
  it('is prepared with the numbers of complete rows and the digest of the columns', async () => {
    const body = await perform(await openRun(), 0, { kind: 'prepare' });
    assert.deepEqual(body, {
      kind: 'prepared',
      schemaDigest: schemaDigestOf(SCHEMA),
      trainRowCount: train.length,
      testRowCount: test.length,
    });
  });

  it('sends the moments of its training rows', async () => {
    const run = await openRun({
      rest: { algorithm: 'moments', manifest: MOMENTS.manifest, bundleDigest: MOMENTS.bundleDigest },
    });
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 1, { kind: 'standardise' });
    assert.ok(body.kind === 'moments');
    assert.equal(body.moments.rowCount, train.length);
    for (const [f, value] of mean.entries()) close(body.moments.mean[f], value);
    for (const [f, value] of stdDev.entries()) close(Math.sqrt((body.moments.m2[f] ?? 0) / (train.length - 1)), value);
  });

  it('sends gradient and Hessian of its own standardised rows, as computed by hand', async () => {
    const run = await openRun();
    await perform(run, 0, { kind: 'prepare' });
    const theta = [0.3, -0.2, 0.1, 0.5];
    const body = await perform(run, 1, { kind: 'newton', theta });
    assert.ok(body.kind === 'newton');
    const rows = train.map(({ x, y }) => ({ x: [1, ...scaled(x)], y }));
    const p = rows.map(({ x }) => 1 / (1 + Math.exp(-x.reduce((sum, value, i) => sum + value * (theta[i] ?? 0), 0))));
    for (let i = 0; i < 4; i += 1) {
      close(
        body.gradient[i],
        rows.reduce((sum, { x, y }, row) => sum + (y - (p[row] ?? 0)) * (x[i] ?? 0), 0),
      );
      for (let j = 0; j < 4; j += 1) {
        const hessian = rows.reduce(
          (sum, { x }, row) => sum + (p[row] ?? 0) * (1 - (p[row] ?? 0)) * (x[i] ?? 0) * (x[j] ?? 0),
          0,
        );
        close(body.hessian[i * 4 + j], hessian);
      }
    }
  });

  it('uses the pooled standardisation that the hub sends', async () => {
    const values = { mean: [50, 130, 0.5], stdDev: [10, 20, 0.5] };
    const run = await openRun({ rest: { standardisation: { kind: 'pooled', values } } });
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 2, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'newton');
    close(
      body.gradient[1],
      train.reduce((sum, { x, y }) => sum + (y - 0.5) * (((x[0] ?? 0) - 50) / 10), 0),
    );
  });

  it('finds its moments in a pooled run before there are pooled values', async () => {
    const run = await openRun({ rest: { standardisation: { kind: 'pooled' } } });
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 1, { kind: 'standardise' });
    assert.ok(body.kind === 'moments');
    assert.equal(body.moments.rowCount, train.length);
  });

  it('evaluates on the held-back rows', async () => {
    const run = await openRun();
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 2, { kind: 'evaluate', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'evaluation');
    assert.equal(body.evaluation.rowCount, test.length);
    close(body.evaluation.squaredErrorSum, test.length * 0.25);
    assert.equal(
      body.evaluation.positives.reduce((sum, count) => sum + count, 0),
      test.filter(({ y }) => y === 1).length,
    );
  });

  it('keeps the rows it was prepared on when the dataset is registered again', async () => {
    const schema = { ...SCHEMA, name: 'changing' };
    await clinic.site.register({ schema, csv: clinicCsv(300) });
    const features = { ...FEATURES, dataset: 'changing' };
    const algorithms = [{ name: 'regression', bundleDigest: REGRESSION.bundleDigest, features, roundsMax: 5 }];
    const spec = { ...projectSpec(clinic.hub.siteId()), datasets: ['changing'], algorithms };
    const run: ClinicRun = {
      spec,
      projectId: await clinic.site.project(clinic.hub, spec, APPROVE),
      runId: newId('RunId'),
      rest: {},
    };
    await perform(run, 0, { kind: 'prepare' });
    const before = await perform(run, 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    await clinic.site.register({ schema, csv: clinicCsv(200, { from: 50 }) });
    await rm(path.join(clinic.site.settings.dataDir, 'work', 'runs', run.runId), { recursive: true });
    assert.deepEqual(await perform(run, 2, { kind: 'newton', theta: [0, 0, 0, 0] }), before);
  });
});

describe('a run that nothing was asked of for a month', () => {
  it('is forgotten, with its rows', async () => {
    const [idle, used] = [await openRun(), await openRun()];
    for (const run of [idle, used]) await perform(run, 0, { kind: 'prepare' });
    const longAgo = new Date(Date.now() - 31 * 24 * 3600_000);
    await clinic.site.db
      .updateTable('run_snapshot')
      .set({ used_at: longAgo })
      .where('run_id', '=', idle.runId)
      .execute();
    await clinic.site.stop();
    await clinic.site.start(); // sweeps at once
    const folderOf = (run: ClinicRun) => path.join(clinic.site.settings.dataDir, 'work', 'runs', run.runId);
    const isThere = (run: ClinicRun) =>
      access(folderOf(run)).then(
        () => true,
        () => false,
      );
    while (await isThere(idle)) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await isThere(used), true);
    const body = await perform(idle, 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused');
    assert.equal((await perform(used, 1, { kind: 'newton', theta: [0, 0, 0, 0] })).kind, 'newton');
  });
});
