/** Rows that somebody changed in the site's database: whatever they say, the site does only what it signed last. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  type AnswerBody,
  type Decision,
  type NewDecision,
  PAYLOAD_TYPES,
  type ProjectId,
  type ProjectSpec,
  SITE_API,
  type SignedEnvelope,
} from '@lantern/contract';
import { documentDigest, generateKeyPair, type KeyPair, newId, signEnvelope } from '@lantern/service';
import { clinicCsv, projectSpec, REGRESSION, roundTask, SCHEMA } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-tampering');
  await site.register({ schema: SCHEMA, csv: clinicCsv(300) });
  await site.register({ schema: { ...SCHEMA, name: 'open' }, csv: clinicCsv(300), feasibility: 'any-project' });
  hub.bundles.set(REGRESSION.bundleDigest, REGRESSION.manifest);
});

after(async () => {
  await site?.close();
  await hub?.close();
});

const APPROVE: NewDecision = { verdict: 'approved', reason: 'ok' };
const WITHDRAW: NewDecision = { verdict: 'withdrawn', reason: 'A patient objected.' };
const NO_MOMENTS: NewDecision = { ...APPROVE, egress: ['counts', 'cohort-size'] };

async function answerTo(task: Parameters<ScriptedHub['send']>[0]): Promise<AnswerBody> {
  hub.send(task);
  return (await hub.answerTo(task.taskId)).body;
}

/** What the site answers to the first step of a new run of the project. */
function prepare(projectId: ProjectId, spec: ProjectSpec = projectSpec(hub.siteId())): Promise<AnswerBody> {
  return answerTo(roundTask(spec, { siteId: hub.siteId(), projectId }, { round: 0, step: { kind: 'prepare' } }));
}

function countOfOpen(projectId: ProjectId): Promise<AnswerBody> {
  return answerTo({
    ...{ schema: 'lantern.task/1', taskId: newId('TaskId'), siteId: hub.siteId(), projectId, kind: 'count' },
    ...{ createdAt: new Date().toISOString(), dataset: 'open', filter: { kind: 'all', of: [] } },
  });
}

async function assertRejected(projectId: ProjectId, message: RegExp): Promise<void> {
  for (const attempt of [1, 2]) {
    const body = await prepare(projectId);
    assert.ok(body.kind === 'refused' && body.code === 'envelope.rejected', `${attempt}: ${JSON.stringify(body)}`);
    assert.match(body.message, message);
  }
  const { records } = await site.as('governance').call(SITE_API.listAudit, { query: { limit: 1000 } });
  const noted = records.filter(({ action, object }) => action === 'decision.reject' && object === projectId);
  assert.deepEqual(
    noted.map(({ actor, outcome }) => `${actor} ${outcome}`),
    ['site failure'],
    'on the record once, not with every task',
  );
}

const decided = (...decisions: NewDecision[]) => decidedOn(projectSpec(hub.siteId()), ...decisions);

async function decidedOn(spec: ProjectSpec, ...decisions: NewDecision[]): Promise<ProjectId> {
  const projectId = await site.project(hub, spec);
  for (const decision of decisions) await site.decide(projectId, decision);
  return projectId;
}

async function rowOf(projectId: ProjectId, sequence = 1): Promise<{ document: Decision; envelope: SignedEnvelope }> {
  return site.db
    .selectFrom('decision')
    .select(['document', 'envelope'])
    .where('project_id', '=', projectId)
    .where('sequence', '=', sequence)
    .executeTakeFirstOrThrow();
}

type Change = { document?: Decision; envelope?: SignedEnvelope; digest?: ReturnType<typeof documentDigest> };

/** Somebody with the rights of the database's owner. */
async function change(projectId: ProjectId, { document, envelope, digest }: Change, sequence = 1): Promise<void> {
  await site.db
    .updateTable('decision')
    .set({
      ...(document === undefined ? {} : { document: JSON.stringify(document) }),
      ...(envelope === undefined ? {} : { envelope: JSON.stringify(envelope) }),
      ...(digest === undefined ? {} : { decision_digest: digest }),
    })
    .where('project_id', '=', projectId)
    .where('sequence', '=', sequence)
    .execute();
}

async function setProject(projectId: ProjectId, set: { state?: Decided; sequence?: number; spec?: string }) {
  await site.db.updateTable('asked_project').set(set).where('project_id', '=', projectId).execute();
}
type Decided = 'asked' | 'approved' | 'refused' | 'expired';

function wider(document: Decision): Decision {
  assert.ok(document.conditions !== undefined);
  return { ...document, conditions: { ...document.conditions, egress: projectSpec(hub.siteId()).egress } };
}

function signed(document: Decision, keyPair: KeyPair): SignedEnvelope {
  return signEnvelope({ payloadType: PAYLOAD_TYPES.decision, payload: document, keyPair });
}

it('a decision that nobody changed is acted upon, also after a restart', async () => {
  const projectId = await decided(APPROVE);
  assert.equal((await prepare(projectId)).kind, 'prepared');
  await site.stop();
  await site.start();
  assert.equal((await prepare(projectId)).kind, 'prepared');
});

describe('a decision of which somebody changed', () => {
  it('the document is refused', async () => {
    const projectId = await decided(NO_MOMENTS);
    const document = wider((await rowOf(projectId)).document);
    await change(projectId, { document, digest: documentDigest(document) });
    await assertRejected(projectId, /beside the envelope/);
  });

  it('the digest is refused', async () => {
    const projectId = await decided(APPROVE);
    await change(projectId, { digest: documentDigest('another document') });
    await assertRejected(projectId, /beside the envelope/);
  });

  it('the envelope, its signature left, is refused', async () => {
    const projectId = await decided(NO_MOMENTS);
    const { document: narrow, envelope } = await rowOf(projectId);
    const document = wider(narrow);
    const { payload } = signed(document, generateKeyPair());
    await change(projectId, { document, digest: documentDigest(document), envelope: { ...envelope, payload } });
    await assertRejected(projectId, /signature/);
  });

  it('everything, signed with another key, is refused', async () => {
    const projectId = await decided(NO_MOMENTS);
    const document = wider((await rowOf(projectId)).document);
    const envelope = signed(document, generateKeyPair());
    await change(projectId, { document, digest: documentDigest(document), envelope });
    await assertRejected(projectId, /not trusted/);
  });

  it('the state is refused: a refusal or a withdrawal does not become an approval', async () => {
    for (const decisions of [[{ verdict: 'refused', reason: 'no' }] as const, [APPROVE, WITHDRAW]]) {
      const projectId = await decided(...decisions);
      await setProject(projectId, { state: 'approved' });
      await assertRejected(projectId, /state/);
    }
  });

  it('the state to "asked" is refused, which would open what is open to any project', async () => {
    const projectId = await decided({ verdict: 'refused', reason: 'no' });
    await setProject(projectId, { state: 'asked' });
    const body = await countOfOpen(projectId);
    assert.ok(body.kind === 'refused' && body.code === 'envelope.rejected');
  });

  it('an approval out of nothing is refused', async () => {
    const projectId = await site.project(hub, projectSpec(hub.siteId()));
    await site.as('governance').call(SITE_API.listProjects, {});
    await setProject(projectId, { state: 'approved' });
    await assertRejected(projectId, /state/);
  });

  it('the project under it is refused, and cannot be decided upon', async () => {
    const projectId = await decided(APPROVE);
    await setProject(projectId, {
      spec: JSON.stringify(projectSpec(hub.siteId(), { purpose: 'Something harmless.' })),
    });
    await assertRejected(projectId, /project/);
    await assert.rejects(site.decide(projectId, APPROVE), { code: 'envelope.rejected' });
  });

  it('the row in the middle of a run stops the next round', async () => {
    const projectId = await decided(APPROVE);
    const runId = newId('RunId');
    const spec = projectSpec(hub.siteId());
    const ids = { siteId: hub.siteId(), projectId };
    const step = { kind: 'newton', theta: [0, 0, 0, 0] } as const;
    assert.equal(
      (await answerTo(roundTask(spec, ids, { runId, round: 0, step: { kind: 'prepare' } }))).kind,
      'prepared',
    );
    assert.equal(
      (await answerTo(roundTask(spec, ids, { runId, round: 1, step: { ...step, theta: [0, 0, 0, 0] } }))).kind,
      'newton',
    );
    const { document } = await rowOf(projectId);
    await change(projectId, { document: { ...document, expiresAt: '2098-01-01T00:00:00.000Z' } });
    const body = await answerTo(roundTask(spec, ids, { runId, round: 2, step: { ...step, theta: [0, 0, 0, 0] } }));
    assert.ok(body.kind === 'refused' && body.code === 'envelope.rejected');
  });
});

describe('a decision that this site signed', () => {
  it('for another project is refused in this one', async () => {
    const [mine, other] = [await decided(NO_MOMENTS), await decided(APPROVE)];
    const [before, { document, envelope }] = [await rowOf(mine), await rowOf(other)];
    const digest = documentDigest(document);
    await change(mine, { document, envelope, digest });
    await assertRejected(mine, /another project/);
    await change(mine, { ...before, digest: documentDigest(before.document) });
    assert.equal((await prepare(mine)).kind, 'prepared', 'what was signed holds again');
  });

  it('for another version of the project is refused', async () => {
    const [projectId, spec] = [await decided(APPROVE), projectSpec(hub.siteId(), { purpose: 'Another.' })];
    await setProject(projectId, { spec: JSON.stringify(spec) });
    await site.database.pool.query('update asked_project set project_digest = $1 where project_id = $2', [
      documentDigest(spec),
      projectId,
    ]);
    const body = await prepare(projectId, spec);
    assert.ok(body.kind === 'refused' && body.code === 'envelope.rejected' && /another version/.test(body.message));
  });

  it('earlier does not come back in the place of a withdrawal', async () => {
    const projectId = await decided(APPROVE, WITHDRAW);
    const { document, envelope } = await rowOf(projectId, 1);
    await change(projectId, { document, envelope, digest: documentDigest(document) }, 2);
    await setProject(projectId, { state: 'approved' });
    await assertRejected(projectId, /number/);
  });

  it('earlier does not come back by pointing to it', async () => {
    const projectId = await decided(APPROVE, WITHDRAW);
    await setProject(projectId, { state: 'approved', sequence: 1 });
    await assertRejected(projectId, /state|number/);
  });

  /** The newest decision is gone as if it had never been. */
  const takeAwayNewest = async (projectId: ProjectId) => {
    await site.db.deleteFrom('decision').where('project_id', '=', projectId).where('sequence', '=', 2).execute();
    await setProject(projectId, { state: 'approved', sequence: 1 });
  };

  it('earlier does not come back when the withdrawal is taken away', async () => {
    const projectId = await decided(APPROVE, WITHDRAW);
    await takeAwayNewest(projectId);
    await assertRejected(projectId, /taken away/);
  });

  it('earlier does not come back when the withdrawal is taken away while the site stands still', async () => {
    const projectId = await decided(APPROVE, WITHDRAW);
    await site.stop();
    await takeAwayNewest(projectId);
    await site.start();
    await assertRejected(projectId, /taken away/);
  });

  it('is not forgotten when the project is taken away with it: the site is not asked as if for the first time', async () => {
    const projectId = await decided({ verdict: 'refused', reason: 'no' });
    await site.db.deleteFrom('decision').where('project_id', '=', projectId).execute();
    await site.db.deleteFrom('asked_project').where('project_id', '=', projectId).execute();
    const asking = hub.asked.find((asked) => asked.projectId === projectId);
    assert.ok(asking !== undefined);
    hub.asked = hub.asked.filter((asked) => asked !== asking);
    const unknown = await countOfOpen(projectId);
    hub.asked.push(asking);
    const askedAgain = await countOfOpen(projectId);
    for (const body of [unknown, askedAgain]) {
      assert.ok(body.kind === 'refused' && body.code === 'envelope.rejected', JSON.stringify(body));
    }
  });

  it('anew after such a change is followed, with a number of its own', async () => {
    const projectId = await decided(APPROVE, WITHDRAW);
    await takeAwayNewest(projectId);
    await assertRejected(projectId, /taken away/);
    const { decision } = await site.decide(projectId, { ...APPROVE, reason: 'Looked at, and approved again.' });
    assert.equal(decision?.sequence, 3);
    assert.equal((await prepare(projectId)).kind, 'prepared');
  });
});
