import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type GraphManifest, SITE_API, type Step, type TensorRef } from '@lantern/contract';
import { decodeTensors } from '@lantern/learning';
import { buildGraphBundle, bundleDigest, createGraphExecutor } from '@lantern/runner';
import { inlineBlob, newId, sha256 } from '@lantern/service';
import {
  APPROVE,
  type ClinicRun,
  GRAPH,
  GRAPH_MODEL,
  graphRun,
  test,
  train,
  useClinic,
  WIDE,
  wideRun,
} from '../../test/clinic-runs.ts';
import { FEATURES, projectSpec, TRAINING_BOUNDS } from '../../test/documents.ts';

const clinic = useClinic('site-graph-runs');
const { openRun, perform, specOf, taskOf } = clinic;

describe('a graph run', () => {
  const local = { learningRate: 0.1, work: { kind: 'epochs' as const, count: 2 } };
  const initialOf = (bundle: typeof GRAPH) => bundle.files.get('initial-weights.safetensors') ?? assert.fail();
  const initial = initialOf(GRAPH);
  const trainStep = (change: Partial<Extract<Step, { kind: 'train' }>> = {}): Step => ({
    kind: 'train',
    weights: clinic.hub.putBlob(initial),
    strategy: { kind: 'fedavg' },
    local,
    seed: 7,
    ...change,
  });
  const tensorsOf = (ref: TensorRef) =>
    decodeTensors(
      ref.bytes === undefined
        ? (clinic.hub.uploads.get(ref.digest) ?? assert.fail())
        : Buffer.from(ref.bytes, 'base64'),
    );
  const shapesOf = (tensors: ReadonlyMap<string, { shape: readonly number[] }>) =>
    Object.fromEntries([...tensors].map(([name, { shape }]) => [name, [...shape]]));
  const planned = (manifest: GraphManifest) =>
    Object.fromEntries(manifest.parameters.map(({ name, shape }) => [name, [...shape]]));
  const filesOf = async (run: ClinicRun) => {
    const dir = path.join(clinic.site.settings.dataDir, 'work', 'runs', run.runId);
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
    const body = await perform(run, 1, trainStep({ weights: clinic.hub.putBlob(initialOf(WIDE)) }));
    assert.ok(body.kind === 'update', JSON.stringify(body));
    assert.equal(body.rowCount, train.length);
    assert.equal(body.stepCount, 2 * Math.ceil(train.length / 16));
    assert.equal(body.controlDelta, undefined);
    assert.equal(body.delta.bytes, undefined);
    assert.ok(clinic.hub.uploads.has(body.delta.digest));
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
    const uploadCount = clinic.hub.uploads.size;
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
    assert.equal(clinic.hub.uploads.size, uploadCount);
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
    const dir = path.join(clinic.site.settings.dataDir, 'work', 'runs', run.runId);
    const rows = (await filesOf(run)).find((name) => /^train\.\w+\.safetensors$/.test(name)) ?? assert.fail();
    const files = { train: path.join(dir, 'own-train.onnx'), weights: path.join(dir, 'own.safetensors') };
    await writeFile(files.train, GRAPH.files.get('train.onnx') ?? assert.fail());
    await writeFile(files.weights, initial);
    const executor = createGraphExecutor();
    t.after(() => executor.close());
    const secret = (await readFile(path.join(clinic.site.settings.dataDir, 'noise.key'), 'utf8')).trim();
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
      clinic.hub.bundles.set(bundle.bundleDigest, bundle.manifest);
      for (const bytes of bundle.files.values()) clinic.hub.putBlob(bytes);
      const head = { name: 'uneven', features: FEATURES, roundsMax: 5, training: TRAINING_BOUNDS };
      const spec = {
        ...projectSpec(clinic.hub.siteId()),
        algorithms: [{ ...head, bundleDigest: bundle.bundleDigest }],
      };
      const rest = { algorithm: 'uneven', manifest: bundle.manifest, bundleDigest: bundle.bundleDigest };
      const run: ClinicRun = {
        spec,
        projectId: await clinic.site.project(clinic.hub, spec, APPROVE),
        runId: newId('RunId'),
        rest,
      };
      await perform(run, 0, { kind: 'prepare' });
      const body = await perform(run, 1, trainStep({ weights: clinic.hub.putBlob(initialOf(bundle)) }));
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
    const rows = await clinic.site.db.selectFrom('run_control').selectAll().where('run_id', '=', run.runId).execute();
    assert.deepEqual(rows.map(({ round }) => round).sort(), [1, 2]);
  });

  it('is stopped at once when the approval is withdrawn in the middle of the training', async () => {
    const spec = specOf();
    const algorithms = spec.algorithms.map((algorithm) =>
      algorithm.training === undefined
        ? algorithm
        : { ...algorithm, training: { ...TRAINING_BOUNDS, stepsMax: 1_000_000 } },
    );
    const projectId = await clinic.site.project(clinic.hub, { ...spec, algorithms }, APPROVE);
    const run: ClinicRun = { spec: { ...spec, algorithms }, projectId, runId: newId('RunId'), rest: graphRun };
    await perform(run, 0, { kind: 'prepare' });
    const work = { kind: 'steps' as const, count: 1_000_000 }; // minutes of training
    const task = taskOf(run, 1, trainStep({ local: { learningRate: 0.001, work } }));
    clinic.hub.send(task);
    const state = async () =>
      (await clinic.site.db.selectFrom('task').select('state').where('task_id', '=', task.taskId).executeTakeFirst())
        ?.state;
    while ((await state()) !== 'performing') await new Promise((resolve) => setImmediate(resolve));
    await clinic.site.decide(run.projectId, { verdict: 'withdrawn', reason: 'A patient objected.' });
    const { body } = await clinic.hub.answerTo(task.taskId);
    assert.ok(body.kind === 'refused' && body.code === 'policy.not-approved');
  });

  it('evaluates weights on the held-back rows', async () => {
    const run = await openRun({ rest: graphRun });
    await perform(run, 0, { kind: 'prepare' });
    const body = await perform(run, 2, { kind: 'evaluate', weights: clinic.hub.putBlob(initial) });
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
    const { algorithms } = await clinic.site.as('governance').call(SITE_API.previewProject, {
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
    const spec = { ...projectSpec(clinic.hub.siteId()), algorithms: [algorithm] };
    const projectId = await clinic.site.project(clinic.hub, spec, APPROVE);
    const body = await perform({ spec, projectId, runId: newId('RunId'), rest: graphRun }, 0, { kind: 'prepare' });
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused' && /no bounds/.test(body.message));
  });

  it('is not run when a file of its bundle is not what the manifest says', async () => {
    const changed = { ...GRAPH.manifest, parameters: GRAPH.manifest.parameters.slice(1) };
    const digest = bundleDigest(changed);
    clinic.hub.bundles.set(digest, changed);
    const algorithms = [
      { name: 'network', bundleDigest: digest, features: FEATURES, roundsMax: 5, training: TRAINING_BOUNDS },
    ];
    const spec = { ...projectSpec(clinic.hub.siteId()), algorithms };
    const projectId = await clinic.site.project(clinic.hub, spec, APPROVE);
    const rest = { algorithm: 'network', manifest: changed, bundleDigest: digest };
    const body = await perform({ spec, projectId, runId: newId('RunId'), rest }, 0, { kind: 'prepare' });
    assert.ok(body.kind === 'failed' && body.code === 'bundle.invalid');
  });
});
