import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Filter, SiteTask } from '@lantern/contract';
import { loadConfig, newId } from '@lantern/service';
import { clinicCsv, SCHEMA } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';
import { SiteConfigSchema } from '../config.ts';
import type { Performed } from '../exchange/performer.ts';
import { createAnswerTimes } from './answer-times.ts';

const FIRST_MS = 250;
const { signal } = new AbortController();

/** When an answer leaves that took so long to make [ms since the question was begun]. */
async function momentOf(tookMs: number, wording: string | undefined, noiseSecret = 'a secret'): Promise<number> {
  let nowMs = 17;
  const times = createAnswerTimes({
    noiseSecret,
    firstMs: FIRST_MS,
    monotonicMs: () => nowMs,
    async pause(ms) {
      nowMs += ms;
    },
  });
  const performed: Performed = {
    body: { kind: 'count', count: { kind: 'suppressed' }, questionsLeft: 3 },
    ...(wording === undefined ? {} : { wording }),
  };
  const held = await times.hold(async () => {
    nowMs += tookMs;
    return performed;
  }, signal);
  assert.equal(held, performed);
  return nowMs - 17;
}

describe('the moment of an answer', () => {
  it('is one of few that grow by four, never before the answer is there', async () => {
    const first = await momentOf(0, 'a question');
    assert.ok(first >= FIRST_MS && first < 4 * FIRST_MS, String(first));
    for (const [tookMs, expected] of [
      [first - 1, first],
      [first + 1, 4 * first],
      [4 * first - 1, 4 * first],
      [4 * first + 1, 16 * first],
    ] as const) {
      assert.ok(Math.abs((await momentOf(tookMs, 'a question')) - expected) < 1e-6, `${tookMs}`);
    }
  });

  it('stays with the wording, and cannot be told without the secret', async () => {
    assert.equal(await momentOf(3, 'a question'), await momentOf(40, 'a question'));
    const moments = await Promise.all(Array.from({ length: 200 }, (_, index) => momentOf(3, `question ${index}`)));
    assert.ok(new Set(moments).size > 190);
    const logs = moments.map((ms) => Math.log(ms / FIRST_MS) / Math.log(4));
    const mean = logs.reduce((sum, one) => sum + one, 0) / logs.length;
    assert.ok(mean > 0.4 && mean < 0.6, `spread evenly: ${mean}`);
    assert.notEqual(await momentOf(3, 'a question', 'another secret'), await momentOf(3, 'a question'));
  });

  it('is the same for whatever was refused before anybody was counted', async () => {
    assert.equal(await momentOf(1, undefined), await momentOf(9, undefined));
  });
});

describe('a site', () => {
  let hub: ScriptedHub;
  let site: TestSite;
  before(async () => {
    hub = await startScriptedHub();
    site = await startTestSite(hub, 'site-answer-times', { questionMsMin: FIRST_MS });
    await site.register({ schema: SCHEMA, csv: clinicCsv(120), feasibility: 'any-project' });
  });
  after(async () => {
    await site?.close();
    await hub?.close();
  });

  it('keeps every answer about patients for as long, suppressed, released or refused', async () => {
    const older = (value: number): Filter => ({ kind: 'compare', column: 'age', operator: '>', value });
    const head = () => ({
      schema: 'lantern.task/1' as const,
      taskId: newId('TaskId'),
      siteId: hub.siteId(),
      projectId: newId('ProjectId'),
      createdAt: new Date().toISOString(),
      dataset: 'clinic',
    });
    const tasks: SiteTask[] = [
      { ...head(), kind: 'count', filter: older(105) },
      { ...head(), kind: 'count', filter: older(20) },
      { ...head(), kind: 'summary', filter: older(20), columns: ['sex'] },
      { ...head(), kind: 'count', filter: older(20), dataset: 'none' },
    ];
    for (const task of tasks) {
      const begin = performance.now();
      hub.send(task);
      await hub.answerTo(task.taskId);
      assert.ok(performance.now() - begin >= FIRST_MS, `${task.kind}`);
    }
  });

  it('does so unless its settings say otherwise', () => {
    const settings = loadConfig({ schema: SiteConfigSchema, env: {}, prefix: '', overrides: { dataDir: 'folder' } });
    assert.equal(settings.questionMsMin, FIRST_MS);
  });
});
