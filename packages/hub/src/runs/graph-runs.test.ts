import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  AppError,
  type Digest,
  type GraphManifest,
  HUB_API,
  isDigest,
  pathOf,
  type Run,
  type RunPlan,
  type Strategy,
} from '@lantern/contract';
import { inlineBlob, inlineBytes, sha256 } from '@lantern/service';
import { deltaFor, floatsOf, graphScript, parameterFile, updateBody } from '../../test/learning-site.ts';
import { startTestHub, type TestHub } from '../../test/running-hub.ts';
import { joinSite, type Script, type ScriptedSite } from '../../test/scripted-site.ts';
import { endOfRun, planOf, registerGraph, submitStudy, tinyModel } from '../../test/study.ts';

const COLUMNS = ['age', 'chol'];
const ROWS = [30, 70, 20];
const LOCAL = { learningRate: 0.1, work: { kind: 'steps' as const, count: 5 } };

type Study = {
  hub: TestHub;
  sites: ScriptedSite[];
  manifest: GraphManifest;
  start: (plan: Partial<RunPlan>) => Promise<Run>;
};

async function study(t: TestContext, model = tinyModel()): Promise<Study> {
  const hub = await startTestHub(t);
  const sites: ScriptedSite[] = [];
  for (const [index] of ROWS.entries()) sites.push(await joinSite(hub, `Site ${index}`));
  const { bundleDigest, manifest } = await registerGraph(hub.admin, model);
  assert.ok(manifest.kind === 'graph');
  const { projectId } = await submitStudy(hub.admin, { sites, bundleDigest, columns: COLUMNS });
  return {
    hub,
    sites,
    manifest,
    start: (plan) =>
      hub.admin.api.call(HUB_API.createRun, {
        params: { projectId },
        body: planOf(sites, { strategy: { kind: 'fedavg' }, local: LOCAL, rounds: 2, ...plan }),
      }),
  };
}

function scripts(sites: readonly ScriptedSite[]): Script[] {
  return sites.map((site, index) => graphScript(site, { rowCount: ROWS[index] ?? 0, salt: index, columns: COLUMNS }));
}

async function play(of: Study, plan: Partial<RunPlan>, its: readonly Script[] = scripts(of.sites)): Promise<Run> {
  const { runId } = await of.start(plan);
  const stops = of.sites.map((site, index) => site.serve(its[index] ?? (() => undefined)));
  const run = await endOfRun(of.hub.admin, runId);
  for (const stop of stops) await stop();
  return run;
}

async function weightsAt(hub: TestHub, digest: Digest | undefined): Promise<Map<string, Float32Array>> {
  assert.ok(digest !== undefined);
  const { body } = await hub.admin.http.download(pathOf(HUB_API.readBlob, { digest }));
  return floatsOf(Buffer.concat(await body.toArray()));
}

function initialWeights(manifest: GraphManifest): Digest {
  const file = manifest.files.find((candidate) => candidate.path === 'initial-weights.safetensors');
  return file?.digest ?? assert.fail('no initial weights');
}

/** The weighted mean of the invented updates of a round, in float64. `round` is the number of the round. */
function meanDelta(
  manifest: GraphManifest,
  round: number,
  weights: readonly number[],
  salt = 0,
): Map<string, number[]> {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const means = new Map<string, number[]>();
  for (const [index, weight] of weights.entries()) {
    for (const [name, values] of floatsOf(deltaFor(manifest, { salt: index + salt, round }))) {
      const mean = means.get(name) ?? new Array<number>(values.length).fill(0);
      means.set(name, mean);
      for (const [at, value] of values.entries()) mean[at] = (mean[at] ?? 0) + (weight / total) * value;
    }
  }
  return means;
}

function assertClose(actual: Map<string, Float32Array>, expected: Map<string, number[]>): void {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  for (const [name, values] of expected) {
    for (const [index, value] of values.entries()) {
      const difference = Math.abs((actual.get(name)?.[index] ?? Number.NaN) - value);
      assert.ok(difference < 1e-6, `${name}[${index}] is off by ${difference}`);
    }
  }
}

/** Applies two training rounds in float64, by the formulas of the papers, independently of the hub's block functions. */
async function expectedWeights(of: Study, strategy: Strategy, siteWeights: readonly number[]) {
  const weights = new Map([...(await weightsAt(of.hub, initialWeights(of.manifest)))].map(([k, v]) => [k, [...v]]));
  const state = new Map(
    [...weights].map(([name, values]) => [name, { m: values.map(() => 0), v: values.map(() => 0) }]),
  );
  for (const round of [1, 2]) {
    for (const [name, mean] of meanDelta(of.manifest, round, siteWeights)) {
      const w = weights.get(name) ?? assert.fail(name);
      const { m, v } = state.get(name) ?? assert.fail(name);
      for (const [index, delta] of mean.entries()) {
        if (strategy.kind === 'fedadam') {
          m[index] = strategy.beta1 * (m[index] ?? 0) + (1 - strategy.beta1) * delta;
          v[index] = strategy.beta2 * (v[index] ?? 0) + (1 - strategy.beta2) * delta ** 2;
          const step = (m[index] ?? 0) / (Math.sqrt(v[index] ?? 0) + strategy.tau);
          w[index] = (w[index] ?? 0) + strategy.serverLearningRate * step;
        } else {
          const rate = strategy.kind === 'scaffold' ? strategy.serverLearningRate : 1;
          w[index] = (w[index] ?? 0) + rate * delta;
        }
      }
    }
  }
  return weights;
}

const lastWeights = (run: Run) => run.rounds.findLast((round) => round.step === 'train')?.weightsDigest;

test('FedAvg adds the mean update, weighted by rows', async (t) => {
  const of = await study(t);
  const run = await play(of, {});
  assert.equal(run.state, 'completed', run.message);
  assertClose(await weightsAt(of.hub, lastWeights(run)), await expectedWeights(of, { kind: 'fedavg' }, ROWS));
  assert.equal(run.evaluation?.combined.accuracy, 0.5);
});

test('a plan beyond what the project bounds is refused, naming field and bound', async (t) => {
  const of = await study(t, tinyModel({ proximal: true }));
  const { work } = LOCAL;
  const plans: [Partial<RunPlan>, string][] = [
    [{ local: { learningRate: 0.11, work } }, 'local/learningRate: the project allows at most 0.1.'],
    [{ local: { ...LOCAL, work: { kind: 'steps', count: 6 } } }, 'local/work/steps: the project allows at most 5.'],
    [{ local: { ...LOCAL, work: { kind: 'epochs', count: 1 } } }, 'local/work/epochs: the project sets no bound'],
    [{ strategy: { kind: 'fedprox', mu: 0.2 } }, 'strategy/mu: the project allows at most 0.1.'],
  ];
  for (const [plan, says] of plans) {
    await assert.rejects(of.start(plan), (error) => error instanceof AppError && error.message.startsWith(says), says);
  }
  await of.start({ strategy: { kind: 'fedprox', mu: 0.1 } });
});

test('sites may weigh alike instead', async (t) => {
  const of = await study(t);
  const run = await play(of, { weightSitesBy: 'equal' });
  assertClose(await weightsAt(of.hub, lastWeights(run)), await expectedWeights(of, { kind: 'fedavg' }, [1, 1, 1]));
});

test('the server state of FedAdam goes from round to round', async (t) => {
  const strategy = { kind: 'fedadam', serverLearningRate: 0.05, beta1: 0.9, beta2: 0.99, tau: 1e-3 } as const;
  const of = await study(t);
  const run = await play(of, { strategy });
  assert.equal(run.state, 'completed', run.message);
  assertClose(await weightsAt(of.hub, lastWeights(run)), await expectedWeights(of, strategy, ROWS));
});

test('SCAFFOLD sends the control variate from the second round on, and it is the mean of the control deltas', async (t) => {
  const of = await study(t, tinyModel({ control: true }));
  const controls: (Digest | undefined)[] = [];
  const its = scripts(of.sites).map(
    (script, index): Script =>
      async (task) => {
        if (index === 0 && task.step.kind === 'train') {
          controls.push(task.step.control?.digest);
          const { control } = task.step;
          if (control !== undefined) {
            const held = floatsOf(inlineBytes({ ...control, bytes: control.bytes ?? assert.fail() }));
            assertClose(held, meanDelta(of.manifest, 1, ROWS, 0.5));
          }
        }
        return script(task);
      },
  );
  const strategy = { kind: 'scaffold', serverLearningRate: 0.5 } as const;
  const run = await play(of, { strategy }, its);
  assert.equal(run.state, 'completed', run.message);
  assert.equal(controls[0], undefined);
  assert.ok(controls[1] !== undefined);
  assertClose(await weightsAt(of.hub, lastWeights(run)), await expectedWeights(of, strategy, ROWS));
});

test('the order in which updates arrive changes no bit of the weights', async (t) => {
  const of = await study(t);
  const inOrder = (order: readonly number[]) => {
    const turns = new Map<number, PromiseWithResolvers<void>[]>();
    return scripts(of.sites).map(
      (script, index): Script =>
        async (task) => {
          if (task.step.kind !== 'train') return script(task);
          const gates = turns.get(task.round) ?? order.map(() => Promise.withResolvers<void>());
          turns.set(task.round, gates);
          const place = order.indexOf(index);
          if (place > 0) await gates[place - 1]?.promise;
          const body = await script(task);
          setImmediate(() => gates[place]?.resolve());
          return body;
        },
    );
  };
  const forwards = await play(of, {}, inOrder([0, 1, 2]));
  const backwards = await play(of, {}, inOrder([2, 1, 0]));
  assert.equal(forwards.state, 'completed', forwards.message);
  assert.equal(lastWeights(backwards), lastWeights(forwards));
});

test('an update of the wrong shape, with NaN, too short or for more rows than prepared fails that site, not the round', async (t) => {
  const of = await study(t);
  const good = scripts(of.sites);
  const [site] = of.sites;
  assert.ok(site !== undefined);
  const { manifest } = of;
  const isNaN1 = parameterFile(manifest, (tensor, index) => (tensor === 1 && index === 0 ? Number.NaN : 0.5));
  const files: [RegExp, Uint8Array][] = [
    [/NaN/, isNaN1],
    [/shape/, parameterFile(reshaped(manifest), () => 0.5)],
    [/missing|not asked/, parameterFile(renamed(manifest), () => 0.5)],
    [/bytes|safetensors/, isNaN1.subarray(0, isNaN1.length - 4)],
  ];
  for (const [says, bytes] of files) {
    const bad: Script = async (task) =>
      task.step.kind === 'train' && task.round === 1
        ? updateBody({ rowCount: 30, delta: await site.upload(bytes) })
        : (good[0] ?? assert.fail())(task);
    const run = await play(of, { quorum: 2 }, [bad, ...good.slice(1)]);
    assert.equal(run.state, 'completed', run.message);
    const [first, second] = run.rounds.filter((round) => round.step === 'train');
    const its: Run['rounds'][number]['sites'][number] | undefined = first?.sites.find(
      (each) => each.siteId === site.siteId,
    );
    assert.equal(its?.state, 'failed');
    assert.match(its?.message ?? '', /^update\.invalid/);
    assert.match(its?.message ?? '', says);
    assert.equal(second?.sites.find((each) => each.siteId === site.siteId)?.state, 'answered', 'it is asked again');
    assert.equal(first?.metrics?.['siteCount'], 2);
  }
  const greedy: Script = async (task) => {
    const body = await (good[0] ?? assert.fail())(task);
    return body?.kind === 'update' ? { ...body, rowCount: 31 } : body;
  };
  const run = await play(of, { quorum: 2, rounds: 1 }, [greedy, ...good.slice(1)]);
  assert.match(
    run.rounds[1]?.sites.find((each) => each.siteId === site.siteId)?.message ?? '',
    /more than the site prepared/,
  );
});

test('an answer that names a blob which is not here yet is refused, and counts after the upload', async (t) => {
  const of = await study(t);
  const good = scripts(of.sites);
  const [site] = of.sites;
  assert.ok(site !== undefined);
  const refusals: string[] = [];
  const hasty: Script = async (task) => {
    if (task.step.kind !== 'train') return (good[0] ?? assert.fail())(task);
    const bytes = deltaFor(of.manifest, { salt: 0, round: task.round });
    const body = updateBody({ rowCount: 30, delta: { digest: sha256(bytes), sizeBytes: bytes.byteLength } });
    await site.answer(task, body).catch((caught: Error) => refusals.push(caught.message));
    await site.upload(bytes);
    return body;
  };
  const run = await play(of, {}, [hasty, ...good.slice(1)]);
  assert.equal(run.state, 'completed', run.message);
  assert.equal(refusals.length, 2);
  assert.match(refusals[0] ?? '', /not uploaded/);
});

test('the updates of a closed round and the server state it replaced are removed, the weights stay', async (t) => {
  const strategy = { kind: 'fedadam', serverLearningRate: 0.05, beta1: 0.9, beta2: 0.99, tau: 1e-3 } as const;
  const of = await study(t);
  const run = await play(of, { strategy, rounds: 3 });
  assert.equal(run.state, 'completed', run.message);
  const train = run.rounds.filter((round) => round.step === 'train');
  const updates = new Set(train.flatMap((round) => round.sites.map((site) => site.updateDigest ?? assert.fail())));
  assert.equal(updates.size, 9);
  const left = async () =>
    (await readdir(join(of.hub.dataDir, 'blobs'), { recursive: true })).map((file) => basename(file));
  for (let look = 0; look < 100 && (await left()).some((name) => isDigest(name) && updates.has(name)); look += 1) {
    await of.sites[0]?.poll(50); // passes the time: the removal is a job of its own
  }
  const names = new Set(await left());
  assert.deepEqual(
    [...updates].filter((digest) => names.has(digest)),
    [],
  );
  for (const { weightsDigest } of train) assert.ok(names.has(weightsDigest ?? assert.fail()));
  const kept = [...names].filter((name) => isDigest(name)).length;
  assert.equal(kept, of.manifest.files.length + train.length + 2, 'files of the bundle, weights, the last m and v');
});

test('updates inside the answers give the weights that uploaded ones give, and leave nothing to remove', async (t) => {
  const of = await study(t);
  const uploaded = await play(of, {});
  const inside = scripts(of.sites).map(
    (script, index): Script =>
      async (task) => {
        if (task.step.kind !== 'train') return script(task);
        const delta = inlineBlob(deltaFor(of.manifest, { salt: index, round: task.round }));
        return updateBody({ rowCount: ROWS[index] ?? 0, delta });
      },
  );
  const run = await play(of, {}, inside);
  assert.equal(run.state, 'completed', run.message);
  assert.equal(lastWeights(run), lastWeights(uploaded));
});

test('an update inside an answer whose bytes are not what its digest names counts as failed', async (t) => {
  const of = await study(t);
  const good = scripts(of.sites);
  const forged: Script = async (task) => {
    if (task.step.kind !== 'train') return (good[0] ?? assert.fail())(task);
    const named = inlineBlob(deltaFor(of.manifest, { salt: 0, round: task.round }));
    const { bytes } = inlineBlob(deltaFor(of.manifest, { salt: 1, round: task.round }));
    return updateBody({ rowCount: 30, delta: { ...named, bytes } });
  };
  const run = await play(of, { quorum: 2, rounds: 1 }, [forged, ...good.slice(1)]);
  assert.equal(run.state, 'completed', run.message);
  const first = run.rounds[1]?.sites.find((each) => each.siteId === of.sites[0]?.siteId);
  assert.equal(first?.state, 'failed');
  assert.match(first?.message ?? '', /digest or size/);
});

function reshaped(manifest: GraphManifest): GraphManifest {
  const parameters = manifest.parameters.map(({ name, shape }, index) => ({
    name,
    shape: index === 0 ? [...shape, 1] : shape,
  }));
  return { ...manifest, parameters };
}

function renamed(manifest: GraphManifest): GraphManifest {
  const parameters = manifest.parameters.map((parameter, index) =>
    index === 0 ? { ...parameter, name: `${parameter.name}x` } : parameter,
  );
  return { ...manifest, parameters };
}
