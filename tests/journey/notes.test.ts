/** From a governance lead's word to a file of notes: decided, shown, exported, withdrawn, all from the command line against a site. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { ProjectId, SiteRole } from '@lantern/contract';
import { EXIT } from '../../packages/lantern/src/cli/exit-codes.ts';
import { runProgram } from '../../packages/lantern/src/cli/program.ts';
import { projectSpec } from '../../packages/site/test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../packages/site/test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../packages/site/test/site-harness.ts';

const PATIENT_COUNT = 13; // more than a page
const TOKEN = 'Quernmore';

let folder: string;
let hub: ScriptedHub;
let site: TestSite;
let projectId: ProjectId;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lantern-notes-journey-'));
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'journey-notes');
  for (let number = 1; number <= PATIENT_COUNT; number += 1) {
    await put('Patient', `p${number}`, { identifier: [{ value: `QN${1000 + number}` }], name: [{ family: TOKEN }] });
    await put('Observation', `v${number}`, {
      status: 'final',
      code: { text: 'remark' },
      subject: { reference: `Patient/p${number}` },
      valueString: `Mrs ${TOKEN} has a haemoglobin of ${100 + number} g/L`,
    });
  }
  projectId = await site.project(hub, projectSpec(hub.siteId(), { algorithms: [] }));
});
after(async () => {
  await site?.close();
  await hub?.close();
  await rm(folder, { recursive: true, force: true });
});

async function put(type: string, id: string, more: object): Promise<void> {
  const response = await fetch(`${site.url()}/fhir/${type}/${id}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${site.tokens()['data-engineer']}`, 'content-type': 'application/fhir+json' },
    body: JSON.stringify({ resourceType: type, id, ...more }),
  });
  assert.ok(response.ok, await response.text());
}

async function lantern(role: SiteRole, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const tokenFile = path.join(folder, `${role}.token`);
  await writeFile(tokenFile, site.tokens()[role]);
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const code = await runProgram([...args, '--url', site.url(), '--token-file', tokenFile], context as never);
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

describe('notes from the command line', () => {
  const file = () => path.join(folder, 'notes.ndjson');
  const exported = (...more: string[]) =>
    lantern('data-engineer', 'notes', 'export', file(), '--project', projectId, ...more);

  it('are refused while nobody allowed them, and leave no file', async () => {
    const { code, err } = await exported();
    assert.ok(code !== EXIT.success && /policy\.not-approved/.test(err), err);
    await assert.rejects(stat(file()));
    await assert.rejects(stat(`${file()}.part`));
  });

  it('are allowed by a decision that shows it, and come as lines of all patients', async () => {
    const decide = ['site', 'decide', projectId, '--approve', '--reason', 'Committee of 1 March.'];
    const odd = await lantern('governance', ...decide, '--free-text', 'all');
    assert.ok(odd.code !== EXIT.success && /none of none, deidentified/.test(odd.err), odd.err);
    const decided = await lantern('governance', ...decide, '--free-text', 'deidentified');
    assert.match(decided.out, /free text +deidentified/, decided.err);
    assert.match((await lantern('governance', 'site', 'project', projectId)).out, /free text +deidentified/);
    const { code, out, err } = await exported('--json');
    assert.equal(code, EXIT.success, err);
    assert.deepEqual(JSON.parse(out), { patients: PATIENT_COUNT, optedOut: 0, notes: PATIENT_COUNT, unread: 0 });
    const content = await readFile(file(), 'utf8');
    const notes = content
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.equal(new Set(notes.map(({ patient }) => patient)).size, PATIENT_COUNT);
    assert.ok(notes.every(({ text: note }) => /^Mrs \[NAME\] has a haemoglobin of 1\d\d g\/L$/.test(note)));
    assert.ok(!content.includes(TOKEN));
    assert.equal((await stat(file())).mode & 0o077, 0);
    const one = await exported('--patient', 'p3', '--json');
    assert.equal(JSON.parse(one.out).notes, 1);
  });

  it('end with the approval', async () => {
    await lantern('governance', 'site', 'decide', projectId, '--withdraw', '--reason', 'It is over.');
    const { code, err } = await exported();
    assert.ok(code !== EXIT.success && /policy\.not-approved/.test(err), err);
  });
});
