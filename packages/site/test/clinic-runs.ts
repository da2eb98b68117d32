/** A site with the table of a clinic, registered and open to runs, and runs as a hub would ask for them. */
import { after, before } from 'node:test';
import type {
  AnswerBody,
  GraphManifest,
  NewDecision,
  ProjectId,
  ProjectSpec,
  RoundTask,
  RunId,
  Step,
} from '@lantern/contract';
import { buildGraphBundle } from '@lantern/runner';
import { newId } from '@lantern/service';
import {
  clinicCsv,
  FEATURES,
  MOMENTS,
  projectSpec,
  REGRESSION,
  roundTask,
  SCHEMA,
  TRAINING_BOUNDS,
} from './documents.ts';
import { type ScriptedHub, startScriptedHub } from './scripted-hub.ts';
import { startTestSite, type TestSite } from './site-harness.ts';

export const GRAPH_MODEL = {
  featureCount: 3,
  layers: [{ kind: 'dense', units: 1, bias: true }],
  loss: 'sigmoid-cross-entropy',
  optimiser: { kind: 'sgd', momentum: 0 },
  batchSize: 16,
  proximal: false,
  control: true,
} as const satisfies GraphManifest['model'];

export const GRAPH = buildGraphBundle({
  name: 'network',
  version: '1.0.0',
  description: 'One dense layer.',
  seed: 3,
  model: GRAPH_MODEL,
});

/** Too large to travel inside task and answer. */
export const WIDE = buildGraphBundle({
  name: 'wide-network',
  version: '1.0.0',
  description: 'A thousand hidden units.',
  seed: 3,
  model: {
    ...GRAPH_MODEL,
    layers: [{ kind: 'dense', units: 1000, bias: true }, { kind: 'tanh' }, { kind: 'dense', units: 1, bias: true }],
  },
});

export const APPROVE: NewDecision = { verdict: 'approved', reason: 'ok' };
export const wideRun = { algorithm: 'wide', manifest: WIDE.manifest, bundleDigest: WIDE.bundleDigest };
export const graphRun = { algorithm: 'network', manifest: GRAPH.manifest, bundleDigest: GRAPH.bundleDigest };

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

export const train = cleanRows(clinicCsv(300), 'train');
export const test = cleanRows(clinicCsv(300), 'test');
export type ClinicRun = { spec: ProjectSpec; projectId: ProjectId; runId: RunId; rest: Partial<RoundTask> };

/** Starts site and hub before the tests of a file and ends them after; `name` is that of the database. */
export function useClinic(name: string) {
  let hub: ScriptedHub;
  let site: TestSite;
  before(async () => {
    hub = await startScriptedHub();
    site = await startTestSite(hub, name);
    await site.register({ schema: SCHEMA, csv: clinicCsv(300) });
    for (const { manifest, bundleDigest } of [REGRESSION, MOMENTS, GRAPH, WIDE])
      hub.bundles.set(bundleDigest, manifest);
    for (const bytes of [...GRAPH.files.values(), ...WIDE.files.values()]) hub.putBlob(bytes);
  });
  after(async () => {
    await site?.close();
    await hub?.close();
  });

  function specOf(change: Partial<ProjectSpec> = {}): ProjectSpec {
    const spec = projectSpec(hub.siteId(), change);
    const head = { features: FEATURES, roundsMax: 5, training: TRAINING_BOUNDS };
    const graph = { ...head, name: 'network', bundleDigest: GRAPH.bundleDigest };
    const wide = { ...graph, name: 'wide', bundleDigest: WIDE.bundleDigest };
    return { ...spec, algorithms: [...spec.algorithms, graph, wide] };
  }

  async function openRun(
    options: { decision?: NewDecision; rest?: Partial<RoundTask>; spec?: Partial<ProjectSpec> } = {},
  ): Promise<ClinicRun> {
    const spec = specOf(options.spec);
    const projectId = await site.project(hub, spec, options.decision ?? APPROVE);
    return { spec, projectId, runId: newId('RunId'), rest: options.rest ?? {} };
  }

  function taskOf(run: ClinicRun, round: number, step: Step): RoundTask {
    const ids = { siteId: hub.siteId(), projectId: run.projectId };
    return roundTask(run.spec, ids, { runId: run.runId, ...run.rest, round, step });
  }

  async function perform(run: ClinicRun, round: number, step: Step): Promise<AnswerBody> {
    const task = taskOf(run, round, step);
    hub.send(task);
    return (await hub.answerTo(task.taskId)).body;
  }

  return {
    get hub() {
      return hub;
    },
    get site() {
      return site;
    },
    specOf,
    openRun,
    taskOf,
    perform,
  };
}
