/**
 * One training round whose site is killed, as by `kill -9`, at every named instant from receiving the task to having delivered
 * the answer. It must end with one answer, the same as that of a site that was never killed.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type Answer,
  FAULT_POINTS,
  type FaultPoint,
  type ProjectId,
  type ProjectSpec,
  type RoundTask,
} from '@lantern/contract';
import { buildGraphBundle } from '@lantern/runner';
import { documentDigest, newId } from '@lantern/service';
import { clinicCsv, FEATURES, projectSpec, roundTask, SCHEMA, TRAINING_BOUNDS } from './documents.ts';
import { type ScriptedHub, startScriptedHub } from './scripted-hub.ts';
import { startTestSite, type TestSite } from './site-harness.ts';

const GRAPH = buildGraphBundle({
  name: 'network',
  version: '1.0.0',
  description: 'Too large to travel inside task and answer.',
  seed: 5,
  model: {
    featureCount: 3,
    layers: [{ kind: 'dense', units: 1000, bias: true }, { kind: 'relu' }, { kind: 'dense', units: 1, bias: true }],
    loss: 'sigmoid-cross-entropy',
    optimiser: { kind: 'sgd', momentum: 0 },
    batchSize: 16,
    proximal: false,
    control: false,
  },
});

/** In the order in which one training round crosses them. */
const CROSSED = [
  'site.task.received',
  'site.task.performing',
  'site.weights.downloaded',
  'site.task.computed',
  'site.answer.stored',
  'site.update.uploaded',
  'site.answer.delivered',
] as const satisfies readonly FaultPoint[];

let hub: ScriptedHub;
let site: TestSite;
let spec: ProjectSpec;
let projectId: ProjectId;
const children = new Set<ChildProcess>();

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-crash');
  await site.register({ schema: SCHEMA, csv: clinicCsv(300) });
  hub.bundles.set(GRAPH.bundleDigest, GRAPH.manifest);
  for (const bytes of GRAPH.files.values()) hub.putBlob(bytes);
  const algorithms = [
    { name: 'network', bundleDigest: GRAPH.bundleDigest, features: FEATURES, roundsMax: 3, training: TRAINING_BOUNDS },
  ];
  spec = { ...projectSpec(hub.siteId()), algorithms };
  const runStatistics = { patientCountMin: 10, parameterRowRatioMax: 100, categoryPatientCountMin: 10 };
  projectId = await site.project(hub, spec, { verdict: 'approved', reason: 'ok', runStatistics });
});

after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await site?.close();
  await hub?.close();
});

async function startProcess(faultPoint: FaultPoint | undefined): Promise<ChildProcess> {
  const settings = { ...site.settings, ...(faultPoint === undefined ? {} : { faultPoint }) };
  const script = path.join(import.meta.dirname, 'site-process.ts');
  const child = spawn(process.execPath, [script, JSON.stringify(settings)], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

function roundOf(runId: RoundTask['runId'], task: Pick<RoundTask, 'round' | 'step'>): RoundTask {
  const rest = { algorithm: 'network', manifest: GRAPH.manifest, bundleDigest: GRAPH.bundleDigest };
  return roundTask(spec, { siteId: hub.siteId(), projectId }, { ...rest, ...task, runId });
}

function trainTask(runId: RoundTask['runId']): RoundTask {
  const weights = hub.putBlob(GRAPH.files.get('initial-weights.safetensors') ?? new Uint8Array());
  const local = { learningRate: 0.1, work: { kind: 'epochs' as const, count: 1 } };
  return roundOf(runId, { round: 1, step: { kind: 'train', weights, strategy: { kind: 'fedavg' }, local, seed: 11 } });
}

async function prepare(runId: RoundTask['runId']): Promise<void> {
  const task = roundOf(runId, { round: 0, step: { kind: 'prepare' } });
  hub.send(task);
  assert.equal((await hub.answerTo(task.taskId)).body.kind, 'prepared');
}

describe('a site that is killed', () => {
  it('at every fault point of a training round goes on after each restart and answers once, with the same update', async () => {
    assert.deepEqual([...CROSSED].sort(), FAULT_POINTS.filter((name) => name.startsWith('site.')).sort());
    const undisturbed = newId('RunId');
    const killed = newId('RunId');
    await prepare(undisturbed);
    await prepare(killed);
    const reference = trainTask(undisturbed);
    hub.send(reference);
    const wanted = await hub.answerTo(reference.taskId);
    assert.ok(wanted.body.kind === 'update');
    await site.stop();

    const task = trainTask(killed);
    hub.send(task);
    for (const faultPoint of CROSSED) {
      const child = await startProcess(faultPoint);
      const [, signal] = await once(child, 'exit');
      assert.equal(signal, 'SIGKILL', faultPoint);
    }
    const answers = (): Answer[] => hub.answers.filter(({ taskId }) => taskId === task.taskId);
    assert.equal(answers().length, 1); // the last kill was after the hub had taken the answer
    const uploaded = hub.uploads.get(wanted.body.delta.digest);
    hub.uploads.clear(); // folded and forgotten: the round is over, and only the site does not know yet that its answer counted
    hub.takesUploads = false;
    const survivor = await startProcess(undefined);
    await hub.until(() => answers().length === 2);
    assert.deepEqual(answers()[1], answers()[0]); // delivered again, not computed again
    assert.deepEqual(answers()[0]?.body, wanted.body);
    assert.equal(uploaded?.length, wanted.body.delta.sizeBytes);
    const state = async () =>
      (await site.db.selectFrom('task').select('state').where('task_id', '=', task.taskId).executeTakeFirst())?.state;
    while ((await state()) !== 'delivered') await new Promise((resolve) => setImmediate(resolve));
    survivor.kill('SIGTERM');
    await once(survivor, 'exit');
    await site.start();
    assert.ok(documentDigest(answers()[0]) !== documentDigest(wanted)); // another task, the same update
  });
});
