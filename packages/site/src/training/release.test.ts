import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RUN_STATISTICS_POLICY_DEFAULT } from '@lantern/contract';
import { createReleasedRowsBuilder, type ReleasedRows } from '@lantern/omop';
import { createLogger, documentDigest, generateKeyPair, newId, systemClock } from '@lantern/service';
import { conditionsOf, projectSpec, roundTask } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';
import type { SiteContext } from '../site-context.ts';
import { type ArrivingRun, letRunIn } from './release.ts';

let hub: ScriptedHub;
let site: TestSite;
let deps: SiteContext;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-release');
  const log = createLogger({ name: 'test', level: 'silent' });
  deps = { ...site, clock: systemClock, log, keyPair: generateKeyPair(), siteId: hub.siteId() };
});

after(async () => {
  await site?.close();
  await hub?.close();
});

function rowsOf(patientCount: number): ReleasedRows {
  const builder = createReleasedRowsBuilder(['age']);
  const patients = Float64Array.from({ length: patientCount }, (_, patient) => patient);
  builder.add(patients, [patients.map((patient) => 40 + (patient % 30))]);
  return builder.finish();
}

function arriving(
  dataset: string,
  rows: ReleasedRows,
  change: { decision?: string; runCountMax?: number } = {},
): ArrivingRun {
  const spec = projectSpec(hub.siteId());
  const [algorithm = assert.fail()] = spec.algorithms;
  const { runCountMax = 100, decision = 'a decision' } = change;
  const conditions = conditionsOf(spec, { runCountMax, runStatistics: RUN_STATISTICS_POLICY_DEFAULT });
  const ids = { siteId: hub.siteId(), projectId: newId('ProjectId') };
  return {
    task: roundTask(spec, ids, { round: 0, step: { kind: 'prepare' } }),
    permission: { allowed: true, conditions, decisionDigest: documentDigest(decision), algorithm, spec },
    dataset,
    held: [{ rowSet: 'train', rows }],
  };
}

describe('the number of runs under a decision', () => {
  const few = (decision: string) => arriving('counted', rowsOf(100), { decision, runCountMax: 2 });

  it('is limited, and a new decision starts anew', async () => {
    for (let run = 0; run < 2; run += 1) assert.equal(await letRunIn(deps, few('first')), undefined);
    const third = await letRunIn(deps, few('first'));
    assert.ok(third?.body.kind === 'refused' && third.body.code === 'policy.refused', JSON.stringify(third));
    assert.match(third.body.message, /allows 2 runs/);
    assert.equal(await letRunIn(deps, few('second')), undefined);
  });

  it('counts a run once, however often it is asked', async () => {
    const run = few('again');
    for (let attempt = 0; attempt < 5; attempt += 1) assert.equal(await letRunIn(deps, run), undefined);
    assert.equal(await letRunIn(deps, few('again')), undefined);
    assert.equal((await letRunIn(deps, few('again')))?.body.kind, 'refused');
  });

  it('is kept when several runs arrive at once', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => letRunIn(deps, few('at once'))));
    assert.equal(answers.filter((answer) => answer === undefined).length, 2);
  });

  it('counts a run that is refused for its rows', async () => {
    const change = { decision: 'refused', runCountMax: 2 };
    assert.equal(await letRunIn(deps, arriving('near', rowsOf(100), change)), undefined);
    const near = await letRunIn(deps, arriving('near', rowsOf(101), change));
    assert.ok(near?.body.kind === 'refused' && near.body.code === 'disclosure.refused');
    const spent = await letRunIn(deps, arriving('near', rowsOf(100), change));
    assert.ok(spent?.body.kind === 'refused' && spent.body.code === 'policy.refused');
  });
});

describe('the rows of earlier runs', () => {
  it('let only one of two runs in that arrive at once on nearly the same rows', async () => {
    const answers = await Promise.all([100, 103].map((count) => letRunIn(deps, arriving('twins', rowsOf(count)))));
    assert.deepEqual(answers.map((answer) => answer?.body.kind).toSorted(), ['refused', undefined]);
  });

  it('are kept once, whatever the number of runs on them, and are those of one dataset', async () => {
    for (let run = 0; run < 3; run += 1) assert.equal(await letRunIn(deps, arriving('one', rowsOf(100))), undefined);
    assert.equal(await letRunIn(deps, arriving('another', rowsOf(101))), undefined);
    const kept = await site.db.selectFrom('released_rows').select('ordinal').where('dataset', '=', 'one').execute();
    assert.equal(kept.length, 1);
  });
});
