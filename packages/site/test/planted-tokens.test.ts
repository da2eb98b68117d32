/**
 * Nothing of a patient leaves: random tokens stand in every identifying place of a table, questions are asked, runs are run
 * and refused, and then every byte that left the site is searched for each token in the usual encodings.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  type DatasetSchema,
  EVERYTHING,
  type Filter,
  type RoundTask,
  SITE_API,
  type SiteTask,
  type Step,
} from '@lantern/contract';
import { buildGraphBundle } from '@lantern/runner';
import { newId } from '@lantern/service';
import { clinicCsv, FEATURES, projectSpec, REGRESSION, roundTask, SCHEMA, TRAINING_BOUNDS } from './documents.ts';
import { type ScriptedHub, startScriptedHub } from './scripted-hub.ts';
import { startTestSite, type TestSite, upload } from './site-harness.ts';
import { encodings } from './token-encodings.ts';

const GRAPH = buildGraphBundle({
  name: 'network',
  version: '1.0.0',
  description: 'One dense layer.',
  seed: 5,
  model: {
    featureCount: 3,
    layers: [{ kind: 'dense', units: 1, bias: true }],
    loss: 'sigmoid-cross-entropy',
    optimiser: { kind: 'sgd', momentum: 0 },
    batchSize: 16,
    proximal: false,
    control: false,
  },
});

const newToken = () => randomBytes(9).toString('hex').toUpperCase();
const tokens = Array.from({ length: 300 }, newToken);
const brokenTokens = Array.from({ length: 12 }, newToken);

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-tokens');
});

after(async () => {
  await site?.close();
  await hub?.close();
});

function csvWithTokens(): string {
  return clinicCsv(300).replaceAll(/^p(\d+),/gm, (_, index) => `${tokens[Number(index)]},`);
}

describe('tokens planted in the patient key and in broken rows', () => {
  it('are found by the search when they do leave (positive control)', () => {
    const [token = ''] = tokens;
    for (const form of [
      token,
      Buffer.from(token, 'utf16le').toString('latin1'),
      Buffer.from(`xy${token}z`).toString('base64'),
    ]) {
      const sent = Buffer.from(`{"reason":"${form}"}`, 'latin1');
      assert.ok(
        encodings(token).some((encoded) => sent.includes(encoded)),
        form,
      );
    }
  });

  it('are in no byte that left the site, whatever was asked of it', async () => {
    await site.register({ schema: SCHEMA, csv: csvWithTokens(), feasibility: 'any-project' });
    await bringBrokenTables();
    hub.bundles.set(REGRESSION.bundleDigest, REGRESSION.manifest);
    for (const bytes of GRAPH.files.values()) hub.putBlob(bytes);
    const algorithms = [
      { name: 'regression', bundleDigest: REGRESSION.bundleDigest, features: FEATURES, roundsMax: 3 },
      {
        name: 'network',
        bundleDigest: GRAPH.bundleDigest,
        features: FEATURES,
        roundsMax: 3,
        training: TRAINING_BOUNDS,
      },
    ];
    const spec = { ...projectSpec(hub.siteId()), algorithms };
    const projectId = await site.project(hub, spec, { verdict: 'approved', reason: 'ok' });
    const ids = { siteId: hub.siteId(), projectId };
    const round = (rest: Partial<RoundTask>, number: number, step: Step) =>
      roundTask(spec, ids, { ...rest, round: number, step });
    const [analysis, graph] = [newId('RunId'), newId('RunId')];
    const ofGraph = { runId: graph, algorithm: 'network', manifest: GRAPH.manifest, bundleDigest: GRAPH.bundleDigest };
    const weights = hub.putBlob(GRAPH.files.get('initial-weights.safetensors') ?? new Uint8Array());
    const local = { learningRate: 0.1, work: { kind: 'steps' as const, count: 20 } };
    const theta = [0.1, 0.2, 0.3, 0.4];
    const tasks: SiteTask[] = [
      ...questions(ids),
      round({ runId: analysis }, 0, { kind: 'prepare' }),
      round({ runId: analysis }, 1, { kind: 'newton', theta }),
      round({ runId: analysis }, 2, { kind: 'newton', theta: [1] }),
      round({ runId: analysis }, 4, { kind: 'newton', theta }),
      round({ runId: analysis }, 3, { kind: 'evaluate', theta }),
      round(ofGraph, 0, { kind: 'prepare' }),
      round(ofGraph, 1, { kind: 'train', weights, strategy: { kind: 'fedavg' }, local, seed: 1 }),
      round(ofGraph, 2, { kind: 'evaluate', weights }),
      round({ runId: newId('RunId') }, 1, { kind: 'newton', theta }),
    ];
    const kinds: string[] = [];
    for (const task of tasks) {
      hub.send(task);
      kinds.push((await hub.answerTo(task.taskId)).body.kind);
    }
    assert.deepEqual(kinds, [
      ...['count', 'failed', 'failed', 'summary'],
      ...['prepared', 'newton', 'failed', 'refused', 'evaluation'],
      ...['prepared', 'update', 'evaluation', 'refused'],
    ]);
    await site.decide(projectId, { verdict: 'withdrawn', reason: 'end of the test' });
    await hub.until(() => hub.decisions.length === 2);
    const sent = hub.sentBytes();
    assert.ok(sent.length > 20_000 && sent.includes('"signatures"'));
    for (const token of [...tokens, ...brokenTokens]) {
      for (const encoded of encodings(token)) assert.equal(sent.includes(encoded), false, 'a token left the site');
    }
  });
});

function questions(ids: { siteId: SiteTask['siteId']; projectId: SiteTask['projectId'] }): SiteTask[] {
  const head = () => ({
    schema: 'lantern.task/1' as const,
    taskId: newId('TaskId'),
    ...ids,
    createdAt: new Date().toISOString(),
    dataset: 'clinic',
  });
  const byKey: Filter = { kind: 'in', column: 'patient', values: [tokens[0]?.slice(0, 1) ?? ''] };
  return [
    { ...head(), kind: 'count', filter: EVERYTHING },
    { ...head(), kind: 'count', filter: byKey },
    { ...head(), kind: 'summary', filter: EVERYTHING, columns: ['patient'] },
    { ...head(), kind: 'summary', filter: EVERYTHING, columns: ['age', 'sex'] },
  ];
}

/** Tables that are refused, each with tokens where the fault is; the refusal is for the data engineer and names none of them. */
async function bringBrokenTables(): Promise<void> {
  const good = clinicCsv(30).trimEnd().split('\n');
  const [a = '', b = '', c = '', d = '', e = ''] = brokenTokens;
  const broken = [
    good.with(4, `${a},${a},120,0,1,train`).join('\n'),
    good.with(4, `p3,40,120,${b},1,train`).join('\n'),
    good.with(4, `p3,40,120,0,1,train,${c}`).join('\n'),
    good.with(4, `"${d},40,120,0,1,train`).join('\n'),
    good.map((line) => `${e}-${line}`).join('\n'),
  ];
  const schema: DatasetSchema = { ...SCHEMA, name: 'broken' };
  for (const csv of broken) {
    const digest = await upload(site.url(), site.tokens()['data-engineer'], Buffer.from(csv));
    const body = { schema, source: { digest, format: 'csv' as const }, feasibility: 'any-project' as const };
    await assert.rejects(site.as('data-engineer').call(SITE_API.registerDataset, { body }), (error: Error) => {
      for (const token of brokenTokens) assert.equal(error.message.includes(token), false);
      return 'code' in error && error.code === 'dataset.invalid';
    });
  }
}
