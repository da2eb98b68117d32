import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type AnswerBody,
  type GraphManifest,
  type NewDecision,
  type ProjectId,
  type ProjectSpec,
  type RoundTask,
  type RunId,
  SITE_API,
  type Step,
  type TensorRef,
} from '@lantern/contract';
import { decodeTensors } from '@lantern/learning';
import { buildGraphBundle, createGraphExecutor } from '@lantern/runner';
import { inlineBlob, newId, sha256 } from '@lantern/service';
import {
  clinicCsv,
  FEATURES,
  MOMENTS,
  projectSpec,
  REGRESSION,
  roundTask,
  SCHEMA,
  TRAINING_BOUNDS,
} from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';
import { schemaDigestOf } from '../datasets/datasets.ts';

const GRAPH_MODEL = {
  featureCount: 3,
  layers: [{ kind: 'dense', units: 1, bias: true }],
  loss: 'sigmoid-cross-entropy',
  optimiser: { kind: 'sgd', momentum: 0 },
  batchSize: 16,
  proximal: false,
  control: true,
} as const satisfies GraphManifest['model'];

const GRAPH = buildGraphBundle({
  name: 'network',
  version: '1.0.0',
  description: 'One dense layer.',
  seed: 3,
  model: GRAPH_MODEL,
});

/** Too large to travel inside task and answer. */
const WIDE = buildGraphBundle({
  name: 'wide-network',
  version: '1.0.0',
  description: 'A thousand hidden units.',
  seed: 3,
  model: {
    ...GRAPH_MODEL,
    layers: [{ kind: 'dense', units: 1000, bias: true }, { kind: 'tanh' }, { kind: 'dense', units: 1, bias: true }],
  },
});

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-training');
  await site.register({ schema: SCHEMA, csv: clinicCsv(300) });
  for (const { manifest, bundleDigest } of [REGRESSION, MOMENTS, GRAPH, WIDE]) hub.bundles.set(bundleDigest, manifest);
  for (const bytes of [...GRAPH.files.values(), ...WIDE.files.values()]) hub.putBlob(bytes);
});

after(async () => {
  await site?.close();
  await hub?.close();
});

const APPROVE: NewDecision = { verdict: 'approved', reason: 'ok' };

function specOf(change: Partial<ProjectSpec> = {}): ProjectSpec {
  const spec = projectSpec(hub.siteId(), change);
  const head = { features: FEATURES, roundsMax: 5, training: TRAINING_BOUNDS };
  const graph = { ...head, name: 'network', bundleDigest: GRAPH.bundleDigest };
  const wide = { ...graph, name: 'wide', bundleDigest: WIDE.bundleDigest };
  return { ...spec, algorithms: [...spec.algorithms, graph, wide] };
}

type Run = { spec: ProjectSpec; projectId: ProjectId; runId: RunId; rest: Partial<RoundTask> };

async function openRun(
  options: { decision?: NewDecision; rest?: Partial<RoundTask>; spec?: Partial<ProjectSpec> } = {},
): Promise<Run> {
  const spec = specOf(options.spec);
  const projectId = await site.project(hub, spec, options.decision ?? APPROVE);
  return { spec, projectId, runId: newId('RunId'), rest: options.rest ?? {} };
}

const wideRun = { algorithm: 'wide', manifest: WIDE.manifest, bundleDigest: WIDE.bundleDigest };
const graphRun = { algorithm: 'network', manifest: GRAPH.manifest, bundleDigest: GRAPH.bundleDigest };

function taskOf(run: Run, round: number, step: Step): RoundTask {
  const ids = { siteId: hub.siteId(), projectId: run.projectId };
  return roundTask(run.spec, ids, { runId: run.runId, ...run.rest, round, step });
}

async function perform(run: Run, round: number, step: Step): Promise<AnswerBody> {
  const task = taskOf(run, round, step);
  hub.send(task);
  return (await hub.answerTo(task.taskId)).body;
}

/** The clinic's complete rows, read by this test on its own: features and label, by the division of the patients. */
function cleanRows(csv: string, split: string): { x: number[]; y: number }[] {
  const records = csv
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.split(','));
  return records
    .filter((record) => record[5] === split && record[2] !== '?')
    .map(([, age, pressure, sex, outcome]) => ({
      x: [Number(age), Number(pressure), Number(sex)],
      y: Number(outcome),
    }));
}

const train = cleanRows(clinicCsv(300), 'train');
const test = cleanRows(clinicCsv(300), 'test');
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
    await site.register({ schema, csv: clinicCsv(300) });
    const features = { ...FEATURES, dataset: 'changing' };
    const algorithms = [{ name: 'regression', bundleDigest: REGRESSION.bundleDigest, features, roundsMax: 5 }];
    const spec = { ...projectSpec(hub.siteId()), datasets: ['changing'], algorithms };
    const run: Run = { spec, projectId: await site.project(hub, spec, APPROVE), runId: newId('RunId'), rest: {} };
    await perform(run, 0, { kind: 'prepare' });
    const before = await perform(run, 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    await site.register({ schema, csv: clinicCsv(200, { from: 50 }) });
    const { rm } = await import('node:fs/promises');
    await rm(path.join(site.settings.dataDir, 'work', 'runs', run.runId), { recursive: true });
    assert.deepEqual(await perform(run, 2, { kind: 'newton', theta: [0, 0, 0, 0] }), before);
  });
});

describe('a run is refused', () => {
  it('when it was never prepared here', async () => {
    const body = await perform(await openRun(), 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused' && /not prepared/.test(body.message));
  });

  it('by the gate, with every broken rule and no small number, and its rows are gone', async () => {
    const schema = { ...SCHEMA, name: 'small' };
    await site.register({ schema, csv: clinicCsv(14) });
    const features = { ...FEATURES, dataset: 'small' };
    const algorithms = [{ name: 'regression', bundleDigest: REGRESSION.bundleDigest, features, roundsMax: 5 }];
    const spec = { ...projectSpec(hub.siteId()), datasets: ['small'], algorithms };
    const run: Run = { spec, projectId: await site.project(hub, spec, APPROVE), runId: newId('RunId'), rest: {} };
    const body = await perform(run, 0, { kind: 'prepare' });
    assert.ok(body.kind === 'refused' && body.code === 'disclosure.refused');
    const rules = new Set(body.findings.map(({ rule }) => rule));
    assert.ok(rules.has('parameter-row-ratio') && rules.has('category-patient-count') && rules.has('label-stratum'));
    await assert.rejects(access(path.join(site.settings.dataDir, 'work', 'runs', run.runId)));
    const preview = await site.as('governance').call(SITE_API.previewProject, { params: { projectId: run.projectId } });
    assert.deepEqual(preview.algorithms[0]?.findings, body.findings);
    const relaxed = { patientCountMin: 1, parameterRowRatioMax: 10, categoryPatientCountMin: 0 };
    await site.decide(run.projectId, { ...APPROVE, runStatistics: relaxed });
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
    await site.register({ schema, csv: records.join('\n') });
    const features = { ...FEATURES, dataset: 'two-way' };
    const base = specOf({ datasets: ['two-way'] });
    const spec = { ...base, algorithms: base.algorithms.map((algorithm) => ({ ...algorithm, features })) };
    const projectId = await site.project(hub, spec, APPROVE);
    const run = (rest: Partial<RoundTask>): Run => ({ spec, projectId, runId: newId('RunId'), rest });
    const body = await perform(run({}), 0, { kind: 'prepare' });
    assert.ok(body.kind === 'refused' && body.code === 'disclosure.refused', JSON.stringify(body));
    assert.deepEqual(
      body.findings.map(({ rule, subject, limit }) => [rule, subject, limit]),
      [['category-patient-count', 'sex with disease', 10]],
    );
    const preview = await site.as('governance').call(SITE_API.previewProject, { params: { projectId } });
    assert.deepEqual(preview.algorithms[0]?.findings, body.findings);
    const network = run(graphRun);
    assert.equal((await perform(network, 0, { kind: 'prepare' })).kind, 'prepared');
    const other = await perform({ ...network, rest: {} }, 1, { kind: 'newton', theta: [0, 0, 0, 0] });
    assert.ok(other.kind === 'refused' && /statistics hold less/.test(other.message), JSON.stringify(other));
    await site.decide(projectId, { ...APPROVE, runStatistics: { categoryPatientCountMin: 1 } });
    assert.equal((await perform(run({}), 0, { kind: 'prepare' })).kind, 'prepared');
  });

  it('by the gate when its rows differ from those of an earlier run in a few patients', async () => {
    const schema = { ...SCHEMA, name: 'growing' };
    const features = { ...FEATURES, dataset: 'growing' };
    const base = specOf({ datasets: ['growing'] });
    const spec = { ...base, algorithms: base.algorithms.map((algorithm) => ({ ...algorithm, features })) };
    const projectId = await site.project(hub, spec, APPROVE);
    const prepared = (rest: Partial<RoundTask> = {}) =>
      perform({ spec, projectId, runId: newId('RunId'), rest }, 0, { kind: 'prepare' });
    const refusedFor = async (subjects: string[]) => {
      const body = await prepared();
      assert.ok(body.kind === 'refused' && body.code === 'disclosure.refused', JSON.stringify(body));
      assert.deepEqual(
        body.findings.map(({ rule, subject, limit }) => [rule, subject, limit]),
        subjects.map((subject) => ['near-duplicate-rows', subject, 10]),
      );
    };
    const first = clinicCsv(300);
    await site.register({ schema, csv: first });
    assert.equal((await prepared()).kind, 'prepared');
    assert.equal((await prepared(graphRun)).kind, 'prepared', 'another algorithm on the same rows');
    await site.register({ schema, csv: clinicCsv(303) }); // one of the three is held back for the test
    await refusedFor(['training rows', 'test rows']);
    await site.register({ schema, csv: first.replace(/^(p7,\d+,)\d+(.*train)$/m, '$1199$2') });
    await refusedFor(['training rows']);
    await site.register({ schema, csv: first.replace(/^(p10,\d+,)\d+(.*test)$/m, '$1199$2') });
    await refusedFor(['test rows']);
    await site.register({ schema, csv: `${first}p7,49,120,1,0,train\n` });
    await refusedFor(['training rows']);
    await site.register({ schema, csv: clinicCsv(365) });
    assert.equal((await prepared()).kind, 'prepared');
    await site.register({ schema, csv: clinicCsv(366) });
    await refusedFor(['test rows']);
    await site.decide(projectId, { ...APPROVE, runStatistics: { patientCountMin: 1 } });
    assert.equal((await prepared()).kind, 'prepared', 'the decision relaxes the rule in the open');
  });

  it('when its decision allows no more runs', async () => {
    const run = await openRun({ decision: { ...APPROVE, runCountMax: 1 } });
    assert.equal((await perform(run, 0, { kind: 'prepare' })).kind, 'prepared');
    const body = await perform({ ...run, runId: newId('RunId') }, 0, { kind: 'prepare' });
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused' && /allows 1 runs/.test(body.message));
    assert.equal((await perform(run, 1, { kind: 'newton', theta: [0, 0, 0, 0] })).kind, 'newton');
    await site.decide(run.projectId, { ...APPROVE, runCountMax: 1 });
    assert.equal((await perform({ ...run, runId: newId('RunId') }, 0, { kind: 'prepare' })).kind, 'prepared');
  });

  it('to evaluate, where no evaluation was to leave when it was prepared', async () => {
    const run = await openRun({ decision: { ...APPROVE, runStatistics: { patientCountMin: 100 } } });
    const prepared = await perform(run, 0, { kind: 'prepare' });
    assert.ok(prepared.kind === 'prepared' && prepared.testRowCount === 0, JSON.stringify(prepared));
    await site.decide(run.projectId, APPROVE);
    const body = await perform(run, 2, { kind: 'evaluate', theta: [0, 0, 0, 0] });
    assert.ok(body.kind === 'refused' && /no evaluation/.test(body.message), JSON.stringify(body));
  });

  it('in its next round when the rules of the decision became stricter', async () => {
    const run = await openRun();
    await perform(run, 0, { kind: 'prepare' });
    await site.decide(run.projectId, { ...APPROVE, runStatistics: { patientCountMin: 5000 } });
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
    const projectId = await site.project(hub, spec, APPROVE);
    const run: Run = { spec, projectId, runId: newId('RunId'), rest: {} };
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
    const run: Run = { spec, projectId: await site.project(hub, spec, APPROVE), runId: newId('RunId'), rest: {} };
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
    hub.bundles.set(single.bundleDigest, single.manifest);
    for (const bytes of single.files.values()) hub.putBlob(bytes);
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
    const run: Run = { spec, projectId: await site.project(hub, spec, APPROVE), runId: newId('RunId'), rest };
    await perform(run, 0, { kind: 'prepare' });
    const weights = hub.putBlob(single.files.get('initial-weights.safetensors') ?? assert.fail());
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
    const projectId = await site.project(hub, spec, APPROVE);
    const mismatch = await perform({ spec, projectId, runId: newId('RunId'), rest: {} }, 0, { kind: 'prepare' });
    assert.ok(
      mismatch.kind === 'failed' && mismatch.code === 'dataset.schema-mismatch' && /weight/.test(mismatch.message),
    );
    await perform(other, 0, { kind: 'prepare' });
    const short = await perform(other, 1, { kind: 'newton', theta: [0, 0] });
    assert.ok(short.kind === 'failed' && short.code === 'input.invalid');
  });
});

describe('a run that nothing was asked of for a month', () => {
  it('is forgotten, with its rows', async () => {
    const [idle, used] = [await openRun(), await openRun()];
    for (const run of [idle, used]) await perform(run, 0, { kind: 'prepare' });
    const longAgo = new Date(Date.now() - 31 * 24 * 3600_000);
    await site.db.updateTable('run_snapshot').set({ used_at: longAgo }).where('run_id', '=', idle.runId).execute();
    await site.stop();
    await site.start(); // sweeps at once
    const folderOf = (run: Run) => path.join(site.settings.dataDir, 'work', 'runs', run.runId);
    const isThere = (run: Run) =>
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

describe('a graph run', () => {
  const local = { learningRate: 0.1, work: { kind: 'epochs' as const, count: 2 } };
  const initialOf = (bundle: typeof GRAPH) => bundle.files.get('initial-weights.safetensors') ?? assert.fail();
  const initial = initialOf(GRAPH);
  const trainStep = (change: Partial<Extract<Step, { kind: 'train' }>> = {}): Step => ({
    kind: 'train',
    weights: hub.putBlob(initial),
    strategy: { kind: 'fedavg' },
    local,
    seed: 7,
    ...change,
  });
  const tensorsOf = (ref: TensorRef) =>
    decodeTensors(
      ref.bytes === undefined ? (hub.uploads.get(ref.digest) ?? assert.fail()) : Buffer.from(ref.bytes, 'base64'),
    );
  const shapesOf = (tensors: ReadonlyMap<string, { shape: readonly number[] }>) =>
    Object.fromEntries([...tensors].map(([name, { shape }]) => [name, [...shape]]));
  const planned = (manifest: GraphManifest) =>
    Object.fromEntries(manifest.parameters.map(({ name, shape }) => [name, [...shape]]));
  const filesOf = async (run: Run) => {
    const dir = path.join(site.settings.dataDir, 'work', 'runs', run.runId);
    const found = await readdir(dir, { recursive: true, withFileTypes: true });
    return found.filter((entry) => entry.isFile()).map((entry) => entry.name);
  };

  it("uploads a large update of the plan's shape before the answer that names it, and keeps no copy", async () => {
    const decision = {
      ...APPROVE,
      runStatistics: { patientCountMin: 10, parameterRowRatioMax: 100, categoryPatientCountMin: 10 },
    };
    const run = await openRun({ rest: wideRun, decision });
    assert.equal((await perform(run, 0, { kind: 'prepare' })).kind, 'prepared');
    const body = await perform(run, 1, trainStep({ weights: hub.putBlob(initialOf(WIDE)) }));
    assert.ok(body.kind === 'update', JSON.stringify(body));
    assert.equal(body.rowCount, train.length);
    assert.equal(body.stepCount, 2 * Math.ceil(train.length / 16));
    assert.equal(body.controlDelta, undefined);
    assert.equal(body.delta.bytes, undefined);
    assert.ok(hub.uploads.has(body.delta.digest));
    const tensors = tensorsOf(body.delta);
    assert.ok(WIDE.manifest.kind === 'graph');
    assert.deepEqual(shapesOf(tensors), planned(WIDE.manifest));
    assert.ok([...tensors.values()].some(({ data }) => data.some((value) => Number(value) !== 0)));
    while ((await filesOf(run)).includes(body.delta.digest)) await new Promise((resolve) => setImmediate(resolve));
  });

  it('sends a small update inside its answer, and leaves no file but the rows', async () => {
    const run = await openRun({ rest: graphRun });
    await perform(run, 0, { kind: 'prepare' });
    const before = await filesOf(run);
    const uploadCount = hub.uploads.size;
    const fromBlob = await perform(run, 1, trainStep());
    assert.ok(fromBlob.kind === 'update', JSON.stringify(fromBlob));
    const fromTask = await perform(run, 2, trainStep({ weights: inlineBlob(initial) }));
    assert.ok(fromTask.kind === 'update', JSON.stringify(fromTask));
    for (const { delta } of [fromBlob, fromTask]) {
      assert.ok(delta.bytes !== undefined);
      const bytes = Buffer.from(delta.bytes, 'base64');
      assert.deepEqual([sha256(bytes), bytes.byteLength], [delta.digest, delta.sizeBytes]);
      assert.ok(GRAPH.manifest.kind === 'graph');
      assert.deepEqual(shapesOf(tensorsOf(delta)), planned(GRAPH.manifest));
    }
    assert.equal(hub.uploads.size, uploadCount);
    const added = (await filesOf(run)).filter((name) => !before.includes(name));
    assert.deepEqual(
      added.map((name) => name.split('.')[0]),
      ['train'],
      'the standardised rows, kept for the next round',
    );
  });

  it('refuses weights in a task that are not what their digest names', async () => {
    const run = await openRun({ rest: graphRun });
    await perform(run, 0, { kind: 'prepare' });
    const other = inlineBlob(Buffer.concat([initial, Buffer.from([1])]));
    const body = await perform(run, 1, trainStep({ weights: { ...inlineBlob(initial), bytes: other.bytes } }));
    assert.ok(body.kind === 'failed' && body.code === 'input.digest-mismatch', JSON.stringify(body));
  });

  it('gives the same bytes for the same plan', async () => {
    const digests = [];
    for (let repeat = 0; repeat < 2; repeat += 1) {
      const run = await openRun({ rest: graphRun });
      await perform(run, 0, { kind: 'prepare' });
      const body = await perform(run, 1, trainStep());
      digests.push(body.kind === 'update' ? body.delta.digest : undefined);
    }
    assert.equal(digests[0], digests[1]);
    assert.ok(digests[0] !== undefined);
  });

  it('takes its rows in an order that its seed alone does not tell', async (t) => {
    const run = await openRun({ rest: graphRun });
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 1, trainStep());
    assert.ok(body.kind === 'update' && GRAPH.manifest.kind === 'graph');
    const dir = path.join(site.settings.dataDir, 'work', 'runs', run.runId);
    const rows = (await filesOf(run)).find((name) => /^train\.\w+\.safetensors$/.test(name)) ?? assert.fail();
    const files = { train: path.join(dir, 'own-train.onnx'), weights: path.join(dir, 'own.safetensors') };
    await writeFile(files.train, GRAPH.files.get('train.onnx') ?? assert.fail());
    await writeFile(files.weights, initial);
    const executor = createGraphExecutor();
    t.after(() => executor.close());
    const secret = (await readFile(path.join(site.settings.dataDir, 'noise.key'), 'utf8')).trim();
    const byHand = async (seed: string) => {
      const deltaOutFile = path.join(dir, 'own-delta.safetensors');
      const { manifest } = GRAPH;
      assert.ok(manifest.kind === 'graph');
      const fixed = {
        manifest,
        strategy: { kind: 'fedavg' as const },
        local,
        deltaOutFile,
        weightsFile: files.weights,
      };
      await executor.train({ ...fixed, trainModelFile: files.train, rowsFile: path.join(dir, rows), seed });
      return sha256(await readFile(deltaOutFile));
    };
    assert.notEqual(await byHand('7/1'), body.delta.digest, 'what the hub can compute');
    const keyed = createHmac('sha256', secret).update('batch-order\u00007/1').digest('hex');
    assert.equal(await byHand(keyed), body.delta.digest);
  });

  it('is refused where one short batch would outweigh all others', async () => {
    const leaving = (count: number) => train.length - count;
    for (const [batchSize, kind] of [
      [leaving(1), 'refused'],
      [leaving(20), 'update'],
    ] as const) {
      const bundle = buildGraphBundle({
        name: 'uneven',
        version: '1.0.0',
        description: 'Two batches.',
        seed: 3,
        model: { ...GRAPH_MODEL, batchSize },
      });
      hub.bundles.set(bundle.bundleDigest, bundle.manifest);
      for (const bytes of bundle.files.values()) hub.putBlob(bytes);
      const head = { name: 'uneven', features: FEATURES, roundsMax: 5, training: TRAINING_BOUNDS };
      const spec = { ...projectSpec(hub.siteId()), algorithms: [{ ...head, bundleDigest: bundle.bundleDigest }] };
      const rest = { algorithm: 'uneven', manifest: bundle.manifest, bundleDigest: bundle.bundleDigest };
      const run: Run = { spec, projectId: await site.project(hub, spec, APPROVE), runId: newId('RunId'), rest };
      await perform(run, 0, { kind: 'prepare' });
      const body = await perform(run, 1, trainStep({ weights: hub.putBlob(initialOf(bundle)) }));
      assert.equal(body.kind, kind, JSON.stringify(body));
    }
  });

  it('clips the update to the norm the project asked for', async () => {
    const run = await openRun({ rest: graphRun, spec: { privacy: { updateNormMax: 0.01 } } });
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 1, trainStep());
    assert.ok(body.kind === 'update');
    let squares = 0;
    for (const { data } of tensorsOf(body.delta).values()) for (const value of data) squares += Number(value) ** 2;
    assert.ok(Math.abs(Math.sqrt(squares) - 0.01) < 1e-6, `${Math.sqrt(squares)}`);
  });

  it('with SCAFFOLD starts each round from its own control variate of the round before', async () => {
    const run = await openRun({ rest: graphRun });
    await perform(run, 0, { kind: 'prepare' });
    const scaffold = trainStep({ strategy: { kind: 'scaffold', serverLearningRate: 1 } });
    const first = await perform(run, 1, scaffold);
    const second = await perform(run, 2, scaffold);
    assert.ok(first.kind === 'update' && second.kind === 'update');
    assert.ok(first.controlDelta !== undefined && second.controlDelta !== undefined);
    assert.notEqual(first.delta.digest, second.delta.digest);
    const rows = await site.db.selectFrom('run_control').selectAll().where('run_id', '=', run.runId).execute();
    assert.deepEqual(rows.map(({ round }) => round).sort(), [1, 2]);
  });

  it('is stopped at once when the approval is withdrawn in the middle of the training', async () => {
    const spec = specOf();
    const algorithms = spec.algorithms.map((algorithm) =>
      algorithm.training === undefined
        ? algorithm
        : { ...algorithm, training: { ...TRAINING_BOUNDS, stepsMax: 1_000_000 } },
    );
    const projectId = await site.project(hub, { ...spec, algorithms }, APPROVE);
    const run: Run = { spec: { ...spec, algorithms }, projectId, runId: newId('RunId'), rest: graphRun };
    await perform(run, 0, { kind: 'prepare' });
    const work = { kind: 'steps' as const, count: 1_000_000 }; // minutes of training
    const task = taskOf(run, 1, trainStep({ local: { learningRate: 0.001, work } }));
    hub.send(task);
    const state = async () =>
      (await site.db.selectFrom('task').select('state').where('task_id', '=', task.taskId).executeTakeFirst())?.state;
    while ((await state()) !== 'performing') await new Promise((resolve) => setImmediate(resolve));
    await site.decide(run.projectId, { verdict: 'withdrawn', reason: 'A patient objected.' });
    const { body } = await hub.answerTo(task.taskId);
    assert.ok(body.kind === 'refused' && body.code === 'policy.not-approved');
  });

  it('evaluates weights on the held-back rows', async () => {
    const run = await openRun({ rest: graphRun });
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 2, { kind: 'evaluate', weights: hub.putBlob(initial) });
    assert.ok(body.kind === 'evaluation');
    assert.equal(body.evaluation.rowCount, test.length);
  });

  it('is refused beyond the signed bounds of its training, before anything is fetched or computed', async () => {
    const run = await openRun({ rest: graphRun });
    await perform(run, 0, { kind: 'prepare' });
    const before = await filesOf(run);
    const weights = { digest: sha256('weights that nobody has'), sizeBytes: 100 };
    const beyond: [Partial<Extract<Step, { kind: 'train' }>>, RegExp][] = [
      [{ local: { ...local, learningRate: 1e9 } }, /local\/learningRate: the project allows at most 0\.1/],
      [{ local: { ...local, work: { kind: 'steps', count: 1_000_000 } } }, /local\/work\/steps: .* at most 20/],
      [{ local: { ...local, work: { kind: 'epochs', count: 3 } } }, /local\/work\/epochs: .* at most 2/],
      [{ strategy: { kind: 'fedprox', mu: 0 } }, /strategy\/kind: the project allows fedavg, scaffold only/],
    ];
    for (const [index, [change, says]] of beyond.entries()) {
      const body = await perform(run, index + 1, trainStep({ weights, ...change }));
      assert.ok(body.kind === 'refused' && body.code === 'policy.refused', JSON.stringify(body));
      assert.match(body.message, says);
    }
    assert.deepEqual(await filesOf(run), before);
    const { algorithms } = await site.as('governance').call(SITE_API.previewProject, {
      params: { projectId: run.projectId },
    });
    const shown = algorithms.map(({ name, training }) => [name, training]);
    assert.deepEqual(shown.slice(1, 3), [
      ['moments', undefined],
      ['network', TRAINING_BOUNDS],
    ]);
  });

  it('is refused at once where the project sets no bounds on its training', async () => {
    const algorithm = { name: 'network', bundleDigest: GRAPH.bundleDigest, features: FEATURES, roundsMax: 5 };
    const spec = { ...projectSpec(hub.siteId()), algorithms: [algorithm] };
    const projectId = await site.project(hub, spec, APPROVE);
    const body = await perform({ spec, projectId, runId: newId('RunId'), rest: graphRun }, 0, { kind: 'prepare' });
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused' && /no bounds/.test(body.message));
  });

  it('is not run when a file of its bundle is not what the manifest says', async () => {
    const changed = { ...GRAPH.manifest, parameters: GRAPH.manifest.parameters.slice(1) };
    const { bundleDigest } = await import('@lantern/runner');
    const digest = bundleDigest(changed);
    hub.bundles.set(digest, changed);
    const algorithms = [
      { name: 'network', bundleDigest: digest, features: FEATURES, roundsMax: 5, training: TRAINING_BOUNDS },
    ];
    const spec = { ...projectSpec(hub.siteId()), algorithms };
    const projectId = await site.project(hub, spec, APPROVE);
    const rest = { algorithm: 'network', manifest: changed, bundleDigest: digest };
    const body = await perform({ spec, projectId, runId: newId('RunId'), rest }, 0, { kind: 'prepare' });
    assert.ok(body.kind === 'failed' && body.code === 'bundle.invalid');
  });
});
