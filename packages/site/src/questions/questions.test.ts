import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type AnswerBody, EVERYTHING, type Filter, type ProjectId, SITE_API, type SiteTask } from '@lantern/contract';
import { newId } from '@lantern/service';
import { clinicCsv, projectSpec, SCHEMA } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';
import { keyedHashOf } from './gated-release.ts';

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-questions');
  const table = { schema: SCHEMA, csv: clinicCsv(400) };
  await site.register({ ...table, feasibility: 'any-project' });
  await site.register({ ...table, schema: { ...SCHEMA, name: 'guarded' } });
});

after(async () => {
  await site?.close();
  await hub?.close();
});

const older = (age: number): Filter => ({ kind: 'compare', column: 'age', operator: '>', value: age });

function task(projectId: ProjectId, filter: Filter, rest: { dataset?: string; columns?: string[] } = {}): SiteTask {
  const { dataset = 'clinic', columns } = rest;
  const head = {
    schema: 'lantern.task/1' as const,
    taskId: newId('TaskId'),
    siteId: hub.siteId(),
    projectId,
    createdAt: new Date().toISOString(),
    dataset,
    filter,
  };
  return columns === undefined ? { ...head, kind: 'count' } : { ...head, kind: 'summary', columns };
}

/** The budget that undecided projects share, full again. */
const refill = () => site.db.deleteFrom('question_charge').execute();

async function ask(...question: Parameters<typeof task>): Promise<AnswerBody> {
  const asked = task(...question);
  hub.send(asked);
  return (await hub.answerTo(asked.taskId)).body;
}

function counted(body: AnswerBody): Extract<AnswerBody, { kind: 'count' }> {
  assert.ok(body.kind === 'count', JSON.stringify(body));
  return body;
}

describe('a count', () => {
  beforeEach(refill);

  it('is rounded, near the truth, and costs one question', async () => {
    const projectId = newId('ProjectId');
    const body = counted(await ask(projectId, EVERYTHING));
    assert.ok(body.count.kind === 'released');
    assert.equal(body.count.value % 10, 0);
    assert.ok(Math.abs(body.count.value - 400) <= 40, `${body.count.value}`);
    assert.equal(body.questionsLeft, 29);
  });

  it('below the threshold looks the same as zero, byte for byte', async () => {
    const projectId = newId('ProjectId');
    const few = counted(
      await ask(projectId, { kind: 'all', of: [older(74), { kind: 'in', column: 'sex', values: ['0'] }] }),
    );
    const none = counted(await ask(projectId, older(109)));
    assert.deepEqual(few.count, { kind: 'suppressed' });
    assert.equal(JSON.stringify(few.count), JSON.stringify(none.count));
  });

  it('is the same for the same question in other words, which is free only in the same words', async () => {
    const projectId = newId('ProjectId');
    const first = counted(await ask(projectId, older(60)));
    const same = counted(await ask(projectId, older(60)));
    const inOtherWords = counted(
      await ask(projectId, { kind: 'not', of: { kind: 'compare', column: 'age', operator: '<=', value: 60 } }),
    );
    assert.deepEqual([same.count, inOtherWords.count], [first.count, first.count]);
    assert.deepEqual(
      [first, same, inOtherWords].map(({ questionsLeft }) => questionsLeft),
      [29, 29, 28],
    );
  });

  it('of nearly the same patients repeats the first answer, also to another project', async () => {
    const all = counted(await ask(newId('ProjectId'), older(40)));
    const fewOldWomen: Filter = { kind: 'all', of: [older(74), { kind: 'in', column: 'sex', values: ['0'] }] };
    const without: Filter = { kind: 'all', of: [older(40), { kind: 'not', of: fewOldWomen }] };
    assert.deepEqual(counted(await ask(newId('ProjectId'), without)).count, all.count);
  });

  it('of a later version of the dataset that differs by one patient repeats the answer of the version before', async () => {
    const schema = { ...SCHEMA, name: 'versions' };
    const inVersions = { dataset: 'versions' };
    await site.register({ schema, csv: clinicCsv(400), feasibility: 'any-project' });
    const before = [];
    for (let age = 36; age < 60; age += 6)
      before.push(counted(await ask(newId('ProjectId'), older(age), inVersions)).count);
    const without = clinicCsv(400).replace(/^p7,.*\n/m, ''); // a patient of 43
    await site.register({ schema, csv: without, feasibility: 'any-project' });
    const after = [];
    for (let age = 36; age < 60; age += 6)
      after.push(counted(await ask(newId('ProjectId'), older(age), inVersions)).count);
    assert.deepEqual(after, before);
  });

  it('finds the answer to repeat behind any number of sets that are as large and far away', async () => {
    const inDeep = { dataset: 'deep' };
    await site.register({ schema: { ...SCHEMA, name: 'deep' }, csv: clinicCsv(400), feasibility: 'any-project' });
    const size = 390;
    for (let decoy = 0; decoy < 20; decoy += 1) {
      const patients = Buffer.alloc(200 + decoy * 50);
      patients.fill(0xff, patients.length - Math.ceil(size / 8));
      const row = {
        patients,
        patient_count: size,
        fingerprint: Buffer.from([decoy]),
        noise_std_dev: 6,
        noisy_count: 1,
      };
      await site.db
        .insertInto('answered_set')
        .values({ dataset: 'deep', ...row, answered_at: new Date() })
        .execute();
    }
    await ask(newId('ProjectId'), EVERYTHING, inDeep);
    const oneOldWoman: Filter = { kind: 'all', of: [older(74), { kind: 'in', column: 'sex', values: ['0'] }] };
    await ask(newId('ProjectId'), { kind: 'not', of: oneOldWoman }, inDeep);
    const answered = await site.db
      .selectFrom('answered_set')
      .select(['patient_count', 'noisy_count'])
      .where('dataset', '=', 'deep')
      .where('noisy_count', '>', 1)
      .orderBy('ordinal')
      .execute();
    const [first, second] = answered;
    assert.equal(answered.length, 2);
    assert.ok((first?.patient_count ?? 0) > (second?.patient_count ?? 0), 'they are two sets');
    assert.equal(second?.noisy_count, first?.noisy_count);
  });

  it('asked twice at once gets one answer', async () => {
    const tasks = Array.from({ length: 6 }, () => task(newId('ProjectId'), older(52)));
    for (const one of tasks) hub.send(one);
    const bodies = await Promise.all(tasks.map(async ({ taskId }) => counted((await hub.answerTo(taskId)).body)));
    assert.equal(new Set(bodies.map(({ count }) => JSON.stringify(count))).size, 1);
    const rows = await site.db
      .selectFrom('answered_set')
      .select('fingerprint')
      .where('dataset', '=', 'clinic')
      .execute();
    assert.equal(new Set(rows.map(({ fingerprint }) => fingerprint.toString('hex'))).size, rows.length);
  });

  it("by a filter that does not fit the schema fails with the schema's words", async () => {
    const unknown = await ask(newId('ProjectId'), { kind: 'missing', column: 'shoe_size' });
    assert.ok(unknown.kind === 'failed' && unknown.code === 'input.invalid');
    const key = await ask(newId('ProjectId'), { kind: 'missing', column: 'patient' });
    assert.ok(key.kind === 'failed' && /patient key/.test(key.message));
  });
});

describe('a summary', () => {
  beforeEach(refill);

  it('divides the patients over declared bins and categories, each cell through the gate', async () => {
    const body = await ask(newId('ProjectId'), EVERYTHING, { columns: ['age', 'sex'] });
    assert.ok(body.kind === 'summary');
    const [age, sex] = body.tables;
    assert.deepEqual(
      age?.cells.map(({ label }) => label),
      ['18 to below 40', '40 to below 60', '60 to 110'],
    );
    assert.deepEqual(
      sex?.cells.map(({ label }) => label),
      ['0', '1'],
    );
    for (const { cells } of body.tables) {
      for (const { count } of cells)
        assert.ok(count.kind === 'suppressed' || (count.value >= 10 && count.value % 10 === 0));
    }
    assert.ok(body.questionsLeft < 29);
  });
});

describe('who may ask', () => {
  beforeEach(refill);

  it('a project that is not decided about, from one budget with all others, then by what it was granted', async () => {
    const inOpen = { dataset: 'open' };
    await site.register({ schema: { ...SCHEMA, name: 'open' }, csv: clinicCsv(400), feasibility: 'any-project' });
    const asked = projectSpec(hub.siteId(), { datasets: ['open'], algorithms: [] });
    const [first, second] = [await site.project(hub, asked), await site.project(hub, asked)];
    for (let age = 36; age < 66; age += 1) {
      assert.equal(counted(await ask(age % 2 === 0 ? first : second, older(age), inOpen)).questionsLeft, 65 - age);
    }
    for (const projectId of [first, second, newId('ProjectId')]) {
      const spent = await ask(projectId, older(66), inOpen);
      assert.ok(spent.kind === 'refused' && spent.code === 'disclosure.budget-spent' && /share/.test(spent.message));
    }
    const body = { dataset: 'open', more: 1, reason: 'looked at it' };
    await site.as('governance').call(SITE_API.grantQuestions, { params: { projectId: second }, body });
    assert.equal(counted(await ask(second, older(66), inOpen)).questionsLeft, 0);
    const others = await ask(first, older(67), inOpen);
    assert.ok(others.kind === 'refused' && others.code === 'disclosure.budget-spent');
    await site.decide(second, { verdict: 'approved', reason: 'ok' });
    assert.equal(counted(await ask(second, older(67), inOpen)).questionsLeft, 30 + 1 - 15 - 1 - 1);
  });

  it('nobody without an approval, where the dataset is not open', async () => {
    const body = await ask(newId('ProjectId'), EVERYTHING, { dataset: 'guarded' });
    assert.ok(body.kind === 'refused' && body.code === 'policy.not-approved');
  });

  it('an approved project, under the rules of the decision, whose digest the answer names', async () => {
    const spec = projectSpec(hub.siteId(), { datasets: ['guarded'], algorithms: [] });
    const projectId = await site.project(hub, spec, {
      verdict: 'approved',
      reason: 'ok',
      counts: { patientCountMin: 390, questionsMax: 2 },
    });
    const asked = task(projectId, EVERYTHING, { dataset: 'guarded' });
    hub.send(asked);
    const answer = await hub.answerTo(asked.taskId);
    assert.match(answer.decisionDigest ?? '', /^[0-9a-f]{64}$/);
    assert.equal(counted(answer.body).questionsLeft, 1);
    const half = counted(await ask(projectId, { kind: 'in', column: 'sex', values: ['1'] }, { dataset: 'guarded' }));
    assert.deepEqual(half.count, { kind: 'suppressed' }); // 267 patients, and 390 are needed
  });

  it('until its budget is spent, and again when the governance lead grants more', async () => {
    const spec = projectSpec(hub.siteId(), { datasets: ['guarded'], algorithms: [] });
    const projectId = await site.project(hub, spec, { verdict: 'approved', reason: 'ok', counts: { questionsMax: 1 } });
    const inGuarded = { dataset: 'guarded' };
    assert.equal(counted(await ask(projectId, older(50), inGuarded)).questionsLeft, 0);
    const spent = await ask(projectId, older(51), inGuarded);
    assert.ok(spent.kind === 'refused' && spent.code === 'disclosure.budget-spent');
    assert.equal(counted(await ask(projectId, older(50), inGuarded)).questionsLeft, 0);
    const grant = { dataset: 'guarded', more: 2, reason: 'looked at it' };
    await site.as('governance').call(SITE_API.grantQuestions, { params: { projectId }, body: grant });
    assert.equal(counted(await ask(projectId, older(51), inGuarded)).questionsLeft, 1);
  });

  it('is told when there is no such dataset', async () => {
    const spec = projectSpec(hub.siteId(), { datasets: ['nowhere'], algorithms: [] });
    const projectId = await site.project(hub, spec, { verdict: 'approved', reason: 'ok' });
    const body = await ask(projectId, EVERYTHING, { dataset: 'nowhere' });
    assert.ok(body.kind === 'refused' && body.code === 'not-found');
  });
});

describe('the noise', () => {
  beforeEach(refill);

  it("depends on the site's secret, the purpose and the set, and on nothing else", () => {
    const set = new Uint8Array([1, 2, 3]);
    const hash = (secret: string, purpose: string, message: Uint8Array) =>
      Buffer.from(keyedHashOf(secret)(purpose, message)).toString('hex');
    assert.equal(hash('a', 'count', set), hash('a', 'count', set));
    const others = [
      hash('b', 'count', set),
      hash('a', 'set', set),
      hash('a', 'count', new Uint8Array([1, 2, 4])),
      hash('a', 'count', set),
    ];
    assert.equal(new Set(others).size, 4);
  });

  it('is the same after a restart', async () => {
    const before = counted(await ask(newId('ProjectId'), older(45)));
    await site.db.deleteFrom('answered_set').execute();
    await site.stop();
    await site.start();
    const asked = task(newId('ProjectId'), older(45));
    hub.send(asked);
    assert.deepEqual(counted((await hub.answerTo(asked.taskId)).body).count, before.count);
  });
});
