/**
 * Three hospitals of synthetic patients: FHIR becomes a CDM at each, the same feature specification is built at each, and a logistic
 * regression is learnt over the three tables, as real processes. It equals the one of the pooled rows.
 */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { type DatasetBuild, type FeatureSpec, HUB_API, type ProjectId, SITE_API } from '@lantern/contract';
import { followRun, pushBundle, runLantern, startServer } from '@lantern/lantern';
import { localMoments, localNewtonStatistics, newtonStep, standardisationOf } from '@lantern/learning';
import { buildAnalysisBundle } from '@lantern/runner';
import { TestFederation } from './test-federation.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures');
const SPECIFICATION = path.join(FIXTURES, 'fhir-synthea/airways-dataset.json');
const HOSPITALS = ['a', 'b', 'c'] as const;
const RIDGE = 1;

const FEATURES: FeatureSpec = {
  dataset: 'airways',
  features: [
    { kind: 'numeric', column: 'age' },
    { kind: 'numeric', column: 'systolic' },
  ],
  label: {
    name: 'sinusitis',
    positiveWhen: { kind: 'in', column: 'sinusitis', values: ['1'] },
    columns: ['sinusitis'],
  },
  trainWhere: { kind: 'in', column: 'split', values: ['train'] },
  testWhere: { kind: 'in', column: 'split', values: ['test'] },
  missing: 'drop-row',
};

let federation: TestFederation;
const settings = () => ({ env: process.env, root: federation.root });
const command = (...args: string[]) => runLantern(settings(), args);

before(async () => {
  federation = await TestFederation.start(HOSPITALS.length);
  for (const [index, site] of federation.sites.entries()) {
    const cdm = path.join(federation.root, `${site.key}.duckdb`);
    await command('omop', 'vocabulary', path.join(FIXTURES, 'omop-vocabulary'), '--cdm', cdm);
    await command(
      'omop',
      'etl',
      path.join(FIXTURES, `fhir-synthea/hospital-${HOSPITALS[index]}.ndjson.gz`),
      '--cdm',
      cdm,
    );
    const config = path.join(federation.root, `${site.key}.json`);
    await writeFile(config, JSON.stringify({ records: { cdm } }));
    await site.process.stop();
    const port = Number(new URL(site.process.url).port);
    site.process = await startServer(settings(), {
      name: site.key,
      folder: site.key,
      args: ['site', '--config', config],
      port,
    });
  }
});
after(() => federation?.stop());

async function approvedProject(): Promise<ProjectId> {
  const { admin, sites } = federation;
  const bundle = buildAnalysisBundle({
    name: 'airways',
    version: '1.0.0',
    description: 'Newton-Raphson',
    analysis: { kind: 'logistic-regression', ridge: RIDGE, damping: 1 } as { kind: string },
  });
  const project = await admin.api.call(HUB_API.createProject, {
    body: {
      title: 'Airways',
      purpose: 'A test.',
      sites: sites.map(({ siteId }) => siteId),
      datasets: ['airways'],
      algorithms: [{ name: 'exact', bundleDigest: await pushBundle(admin, bundle), features: FEATURES, roundsMax: 20 }],
      egress: ['cohort-size', 'moments', 'newton-statistics', 'evaluation'],
      privacy: {},
      expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
    },
  });
  await admin.api.call(HUB_API.submitProject, { params: { projectId: project.projectId } });
  const body = { verdict: 'approved' as const, reason: 'Synthetic patients.' };
  for (const site of sites)
    await site.admin.api.call(SITE_API.decide, { params: { projectId: project.projectId }, body });
  return project.projectId;
}

/** Training rows of a site, read from the content that its runs read. */
async function trainingRows(site: TestFederation['sites'][number], contentDigest: string): Promise<number[][]> {
  const blobs = path.join(site.process.dataDir, 'blobs');
  const [file] = (await readdir(blobs, { recursive: true })).filter((name) => name.endsWith(contentDigest));
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const reader = await connection.runAndReadAll(
    `SELECT age, systolic, CAST(sinusitis AS DOUBLE) FROM read_parquet('${path.join(blobs, file ?? '')}') WHERE split = 'train'`,
  );
  const rows = reader.getRows().map((row) => row.map(Number));
  connection.closeSync();
  instance.closeSync();
  return rows;
}

describe('a dataset out of a cohort at three hospitals', () => {
  it('has the same schema at each, and a regression over them equals that of the pooled rows', async () => {
    const reports: DatasetBuild[] = [];
    for (const site of federation.sites) {
      const build = await command(
        'dataset',
        'build',
        SPECIFICATION,
        '--data',
        site.process.dataDir,
        '--url',
        site.process.url,
      );
      reports.push(build as DatasetBuild);
    }
    assert.deepEqual(
      reports.map(({ state, report }) => [state, report?.cohortPatientCount]),
      [
        ['done', 79],
        ['done', 82],
        ['done', 79],
      ],
    );
    const digests = await Promise.all(
      federation.sites.map(async (site) => {
        const { datasets } = await site.admin.api.call(SITE_API.listDatasets, {});
        return datasets.find(({ offer }) => offer.schema.name === 'airways')?.offer.schemaDigest;
      }),
    );
    assert.equal(new Set(digests).size, 1);
    assert.notEqual(digests[0], undefined);
    const projectId = await approvedProject();
    const run = await federation.admin.api.call(HUB_API.createRun, {
      params: { projectId },
      body: { ...federation.plan('exact', 3), rounds: 8, standardisation: 'pooled' },
    });
    const ended = await followRun(federation.admin, { runId: run.runId });
    assert.equal(ended.state, 'completed', ended.message);
    const rows: number[][] = [];
    for (const [index, site] of federation.sites.entries())
      rows.push(...(await trainingRows(site, reports[index]?.contentDigest ?? '')));
    const trained = reports.reduce((sum, { report }) => sum + (report?.rowCount ?? 0) - (report?.testRowCount ?? 0), 0);
    assert.equal(rows.length, trained);
    // The same steps over all rows in one place.
    const { mean, stdDev } = standardisationOf(
      localMoments([0, 1].map((feature) => Float64Array.from(rows, (row) => row[feature] ?? Number.NaN))),
    );
    const values = rows.flatMap((row) =>
      [0, 1].map((one) => ((row[one] ?? 0) - (mean[one] ?? 0)) / (stdDev[one] ?? 1)),
    );
    const pooled = { featureCount: 2, values, labels: rows.map((row) => row[2] ?? 0) };
    let theta = [0, 0, 0];
    const steps = ended.rounds.filter(({ step }) => step === 'newton');
    assert.ok(steps.length >= 4);
    for (const { number, metrics } of steps) {
      const { gradient, hessian, logLikelihood } = localNewtonStatistics(pooled, theta);
      const next = newtonStep({ theta, gradient: [...gradient], hessian: [...hessian], ridge: RIDGE, damping: 1 });
      assert.ok(Math.abs((metrics?.['logLikelihood'] ?? 0) - logLikelihood) < 1e-9, `round ${number}`);
      assert.ok(Math.abs((metrics?.['changeMax'] ?? 0) - next.changeMax) < 1e-9, `round ${number}`);
      theta = next.theta;
    }
    assert.ok(Math.abs(theta[1] ?? 0) > 0.1, 'something was learnt');
  });
});
