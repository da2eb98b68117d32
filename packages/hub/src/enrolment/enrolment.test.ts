import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createApiClient, HUB_API, pathOf } from '@lantern/contract';
import {
  createHttpClient,
  generateKeyPair,
  type KeyPair,
  manualClock,
  newNonce,
  sha256,
  signRequest,
  systemClock,
} from '@lantern/service';
import { refused } from '../../test/refusal.ts';
import { startTestHub, type TestHub } from '../../test/running-hub.ts';
import { joinSite } from '../../test/scripted-site.ts';

async function codeFor(hub: TestHub, siteName: string): Promise<string> {
  const { code } = await hub.admin.api.call(HUB_API.createEnrolmentCode, { body: { siteName } });
  return code;
}

function clientOf(hub: TestHub, keyPair: KeyPair, clock = systemClock) {
  return createApiClient(createHttpClient({ baseUrl: hub.url, signer: { keyPair }, clock }).transport);
}

test('a site joins with its code, is listed, and the same request again gives the same answer', async (t) => {
  const hub = await startTestHub(t);
  const keyPair = generateKeyPair();
  const api = clientOf(hub, keyPair);
  const body = { code: await codeFor(hub, 'Cleveland'), name: 'Cleveland', publicKeyPem: keyPair.publicKeyPem };
  const first = await api.call(HUB_API.enrol, { body });
  assert.equal(first.hubName, 'Test hub');
  assert.deepEqual(await api.call(HUB_API.enrol, { body }), first);

  const { sites } = await hub.admin.api.call(HUB_API.listSites, {});
  assert.deepEqual(
    sites.map(({ siteId, name, state, lastSeenAt }) => ({ siteId, name, state, lastSeenAt })),
    [{ siteId: first.siteId, name: 'Cleveland', state: 'active', lastSeenAt: undefined }],
  );
  await api.call(HUB_API.pollTasks, { query: { waitMs: 0 } });
  const after = await hub.admin.api.call(HUB_API.listSites, {});
  assert.ok(after.sites[0]?.lastSeenAt !== undefined);
});

test('a code that is wrong, used, for another site or too old is refused alike', async (t) => {
  const clock = manualClock('2026-03-01T08:00:00Z');
  const hub = await startTestHub(t, { clock });
  const keyPair = generateKeyPair();
  const api = clientOf(hub, keyPair, clock);
  const { publicKeyPem } = keyPair;
  const enrol = (code: string, name: string) => api.call(HUB_API.enrol, { body: { code, name, publicKeyPem } });

  await refused(enrol('not-a-code-of-this-hub', 'Zurich'), 'enrolment.code-rejected');
  await refused(enrol('cut-off', 'Zurich'), 'enrolment.code-rejected');
  await refused(enrol(await codeFor(hub, 'Budapest'), 'Zurich'), 'enrolment.code-rejected');

  const used = await codeFor(hub, 'Long Beach');
  await joinWith(used, 'Long Beach');
  await refused(enrol(used, 'Long Beach'), 'enrolment.code-rejected');

  const old = await codeFor(hub, 'Zurich');
  clock.advanceMs(24 * 3600 * 1000);
  await refused(enrol(old, 'Zurich'), 'enrolment.code-rejected');
  await enrol(await codeFor(hub, 'Zurich'), 'Zurich');

  async function joinWith(code: string, name: string) {
    const other = generateKeyPair();
    await clientOf(hub, other, clock).call(HUB_API.enrol, { body: { code, name, publicKeyPem: other.publicKeyPem } });
  }
});

test('a key can be enrolled only by who holds its private half', async (t) => {
  const hub = await startTestHub(t);
  const [thief, victim] = [generateKeyPair(), generateKeyPair()];
  const body = { code: await codeFor(hub, 'Zurich'), name: 'Zurich', publicKeyPem: victim.publicKeyPem };
  await refused(clientOf(hub, thief).call(HUB_API.enrol, { body }), 'site.unknown');
  const unsigned = createApiClient(createHttpClient({ baseUrl: hub.url, clock: systemClock }).transport);
  await refused(unsigned.call(HUB_API.enrol, { body }), 'signature.missing');
  const rsa = { ...body, publicKeyPem: `-----BEGIN PUBLIC KEY-----\n${'A'.repeat(60)}\n-----END PUBLIC KEY-----\n` };
  await refused(clientOf(hub, thief).call(HUB_API.enrol, { body: rsa }), 'input.invalid', /public key/);
});

test('two requests with one code enrol one key', async (t) => {
  const hub = await startTestHub(t);
  const code = await codeFor(hub, 'Zurich');
  const attempts = [generateKeyPair(), generateKeyPair()].map((keyPair) =>
    clientOf(hub, keyPair).call(HUB_API.enrol, {
      body: { code, name: 'Zurich', publicKeyPem: keyPair.publicKeyPem },
    }),
  );
  const outcomes = await Promise.allSettled(attempts);
  assert.deepEqual(outcomes.map((outcome) => outcome.status).sort(), ['fulfilled', 'rejected']);
});

test('a revoked site is refused from its next request on; its name may be used again, its key may not', async (t) => {
  const hub = await startTestHub(t);
  const site = await joinSite(hub, 'Zurich');
  await site.poll(0);
  await refused(codeAndEnrol(generateKeyPair()), 'conflict', /name/);
  await hub.admin.api.call(HUB_API.revokeSite, { params: { siteId: site.siteId } });
  await refused(site.poll(0), 'site.revoked');
  await refused(
    hub.admin.api.call(HUB_API.revokeSite, { params: { siteId: site.siteId } }),
    'state.transition-refused',
    /revoked/,
  );
  await refused(codeAndEnrol(site.keyPair), 'conflict', /key/);
  const again = await codeAndEnrol(generateKeyPair());
  assert.notEqual(again.siteId, site.siteId);

  async function codeAndEnrol(keyPair: KeyPair) {
    const body = { code: await codeFor(hub, 'Zurich'), name: 'Zurich', publicKeyPem: keyPair.publicKeyPem };
    return clientOf(hub, keyPair).call(HUB_API.enrol, { body });
  }
});

test('a signed request is accepted once: replayed, stale or altered it is refused', async (t) => {
  const hub = await startTestHub(t);
  const site = await joinSite(hub, 'Zurich');
  const path = '/api/v1/site/tasks?waitMs=0';
  const signed = (clock = systemClock, url = path) =>
    signRequest({
      method: 'GET',
      url,
      contentDigest: sha256(''),
      keyPair: site.keyPair,
      clock,
      nonce: newNonce(),
    });
  const codeOf = async (headers: Record<string, string>, url = path) => {
    const response = await fetch(new URL(url, hub.url), { headers });
    const answer: unknown = await response.json();
    return response.ok ? 'ok' : /"code":"([a-z.-]+)"/.exec(JSON.stringify(answer))?.[1];
  };
  const once = signed();
  assert.equal(await codeOf(once), 'ok');
  assert.equal(await codeOf(once), 'signature.replayed');
  const hoursOff = manualClock(new Date(Date.now() - 2 * 3600 * 1000).toISOString());
  assert.equal(await codeOf(signed(hoursOff)), 'signature.stale');
  assert.equal(await codeOf(signed(systemClock, '/api/v1/site/tasks?waitMs=1')), 'signature.rejected');
  const other = await joinSite(hub, 'Budapest');
  const forged = signed();
  const claimed = {
    ...forged,
    'signature-input': forged['signature-input'].replace(site.keyPair.keyId, other.keyPair.keyId),
  };
  assert.equal(await codeOf(claimed), 'signature.rejected');
});

test('a code is kept as a hash, lives 24 hours and carries at least 128 random bits', async (t) => {
  const hub = await startTestHub(t);
  const before = Date.now();
  const { code, expiresAt } = await hub.admin.api.call(HUB_API.createEnrolmentCode, { body: { siteName: 'Zurich' } });
  assert.ok(Buffer.from(code, 'base64url').byteLength * 8 >= 128);
  const lifetimeMs = Date.parse(expiresAt) - before;
  assert.ok(Math.abs(lifetimeMs - 24 * 3600 * 1000) < 60_000);
  const { records } = await hub.admin.api.call(HUB_API.listAudit, { query: { limit: 1000 } });
  assert.ok(!JSON.stringify(records).includes(code));
  assert.ok(records.some((record) => record.action === 'enrolment-code.create'));
  assert.equal(pathOf(HUB_API.enrol), '/api/v1/site/enrolment');
});
