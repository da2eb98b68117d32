import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError, HUB_API, SITE_API } from '@lantern/contract';
import { startHub } from '@lantern/hub';
import { type Database, loadConfig, newId, openTestDatabase } from '@lantern/service';
import { joinHub, SiteConfigSchema, startSite } from '@lantern/site';
import { type Connection, connect } from './connection.ts';

type Server = { readonly url: string; close(): Promise<void> };

describe('a command that asks the other side', () => {
  let folder: string;
  const databases: Database[] = [];
  const servers: Server[] = [];
  let atHub: Connection;
  let atSite: Connection;

  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-sides-'));
    const settings = async (name: 'hub' | 'site') => {
      const database = await openTestDatabase(name);
      databases.push(database);
      const dataDir = path.join(folder, name);
      return { dataDir, databaseUrl: database.url, httpHost: '127.0.0.1', httpPort: 0, logLevel: 'silent' } as const;
    };
    const hubSettings = await settings('hub');
    const hub = await startHub({ ...hubSettings, hubName: 'Hub of the test' });
    servers.push(hub);
    atHub = await connect({ data: hubSettings.dataDir, url: hub.url }, {});
    const siteName = 'St Elsewhere';
    const { code } = await atHub.api.call(HUB_API.createEnrolmentCode, { body: { siteName } });
    const siteSettings = loadConfig({
      schema: SiteConfigSchema,
      env: {},
      prefix: '',
      overrides: await settings('site'),
    });
    await joinHub(siteSettings, { hubUrl: hub.url, code, siteName });
    const site = await startSite(siteSettings);
    servers.push(site);
    atSite = await connect({ data: siteSettings.dataDir, url: site.url }, {});
  });
  after(async () => {
    atHub.http.close();
    atSite.http.close();
    for (const server of servers.toReversed()) await server.close();
    for (const database of databases) await database.close();
    await rm(folder, { recursive: true });
  });

  const refusal = async (asked: Promise<unknown>): Promise<string> => {
    const caught = await asked.catch((error: unknown) => error);
    assert.ok(caught instanceof AppError && caught.code === 'config.invalid', String(caught));
    return caught.message;
  };

  it('hears which side answers there, also where both have an operation of that name', async () => {
    const isHub = `${atHub.url} is a hub, and this is asked of a site: name one with --data or --url.`;
    const params = { projectId: newId('ProjectId') };
    assert.equal(await refusal(atHub.api.call(SITE_API.listProjects, {})), isHub);
    assert.equal(await refusal(atHub.api.call(SITE_API.listActivity, {})), isHub);
    assert.equal(await refusal(atHub.api.call(SITE_API.listProjectBundles, { params })), isHub);
    const isSite = `${atSite.url} is a site, and this is asked of a hub: name one with --data or --url.`;
    assert.equal(await refusal(atSite.api.call(HUB_API.listProjects, {})), isSite);
    assert.equal(await refusal(atSite.api.call(HUB_API.listSites, {})), isSite);
    assert.equal(await refusal(atSite.api.call(HUB_API.submitProject, { params })), isSite);
  });

  it('hears it too when its token is of the side that it meant', async () => {
    const stranger = await connect({ data: path.join(folder, 'site'), url: atHub.url }, {});
    try {
      assert.match(
        await refusal(stranger.api.call(SITE_API.listActivity, {})),
        /is a hub, and this is asked of a site/,
      );
    } finally {
      stranger.http.close();
    }
  });

  it('is told what is wrong as ever on the side that it meant', async () => {
    const params = { projectId: newId('ProjectId') };
    await assert.rejects(atHub.api.call(HUB_API.readProject, { params }), { code: 'not-found' });
    await assert.rejects(atSite.api.call(SITE_API.readProject, { params }), { code: 'not-found' });
    assert.deepEqual((await atHub.api.call(HUB_API.listProjects, {})).projects, []);
    assert.equal((await atSite.api.call(SITE_API.listUsers, {})).users.length, 1);
    assert.equal((await atHub.api.call(SITE_API.listUsers, {})).users.length, 1); // what both have alike is of no side
  });
});
