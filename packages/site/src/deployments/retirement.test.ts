import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AppError, type Deployment, type ModelVersion, PAYLOAD_TYPES, SITE_API } from '@lantern/contract';
import { readAudit, signEnvelope } from '@lantern/service';
import { type BedsideSite, createRegistry, record, request, startBedsideSite } from '../../test/bedside-site.ts';

let site: BedsideSite;
const registry = createRegistry();
const { signal } = new AbortController();

before(async () => {
  site = await startBedsideSite(registry);
  const { issuer, publicKeyPem } = site.ehr;
  await site.as('admin').call(SITE_API.registerCdsClient, { body: { issuer, publicKeyPem, algorithm: 'ES384' } });
});
after(() => site.close());

async function deploy(serviceId: string): Promise<{ version: ModelVersion; deployment: Deployment }> {
  const version = registry.release();
  const body = { modelVersionId: version.modelVersionId, serviceId, reason: 'For the ward.' };
  return { version, deployment: await site.as('governance').call(SITE_API.deploy, { body }) };
}

/** `named`: the version that the signed word is about; `by`: whose key signed it. */
function retire({ modelVersionId }: ModelVersion, { named = modelVersionId, by = registry.keyPair } = {}): void {
  const registered = registry.versions.get(modelVersionId);
  assert.ok(registered);
  const retiredAt = '2026-03-01T10:00:00.000Z';
  const payload = { schema: 'lantern.retirement/1', modelVersionId: named, retiredBy: 'rosa', retiredAt };
  const retirement = signEnvelope({ payloadType: PAYLOAD_TYPES.retirement, payload, keyPair: by });
  registry.versions.set(modelVersionId, { ...registered, state: 'retired', retirement });
}

async function shownOf({ deploymentId }: Deployment): Promise<Deployment | undefined> {
  const { deployments } = await site.as('governance').call(SITE_API.listDeployments, {});
  return deployments.find((one) => one.deploymentId === deploymentId);
}

async function cardOf(serviceId: string): Promise<string> {
  const { status, body } = await site.call(`/cds-services/${serviceId}`, request('p-1', record('p-1')));
  assert.equal(status, 200);
  return JSON.stringify(body);
}

async function auditOf(object: string): Promise<string[]> {
  const records = await readAudit(site.database, { after: 0, limit: 1000 });
  return records.filter((one) => one.object === object).map(({ actor, action }) => `${actor} ${action}`);
}

describe('a version that the hub retired while it is at work here', () => {
  test('goes on answering, with a warning in the list and on every card, and one audit record', async () => {
    const [retired, standing] = [await deploy('retired'), await deploy('standing')];
    assert.ok(!(await cardOf('retired')).includes('(retired)'));
    retire(retired.version);
    await site.deployments.noticeRetirements(signal);
    const noticedAt = site.clock.now().toISOString();
    site.clock.advanceMs(60_000);
    await site.deployments.noticeRetirements(signal);
    assert.deepEqual(await shownOf(retired.deployment), { ...retired.deployment, retirementNoticedAt: noticedAt });
    assert.deepEqual(await shownOf(standing.deployment), standing.deployment);
    assert.match(await cardOf('retired'), /version 1 \(retired\).*[0-9]+%/s);
    assert.ok(!(await cardOf('standing')).includes('(retired)'));
    assert.deepEqual(await auditOf(retired.deployment.deploymentId), [
      'user:test.governance deployment.deploy',
      'hub deployment.version-retired',
    ]);
  });

  test('is not believed to be retired unless the hub signed it, about this very version', async () => {
    const forged = [
      await deploy('unsigned'),
      await deploy('signed-by-another'),
      await deploy('about-another'),
    ] as const;
    const [unsigned, byAnother, aboutAnother] = forged.map(({ version }) => version);
    assert.ok(unsigned !== undefined && byAnother !== undefined && aboutAnother !== undefined);
    const registered = registry.versions.get(unsigned.modelVersionId) ?? assert.fail();
    registry.versions.set(unsigned.modelVersionId, { ...registered, state: 'retired' });
    retire(byAnother, { by: createRegistry().keyPair });
    retire(aboutAnother, { named: unsigned.modelVersionId });
    const { version, deployment } = await deploy('signed');
    retire(version);
    await site.deployments.noticeRetirements(signal);
    for (const one of forged) assert.equal((await shownOf(one.deployment))?.retirementNoticedAt, undefined);
    assert.ok((await shownOf(deployment))?.retirementNoticedAt !== undefined);
  });

  test('is asked about no more once it was stopped here', async () => {
    const { version, deployment } = await deploy('stopped');
    const params = { deploymentId: deployment.deploymentId };
    await site.as('governance').call(SITE_API.stopDeployment, { params });
    retire(version);
    await site.deployments.noticeRetirements(signal);
    assert.equal((await shownOf(deployment))?.retirementNoticedAt, undefined);
  });

  test('is noticed although the hub no longer knows another one, and later when the hub was out of reach', async () => {
    const [lost, retired] = [await deploy('lost'), await deploy('found')];
    retire(retired.version);
    const { readModelVersion } = registry;
    let hubIsAway = true;
    registry.readModelVersion = async (id) => {
      if (hubIsAway) throw new AppError('peer.unreachable', 'The other side cannot be reached.');
      if (id === lost.version.modelVersionId) throw new AppError('not-found', 'There is no such model version.');
      return readModelVersion(id);
    };
    await assert.rejects(site.deployments.noticeRetirements(signal), { code: 'peer.unreachable' });
    assert.equal((await shownOf(retired.deployment))?.retirementNoticedAt, undefined);
    hubIsAway = false;
    await site.deployments.noticeRetirements(signal);
    assert.ok((await shownOf(retired.deployment))?.retirementNoticedAt !== undefined);
    assert.equal((await shownOf(lost.deployment))?.retirementNoticedAt, undefined);
    registry.readModelVersion = readModelVersion;
  });
});
