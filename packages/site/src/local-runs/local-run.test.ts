import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type NewLocalRun, type ProjectId, type RunPlan, SITE_API } from '@lantern/contract';
import { buildGraphBundle } from '@lantern/runner';
import {
  clinicCsv,
  FEATURES,
  MOMENTS,
  projectSpec,
  REGRESSION,
  SCHEMA,
  TRAINING_BOUNDS,
} from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';

const GRAPH = buildGraphBundle({
  name: 'network',
  version: '1.0.0',
  description: 'One dense layer.',
  seed: 9,
  model: {
    featureCount: 3,
    layers: [{ kind: 'dense', units: 1, bias: true }],
    loss: 'sigmoid-cross-entropy',
    optimiser: { kind: 'sgd', momentum: 0 },
    batchSize: 32,
    proximal: false,
    control: false,
  },
});

let hub: ScriptedHub;
let site: TestSite;
let projectId: ProjectId;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-local-runs');
  // A label that age decides, so that whatever learns at all learns this.
  const learnable = clinicCsv(300).replaceAll(
    /^([^,]+,(\d+),[^,]+,[01]),[01],/gm,
    (_, head, age) => `${head},${Number(age) > 55 ? 1 : 0},`,
  );
  await site.register({ schema: SCHEMA, csv: learnable });
  const oneClass = clinicCsv(300).replaceAll(/,[01],(train|test)$/gm, ',1,$1');
  await site.register({ schema: { ...SCHEMA, name: 'one-class' }, csv: oneClass });
  for (const { manifest, bundleDigest } of [REGRESSION, MOMENTS, GRAPH]) hub.bundles.set(bundleDigest, manifest);
  for (const bytes of GRAPH.files.values()) hub.putBlob(bytes);
  const algorithms = [
    { name: 'regression', bundleDigest: REGRESSION.bundleDigest, features: FEATURES, roundsMax: 20 },
    { name: 'moments', bundleDigest: MOMENTS.bundleDigest, features: FEATURES, roundsMax: 1 },
    { name: 'network', bundleDigest: GRAPH.bundleDigest, features: FEATURES, roundsMax: 20, training: TRAINING_BOUNDS },
    {
      name: 'one-class',
      bundleDigest: REGRESSION.bundleDigest,
      features: { ...FEATURES, dataset: 'one-class' },
      roundsMax: 20,
    },
  ];
  projectId = await site.project(hub, { ...projectSpec(hub.siteId()), datasets: ['clinic', 'one-class'], algorithms });
});

after(async () => {
  await site?.close();
  await hub?.close();
});

function run(algorithm: string, change: Partial<RunPlan> = {}) {
  const plan: RunPlan = {
    algorithm,
    rounds: 8,
    standardisation: 'pooled',
    seed: 1,
    sites: [hub.siteId()],
    quorum: 1,
    stragglerWaitMs: 0,
    weightSitesBy: 'rows',
    ...change,
  };
  const body: NewLocalRun = { projectId, plan };
  return site.as('data-engineer').call(SITE_API.runLocally, { body });
}

describe('training on the rows of this site alone', () => {
  it('learns by logistic regression, without a decision and without telling the hub', async () => {
    const before = hub.answers.length;
    const { metrics, trainRowCount } = await run('regression');
    assert.ok(trainRowCount > 200);
    assert.ok((metrics.accuracy ?? 0) > 0.9, JSON.stringify(metrics));
    assert.ok((metrics.auc ?? 0) > 0.95);
    assert.equal(hub.answers.length, before);
  });

  it('learns by a network', async () => {
    const local = { learningRate: 0.5, work: { kind: 'epochs' as const, count: 5 } };
    const { metrics } = await run('network', { local, strategy: { kind: 'fedavg' } });
    assert.ok((metrics.accuracy ?? 0) > 0.9, JSON.stringify(metrics));
  });

  it('leaves nothing behind', async () => {
    assert.deepEqual(await readdir(path.join(site.settings.dataDir, 'work', 'local-runs')), []);
  });

  it('is refused, with the reason, when all its patients have the same label', async () => {
    await assert.rejects(run('one-class'), { code: 'training.refused', message: /label 1: a classifier cannot learn/ });
  });

  it('is refused where there is no model to train, or the plan does not say how', async () => {
    await assert.rejects(run('moments'), { code: 'training.refused' });
    await assert.rejects(run('network'), { code: 'input.invalid', message: /local/ });
    await assert.rejects(run('unheard-of'), { code: 'not-found' });
  });
});
