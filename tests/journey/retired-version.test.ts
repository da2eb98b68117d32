/** A site learns that the hub retired the version that it has at work, and goes on until somebody there decides otherwise. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { COMMON_API, type Deployment, HUB_API, SITE_API } from '@lantern/contract';
import { followRun } from '@lantern/lantern';
import { newModelVersion, TestFederation, type TestSite } from './test-federation.ts';

const NOTICE_WAIT_MS_MAX = 30_000; // the site asks at its start; the rest is for a busy machine

it('a version that the hub retires is warned of at the site where it is live, and stays live', async () => {
  const federation = await TestFederation.start(2);
  try {
    const { runId } = await federation.createRun('graph', 400);
    const run = await followRun(federation.admin, { runId });
    const { modelVersionId } = await federation.admin.api.call(HUB_API.releaseModelVersion, {
      body: newModelVersion(run),
    });
    const [site] = federation.sites;
    assert.ok(site !== undefined);
    const body = { modelVersionId, serviceId: 'synthetic', reason: 'To test.' };
    const deployed = await site.admin.api.call(SITE_API.deploy, { body });
    assert.equal(deployed.retirementNoticedAt, undefined);
    const before = Date.now();
    await federation.admin.api.call(HUB_API.retireModelVersion, { params: { modelVersionId } });
    await federation.restartSite(site);
    const noticed = await noticedDeployment(site);
    assert.equal(noticed.state, 'live');
    assert.ok(Date.parse(noticed.retirementNoticedAt ?? '') >= before);
    const { services } = (await (await fetch(`${site.process.url}/cds-services`)).json()) as { services: unknown[] };
    assert.equal(services.length, 1);
    const { records } = await site.admin.api.call(COMMON_API.listAudit, { query: { limit: 1000 } });
    const told = records.filter((record) => record.action === 'deployment.version-retired');
    assert.deepEqual(
      told.map(({ actor, object }) => [actor, object]),
      [['hub', deployed.deploymentId]],
    );
  } finally {
    await federation.stop();
  }
});

async function noticedDeployment(site: TestSite): Promise<Deployment> {
  for (const startMs = performance.now(); performance.now() - startMs < NOTICE_WAIT_MS_MAX; await delay(50)) {
    const { deployments } = await site.admin.api.call(SITE_API.listDeployments, {});
    const noticed = deployments.find((one) => one.retirementNoticedAt !== undefined);
    if (noticed !== undefined) return noticed;
  }
  assert.fail('the site never learnt that its version was retired');
}
