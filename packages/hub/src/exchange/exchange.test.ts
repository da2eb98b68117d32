import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { HUB_API, pathOf, type SignedEnvelope, type SiteTask } from '@lantern/contract';
import { manualClock, newId, sha256 } from '@lantern/service';
import { refused } from '../../test/refusal.ts';
import { startTestHub, type TestHub, type TestPerson } from '../../test/running-hub.ts';
import { joinSite, type ScriptedSite, signedAnswer } from '../../test/scripted-site.ts';
import { planOf, registerAnalysis, registerGraph, schemaOf, specOf, submitStudy, tinyModel } from '../../test/study.ts';

const EVERYBODY = { kind: 'all' as const, of: [] };
const COUNTED = { kind: 'count' as const, count: { kind: 'released' as const, value: 120 }, questionsLeft: 29 };

/** A draft project over these sites, and a question to ask about it. */
async function draft(person: TestPerson, sites: readonly ScriptedSite[]) {
  const { projectId } = await person.api.call(HUB_API.createProject, { body: specOf(sites, []) });
  return () =>
    person.api.call(HUB_API.askQuestion, { params: { projectId }, body: { dataset: 'heart', filter: EVERYBODY } });
}

async function hubWithSites(hub: TestHub, ...names: string[]) {
  const sites = await Promise.all(names.map((name) => joinSite(hub, name)));
  const researcher = await hub.person('rosa', 'researcher');
  return { sites, researcher, ask: await draft(researcher, sites) };
}

test('a waiting poll is woken by a task within milliseconds, and an idle one ends with nothing', async (t) => {
  const hub = await startTestHub(t);
  const { sites, ask } = await hubWithSites(hub, 'Zurich');
  const [zurich] = sites;
  assert.ok(zurich !== undefined);
  assert.deepEqual(await zurich.poll(30), []);
  const waiting = zurich.poll(20_000);
  const question = await ask();
  const askedAtMs = performance.now();
  const tasks = await waiting;
  assert.equal(tasks.length, 1);
  assert.equal(tasks[0]?.kind, 'count');
  assert.ok(performance.now() - askedAtMs < 1000, 'by notification, not by a timer of seconds');
  assert.equal(question.complete, false);
});

test('a delivered task comes again after its lease, or at once when the site asks for everything', async (t) => {
  const clock = manualClock('2026-03-01T08:00:00Z');
  const hub = await startTestHub(t, { clock });
  const zurich = await joinSite(hub, 'Zurich', { clock });
  const { projectId } = await hub.admin.api.call(HUB_API.createProject, {
    body: specOf([zurich], [], { expiresAt: '2026-04-01T00:00:00Z' }),
  });
  await hub.admin.api.call(HUB_API.askQuestion, {
    params: { projectId },
    body: { dataset: 'heart', filter: EVERYBODY },
  });
  const [task] = await zurich.poll(1);
  assert.ok(task !== undefined);
  assert.deepEqual(await zurich.poll(1), [], 'the lease is running');
  assert.deepEqual(await zurich.poll(0), [task], 'a site that starts asks for everything');
  clock.advanceMs(9_000);
  assert.deepEqual(await zurich.poll(1), [], 'the lease doubles with each delivery: 10 s');
  clock.advanceMs(1_000);
  assert.deepEqual(await zurich.poll(1), [task]);
});

test('an answer counts once, whoever sends it again', async (t) => {
  const hub = await startTestHub(t);
  const { sites, researcher, ask } = await hubWithSites(hub, 'Zurich', 'Budapest');
  const [zurich, budapest] = sites;
  assert.ok(zurich !== undefined && budapest !== undefined);
  const { questionId } = await ask();
  const task = await zurich.nextTask();
  assert.deepEqual(await zurich.answer(task, COUNTED), { ok: true, counted: true });
  assert.deepEqual(await zurich.answer(task, COUNTED), { ok: true, counted: false });
  const changed = { ...COUNTED, count: { kind: 'released' as const, value: 60 } };
  assert.deepEqual(await zurich.answer(task, changed), { ok: true, counted: false });

  const waiting = researcher.api.call(HUB_API.readQuestion, { params: { questionId }, query: { waitMs: 20_000 } });
  const refusal = {
    kind: 'refused' as const,
    code: 'policy.not-approved' as const,
    message: 'no approval',
    findings: [],
  };
  await budapest.answer(await budapest.nextTask(), refusal);
  const question = await waiting;
  assert.equal(question.complete, true);
  const bodies = new Map(question.answers.map(({ siteId, state, body }) => [siteId, { state, body }]));
  assert.deepEqual(bodies.get(zurich.siteId), { state: 'answered', body: COUNTED });
  assert.deepEqual(bodies.get(budapest.siteId), { state: 'refused', body: refusal });
  assert.deepEqual(await zurich.poll(0), [], 'an answered task is not delivered again');
});

test('two copies of one answer at the same moment count once', async (t) => {
  const hub = await startTestHub(t);
  const { sites, ask } = await hubWithSites(hub, 'Zurich');
  const [zurich] = sites;
  assert.ok(zurich !== undefined);
  await ask();
  const task = await zurich.nextTask();
  const copies = await Promise.all(Array.from({ length: 6 }, () => zurich.answer(task, COUNTED)));
  assert.equal(copies.filter((copy) => copy.counted).length, 1);
});

test("an answer must be the site's own: its task, its name, its key, unchanged", async (t) => {
  const hub = await startTestHub(t);
  const { sites, ask } = await hubWithSites(hub, 'Zurich', 'Budapest');
  const [zurich, budapest] = sites;
  assert.ok(zurich !== undefined && budapest !== undefined);
  await ask();
  const task = await zurich.nextTask();
  const send = (by: ScriptedSite, body: SignedEnvelope, taskId = task.taskId) =>
    by.api.call(HUB_API.answerTask, { params: { taskId }, body });

  await refused(send(budapest, signedAnswer(task, COUNTED, budapest)), 'not-found');
  const unknown: Pick<SiteTask, 'taskId'> = { taskId: newId('TaskId') };
  await refused(send(zurich, signedAnswer(unknown, COUNTED, zurich), unknown.taskId), 'not-found');
  await refused(send(zurich, signedAnswer(task, COUNTED, { ...zurich, siteId: budapest.siteId })), 'envelope.rejected');
  await refused(
    send(zurich, signedAnswer(task, COUNTED, { ...zurich, keyPair: budapest.keyPair })),
    'envelope.rejected',
  );
  await refused(send(zurich, signedAnswer(unknown, COUNTED, zurich)), 'envelope.rejected', /another task/);
  const good = signedAnswer(task, COUNTED, zurich);
  const payload = Buffer.from(
    Buffer.from(good.payload, 'base64').toString('utf8').replace('"value":120', '"value":130'),
  ).toString('base64');
  await refused(send(zurich, { ...good, payload }), 'envelope.rejected');
  const extra = signedAnswer(task, { ...COUNTED, ...{ patientNames: 'x' } }, zurich);
  await refused(send(zurich, extra), 'envelope.rejected');
  assert.deepEqual(await send(zurich, good), { ok: true, counted: true }, 'none of that ended the task');
});

test('an answer of the wrong kind ends the task as failed and says why', async (t) => {
  const hub = await startTestHub(t);
  const { sites, researcher, ask } = await hubWithSites(hub, 'Zurich');
  const [zurich] = sites;
  assert.ok(zurich !== undefined);
  const { questionId } = await ask();
  const task = await zurich.nextTask();
  const moments = { kind: 'moments' as const, moments: { rowCount: 20, mean: [1.5], m2: [3] } };
  assert.deepEqual(await zurich.answer(task, moments), { ok: true, counted: true });
  const { answers } = await researcher.api.call(HUB_API.readQuestion, { params: { questionId } });
  assert.equal(answers[0]?.state, 'failed');
});

test('unknown fields, oversized bodies and text that is not JSON are refused before they are used', async (t) => {
  const hub = await startTestHub(t);
  const { sites } = await hubWithSites(hub, 'Zurich');
  const [zurich] = sites;
  assert.ok(zurich !== undefined);
  const schema = schemaOf();
  const offer = { schema, schemaDigest: sha256('x'), feasibility: 'any-project' };
  const send = (body: unknown) => zurich.http.transport({ method: 'PUT', path: '/api/v1/site/datasets', body });
  await refused(send({ datasets: [{ ...offer, rowCount: 46 }] }), 'input.invalid', /rowCount|known field|additional/i);
  await refused(send({ datasets: [offer] }), 'input.invalid', /digest of the columns/);
  const envelope = signedAnswer({ taskId: newId('TaskId') }, COUNTED, zurich);
  const huge = { ...envelope, payload: 'A'.repeat(7 * 1024 * 1024) };
  const answer = { method: 'POST' as const, path: pathOf(HUB_API.answerTask, { taskId: newId('TaskId') }), body: huge };
  await refused(zurich.http.transport(answer), 'input.too-large');
  const response = await fetch(new URL('/api/v1/sessions', hub.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"name":',
  });
  assert.equal(response.status, 400);
});

test('a site reads only blobs that a task of its own or a project that asks it names, whole or in part', async (t) => {
  const hub = await startTestHub(t);
  const [zurich, budapest] = [await joinSite(hub, 'Zurich'), await joinSite(hub, 'Budapest')];
  const { bundleDigest, manifest } = await registerGraph(hub.admin, tinyModel());
  await submitStudy(hub.admin, { sites: [zurich], bundleDigest, columns: ['age', 'chol'] });
  const file = manifest.kind === 'graph' ? manifest.files[0] : undefined;
  assert.ok(file !== undefined);
  const bytes = await zurich.readBlob(file.digest);
  assert.equal(sha256(bytes), file.digest);
  const { body, status } = await zurich.http.download(pathOf(HUB_API.siteReadBlob, { digest: file.digest }), {
    start: 10,
  });
  assert.equal(status, 206);
  assert.deepEqual(Buffer.concat(await body.toArray()), bytes.subarray(10));
  await refused(budapest.readBlob(file.digest), 'not-found');
  await refused(zurich.readBlob(sha256('nothing')), 'not-found');
  const beyond = zurich.http.download(pathOf(HUB_API.siteReadBlob, { digest: file.digest }), { start: 1e9 });
  await refused(beyond, 'input.range-invalid');
});

test('an update may be uploaded only while one is asked for, only up to its size, and must have its digest', async (t) => {
  const hub = await startTestHub(t);
  const zurich = await joinSite(hub, 'Zurich');
  const { bundleDigest } = await registerGraph(hub.admin, tinyModel());
  const project = await submitStudy(hub.admin, { sites: [zurich], bundleDigest, columns: ['age', 'chol'] });
  await refused(zurich.upload(randomBytes(40)), 'auth.forbidden');

  await hub.admin.api.call(HUB_API.createRun, {
    params: { projectId: project.projectId },
    body: planOf([zurich], {
      strategy: { kind: 'fedavg' },
      local: { learningRate: 0.1, work: { kind: 'steps', count: 1 } },
    }),
  });
  const prepare = await zurich.nextTask();
  await refused(zurich.upload(randomBytes(40)), 'auth.forbidden');
  await zurich.answer(prepare, {
    kind: 'prepared',
    schemaDigest: sha256('same'),
    trainRowCount: 40,
    testRowCount: 20,
  });
  await zurich.nextTask();
  await refused(zurich.upload(randomBytes(3 * 1024 * 1024)), 'input.too-large', /at most/);

  const bytes = randomBytes(300);
  const digest = sha256(bytes);
  const append = (part: Buffer, offset: number) =>
    zurich.http.upload(`${pathOf(HUB_API.siteAppendUpload, { digest })}?offset=${offset}&sizeBytes=300`, {
      body: part,
      sizeBytes: part.length,
      digest: sha256(part),
      schema: HUB_API.siteAppendUpload.response,
    });
  assert.deepEqual(await append(bytes.subarray(0, 100), 0), { offset: 100, complete: false });
  const offset = () => zurich.api.call(HUB_API.siteUploadOffset, { params: { digest } });
  assert.deepEqual(await offset(), { offset: 100, complete: false });
  await refused(append(randomBytes(200), 100), 'input.digest-mismatch');
  assert.equal((await offset()).complete, false);
  const start = (await offset()).offset;
  assert.deepEqual(await append(bytes.subarray(start), start), { offset: 300, complete: true });
  assert.deepEqual(await offset(), { offset: 300, complete: true });
});

test('people read global weights and bundles, never the blob of one site', async (t) => {
  const hub = await startTestHub(t);
  const viewer = await hub.person('vera', 'viewer');
  const { manifest } = await registerGraph(hub.admin, tinyModel());
  const file = manifest.kind === 'graph' ? manifest.files[0] : undefined;
  assert.ok(file !== undefined);
  const { body } = await viewer.http.download(pathOf(HUB_API.readBlob, { digest: file.digest }));
  assert.equal(sha256(Buffer.concat(await body.toArray())), file.digest);
  await refused(viewer.http.download(pathOf(HUB_API.readBlob, { digest: sha256('update') })), 'not-found');
});

test('a question to a revoked site is not asked, and a revocation completes what it leaves open', async (t) => {
  const hub = await startTestHub(t);
  const { sites, researcher, ask } = await hubWithSites(hub, 'Zurich', 'Budapest');
  const [zurich, budapest] = sites;
  assert.ok(zurich !== undefined && budapest !== undefined);
  const { questionId } = await ask();
  await zurich.answer(await zurich.nextTask(), COUNTED);
  await hub.admin.api.call(HUB_API.revokeSite, { params: { siteId: budapest.siteId } });
  const question = await researcher.api.call(HUB_API.readQuestion, { params: { questionId } });
  assert.equal(question.complete, true);
  assert.equal((await ask()).answers.length, 1);
});

test('an analysis bundle needs no upload, and the same bundle twice is one', async (t) => {
  const hub = await startTestHub(t);
  const analysis = { kind: 'logistic-regression' as const, ridge: 1, damping: 1 };
  const first = await registerAnalysis(hub.admin, analysis);
  assert.equal(await registerAnalysis(hub.admin, analysis), first);
  const { bundles } = await hub.admin.api.call(HUB_API.listBundles, {});
  assert.deepEqual(
    bundles.map((bundle) => bundle.bundleDigest),
    [first],
  );
});
