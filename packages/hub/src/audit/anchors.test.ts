import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HUB_API } from '@lantern/contract';
import { createLogger, openDatabase, signEnvelope, verifyAudit } from '@lantern/service';
import { refused } from '../../test/refusal.ts';
import { startTestHub } from '../../test/running-hub.ts';
import { joinSite, type ScriptedSite } from '../../test/scripted-site.ts';
import { specOf } from '../../test/study.ts';

const AUDIT_HEAD = 'application/vnd.lantern.audit-head+json';

function anchor(site: ScriptedSite, head: { sequence: number; hash: string }) {
  const payload = { schema: 'lantern.audit-head/1', ...head, at: new Date().toISOString() };
  const body = signEnvelope({ payloadType: AUDIT_HEAD, payload, keyPair: site.keyPair });
  return site.api.call(HUB_API.anchorAudit, { body });
}

test("a site's audit heads only grow; one that contradicts an earlier one is refused and noted", async (t) => {
  const hub = await startTestHub(t);
  const zurich = await joinSite(hub, 'Zurich');
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
  await anchor(zurich, { sequence: 5, hash: a });
  await anchor(zurich, { sequence: 5, hash: a });
  await anchor(zurich, { sequence: 9, hash: b });
  await refused(anchor(zurich, { sequence: 9, hash: a }), 'conflict');
  await refused(anchor(zurich, { sequence: 5, hash: b }), 'conflict');
  const { records } = await hub.admin.api.call(HUB_API.listAudit, { query: { limit: 1000 } });
  const noted = records.filter((record) => record.action === 'audit-head.anchor');
  assert.deepEqual(
    noted.map((record) => [record.actor, record.outcome]),
    [
      [zurich.siteId, 'refused'],
      [zurich.siteId, 'refused'],
    ],
  );
});

test('every change of state is in the chain of the hub, in order, and the chain verifies against its signed head', async (t) => {
  const hub = await startTestHub(t);
  const zurich = await joinSite(hub, 'Zurich');
  const { projectId } = await hub.admin.api.call(HUB_API.createProject, { body: specOf([zurich], []) });
  const project = await hub.admin.api.call(HUB_API.submitProject, { params: { projectId } });
  await zurich.decide(project, 'approved', 1);
  await hub.admin.api.call(HUB_API.revokeSite, { params: { siteId: zurich.siteId } });
  const { records } = await hub.admin.api.call(HUB_API.listAudit, { query: { limit: 1000 } });
  assert.deepEqual(
    records.map((record) => record.action).filter((action) => !/^(session|account|token)/.test(action)),
    ['enrolment-code.create', 'site.enrol', 'project.create', 'project.submit', 'decision.approve', 'site.revoke'],
  );
  const { sequence, hash } = await hub.admin.api.call(HUB_API.auditHead, {});
  const log = createLogger({ name: 'test', level: 'silent' });
  const database = await openDatabase({ url: hub.databaseUrl, log, applicationName: 'test' });
  t.after(() => database.close());
  const verdict = await verifyAudit(database, [{ sequence, hash }]);
  assert.equal(verdict.ok, true);
});
