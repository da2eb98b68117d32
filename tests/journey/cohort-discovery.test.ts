/**
 * A researcher asks two hospitals about their records: from the command line through the hub to both CDMs and back, as real processes.
 * One hospital is large, one small, so that some of its numbers may not leave.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { HUB_API, type ProjectId, type Question, SITE_API } from '@lantern/contract';
import { runLantern, startServer } from '@lantern/lantern';
import { EXIT } from '../../packages/lantern/src/cli/exit-codes.ts';
import { runProgram } from '../../packages/lantern/src/cli/program.ts';
import { type EngineCdm, makeCdm } from '../../packages/site/test/cdm-engines.ts';
import { CONCEPTS, circe, recordsStatements } from '../../packages/site/test/records-cdm.ts';
import { TestFederation } from './test-federation.ts';

const TOKEN = 'QJOURNEY9C41';
const PATIENT_COUNTS = [400, 60];

let federation: TestFederation;
const cdms: EngineCdm[] = [];
let projectId: ProjectId;
let definition: string;

before(async () => {
  federation = await TestFederation.start(PATIENT_COUNTS.length);
  for (const [index, site] of federation.sites.entries()) {
    const cdm = await makeCdm('duckdb', recordsStatements({ token: TOKEN, count: PATIENT_COUNTS[index] ?? 0 }), {
      isStrict: false,
    });
    cdms.push(cdm);
    const config = path.join(federation.root, `${site.key}.json`);
    await writeFile(config, JSON.stringify({ records: { cdm: cdm.where } }));
    await site.process.stop();
    const settings = { env: process.env, root: federation.root };
    const port = Number(new URL(site.process.url).port);
    site.process = await startServer(settings, {
      name: site.key,
      folder: site.key,
      args: ['site', '--config', config],
      port,
    });
  }
  projectId = await approvedProject();
  definition = path.join(federation.root, 'definition.json');
  await writeFile(definition, JSON.stringify(circe(CONCEPTS.diabetes, [5000001, 5000003])));
});
after(async () => {
  await federation?.stop();
  for (const cdm of cdms) await cdm.close();
});

async function approvedProject(): Promise<ProjectId> {
  const { admin, sites } = federation;
  const project = await admin.api.call(HUB_API.createProject, {
    body: {
      title: 'Diabetes in two hospitals',
      purpose: 'A test.',
      sites: sites.map(({ siteId }) => siteId),
      datasets: ['records'],
      algorithms: [],
      egress: ['counts'],
      privacy: {},
      expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
    },
  });
  await admin.api.call(HUB_API.submitProject, { params: { projectId: project.projectId } });
  for (const site of sites) {
    const body = { verdict: 'approved' as const, reason: 'Generated patients.' };
    await site.admin.api.call(SITE_API.decide, { params: { projectId: project.projectId }, body });
  }
  return project.projectId;
}

function command(...args: string[]): string[] {
  return ['cohort', ...args, '--project', projectId, '--data', federation.hub.dataDir];
}

async function asked(...args: string[]): Promise<Question> {
  return (await runLantern({ env: process.env, root: federation.root }, command(...args))) as Question;
}

async function printed(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const code = await runProgram(command(...args), context as never);
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

describe('a cohort over two hospitals', () => {
  it('is counted at each, with sums that say how many withheld a number, and with what the budgets have left', async () => {
    const args = ['count', '--definition', definition, '--describe', 'sex,crossing:sex+age'];
    const question = await asked(...args);
    assert.ok(question.complete && question.sums !== undefined);
    const { sums } = question;
    assert.deepEqual([sums.answeredSites, sums.otherSites], [2, 0]);
    assert.deepEqual(
      sums.attrition.map(({ rule }) => rule),
      ['has 5000001', 'has 5000003'],
    );
    const [first] = sums.attrition;
    assert.ok(Math.abs((first?.sum.value ?? 0) - 230) <= 60 || first?.sum.withheldSites === 1);
    assert.deepEqual([sums.total?.releasedSites, sums.total?.withheldSites], [1, 1]); // about 50, and 8
    assert.ok(Math.abs((sums.total?.value ?? 0) - 50) <= 30);

    const { code, out } = await printed(...args);
    assert.equal(code, EXIT.success);
    assert.match(out, /after has 5000001 .*~\d+ .*~\d+/);
    assert.match(out, /in the cohort .*withheld.*~\d+ and 1 withheld/);
    assert.match(out, /female, 20 to 39/);
    assert.match(out, /questions left\s+site-\d\s+site-\d\n[─ ]+\n\s*23\s+23/); // 3 and 2 tables of 2, once
  });

  it('is refused by the path of a field that nobody understands, before anybody is asked', async () => {
    const file = path.join(federation.root, 'wrong.json');
    await writeFile(file, JSON.stringify({ ...circe(1), PrimaryCriteria: { ...primary(), Surprise: 1 } }));
    const { code, err } = await printed('count', '--definition', file);
    assert.notEqual(code, EXIT.success);
    assert.match(err, /PrimaryCriteria\.Surprise: is not known here/);
  });

  it('can be looked for among the concepts that the hospitals hold', async () => {
    const question = await asked('concepts', '--domain', 'condition', '--search', 'diab', '--limit', '2');
    const cells = question.sums?.tables[0]?.cells ?? [];
    assert.deepEqual(
      cells.map(({ label, meaning }) => [label, meaning]),
      [[String(CONCEPTS.diabetes), 'Type 2 diabetes mellitus']],
    );
    const { out } = await printed('concepts', '--domain', 'condition', '--search', 'diab', '--limit', '2');
    assert.match(out, /201826\s+Type 2 diabetes mellitus\s+~\d+/);
  });

  it('leaves nothing that names a patient at the hub or in a log', async () => {
    const files = await readdir(federation.root, { recursive: true, withFileTypes: true });
    const held = files.filter(
      (file) => file.isFile() && (file.parentPath.includes(`${path.sep}hub`) || file.name.endsWith('.log')),
    );
    assert.ok(held.length > 3);
    for (const file of held) {
      const bytes = await readFile(path.join(file.parentPath, file.name));
      assert.ok(!bytes.includes(TOKEN), file.name);
    }
  });
});

function primary(): Record<string, unknown> {
  return circe(1)['PrimaryCriteria'] as Record<string, unknown>;
}
