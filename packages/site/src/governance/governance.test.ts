import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type NewDecision, type ProjectId, type RoundTask, SITE_API, type Step } from '@lantern/contract';
import { documentDigest, manualClock, newId } from '@lantern/service';
import { clinicCsv, projectSpec, REGRESSION, roundTask, SCHEMA } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-governance');
  await site.register({ schema: SCHEMA, csv: clinicCsv(300) });
  hub.bundles.set(REGRESSION.bundleDigest, REGRESSION.manifest);
});

after(async () => {
  await site?.close();
  await hub?.close();
});

const APPROVE: NewDecision = { verdict: 'approved', reason: 'ok' };
const WITHDRAW: NewDecision = { verdict: 'withdrawn', reason: 'A patient objected.' };
const theta = [0, 0, 0, 0];

function tasksOf(projectId: ProjectId, spec = projectSpec(hub.siteId())): (round: number, step: Step) => RoundTask {
  const runId = newId('RunId');
  return (round, step) => roundTask(spec, { siteId: hub.siteId(), projectId }, { runId, round, step });
}

async function perform(task: RoundTask) {
  hub.send(task);
  return hub.answerTo(task.taskId);
}

const read = (projectId: ProjectId) => site.as('governance').call(SITE_API.readProject, { params: { projectId } });

async function auditActions(object: string): Promise<string[]> {
  const { records } = await site.as('governance').call(SITE_API.listAudit, { query: { limit: 1000 } });
  return records.filter((record) => record.object === object).map(({ action, outcome }) => `${action} ${outcome}`);
}

describe('a decision', () => {
  it('is signed by the site, kept, and delivered to the hub as it was signed', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()));
    assert.equal((await read(projectId)).state, 'asked');
    const { state, decision, envelope } = await site.decide(projectId, APPROVE);
    assert.equal(state, 'approved');
    await hub.until(() => hub.decisions.some((delivered) => delivered.projectId === projectId));
    assert.deepEqual(
      hub.decisions.find((delivered) => delivered.projectId === projectId),
      decision,
    );
    assert.equal(decision?.decidedBy, 'test.governance');
    assert.deepEqual((await read(projectId)).envelope, envelope);
    assert.deepEqual(await auditActions(projectId), ['project.asked success', 'decision.approve success']);
  });

  it('on one project follows another in order, each with the next number', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()));
    for (const decision of [APPROVE, WITHDRAW, APPROVE]) await site.decide(projectId, decision);
    const delivered = () => hub.decisions.filter((decision) => decision.projectId === projectId);
    await hub.until(() => delivered().length === 3);
    assert.deepEqual(
      delivered().map(({ sequence, verdict }) => [sequence, verdict]),
      [
        [1, 'approved'],
        [2, 'withdrawn'],
        [3, 'approved'],
      ],
    );
  });

  it('is refused where the table of states does not allow it', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()));
    await assert.rejects(site.decide(projectId, WITHDRAW), { code: 'state.transition-refused' });
    await site.decide(projectId, { verdict: 'refused', reason: 'no' });
    await assert.rejects(site.decide(projectId, WITHDRAW), { code: 'state.transition-refused' });
    assert.equal((await site.decide(projectId, APPROVE)).state, 'approved');
  });

  it('on a project that does not ask this site is refused', async () => {
    await assert.rejects(site.decide(newId('ProjectId'), APPROVE), { code: 'not-found' });
  });

  it('reaches the hub later when the hub is away', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()));
    assert.equal((await read(projectId)).state, 'asked');
    await hub.goAway();
    assert.equal((await site.decide(projectId, APPROVE)).state, 'approved');
    await hub.comeBack();
    await hub.until(() => hub.decisions.some((delivered) => delivered.projectId === projectId));
  });
});

describe('a project that the hub sends', () => {
  it('is ignored when its digest is not that of its document, or it does not ask this site', async () => {
    const spec = projectSpec(hub.siteId());
    const wrongDigest = newId('ProjectId');
    const elsewhere = newId('ProjectId');
    const other = projectSpec(newId('SiteId'));
    hub.asked.push({ projectId: wrongDigest, spec, projectDigest: documentDigest('x'), state: 'submitted' });
    hub.asked.push({ projectId: elsewhere, spec: other, projectDigest: documentDigest(other), state: 'submitted' });
    const { projects } = await site.as('governance').call(SITE_API.listProjects, {});
    assert.ok(projects.every(({ projectId }) => projectId !== wrongDigest && projectId !== elsewhere));
  });

  it('stays what it was when the hub later sends another document under its id', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()), APPROVE);
    const wider = projectSpec(hub.siteId(), { purpose: 'Something else.' });
    hub.asked = hub.asked.map((asked) =>
      asked.projectId === projectId ? { ...asked, spec: wider, projectDigest: documentDigest(wider) } : asked,
    );
    const { projects } = await site.as('governance').call(SITE_API.listProjects, {});
    assert.equal(projects.find((project) => project.projectId === projectId)?.spec.purpose, 'To test.');
    const answer = await perform(tasksOf(projectId, wider)(0, { kind: 'prepare' }));
    assert.ok(answer.body.kind === 'refused' && answer.body.code === 'policy.refused');
  });

  it('lapses here when it closed at the hub before it was decided', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()));
    await read(projectId);
    hub.asked = hub.asked.map((asked) => (asked.projectId === projectId ? { ...asked, state: 'closed' } : asked));
    await site.as('governance').call(SITE_API.listProjects, {});
    assert.equal((await read(projectId)).state, 'lapsed');
    await assert.rejects(site.decide(projectId, APPROVE), { code: 'state.transition-refused' });
  });
});

describe('a withdrawal', () => {
  it('stops the next round at this site, which says so', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()), APPROVE);
    const task = tasksOf(projectId);
    assert.equal((await perform(task(0, { kind: 'prepare' }))).body.kind, 'prepared');
    assert.equal((await perform(task(1, { kind: 'newton', theta }))).body.kind, 'newton');
    await site.decide(projectId, WITHDRAW);
    const { body, decisionDigest } = await perform(task(2, { kind: 'newton', theta }));
    assert.ok(body.kind === 'refused' && body.code === 'policy.not-approved');
    assert.match(body.message, /withdrew/);
    assert.equal(decisionDigest, undefined);
  });

  it('between computation and delivery stops the answer, and a refusal leaves in its place', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()), APPROVE);
    const task = tasksOf(projectId);
    await perform(task(0, { kind: 'prepare' }));
    // The hub fails the first delivery; while the answer waits at the site, the approval is withdrawn.
    const round = task(1, { kind: 'newton', theta });
    let attempts = 0;
    const seen: string[] = [];
    hub.beforeAnswer = async (answer) => {
      if (answer.taskId !== round.taskId) return;
      attempts += 1;
      seen.push(answer.body.kind);
      if (attempts > 1) return;
      await site.decide(projectId, WITHDRAW);
      const { AppError } = await import('@lantern/contract');
      throw new AppError('database.unavailable', 'Come back later.');
    };
    const { body } = await perform(round);
    hub.beforeAnswer = async () => undefined;
    assert.ok(body.kind === 'refused' && body.code === 'policy.not-approved');
    assert.deepEqual(seen, ['newton', 'refused']);
    const row = await site.db
      .selectFrom('task')
      .selectAll()
      .where('task_id', '=', round.taskId)
      .executeTakeFirstOrThrow();
    assert.equal(row.answer_kind, 'refused');
    assert.ok((await auditActions(round.taskId)).includes('answer.stopped refused'));
  });
});

describe('an approval that ends by itself', () => {
  it('is refused from that instant on and shown as expired, with an audit record', async () => {
    const expiresAt = new Date(Date.now() + 3600_000).toISOString();
    const projectId = await site.project(hub, projectSpec(hub.siteId()), { ...APPROVE, expiresAt });
    await site.stop();
    await site.start({ clock: manualClock(expiresAt) });
    const row = async () =>
      site.db.selectFrom('asked_project').select('state').where('project_id', '=', projectId).executeTakeFirstOrThrow();
    while ((await row()).state !== 'expired') await new Promise((resolve) => setImmediate(resolve));
    await site.stop();
    await site.start();
    assert.ok((await auditActions(projectId)).includes('decision.expire success'));
    const answer = await perform(tasksOf(projectId)(0, { kind: 'prepare' }));
    assert.ok(answer.body.kind === 'refused' && answer.body.code === 'policy.not-approved');
  });
});
