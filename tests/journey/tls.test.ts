/** Hub and site behind TLS as real processes: who is trusted, who is refused, and in which words. */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, COMMON_API, HUB_API, type HubLink, SITE_API } from '@lantern/contract';
import { type Connection, connect, runLantern, type ServerProcess, startServer } from '@lantern/lantern';
import { createTestAuthority } from './test-certificate.ts';

const NOT_TRUSTED = /certificate comes from an authority that is not trusted here.*caFile/;
const LINK_WAIT_MS_MAX = 30_000; // a poll takes milliseconds; the rest is for a busy machine

let root: string;
let hub: ServerProcess;
let admin: Connection;
const started: ServerProcess[] = [];
const connections: Connection[] = [];

const settings = () => ({ env: process.env, root });
const file = (name: string) => path.join(root, name);

before(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'lantern-tls-'));
  await chmod(root, 0o711);
  const [ours, foreign] = [createTestAuthority('Test authority'), createTestAuthority('Another authority')];
  await writeFile(file('ours.pem'), ours.certPem);
  await writeFile(file('foreign.pem'), foreign.certPem);
  for (const name of ['hub', 'site']) {
    const { keyPem, certPem } = ours.issue(name);
    await writeFile(file(`${name}-key.pem`), keyPem, { mode: 0o600 });
    await writeFile(file(`${name}-cert.pem`), certPem);
  }
  hub = await start('hub', {
    LANTERN_HUB_TLS_KEY_FILE: file('hub-key.pem'),
    LANTERN_HUB_TLS_CERT_FILE: file('hub-cert.pem'),
  });
  admin = await open({ data: hub.dataDir, url: hub.url, caFile: file('ours.pem') });
});

after(async () => {
  for (const connection of connections) connection.http.close();
  await Promise.all(started.map((server) => server.stop()));
  await rm(root, { recursive: true, force: true });
});

async function start(name: 'hub' | 'site', env: Record<string, string>): Promise<ServerProcess> {
  const server = await startServer(settings(), { name, folder: name, args: [name], settings: env });
  started.push(server);
  return server;
}

async function startSite(caFile: string): Promise<{ site: ServerProcess; client: Connection }> {
  const site = await start('site', {
    LANTERN_SITE_TLS_KEY_FILE: file('site-key.pem'),
    LANTERN_SITE_TLS_CERT_FILE: file('site-cert.pem'),
    LANTERN_SITE_CA_FILE: caFile,
  });
  return { site, client: await open({ data: site.dataDir, url: site.url, caFile: file('ours.pem') }) };
}

async function open(options: Parameters<typeof connect>[0]): Promise<Connection> {
  const connection = await connect(options, {});
  connections.push(connection);
  return connection;
}

async function join(...more: string[]): Promise<unknown> {
  const { code } = await admin.api.call(HUB_API.createEnrolmentCode, { body: { siteName: 'ward' } });
  const args = ['--hub', hub.url, '--code', code, '--name', 'ward', '--data', file('site')];
  return runLantern(settings(), ['site', 'join', ...args, ...more]);
}

async function linkOf(client: Connection, wanted: (link: HubLink) => boolean): Promise<HubLink> {
  for (const startMs = performance.now(); performance.now() - startMs < LINK_WAIT_MS_MAX; await delay(50)) {
    const link = await client.api.call(SITE_API.readHubLink, {});
    if (wanted(link)) return link;
  }
  assert.fail('the link to the hub never came to what was waited for');
}

it('a hub with a key and a certificate speaks TLS alone, and says so to browsers', async () => {
  assert.match(hub.url, /^https:/);
  const { headers, body } = await admin.http.download('/health');
  body.destroy();
  assert.match(String(headers['strict-transport-security']), /^max-age=\d{7,}/);
  assert.ok((await admin.api.call(COMMON_API.listUsers, {})).users.length > 0);
  const plain = await open({ data: hub.dataDir, url: hub.url.replace('https:', 'http:') });
  await assert.rejects(plain.api.call(COMMON_API.listUsers, {}), { code: 'peer.unreachable' });
});

it('a site does not join a hub whose authority it does not know, or takes for another one', async () => {
  for (const more of [[], ['--ca-file', file('foreign.pem')]]) {
    await assert.rejects(join(...more), (error) => error instanceof AppError && NOT_TRUSTED.test(error.message));
  }
  await assert.rejects(join('--ca-file', file('gone.pem')), /caFile: cannot be read/);
  assert.deepEqual((await admin.api.call(HUB_API.listSites, {})).sites, []);
});

it('a site that trusts the authority joins, and stays connected over TLS in both directions', async () => {
  await join('--ca-file', file('ours.pem'));
  const { site, client } = await startSite(file('ours.pem'));
  assert.match(site.url, /^https:/);
  const link = await linkOf(client, ({ connected }) => connected);
  assert.equal(link.hubUrl, hub.url);
  const [known] = (await admin.api.call(HUB_API.listSites, {})).sites;
  assert.equal(known?.siteId, link.siteId);
  assert.ok(known?.lastSeenAt !== undefined);
  const stranger = await open({ data: site.dataDir, url: site.url, caFile: file('foreign.pem') });
  await assert.rejects(stranger.api.call(SITE_API.readHubLink, {}), { code: 'peer.unreachable', message: NOT_TRUSTED });
  await site.stop();
});

it('a joined site sends nothing to a hub that shows the certificate of another authority, and says why', async () => {
  const before = (await admin.api.call(HUB_API.listSites, {})).sites[0]?.lastSeenAt;
  const { site, client } = await startSite(file('foreign.pem'));
  const link = await linkOf(client, ({ lastError }) => lastError !== undefined);
  assert.equal(link.connected, false);
  assert.equal(link.lastError?.code, 'peer.unreachable');
  assert.match(link.lastError?.message ?? '', NOT_TRUSTED);
  assert.equal((await admin.api.call(HUB_API.listSites, {})).sites[0]?.lastSeenAt, before);
  const doctor = (caFile: string) => runLantern(settings(), ['doctor', '--data', site.dataDir, '--ca-file', caFile]);
  await assert.rejects(doctor(file('foreign.pem')), /checks say no: server, hub/);
  assert.match(JSON.stringify(await doctor(file('ours.pem'))), /The hub accepts this site's key/);
  await site.stop();
});
