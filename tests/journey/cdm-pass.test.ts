/** A hospital's CDM from the command line against its running site: a pass asked for and waited for, its account, and what goes wrong. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { CdmPass, RowAccount, SiteRole } from '@lantern/contract';
import { EXIT } from '../../packages/lantern/src/cli/exit-codes.ts';
import { runProgram } from '../../packages/lantern/src/cli/program.ts';
import { type CdmPassSite, HOSPITAL, startCdmPassSite, VOCABULARY } from '../../packages/site/test/cdm-pass-site.ts';

const PATIENT_COUNT = 79;
const RESOURCE_COUNT = 5676;

let folder: string;
let vocabulary: string;
let one: CdmPassSite;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lantern-cdm-journey-'));
  vocabulary = path.join(folder, 'vocabulary');
  await cp(VOCABULARY, vocabulary, { recursive: true });
  one = await startCdmPassSite('journey-cdm-pass', { vocabulary });
  await one.settle();
  await one.load(HOSPITAL);
});
after(async () => {
  await one?.close();
  await rm(folder, { recursive: true, force: true });
});

async function lantern(role: SiteRole, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const tokenFile = path.join(folder, `${role}.token`);
  await writeFile(tokenFile, one.site.tokens()[role]);
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: AbortSignal.timeout(120_000) };
  const code = await runProgram(
    ['omop', ...args, '--url', one.site.url(), '--token-file', tokenFile],
    context as never,
  );
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

async function etl(...args: string[]): Promise<{ pass: CdmPass; account: RowAccount }> {
  const { code, out, err } = await lantern('data-engineer', 'etl', '--json', ...args);
  assert.equal(code, EXIT.success, err);
  return JSON.parse(out);
}

const sumOf = ({ byType }: RowAccount) => byType.reduce((sum, { count }) => sum + Number(count), 0);

describe('lantern omop at a site', () => {
  it('etl waits for the pass and shows an account that adds up to the records of the site', async () => {
    const { pass, account } = await etl();
    assert.deepEqual([pass.state, pass.isPublished, pass.patientCount], ['done', true, PATIENT_COUNT]);
    assert.deepEqual([pass.readCount, sumOf(account)], [RESOURCE_COUNT, RESOURCE_COUNT]);
    assert.equal(pass.askedBy, 'test.data-engineer');
    assert.deepEqual(await one.ask('SELECT count(*) FROM person'), [String(PATIENT_COUNT)]);
  });

  it('account says in lines what etl said as a document, with as many findings as are asked for', async () => {
    const shown = await lantern('data-engineer', 'account');
    assert.equal(shown.code, EXIT.success, shown.err);
    assert.match(shown.out, /Resource +Mapped +With warning +Unmapped +Refused +Sum/);
    assert.match(shown.out, /Condition +564 +0 +20 +0 +584/);
    assert.match(shown.out, /Resource +Finding +Rule +Code +Resources/);
    const { out } = await lantern('data-engineer', 'account', '--json', '--findings', '3');
    const account: RowAccount = JSON.parse(out);
    assert.deepEqual([sumOf(account), account.findings.length], [RESOURCE_COUNT, 3]);
    const none = await lantern('data-engineer', 'account', '--findings', '0');
    assert.doesNotMatch(none.out, /Finding/);
  });

  it('etl says when there was nothing to do, reads what changed alone, and all with --rebuild', async () => {
    const again = await lantern('data-engineer', 'etl');
    assert.match(again.out, /^Nothing has changed since the last pass\.\n/);
    await one.put({ resourceType: 'Patient', id: 'late', gender: 'male', birthDate: '1950-06-01' });
    const { pass, account } = await etl();
    assert.deepEqual([pass.readCount, pass.patientCount, sumOf(account)], [1, 1, RESOURCE_COUNT + 1]);
    const shown = await lantern('data-engineer', 'etl', '--rebuild');
    assert.match(shown.out, new RegExp(`^Read: ${RESOURCE_COUNT + 1} resources, 0 of them once more\\.\n`));
    assert.match(shown.out, new RegExp(`patients made anew: ${PATIENT_COUNT + 1}\\.`));
  });

  it('refuses whoever may not ask, and what makes no sense, before anything is done', async () => {
    const before = (await etl()).pass.passId;
    for (const role of ['clinician', 'governance'] as const) {
      const { code, out, err } = await lantern(role, 'etl');
      assert.ok(code !== EXIT.success && out === '' && /auth\.forbidden/.test(err), `${role}: ${err}`);
    }
    const odd = await lantern('data-engineer', 'account', '--findings', 'many');
    assert.ok(odd.code !== EXIT.success && /--findings: must be a whole number/.test(odd.err), odd.err);
    const halves = await lantern('data-engineer', 'etl', HOSPITAL);
    assert.ok(halves.code !== EXIT.success && /Files and --cdm come together/.test(halves.err), halves.err);
    assert.equal((await etl()).pass.passId, before + 1);
  });

  it('etl ends with the reason of a pass that fails, and the CDM stays as it was', async () => {
    await rename(vocabulary, `${vocabulary}-away`);
    const { code, out, err } = await lantern('data-engineer', 'etl', '--rebuild');
    assert.ok(code !== EXIT.success && out === '', out);
    assert.match(err, /Pass \d+ failed: config\.invalid: records\.etl\.vocabulary/);
    const { out: account } = await lantern('data-engineer', 'account', '--json');
    assert.equal(sumOf(JSON.parse(account)), RESOURCE_COUNT + 1);
    await rename(`${vocabulary}-away`, vocabulary);
    assert.equal((await etl('--rebuild')).pass.state, 'done');
  });

  it('account says that there is none before the first pass has ended', async () => {
    await rm(one.file, { force: true });
    const { code, err } = await lantern('data-engineer', 'account');
    assert.ok(code !== EXIT.success && /There is no CDM yet: no pass has ended[\s\S]*\[not-found\]/.test(err), err);
  });
});
