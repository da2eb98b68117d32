import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { HUB_API, HUB_ROLES } from '@lantern/contract';
import { accessTable, assertRouteAuthorisation, createLogger } from '@lantern/service';
import { refused } from '../test/refusal.ts';
import { startTestHub } from '../test/running-hub.ts';
import { joinSite } from '../test/scripted-site.ts';
import { startHub } from './main.ts';

const ADMIN = 'Roles: admin';
const RESEARCH = 'Roles: admin, researcher';
const EVERYBODY = 'Roles: admin, researcher, viewer';

/** What each role may do, written down once more and by hand, so that a slip in a route is seen. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  [ADMIN]: [
    'POST /api/v1/enrolment-codes',
    'POST /api/v1/sites/:siteId/revoke',
    'POST /api/v1/users',
    'GET /api/v1/users',
    'POST /api/v1/users/:userId/disable',
    'GET /api/v1/audit',
    'GET /api/v1/audit/head',
    'GET /metrics',
  ],
  [RESEARCH]: [
    'GET /api/v1/uploads/:digest',
    'PATCH /api/v1/uploads/:digest',
    'POST /api/v1/bundles',
    'POST /api/v1/projects',
    'POST /api/v1/projects/:projectId/submit',
    'POST /api/v1/projects/:projectId/close',
    'POST /api/v1/projects/:projectId/questions',
    'POST /api/v1/projects/:projectId/runs',
    'POST /api/v1/runs/:runId/stop',
    'POST /api/v1/model-versions',
    'POST /api/v1/model-versions/:modelVersionId/retire',
  ],
  [EVERYBODY]: [
    'POST /api/v1/tokens',
    'POST /api/v1/password',
    'POST /api/v1/tokens/revoke',
    'GET /api/v1/sites',
    'GET /api/v1/blobs/:digest',
    'GET /api/v1/bundles',
    'GET /api/v1/projects',
    'GET /api/v1/projects/:projectId',
    'GET /api/v1/questions/:questionId',
    'GET /api/v1/projects/:projectId/runs',
    'GET /api/v1/runs/:runId',
    'GET /api/v1/model-versions',
    'GET /api/v1/model-versions/:modelVersionId',
  ],
};

test('every route answers each role as it should, and every operation of the contract has a route', async (t) => {
  const hub = await startTestHub(t);
  const tokensByRole: Record<string, string> = {};
  for (const role of HUB_ROLES) tokensByRole[role] = (await hub.person(`only-${role}`, role)).token;
  const asked = await assertRouteAuthorisation({ server: hub, url: hub.url, tokensByRole });
  assert.ok(asked >= hub.routes.length * (HUB_ROLES.length + 1));

  const table = accessTable(hub.routes);
  for (const [access, routes] of Object.entries(EXPECTED)) {
    for (const route of routes) assert.equal(table[route], access, route);
  }
  const ofPeople = new Set(Object.values(EXPECTED).flat());
  for (const [route, access] of Object.entries(table)) {
    if (ofPeople.has(route)) continue;
    const isSite = route.includes(' /api/v1/site/') && route !== 'POST /api/v1/site/enrolment';
    assert.match(access, isSite ? /^Site|signed/i : /public|anybody/i, route);
  }
  const defined = Object.values(HUB_API).map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual(
    defined.filter((operation) => table[operation] === undefined),
    [],
  );
});

test('the admin token lies in a file that only its owner may read, and the document of the interface is public', async (t) => {
  const hub = await startTestHub(t);
  const { mode } = await stat(join(hub.dataDir, 'admin.token'));
  assert.equal(mode & 0o077, 0);
  const response = await fetch(new URL('/openapi.json', hub.url));
  const text = await response.text();
  assert.match(text, /"openapi":"3\.1/);
  assert.match(text, /model-versions/);
});

test('a hub started again on its folder keeps its key, its sites and its accounts', async (t) => {
  const hub = await startTestHub(t);
  const zurich = await joinSite(hub, 'Zurich');
  const log = createLogger({ name: 'test', level: 'silent' });
  const settings = {
    dataDir: hub.dataDir,
    httpHost: '127.0.0.1',
    httpPort: 0,
    hubName: 'Test hub',
    databaseUrl: hub.databaseUrl,
    logLevel: 'silent' as const,
  };
  const again = await startHub(settings, { log });
  t.after(() => again.close());
  assert.notEqual(again.url, hub.url);
  const response = await fetch(new URL('/api/v1/sites', again.url), {
    headers: { authorization: `Bearer ${hub.admin.token}` },
  });
  assert.match(await response.text(), new RegExp(zurich.siteId));
});

test('settings that cannot be are refused before anything is opened', async (t) => {
  const hub = await startTestHub(t);
  const settings = {
    dataDir: hub.dataDir,
    httpHost: '127.0.0.1',
    httpPort: 0,
    hubName: 'Test hub',
    databaseUrl: hub.databaseUrl,
    logLevel: 'silent' as const,
  };
  await refused(startHub({ ...settings, faultPoint: 'hub.nowhere' }), 'config.invalid', /faultPoint/);
  await refused(startHub({ ...settings, tlsKeyFile: 'key.pem' }), 'config.invalid', /come together/);
});

test('closing a hub ends its long polls', async (t) => {
  const hub = await startTestHub(t);
  const zurich = await joinSite(hub, 'Zurich');
  const poll = zurich.poll(20_000);
  const startedMs = performance.now();
  const ended = poll.then(
    () => 'answered',
    () => 'cut',
  );
  await hub.close();
  await ended;
  assert.ok(performance.now() - startedMs < 15_000);
});
