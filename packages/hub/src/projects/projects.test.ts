import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HUB_API, PAYLOAD_TYPES, type Project, type ProjectSpec } from '@lantern/contract';
import { documentDigest, manualClock, sha256, signEnvelope } from '@lantern/service';
import { refused } from '../../test/refusal.ts';
import { startTestHub, type TestHub } from '../../test/running-hub.ts';
import { decisionOf, joinSite, type ScriptedSite } from '../../test/scripted-site.ts';
import { featuresOf, GRAPH_BOUNDS, registerAnalysis, registerGraph, specOf, tinyModel } from '../../test/study.ts';

type Setting = { hub: TestHub; zurich: ScriptedSite; budapest: ScriptedSite; project: Project };

async function submitted(t: TestContext): Promise<Setting> {
  const hub = await startTestHub(t);
  const [zurich, budapest] = [await joinSite(hub, 'Zurich'), await joinSite(hub, 'Budapest')];
  const { projectId } = await hub.admin.api.call(HUB_API.createProject, { body: specOf([zurich, budapest], []) });
  const project = await hub.admin.api.call(HUB_API.submitProject, { params: { projectId } });
  return { hub, zurich, budapest, project };
}

async function decisionAtHub({ hub, project }: Setting, site: ScriptedSite) {
  const { projectId } = project;
  const { decisions } = await hub.admin.api.call(HUB_API.readProject, { params: { projectId } });
  return decisions.find((decision) => decision.siteId === site.siteId);
}

test('a project is named by the digest of its text and asks its sites only once it is submitted', async (t) => {
  const hub = await startTestHub(t);
  const [zurich, budapest] = [await joinSite(hub, 'Zurich'), await joinSite(hub, 'Budapest')];
  const spec = specOf([zurich], []);
  const draft = await hub.admin.api.call(HUB_API.createProject, { body: spec });
  assert.equal(draft.state, 'draft');
  assert.equal(draft.projectDigest, documentDigest(spec));
  const askedOf = async (site: ScriptedSite) => (await site.api.call(HUB_API.listAskedProjects, {})).projects;
  assert.deepEqual(await askedOf(zurich), []);
  const params = { projectId: draft.projectId };
  await hub.admin.api.call(HUB_API.submitProject, { params });
  const [asked] = await askedOf(zurich);
  assert.deepEqual(asked, {
    projectId: draft.projectId,
    spec,
    projectDigest: draft.projectDigest,
    state: 'submitted',
  });
  assert.deepEqual(await askedOf(budapest), []);
  await refused(hub.admin.api.call(HUB_API.submitProject, { params }), 'state.transition-refused', /submitted/);
});

test('a project that cannot be is refused, naming the field', async (t) => {
  const hub = await startTestHub(t);
  const zurich = await joinSite(hub, 'Zurich');
  const bundleDigest = await registerAnalysis(hub.admin, { kind: 'moments' });
  const algorithm = { name: 'fit', bundleDigest, features: featuresOf(), roundsMax: 5 };
  const graph = { ...algorithm, bundleDigest: (await registerGraph(hub.admin, tinyModel())).bundleDigest };
  const { stepsMax: _steps, ...withoutWork } = GRAPH_BOUNDS;
  const { proximalMax: _term, ...withoutTerm } = GRAPH_BOUNDS;
  const stranger = 'site_aaaaaaaaaaaaaaaaaaaaaaaa' as ScriptedSite['siteId'];
  const wrong: [Partial<ProjectSpec>, RegExp][] = [
    [{ expiresAt: '2020-01-01T00:00:00Z' }, /expiresAt/],
    [{ sites: [stranger] }, /sites/],
    [{ algorithms: [{ ...algorithm, bundleDigest: sha256('none') }] }, /algorithms\/0\/bundleDigest/],
    [{ algorithms: [algorithm, algorithm] }, /algorithms\/1\/name/],
    [{ datasets: ['lungs'], algorithms: [algorithm] }, /algorithms\/0\/features\/dataset/],
    [{ algorithms: [{ ...algorithm, training: GRAPH_BOUNDS }] }, /algorithms\/0\/training: an analysis has none/],
    [{ algorithms: [graph] }, /algorithms\/0\/training: a graph needs bounds/],
    [{ algorithms: [{ ...graph, training: withoutWork }] }, /algorithms\/0\/training: needs stepsMax, epochsMax/],
    [{ algorithms: [{ ...graph, training: withoutTerm }] }, /algorithms\/0\/training\/proximalMax/],
  ];
  for (const [change, says] of wrong) {
    const body = specOf([zurich], [], change);
    await refused(hub.admin.api.call(HUB_API.createProject, { body }), 'input.invalid', says);
  }
  const extra = { ...specOf([zurich], []), patientIds: [] };
  await refused(hub.admin.api.call(HUB_API.createProject, { body: extra }), 'input.invalid');
});

test("a site's signed decision is stored as it is, and the newest counts", async (t) => {
  const setting = await submitted(t);
  const { zurich, budapest, project } = setting;
  await zurich.decide(project, 'approved', 1);
  assert.equal((await decisionAtHub(setting, zurich))?.state, 'approved');
  assert.equal((await decisionAtHub(setting, budapest))?.state, 'asked');
  await zurich.decide(project, 'withdrawn', 2);
  const held = await decisionAtHub(setting, zurich);
  assert.equal(held?.state, 'withdrawn');
  assert.equal(JSON.parse(Buffer.from(held?.envelope?.payload ?? '', 'base64').toString()).sequence, 2);
  await refused(zurich.decide(project, 'approved', 2), 'conflict', /sequence/);
  await refused(zurich.decide(project, 'approved', 1), 'conflict', /sequence/);
  await zurich.decide(project, 'approved', 3);
  assert.equal((await decisionAtHub(setting, zurich))?.state, 'approved');
});

test('the same decision delivered twice is one, and a move that the table does not know is refused', async (t) => {
  const setting = await submitted(t);
  const { zurich, project } = setting;
  await refused(zurich.decide(project, 'withdrawn', 1), 'state.transition-refused');
  const payload = decisionOf(zurich.siteId, { project, verdict: 'refused', sequence: 1 });
  const body = signEnvelope({ payloadType: PAYLOAD_TYPES.decision, payload, keyPair: zurich.keyPair });
  await zurich.api.call(HUB_API.deliverDecision, { body });
  await zurich.api.call(HUB_API.deliverDecision, { body });
  assert.equal((await decisionAtHub(setting, zurich))?.state, 'refused');
});

test('nobody can decide for another site, about another text, or change a decision on its way', async (t) => {
  const setting = await submitted(t);
  const { hub, zurich, budapest, project } = setting;
  const document = decisionOf(zurich.siteId, { project, verdict: 'approved', sequence: 1 });
  const signed = (payload: unknown, by: ScriptedSite, payloadType: string = PAYLOAD_TYPES.decision) =>
    signEnvelope({ payloadType, payload, keyPair: by.keyPair });
  const deliver = (by: ScriptedSite, body: ReturnType<typeof signed>) => by.api.call(HUB_API.deliverDecision, { body });

  await refused(deliver(budapest, signed(document, budapest)), 'envelope.rejected', /another site/);
  await refused(deliver(budapest, signed(document, zurich)), 'envelope.rejected');
  await refused(deliver(zurich, signed(document, zurich, PAYLOAD_TYPES.answer)), 'envelope.rejected');
  await refused(deliver(zurich, signed({ ...document, projectDigest: sha256('x') }, zurich)), 'conflict', /text/);
  await refused(deliver(zurich, signed({ ...document, remark: 'x' }, zurich)), 'envelope.rejected');
  const other = await hub.admin.api.call(HUB_API.createProject, { body: specOf([budapest], []) });
  const elsewhere = { ...document, projectId: other.projectId, projectDigest: other.projectDigest };
  await refused(deliver(zurich, signed(elsewhere, zurich)), 'not-found');
  const good = signed(document, zurich);
  const payload = Buffer.from(good.payload, 'base64').toString('utf8').replace('as agreed', 'as changed');
  await refused(deliver(zurich, { ...good, payload: Buffer.from(payload).toString('base64') }), 'envelope.rejected');
  assert.equal((await decisionAtHub(setting, zurich))?.state, 'asked');
});

test('only the creator or an administrator moves a project; everybody may read it', async (t) => {
  const hub = await startTestHub(t);
  const zurich = await joinSite(hub, 'Zurich');
  const [rosa, rita, vera] = [
    await hub.person('rosa', 'researcher'),
    await hub.person('rita', 'researcher'),
    await hub.person('vera', 'viewer'),
  ];
  const project = await rosa.api.call(HUB_API.createProject, { body: specOf([zurich], []) });
  const params = { projectId: project.projectId };
  assert.equal(project.createdBy, 'rosa');
  await refused(rita.api.call(HUB_API.submitProject, { params }), 'auth.forbidden', /creator/);
  await refused(vera.api.call(HUB_API.submitProject, { params }), 'auth.forbidden', /roles/);
  assert.equal((await vera.api.call(HUB_API.readProject, { params })).project.state, 'draft');
  await rosa.api.call(HUB_API.submitProject, { params });
  await refused(rita.api.call(HUB_API.closeProject, { params }), 'auth.forbidden');
  assert.equal((await hub.admin.api.call(HUB_API.closeProject, { params })).state, 'closed');
  const { decisions } = await rosa.api.call(HUB_API.readProject, { params });
  assert.deepEqual(
    decisions.map((decision) => decision.state),
    ['lapsed'],
  );
});

test('a project and a decision expire by themselves', async (t) => {
  // The hub lives an hour ago, so that the jobs it plans for soon are due at once by the clock of the database.
  const clock = manualClock(new Date(Date.now() - 3600_000).toISOString());
  const soon = new Date(Date.now() - 1800_000).toISOString();
  const hub = await startTestHub(t, { clock });
  const zurich = await joinSite(hub, 'Zurich', { clock });
  const submitted = async (expiresAt: string) => {
    const body = specOf([zurich], [], { expiresAt });
    const { projectId } = await hub.admin.api.call(HUB_API.createProject, { body });
    return hub.admin.api.call(HUB_API.submitProject, { params: { projectId } });
  };
  const untilExpired = async (projectId: Project['projectId'], what: 'project' | 'decision') => {
    for (let look = 0; look < 200; look += 1) {
      const { project, decisions } = await hub.admin.api.call(HUB_API.readProject, { params: { projectId } });
      const state = what === 'project' ? project.state : decisions[0]?.state;
      if (state === 'expired') return;
      await zurich.poll(50); // passes the time: nothing else tells an onlooker
    }
    assert.fail(`The ${what} did not expire.`);
  };
  await untilExpired((await submitted(soon)).projectId, 'project');
  const project = await submitted(new Date(Date.now() + 3600_000).toISOString());
  const payload = { ...decisionOf(zurich.siteId, { project, verdict: 'approved', sequence: 1 }), expiresAt: soon };
  await zurich.api.call(HUB_API.deliverDecision, {
    body: signEnvelope({ payloadType: PAYLOAD_TYPES.decision, payload, keyPair: zurich.keyPair }),
  });
  await untilExpired(project.projectId, 'decision');
});

test('a draft past its expiry cannot be submitted', async (t) => {
  const clock = manualClock('2026-03-01T08:00:00Z');
  const hub = await startTestHub(t, { clock });
  const zurich = await joinSite(hub, 'Zurich', { clock });
  const { projectId } = await hub.admin.api.call(HUB_API.createProject, {
    body: specOf([zurich], [], { expiresAt: '2026-03-01T09:00:00Z' }),
  });
  clock.advanceMs(3600_000);
  await refused(hub.admin.api.call(HUB_API.submitProject, { params: { projectId } }), 'input.invalid', /expiresAt/);
});
