import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SITE_API, type SiteRole } from '@lantern/contract';
import { accessTable, assertRouteAuthorisation, loadConfig } from '@lantern/service';
import { VOCABULARY } from '../test/cdm-pass-site.ts';
import { type ScriptedHub, startScriptedHub } from '../test/scripted-hub.ts';
import { settingsFor, startTestSite, type TestSite } from '../test/site-harness.ts';
import { SiteConfigSchema } from './config.ts';
import { DicomSettingsSchema } from './dimse/dicom-settings.ts';
import { FeedSettingsSchema } from './hl7-feed/feed-settings.ts';
import { startSite } from './main.ts';

/** With a place in the DICOM network, and a CDM of its own, so that every operation is there. */
const DICOM = loadConfig({
  schema: DicomSettingsSchema,
  env: {},
  prefix: '',
  overrides: { port: 0, aeTitles: [{ aeTitle: 'LANTERN' }] },
});

const HL7 = loadConfig({ schema: FeedSettingsSchema, env: {}, prefix: '', overrides: { port: 0 } });

let hub: ScriptedHub;
let site: TestSite;
let folder: string;

before(async () => {
  hub = await startScriptedHub();
  folder = await mkdtemp(path.join(tmpdir(), 'lantern-site-main-'));
  const etl = { vocabulary: VOCABULARY, everyMinutes: 10_080, patientNumbers: [], memoryMiB: 256, threads: 1 };
  const cdm = path.join(folder, 'cdm.duckdb');
  const records = { cdm, dataset: 'records', feasibility: 'approved-projects' as const, etl };
  site = await startTestSite(hub, 'site-main', { dicom: DICOM, hl7: HL7, records });
});

after(async () => {
  await site?.close();
  await hub?.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the routes of a site', () => {
  it('answer each role and nobody else, as they declare', async () => {
    const asked = await assertRouteAuthorisation({
      server: { routes: site.routes() },
      url: site.url(),
      tokensByRole: site.tokens(),
    });
    assert.ok(asked > 100);
  });

  it('let the governance lead alone decide, and nobody but the data engineer and the administrator bring data', () => {
    const table = accessTable(site.routes());
    const wanted: [keyof typeof SITE_API, string][] = [
      ['decide', 'Roles: governance'],
      ['grantQuestions', 'Roles: governance'],
      ['previewProject', 'Roles: admin, governance'],
      ['listProjects', 'Roles: admin, governance, data-engineer'],
      ['readProject', 'Roles: admin, governance, data-engineer'],
      ['listProjectBundles', 'Roles: admin, governance, data-engineer'],
      ['registerDataset', 'Roles: admin, data-engineer'],
      ['removeDataset', 'Roles: admin, data-engineer'],
      ['appendImport', 'Roles: admin, data-engineer'],
      ['importOffset', 'Roles: admin, data-engineer'],
      ['listDatasets', 'Roles: admin, governance, data-engineer'],
      ['runLocally', 'Roles: admin, data-engineer'],
      ['listActivity', 'Roles: admin, governance, data-engineer'],
      ['listSentMessages', 'Roles: admin, governance, data-engineer'],
      ['createPull', 'Roles: admin, data-engineer'],
      ['listPulls', 'Roles: admin, data-engineer'],
      ['readPull', 'Roles: admin, data-engineer'],
      ['retryPull', 'Roles: admin, data-engineer'],
      ['readFeed', 'Roles: admin, data-engineer'],
      ['listFeedMessages', 'Roles: admin, data-engineer'],
      ['readFeedMessage', 'Roles: admin, data-engineer'],
      ['retryFeedMessage', 'Roles: admin, data-engineer'],
      ['retryFeed', 'Roles: admin, data-engineer'],
      ['createUser', 'Roles: admin, governance'],
      ['listUsers', 'Roles: admin, governance'],
      ['disableUser', 'Roles: admin'],
      ['listAudit', 'Roles: admin, governance'],
      ['auditHead', 'Roles: admin, governance'],
      ['readHubLink', 'Roles: admin, governance, data-engineer, clinician'],
      ['createToken', 'Roles: admin, governance, data-engineer, clinician'],
      ['changePassword', 'Roles: admin, governance, data-engineer, clinician'],
      ['revokeToken', 'Roles: admin, governance, data-engineer, clinician'],
    ];
    for (const [name, access] of wanted) {
      const { method, path: route } = SITE_API[name];
      assert.equal(table[`${method} ${route}`], access, name);
    }
  });

  it('let an administrator make no second governance lead, and a lead nobody but a lead', async () => {
    const password = 'a long enough password';
    const add = (by: 'admin' | 'governance', name: string, roles: SiteRole[]) =>
      site.as(by).call(SITE_API.createUser, { body: { name, password, roles } });
    await assert.rejects(add('admin', 'own-lead', ['clinician', 'governance']), { code: 'auth.forbidden' });
    await assert.rejects(add('governance', 'own-admin', ['governance', 'admin']), { code: 'auth.forbidden' });
    await add('governance', 'second-lead', ['governance']);
    await add('admin', 'engineer', ['data-engineer']);
    const { users } = await site.as('governance').call(SITE_API.listUsers, {});
    const made = users.filter(({ name }) => !name.startsWith('test.') && name !== 'admin');
    assert.deepEqual(
      made.map(({ name, roles }) => [name, roles]),
      [
        ['engineer', ['data-engineer']],
        ['second-lead', ['governance']],
      ],
    );
  });

  it('are those of the contract, every one of them', () => {
    const served = new Set(site.routes().map(({ endpoint }) => `${endpoint.method} ${endpoint.path}`));
    const missing = Object.entries(SITE_API).filter(([, { method, path: route }]) => !served.has(`${method} ${route}`));
    assert.deepEqual(
      missing.map(([name]) => name),
      [],
    );
  });

  it('show a clinician nothing of projects, datasets, activity or audit', async () => {
    const clinician = site.as('clinician');
    for (const name of ['listProjects', 'listDatasets', 'listActivity', 'listAudit'] as const) {
      await assert.rejects(clinician.call(SITE_API[name], {}), { code: 'auth.forbidden' }, name);
    }
  });
});

describe('the settings of a site', () => {
  it('have defaults for everything but the data folder', () => {
    const settings = loadConfig({
      schema: SiteConfigSchema,
      env: { LANTERN_SITE_DATA_DIR: '/data' },
      prefix: 'LANTERN_SITE_',
    });
    assert.equal(settings.dataDir, '/data');
    assert.equal(settings.httpHost, '127.0.0.1');
  });

  it('are refused where TLS has a certificate without a key', async () => {
    const dataDir = await mkdtemp(path.join(tmpdir(), 'lantern-site-'));
    const settings = settingsFor(dataDir, 'postgres://unused', { tlsCertFile: '/nowhere.pem' });
    const other = await startScriptedHub();
    const { joinHub } = await import('./hub-link/join.ts');
    await joinHub(settings, { hubUrl: other.url, code: other.code, siteName: 'TLS' });
    await assert.rejects(startSite(settings), { code: 'config.invalid', message: /tlsKeyFile/ });
    await other.close();
    await rm(dataDir, { recursive: true, force: true });
  });
});
