import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HUB_API, pathOf, type Run, type RunPlan } from '@lantern/contract';
import {
  decodeTensors,
  evaluateScores,
  evaluationMetrics,
  localMoments,
  localNewtonStatistics,
  logisticProbabilities,
  newtonStep,
  standardisationOf,
  standardise,
} from '@lantern/learning';
import { type Centre, columnsOf, loadHeartDisease, pool, type Rows } from '../../test/heart-disease.ts';
import { analysisScript } from '../../test/learning-site.ts';
import { startTestHub, type TestHub } from '../../test/running-hub.ts';
import { joinSite, type ScriptedSite } from '../../test/scripted-site.ts';
import { endOfRun, planOf, registerAnalysis, submitStudy } from '../../test/study.ts';

const LOGISTIC = { kind: 'logistic-regression' as const, ridge: 1, damping: 1 };

async function runAnalysis(
  t: TestContext,
  input: { analysis: Parameters<typeof registerAnalysis>[1]; plan: Partial<RunPlan> },
): Promise<{ hub: TestHub; run: Run; centres: Centre[]; sites: ScriptedSite[] }> {
  const hub = await startTestHub(t);
  const centres = loadHeartDisease();
  const sites: ScriptedSite[] = [];
  for (const centre of centres) sites.push(await joinSite(hub, centre.name));
  const bundleDigest = await registerAnalysis(hub.admin, input.analysis);
  const { projectId } = await submitStudy(hub.admin, { sites, bundleDigest });
  const stops = sites.map((site, index) => {
    const centre = centres[index];
    assert.ok(centre !== undefined);
    return site.serve(analysisScript(centre));
  });
  const plan = planOf(sites, input.plan);
  const { runId } = await hub.admin.api.call(HUB_API.createRun, { params: { projectId }, body: plan });
  const run = await endOfRun(hub.admin, runId);
  for (const stop of stops) await stop();
  return { hub, run, centres, sites };
}

function pooledFit(rows: Rows, rounds: number): number[] {
  let theta = new Array<number>(rows.featureCount + 1).fill(0);
  for (let round = 0; round < rounds; round += 1) {
    theta = newtonStep({ ...localNewtonStatistics(rows, theta), ...LOGISTIC, theta }).theta;
  }
  return theta;
}

function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  return Math.max(...Array.from(a, (value, index) => Math.abs(value - (b[index] ?? Number.NaN))));
}

async function thetaOf(hub: TestHub, run: Run): Promise<Float64Array> {
  const digest = run.rounds.findLast((round) => round.weightsDigest !== undefined)?.weightsDigest;
  assert.ok(digest !== undefined);
  const { body } = await hub.admin.http.download(pathOf(HUB_API.readBlob, { digest }));
  const theta = decodeTensors(Buffer.concat(await body.toArray())).get('theta');
  assert.ok(theta?.dtype === 'F64');
  return theta.data;
}

test('four hospitals fit the logistic regression of all their rows to 1e-9, standardised over all of them', async (t) => {
  const rounds = 6;
  const { hub, run, centres } = await runAnalysis(t, {
    analysis: LOGISTIC,
    plan: { rounds, standardisation: 'pooled' },
  });
  assert.equal(run.state, 'completed', run.message);
  assert.deepEqual(
    run.rounds.map((round) => `${round.number} ${round.step} ${round.state} ${round.sites.length}`),
    ['prepare', 'standardise', ...Array<string>(rounds).fill('newton'), 'evaluate'].map(
      (step, number) => `${number} ${step} closed 4`,
    ),
  );

  const pooledTrain = pool(centres.map((centre) => centre.train));
  const by = standardisationOf(localMoments(columnsOf(pooledTrain)));
  const scaled = { ...pooledTrain, values: [...standardise(pooledTrain.values, by)] };
  const expected = pooledFit(scaled, rounds);
  assert.ok(furthest(await thetaOf(hub, run), expected) < 1e-9);
  assert.ok(furthest(expected, pooledFit(scaled, rounds - 1)) > 1e-9, 'the control: one round fewer is something else');

  const pooledTest = pool(centres.map((centre) => centre.test));
  const scores = logisticProbabilities({ ...pooledTest, values: [...standardise(pooledTest.values, by)] }, expected);
  const metrics = evaluationMetrics(evaluateScores(scores, pooledTest.labels));
  const { combined, sites } = run.evaluation ?? assert.fail('no evaluation');
  assert.equal(combined.rowCount, pooledTest.labels.length);
  assert.ok(Math.abs((combined.accuracy ?? 0) - (metrics.accuracy ?? 1)) < 1e-12);
  assert.ok(Math.abs((combined.auc ?? 0) - (metrics.auc ?? 1)) < 1e-9);
  assert.ok(Math.abs((combined.brier ?? 0) - (metrics.brier ?? 1)) < 1e-9);
  assert.equal(sites.length, 4);
  assert.equal(
    sites.reduce((sum, site) => sum + site.metrics.rowCount, 0),
    combined.rowCount,
  );
});

test('an analysis of moments gives the mean and deviation of all rows and ends after standardise', async (t) => {
  const { run, centres } = await runAnalysis(t, {
    analysis: { kind: 'moments' },
    plan: { rounds: 1, standardisation: 'pooled' },
  });
  assert.equal(run.state, 'completed', run.message);
  assert.deepEqual(
    run.rounds.map((round) => round.step),
    ['prepare', 'standardise'],
  );
  assert.equal(run.rounds[1]?.metrics?.['rowCount'], pool(centres.map((centre) => centre.train)).labels.length);
  assert.equal(run.evaluation, undefined);
});

test('each round records its sites, their rows and the log-likelihood, which rises towards the fit', async (t) => {
  const { run, centres } = await runAnalysis(t, { analysis: LOGISTIC, plan: { rounds: 4, standardisation: 'pooled' } });
  const newton = run.rounds.filter((round) => round.step === 'newton');
  const likelihoods = newton.map((round) => round.metrics?.['logLikelihood'] ?? Number.NaN);
  assert.deepEqual(
    likelihoods,
    [...likelihoods].sort((a, b) => a - b),
  );
  assert.equal(new Set(newton.map((round) => round.weightsDigest)).size, 4);
  const rows = new Map(newton[0]?.sites.map((site) => [site.siteId, site.rowCount]));
  assert.deepEqual([...rows.values()].sort(), centres.map((centre) => centre.train.labels.length).sort());
  assert.ok(newton.every((round) => round.sites.every((site) => site.state === 'answered')));
});
