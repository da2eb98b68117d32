/**
 * The last look before anything leaves. Each answer here was computed and stored under a valid approval while the hub was away;
 * the process that computed it is gone, so that nothing in memory knows how the approval ended.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type NewDecision, type ProjectId, type RoundTask, SITE_API } from '@lantern/contract';
import { type Clock, manualClock, newId } from '@lantern/service';
import { sql } from 'kysely';
import { clinicCsv, projectSpec, REGRESSION, roundTask, SCHEMA } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-delivery');
  await site.register({ schema: SCHEMA, csv: clinicCsv(300) });
  hub.bundles.set(REGRESSION.bundleDigest, REGRESSION.manifest);
});

after(async () => {
  await site?.close();
  await hub?.close();
});

/** The first where the site looked after its end, the second where it ended while the site was about to deliver. */
const WITHDRAWN = /withdrew|has ended/;
const APPROVE: NewDecision = { verdict: 'approved', reason: 'ok' };

async function until(isMet: () => Promise<boolean>): Promise<void> {
  while (!(await isMet())) await new Promise((resolve) => setImmediate(resolve));
}

const taskRow = (task: RoundTask) =>
  site.db.selectFrom('task').selectAll().where('task_id', '=', task.taskId).executeTakeFirst();

/** Computes and stores the statistics of a round while the hub is away, then ends the process. */
async function storeAnswer(projectId: ProjectId): Promise<RoundTask> {
  const spec = projectSpec(hub.siteId());
  const ids = { siteId: hub.siteId(), projectId };
  const runId = newId('RunId');
  const first = roundTask(spec, ids, { runId, round: 0, step: { kind: 'prepare' } });
  hub.send(first);
  assert.equal((await hub.answerTo(first.taskId)).body.kind, 'prepared');
  const task = roundTask(spec, ids, { runId, round: 1, step: { kind: 'newton', theta: [0, 0, 0, 0] } });
  await site.database.transaction(async (tx) => {
    // Nobody can look at decisions, so the task waits at the policy until the hub is away.
    await sql`LOCK TABLE decision IN ACCESS EXCLUSIVE MODE`.execute(tx);
    hub.send(task);
    await until(async () => (await taskRow(task)) !== undefined);
    await hub.goAway();
  });
  await until(async () => (await taskRow(task))?.answer_kind === 'newton');
  await site.stop();
  return task;
}

/** Only a refusal leaves, for this reason; the statistics are on no wire and no longer at the site. */
async function assertStopped(task: RoundTask, before: string, message: RegExp): Promise<void> {
  const { body } = await hub.answerTo(task.taskId);
  assert.ok(body.kind === 'refused', body.kind);
  assert.match(body.message, message);
  assert.deepEqual(
    hub.answers.filter(({ taskId }) => taskId === task.taskId).map((answer) => answer.body.kind),
    ['refused'],
  );
  assert.ok(!hub.sentBytes().includes(before), 'the stored answer is in no byte that left');
  await until(async () => (await taskRow(task))?.state === 'delivered');
  assert.equal((await taskRow(task))?.answer_kind, 'refused');
  const { records } = await site.as('governance').call(SITE_API.listAudit, { query: { limit: 1000 } });
  const stopped = records.filter(({ action, object }) => action === 'answer.stopped' && object === task.taskId);
  assert.equal(stopped.length, 1);
}

async function payloadOf(task: RoundTask): Promise<string> {
  const payload = (await taskRow(task))?.answer_envelope?.payload;
  assert.ok(payload !== undefined && payload.length > 100);
  return payload;
}

describe('an answer that was stored before its process ended', () => {
  const restarted = async (clock?: Clock) => site.start(clock === undefined ? {} : { clock });

  it('leaves when the approval still stands', async () => {
    const task = await storeAnswer(await site.project(hub, projectSpec(hub.siteId()), APPROVE));
    const stored = await payloadOf(task);
    await restarted();
    await hub.comeBack();
    assert.equal((await hub.answerTo(task.taskId)).body.kind, 'newton');
    assert.ok(hub.sentBytes().includes(stored), 'byte for byte, so that the absence below means something');
  });

  it('does not leave when the approval was withdrawn meanwhile', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()), APPROVE);
    const task = await storeAnswer(projectId);
    const stored = await payloadOf(task);
    await restarted();
    await site.decide(projectId, { verdict: 'withdrawn', reason: 'A patient objected.' });
    await site.stop();
    await restarted();
    await hub.comeBack();
    await assertStopped(task, stored, WITHDRAWN);
  });

  it('does not leave when the approval expired meanwhile', async () => {
    const expiresAt = new Date(Date.now() + 60_000).toISOString(); // within what the hub takes for the same clock
    const projectId = await site.project(hub, projectSpec(hub.siteId()), { ...APPROVE, expiresAt });
    const task = await storeAnswer(projectId);
    const stored = await payloadOf(task);
    await restarted(manualClock(expiresAt));
    await hub.comeBack();
    await assertStopped(task, stored, /expired/);
    await site.stop();
    await restarted();
  });

  it('does not leave when the decision was changed meanwhile', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()), APPROVE);
    const task = await storeAnswer(projectId);
    const stored = await payloadOf(task);
    await site.database.pool.query(
      `update decision set document = jsonb_set(document, '{reason}', '"another"') where project_id = $1`,
      [projectId],
    );
    await restarted();
    await hub.comeBack();
    await assertStopped(task, stored, /not the one that it signed/);
  });

  it('does not leave under the name of a refusal that somebody wrote beside it', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()), APPROVE);
    const task = await storeAnswer(projectId);
    const stored = await payloadOf(task);
    await site.database.pool.query(`update task set answer_kind = 'refused' where task_id = $1`, [task.taskId]);
    await restarted();
    await site.decide(projectId, { verdict: 'withdrawn', reason: 'A patient objected.' });
    await site.stop();
    await restarted();
    await hub.comeBack();
    await assertStopped(task, stored, WITHDRAWN);
  });

  it('does not leave when it is the answer to another task, or is signed by nobody', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()), APPROVE);
    const task = await storeAnswer(projectId);
    const stored = await payloadOf(task);
    await site.database.pool.query(
      `update task set answer_envelope = (select answer_envelope from task where state = 'delivered' and answer_kind = 'newton' limit 1)
       where task_id = $1`,
      [task.taskId],
    );
    assert.notEqual(await payloadOf(task), stored);
    await restarted();
    await hub.comeBack();
    await assertStopped(task, stored, /not one that this site signed/);
    const forged = await storeAnswer(projectId);
    const payload = await payloadOf(forged);
    await site.database.pool.query(
      `update task set answer_envelope = jsonb_set(answer_envelope, '{signatures,0,sig}', to_jsonb(repeat('A', 86) || '=='))
       where task_id = $1`,
      [forged.taskId],
    );
    await restarted();
    await hub.comeBack();
    await assertStopped(forged, payload, /not one that this site signed/);
  });
});
