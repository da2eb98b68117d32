import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type AnswerBody, HUB_API, type Project, type Run, type RunPlan, type SiteTask } from '@lantern/contract';
import { sha256 } from '@lantern/service';
import { preparedBody } from '../../test/learning-site.ts';
import { refused } from '../../test/refusal.ts';
import { startTestHub, type TestHub } from '../../test/running-hub.ts';
import { joinSite, type Script, type ScriptedSite } from '../../test/scripted-site.ts';
import { endOfRun, planOf, registerAnalysis, submitStudy } from '../../test/study.ts';

const COLUMNS = ['age', 'chol'];
const LOGISTIC = { kind: 'logistic-regression' as const, ridge: 1, damping: 1 };

type Study = {
  hub: TestHub;
  sites: readonly [ScriptedSite, ScriptedSite, ScriptedSite];
  project: Project;
  start: (plan: Partial<RunPlan>) => Promise<Run>;
};

async function study(t: TestContext): Promise<Study> {
  const hub = await startTestHub(t);
  const sites = [
    await joinSite(hub, 'Cleveland'),
    await joinSite(hub, 'Budapest'),
    await joinSite(hub, 'Zurich'),
  ] as const;
  const bundleDigest = await registerAnalysis(hub.admin, LOGISTIC);
  const project = await submitStudy(hub.admin, { sites, bundleDigest, columns: COLUMNS });
  const { projectId } = project;
  return {
    hub,
    sites,
    project,
    start: (plan) =>
      hub.admin.api.call(HUB_API.createRun, { params: { projectId }, body: planOf(sites, { rounds: 2, ...plan }) }),
  };
}

/** Usable answers for two features; the statistics are those of no data, but finite and of the right shape. */
const good: Script = ({ step }): AnswerBody => {
  switch (step.kind) {
    case 'prepare':
      return preparedBody(40, 20, COLUMNS);
    case 'standardise':
      return { kind: 'moments', moments: { rowCount: 40, mean: [54, 240], m2: [3000, 90_000] } };
    case 'newton':
      return {
        kind: 'newton',
        rowCount: 40,
        gradient: [3, -2, 1],
        hessian: [9, 1, 0, 1, 8, 2, 0, 2, 7],
        logLikelihood: -20,
      };
    case 'evaluate':
      return {
        kind: 'evaluation',
        evaluation: {
          rowCount: 20,
          positives: [],
          negatives: [],
          squaredErrorSum: 3,
          logLossSum: 9,
          withheld: ['auc'],
        },
      };
    case 'train':
      return { kind: 'failed', code: 'internal', message: 'not asked in these tests' };
  }
};

const refusal: AnswerBody = {
  kind: 'refused',
  code: 'disclosure.refused',
  message: 'parameters per row above 0.33',
  findings: [
    { rule: 'parameter-row-ratio', subject: 'rows', limit: 0.33, message: 'too many parameters for the rows' },
  ],
};

function inRound(round: number, body: AnswerBody | undefined): Script {
  return (task) => (task.round === round ? body : good(task));
}

async function play(of: Study, plan: Partial<RunPlan>, scripts: readonly Script[]): Promise<Run> {
  const { runId } = await of.start(plan);
  const stops = of.sites.map((site, index) => site.serve(scripts[index] ?? good));
  const run = await endOfRun(of.hub.admin, runId);
  for (const stop of stops) await stop();
  return run;
}

const siteIn = (run: Run, round: number, site: ScriptedSite) =>
  run.rounds[round]?.sites.find((each) => each.siteId === site.siteId);

test('a site whose gate refuses takes no further part; below quorum the run fails and names site and rule', async (t) => {
  const of = await study(t);
  const [, , zurich] = of.sites;
  const without = await play(of, { quorum: 2 }, [good, good, inRound(0, refusal)]);
  assert.equal(without.state, 'completed', without.message);
  assert.deepEqual(siteIn(without, 0, zurich)?.findings, refusal.kind === 'refused' ? refusal.findings : []);
  assert.deepEqual(
    without.rounds.map((round) => round.sites.length),
    [3, 2, 2, 2],
  );
  const failed = await play(of, { quorum: 3 }, [good, good, inRound(0, refusal)]);
  assert.equal(failed.state, 'failed');
  assert.match(failed.message ?? '', /2 of 3 sites.*needs 3.*Zurich.*disclosure\.refused: parameters per row/s);
  assert.equal(failed.rounds.at(-1)?.state, 'abandoned');
});

test('a site that fails a round is asked again in the next; one that failed to prepare is not', async (t) => {
  const of = await study(t);
  const failure: AnswerBody = { kind: 'failed', code: 'executor.failed', message: 'the worker ended' };
  const [, budapest, zurich] = of.sites;
  const run = await play(of, { quorum: 1 }, [good, inRound(1, failure), inRound(0, failure)]);
  assert.equal(run.state, 'completed', run.message);
  assert.equal(siteIn(run, 1, budapest)?.message, 'executor.failed: the worker ended');
  assert.equal(siteIn(run, 2, budapest)?.state, 'answered');
  assert.equal(siteIn(run, 1, zurich), undefined);
});

test('with quorum the round closes after the wait; the late answer is accepted, not counted, and the site asked again', async (t) => {
  const of = await study(t);
  const [cleveland, budapest, zurich] = of.sites;
  const { runId } = await of.start({ quorum: 2, stragglerWaitMs: 200, rounds: 2 });
  const stops = [cleveland.serve(good), budapest.serve(good)];
  await zurich.answer(await zurich.nextTask(), preparedBody(40, 20, COLUMNS));
  const late = await zurich.nextTask();
  assert.ok(late.kind === 'round' && late.round === 1);
  const next = await zurich.nextTask();
  assert.ok(next.kind === 'round' && next.round === 2, 'round 1 was closed without it');
  assert.deepEqual(await zurich.answer(late, bodyFor(late)), { ok: true, counted: false });
  assert.deepEqual(await zurich.answer(next, bodyFor(next)), { ok: true, counted: true });
  const rest = zurich.serve(good);
  const run = await endOfRun(of.hub.admin, runId);
  for (const stop of [...stops, rest]) await stop();
  assert.equal(run.state, 'completed', run.message);
  assert.equal(siteIn(run, 1, zurich)?.state, 'cancelled');
  assert.equal(siteIn(run, 2, zurich)?.state, 'answered');
  assert.equal(run.rounds[1]?.metrics?.['siteCount'], 2);
});

function bodyFor(task: SiteTask): AnswerBody {
  const body = task.kind === 'round' ? good(task) : undefined;
  assert.ok(body !== undefined && 'kind' in body);
  return body;
}

test('silent sites make the run wait, visibly, and it goes on by itself when they return', async (t) => {
  const of = await study(t);
  const [cleveland, budapest, zurich] = of.sites;
  const { runId } = await of.start({ quorum: 3, stragglerWaitMs: 0 });
  const stops = [cleveland.serve(good), budapest.serve(good)];
  await untilState(of.hub, runId, 'waiting');
  stops.push(zurich.serve(good));
  const run = await endOfRun(of.hub.admin, runId);
  for (const stop of stops) await stop();
  assert.equal(run.state, 'completed', run.message);
});

/** A change of state wakes whoever waits for the run, so this is one look per change. */
async function untilState(hub: TestHub, runId: Run['runId'], state: Run['state']): Promise<void> {
  for (let look = 0; look < 100; look += 1) {
    const run = await hub.admin.api.call(HUB_API.readRun, { params: { runId }, query: { waitMs: 100 } });
    if (run.state === state) return;
  }
  assert.fail(`The run never became ${state}.`);
}

test('a decision withdrawn in mid-run takes the site out at once, without its answer', async (t) => {
  const of = await study(t);
  const [cleveland, budapest, zurich] = of.sites;
  await zurich.decide(of.project, 'approved', 1);
  const { runId } = await of.start({ quorum: 2, rounds: 2 });
  const stops = [cleveland.serve(good), budapest.serve(good)];
  await zurich.answer(await zurich.nextTask(), preparedBody(40, 20, COLUMNS));
  const task = await zurich.nextTask();
  await zurich.decide(of.project, 'withdrawn', 2);
  const run = await endOfRun(of.hub.admin, runId);
  for (const stop of stops) await stop();
  assert.equal(run.state, 'completed', run.message);
  assert.equal(siteIn(run, 1, zurich)?.state, 'refused');
  assert.match(siteIn(run, 1, zurich)?.message ?? '', /no approval/);
  assert.equal(siteIn(run, 2, zurich), undefined);
  assert.deepEqual(await zurich.answer(task, bodyFor(task)), { ok: true, counted: false });
});

test('a site revoked in mid-run is out; with nobody else left the run fails and says so', async (t) => {
  const of = await study(t);
  const [cleveland, budapest, zurich] = of.sites;
  const { runId } = await of.start({ quorum: 3 });
  const stops = [cleveland.serve(good), budapest.serve(good)];
  await zurich.nextTask();
  await of.hub.admin.api.call(HUB_API.revokeSite, { params: { siteId: zurich.siteId } });
  const run = await endOfRun(of.hub.admin, runId);
  for (const stop of stops) await stop();
  assert.equal(run.state, 'failed');
  assert.match(run.message ?? '', /Zurich.*revoked/);
});

test('sites that describe the dataset differently cannot train together, and the message names them', async (t) => {
  const of = await study(t);
  const other: AnswerBody = { kind: 'prepared', schemaDigest: sha256('another'), trainRowCount: 40, testRowCount: 9 };
  const run = await play(of, { quorum: 2 }, [good, good, inRound(0, other)]);
  assert.equal(run.state, 'failed');
  assert.match(
    run.message ?? '',
    /dataset\.schema-mismatch.*differently: (Cleveland, Budapest|Budapest, Cleveland) \/ Zurich/,
  );
});

test('statistics of the wrong shape fail the site; numbers that do not fit together fail the run with a reason', async (t) => {
  const of = await study(t);
  const [cleveland] = of.sites;
  const short: AnswerBody = {
    kind: 'newton',
    rowCount: 40,
    gradient: [1, 2],
    hessian: [1, 0, 0, 1],
    logLikelihood: -3,
  };
  const run = await play(of, { quorum: 2 }, [inRound(1, short), good, good]);
  assert.equal(run.state, 'completed', run.message);
  assert.match(siteIn(run, 1, cleveland)?.message ?? '', /update\.invalid: gradient must have 3/);

  const moments: AnswerBody = { kind: 'moments', moments: { rowCount: 40, mean: [1], m2: [1] } };
  const pooled = await play(of, { quorum: 2, standardisation: 'pooled' }, [inRound(1, moments), good, good]);
  assert.equal(pooled.state, 'completed', pooled.message);
  assert.match(siteIn(pooled, 1, cleveland)?.message ?? '', /2 features/);
});

test('a run can be stopped by its creator or an administrator, and stops when its project is closed', async (t) => {
  const of = await study(t);
  const [cleveland] = of.sites;
  const rival = await of.hub.person('rita', 'researcher');
  const { runId } = await of.start({});
  await cleveland.nextTask();
  await refused(rival.api.call(HUB_API.stopRun, { params: { runId } }), 'auth.forbidden');
  const stopped = await of.hub.admin.api.call(HUB_API.stopRun, { params: { runId } });
  assert.equal(stopped.state, 'stopped');
  await refused(of.hub.admin.api.call(HUB_API.stopRun, { params: { runId } }), 'state.transition-refused');
  assert.deepEqual(await cleveland.poll(0), []);

  const second = await of.start({});
  await cleveland.nextTask();
  const ended = endOfRun(of.hub.admin, second.runId);
  await of.hub.admin.api.call(HUB_API.closeProject, { params: { projectId: of.project.projectId } });
  assert.equal((await ended).state, 'stopped');
  await refused(of.start({}), 'state.transition-refused', /closed/);
});

test('a plan that cannot be is refused before any site is asked', async (t) => {
  const of = await study(t);
  const plans: [Partial<RunPlan>, RegExp][] = [
    [{ algorithm: 'other' }, /algorithm/],
    [{ quorum: 4 }, /quorum/],
    [{ rounds: 51 }, /rounds: the project allows at most 50/],
    [{ strategy: { kind: 'fedavg' } }, /strategy/],
    [{ local: { learningRate: 0.1, work: { kind: 'steps', count: 1 } } }, /local/],
  ];
  for (const [plan, says] of plans) await refused(of.start(plan), 'input.invalid', says);
  const { runs } = await of.hub.admin.api.call(HUB_API.listRuns, { params: { projectId: of.project.projectId } });
  assert.deepEqual(runs, []);
});

test('a logistic regression whose Hessian would not fit into an answer is refused before any site is asked', async (t) => {
  const hub = await startTestHub(t);
  const sites = [await joinSite(hub, 'Cleveland')];
  const bundleDigest = await registerAnalysis(hub.admin, LOGISTIC);
  const startWith = async (featureCount: number) => {
    const columns = Array.from({ length: featureCount }, (_, index) => `c${index}`);
    const { projectId } = await submitStudy(hub.admin, { sites, bundleDigest, columns });
    return hub.admin.api.call(HUB_API.createRun, { params: { projectId }, body: planOf(sites) });
  };
  await refused(startWith(350), 'input.invalid', /algorithm: logistic regression takes at most 349 features/);
  assert.equal((await startWith(349)).plan.algorithm, 'fit');
});
