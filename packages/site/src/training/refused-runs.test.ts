import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type RoundTask, SITE_API, type Step } from '@lantern/contract';
import { buildGraphBundle } from '@lantern/runner';
import { newId } from '@lantern/service';
import { APPROVE, type ClinicRun, GRAPH_MODEL, graphRun, train, useClinic } from '../../test/clinic-runs.ts';
import { clinicCsv, FEATURES, projectSpec, REGRESSION, SCHEMA, TRAINING_BOUNDS } from '../../test/documents.ts';

const clinic = useClinic('site-refused-runs');
const { openRun, perform, specOf } = clinic;

describe('a run is refused', () => {
  it('when it was never prepared here', async () => {
    const body = await perform(await openRun(), 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused' && /not prepared/.test(body.message));
  });

  it('by the gate, with every broken rule and no small number, and its rows are gone', async () => {
    const schema = { ...SCHEMA, name: 'small' };
    await clinic.site.register({ schema, csv: clinicCsv(14) });
    const features = { ...FEATURES, dataset: 'small' };
    const algorithms = [{ name: 'regression', bundleDigest: REGRESSION.bundleDigest, features, roundsMax: 5 }];
    const spec = { ...projectSpec(clinic.hub.siteId()), datasets: ['small'], algorithms };
    const run: ClinicRun = {
      spec,
      projectId: await clinic.site.project(clinic.hub, spec, APPROVE),
      runId: newId('RunId'),
      rest: {},
    };
    const body = await perform(run, 0, { kind: 'prepare' });
    assert.ok(body.kind === 'refused' && body.code === 'disclosure.refused');
    const rules = new Set(body.findings.map(({ rule }) => rule));
    assert.ok(rules.has('parameter-row-ratio') && rules.has('category-patient-count') && rules.has('label-stratum'));
    await assert.rejects(access(path.join(clinic.site.settings.dataDir, 'work', 'runs', run.runId)));
    const preview = await clinic.site
      .as('governance')
      .call(SITE_API.previewProject, { params: { projectId: run.projectId } });
    assert.deepEqual(preview.algorithms[0]?.findings, body.findings);
    const relaxed = { patientCountMin: 1, parameterRowRatioMax: 10, categoryPatientCountMin: 0 };
    await clinic.site.decide(run.projectId, { ...APPROVE, runStatistics: relaxed });
    const again = await perform({ ...run, runId: newId('RunId') }, 0, { kind: 'prepare' });
    assert.equal(again.kind, 'prepared');
  });

  it('by the gate when two columns together are held by few patients, if its statistics hold that table', async () => {
    const schema = { ...SCHEMA, name: 'two-way' };
    let illWomen = 0;
    const records = clinicCsv(300)
      .split('\n')
      .map((line) => {
        const fields = line.split(',');
        if (fields[3] !== '0' || fields[4] !== '1') return line;
        illWomen += 1;
        return illWomen > 9 ? fields.with(4, '0').join(',') : line;
      });
    assert.ok(illWomen > 9);
    await clinic.site.register({ schema, csv: records.join('\n') });
    const features = { ...FEATURES, dataset: 'two-way' };
    const base = specOf({ datasets: ['two-way'] });
    const spec = { ...base, algorithms: base.algorithms.map((algorithm) => ({ ...algorithm, features })) };
    const projectId = await clinic.site.project(clinic.hub, spec, APPROVE);
    const run = (rest: Partial<RoundTask>): ClinicRun => ({ spec, projectId, runId: newId('RunId'), rest });
    const body = await perform(run({}), 0, { kind: 'prepare' });
    assert.ok(body.kind === 'refused' && body.code === 'disclosure.refused', JSON.stringify(body));
    assert.deepEqual(
      body.findings.map(({ rule, subject, limit }) => [rule, subject, limit]),
      [['category-patient-count', 'sex with disease', 10]],
    );
    const preview = await clinic.site.as('governance').call(SITE_API.previewProject, { params: { projectId } });
    assert.deepEqual(preview.algorithms[0]?.findings, body.findings);
    const network = run(graphRun);
    assert.equal((await perform(network, 0, { kind: 'prepare' })).kind, 'prepared');
    const other = await perform({ ...network, rest: {} }, 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(other.kind === 'refused' && /statistics hold less/.test(other.message), JSON.stringify(other));
    await clinic.site.decide(projectId, { ...APPROVE, runStatistics: { categoryPatientCountMin: 1 } });
    assert.equal((await perform(run({}), 0, { kind: 'prepare' })).kind, 'prepared');
  });

  it('by the gate when its rows differ from those of an earlier run in a few patients', async () => {
    const schema = { ...SCHEMA, name: 'growing' };
    const features = { ...FEATURES, dataset: 'growing' };
    const base = specOf({ datasets: ['growing'] });
    const spec = { ...base, algorithms: base.algorithms.map((algorithm) => ({ ...algorithm, features })) };
    const projectId = await clinic.site.project(clinic.hub, spec, APPROVE);
    const prepared = (rest: Partial<RoundTask> = {}) =>
      perform({ spec, projectId, runId: newId('RunId'), rest }, 0, { kind: 'prepare' });
    // Each version is decided on: without that, runs go on with the one before.
    const offer = async (csv: string) => {
      await clinic.site.register({ schema, csv });
      await clinic.site.decide(projectId, APPROVE);
    };
    const refusedFor = async (subjects: string[]) => {
      const body = await prepared();
      assert.ok(body.kind === 'refused' && body.code === 'disclosure.refused', JSON.stringify(body));
      assert.deepEqual(
        body.findings.map(({ rule, subject, limit }) => [rule, subject, limit]),
        subjects.map((subject) => ['near-duplicate-rows', subject, 10]),
      );
    };
    const first = clinicCsv(300);
    await offer(first);
    assert.equal((await prepared()).kind, 'prepared');
    assert.equal((await prepared(graphRun)).kind, 'prepared', 'another algorithm on the same rows');
    await offer(clinicCsv(303)); // one of the three is held back for the test
    await refusedFor(['training rows', 'test rows']);
    await offer(first.replace(/^(p7,\d+,)\d+(.*train)$/m, '$1199$2'));
    await refusedFor(['training rows']);
    await offer(first.replace(/^(p10,\d+,)\d+(.*test)$/m, '$1199$2'));
    await refusedFor(['test rows']);
    await offer(`${first}p7,49,120,1,0,train\n`);
    await refusedFor(['training rows']);
    await offer(clinicCsv(365));
    assert.equal((await prepared()).kind, 'prepared');
    await offer(clinicCsv(366));
    await refusedFor(['test rows']);
    await clinic.site.decide(projectId, { ...APPROVE, runStatistics: { patientCountMin: 1 } });
    assert.equal((await prepared()).kind, 'prepared', 'the decision relaxes the rule in the open');
  });

  it('when its decision allows no more runs', async () => {
    const run = await openRun({ decision: { ...APPROVE, runCountMax: 1 } });
    assert.equal((await perform(run, 0, { kind: 'prepare' })).kind, 'prepared');
    const body = await perform({ ...run, runId: newId('RunId') }, 0, { kind: 'prepare' });
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused' && /allows 1 runs/.test(body.message));
    assert.equal((await perform(run, 1, { kind: 'newton', theta: [0, 0, 0, 0] })).kind, 'newton');
    await clinic.site.decide(run.projectId, { ...APPROVE, runCountMax: 1 });
    assert.equal((await perform({ ...run, runId: newId('RunId') }, 0, { kind: 'prepare' })).kind, 'prepared');
  });

  it('to evaluate, where no evaluation was to leave when it was prepared', async () => {
    const run = await openRun({ decision: { ...APPROVE, runStatistics: { patientCountMin: 100 } } });
    const prepared = await perform(run, 0, { kind: 'prepare' });
    assert.ok(prepared.kind === 'prepared' && prepared.testRowCount === 0, JSON.stringify(prepared));
    await clinic.site.decide(run.projectId, APPROVE);
    const body = await perform(run, 2, { kind: 'evaluate', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'refused' && /no evaluation/.test(body.message), JSON.stringify(body));
  });

  it('in its next round when the rules of the decision became stricter', async () => {
    const run = await openRun();
    await perform(run, 0, { kind: 'prepare' });
    await clinic.site.decide(run.projectId, { ...APPROVE, runStatistics: { patientCountMin: 5000 } });
    const body = await perform(run, 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'refused' && body.code === 'disclosure.refused');
    assert.deepEqual(
      body.findings.map(({ rule }) => rule),
      ['patient-count'],
    );
  });

  it('when it was prepared for the features of another algorithm', async () => {
    const base = specOf();
    const fewer = { ...FEATURES, features: FEATURES.features.slice(0, 2) };
    const other = { name: 'other', bundleDigest: REGRESSION.bundleDigest, features: fewer, roundsMax: 5 };
    const spec = { ...base, algorithms: [...base.algorithms, other] };
    const projectId = await clinic.site.project(clinic.hub, spec, APPROVE);
    const run: ClinicRun = { spec, projectId, runId: newId('RunId'), rest: {} };
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform({ ...run, rest: { algorithm: 'other' } }, 1, { kind: 'newton', theta: [0, 0, 0] });
    assert.ok(body.kind === 'refused' && /another algorithm/.test(body.message));
  });

  it('as failed when a pooled standardisation does not fit the features', async () => {
    const values = { mean: [1, 2], stdDev: [1, 1] };
    const run = await openRun({ rest: { standardisation: { kind: 'pooled', values } } });
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 2, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'failed' && body.code === 'input.invalid');
  });

  it('for a round that was asked before under another task', async () => {
    const run = await openRun();
    await perform(run, 0, { kind: 'prepare' });
    assert.equal((await perform(run, 1, { kind: 'newton', theta: [0, 0, 0, 0] })).kind, 'newton');
    const body = await perform(run, 1, { kind: 'newton', theta: [1, 0, 0, 0] });
    assert.ok(body.kind === 'refused' && /asked before/.test(body.message));
  });

  it('for another prepare, in whatever round, and its rows stay what they were', async () => {
    const base = specOf();
    const fewer = {
      ...FEATURES,
      trainWhere: { kind: 'compare' as const, column: 'age', operator: '>=' as const, value: 50 },
    };
    const other = { name: 'other', bundleDigest: REGRESSION.bundleDigest, features: fewer, roundsMax: 5 };
    const spec = { ...base, algorithms: [...base.algorithms, other] };
    const run: ClinicRun = {
      spec,
      projectId: await clinic.site.project(clinic.hub, spec, APPROVE),
      runId: newId('RunId'),
      rest: {},
    };
    await perform(run, 0, { kind: 'prepare' });
    for (const round of [0, 3]) {
      const again = await perform({ ...run, rest: { algorithm: 'other' } }, round, { kind: 'prepare' });
      assert.ok(again.kind === 'refused' && /asked before/.test(again.message));
    }
    const body = await perform(run, 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'newton');
    assert.equal(body.rowCount, train.length);
  });

  it('for a second evaluation, in whatever round', async () => {
    const run = await openRun();
    await perform(run, 0, { kind: 'prepare' });
    assert.equal((await perform(run, 2, { kind: 'evaluate', theta: [0, 0, 0, 0] })).kind, 'evaluation');
    const again = await perform(run, 777, { kind: 'evaluate', theta: [9, 0, 0, 0] });
    assert.ok(again.kind === 'refused' && /asked before/.test(again.message));
  });

  it('by the gate when a round of training would read fewer rows than it asks patients for', async () => {
    const single = buildGraphBundle({
      name: 'single',
      version: '1.0.0',
      description: 'One row per step.',
      seed: 3,
      model: { ...GRAPH_MODEL, batchSize: 1 },
    });
    clinic.hub.bundles.set(single.bundleDigest, single.manifest);
    for (const bytes of single.files.values()) clinic.hub.putBlob(bytes);
    const base = specOf();
    const algorithm = {
      name: 'single',
      bundleDigest: single.bundleDigest,
      features: FEATURES,
      roundsMax: 5,
      training: TRAINING_BOUNDS,
    };
    const spec = { ...base, algorithms: [...base.algorithms, algorithm] };
    const rest = { algorithm: 'single', manifest: single.manifest, bundleDigest: single.bundleDigest };
    const run: ClinicRun = {
      spec,
      projectId: await clinic.site.project(clinic.hub, spec, APPROVE),
      runId: newId('RunId'),
      rest,
    };
    await perform(run, 0, { kind: 'prepare' });
    const weights = clinic.hub.putBlob(single.files.get('initial-weights.safetensors') ?? assert.fail());
    const steps = (count: number): Step => ({
      kind: 'train',
      weights,
      strategy: { kind: 'fedavg' },
      local: { learningRate: 0.1, work: { kind: 'steps', count } },
      seed: 7,
    });
    const narrow = await perform(run, 1, steps(9));
    assert.ok(narrow.kind === 'refused' && narrow.code === 'disclosure.refused', JSON.stringify(narrow));
    assert.deepEqual(
      narrow.findings.map(({ rule, subject, limit }) => ({ rule, subject, limit })),
      [{ rule: 'patient-count', subject: 'rows', limit: 10 }],
    );
    assert.equal((await perform(run, 2, steps(10))).kind, 'update');
  });

  it('by the gate when the hub chooses coefficients at which one patient outweighs all others', async () => {
    const rest = { standardisation: { kind: 'none' as const } };
    const run = await openRun({ rest });
    await perform(run, 0, { kind: 'prepare' });
    const oldest = Math.max(...train.map(({ x }) => x[0] ?? 0)); // the first feature is the age
    // p (1 - p) is far from 0 only where 40 age is near 40 times the age of the oldest.
    const body = await perform(run, 1, { kind: 'newton', theta: [-40 * oldest, 40, 0, 0] });
    assert.ok(body.kind === 'refused' && body.code === 'disclosure.refused', JSON.stringify(body));
    assert.equal((await perform(run, 2, { kind: 'newton', theta: [0, 0, 0, 0] })).kind, 'newton');
  });

  it('as failed when the dataset lacks what the features need, or theta has another length', async () => {
    const other = await openRun();
    const wrong = { ...FEATURES, features: [{ kind: 'numeric' as const, column: 'weight' }] };
    const algorithms = [{ name: 'regression', bundleDigest: REGRESSION.bundleDigest, features: wrong, roundsMax: 5 }];
    const spec = { ...other.spec, algorithms };
    const projectId = await clinic.site.project(clinic.hub, spec, APPROVE);
    const mismatch = await perform({ spec, projectId, runId: newId('RunId'), rest: {} }, 0, { kind: 'prepare' });
    assert.ok(
      mismatch.kind === 'failed' && mismatch.code === 'dataset.schema-mismatch' && /weight/.test(mismatch.message),
    );
    await perform(other, 0, { kind: 'prepare' });
    const short = await perform(other, 1, { kind: 'newton', theta: [0, 0] });
    assert.ok(short.kind === 'failed' && short.code === 'input.invalid');
  });
});
