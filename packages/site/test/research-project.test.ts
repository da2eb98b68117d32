/** A whole site with images: a collection of a project follows what the governance lead signed for that project. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { RESEARCH_IMAGES_API, SITE_API } from '@lantern/contract';
import { loadConfig } from '@lantern/service';
import { DicomSettingsSchema } from '../src/dimse/dicom-settings.ts';
import { projectSpec } from './documents.ts';
import { type ScriptedHub, startScriptedHub } from './scripted-hub.ts';
import { startTestSite, type TestSite } from './site-harness.ts';

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  const overrides = { port: 0, aeTitles: [{ aeTitle: 'LANTERN' }] };
  const dicom = loadConfig({ schema: DicomSettingsSchema, env: {}, prefix: '', overrides });
  site = await startTestSite(hub, 'research-project', { dicom });
});

after(async () => {
  await site?.close();
  await hub?.close();
});

it('a collection of a project is approved only after the project, and read only until that is withdrawn', async () => {
  const spec = projectSpec(hub.siteId());
  const projectId = await site.project(hub, spec);
  await site.as('governance').call(SITE_API.listProjects, {}); // asks the hub
  const body = {
    name: 'of-a-project',
    projectId,
    profile: {},
    series: [{ modalities: ['CT'] }],
    studies: { kind: 'arriving' as const, aeTitles: ['LANTERN'] },
  };
  const { collectionId } = await site.as('data-engineer').call(RESEARCH_IMAGES_API.createImageCollection, { body });
  const params = { collectionId };
  const approve = () =>
    site.as('governance').call(RESEARCH_IMAGES_API.approveImageCollection, { params, body: { reason: 'agreed' } });
  const read = () => site.as('data-engineer').call(RESEARCH_IMAGES_API.readImageManifest, { params });
  await assert.rejects(approve(), { code: 'policy.not-approved' });
  await site.decide(projectId, { verdict: 'approved', reason: 'agreed' });
  assert.equal((await approve()).state, 'approved');
  assert.deepEqual((await read()).studies, []);
  await site.decide(projectId, { verdict: 'withdrawn', reason: 'over' });
  await assert.rejects(read(), { code: 'policy.not-approved' });
});
