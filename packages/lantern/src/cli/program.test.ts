import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { EXIT } from './exit-codes.ts';
import { runProgram } from './program.ts';

function capture() {
  const text = { out: '', err: '' };
  const sink = (key: 'out' | 'err') =>
    Object.assign(
      new Writable({
        write: (chunk, _, done) => {
          text[key] += String(chunk);
          done();
        },
      }),
      { isTTY: false },
    );
  return { text, stdout: sink('out') as never, stderr: sink('err') as never };
}

async function run(args: string[], env: Record<string, string> = {}) {
  const { text, stdout, stderr } = capture();
  const stdin = Readable.from([]);
  const code = await runProgram(args, { env, stdin, stdout, stderr, signal: new AbortController().signal });
  return { code, ...text };
}

describe('lantern', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-cli-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('lists its groups with the verbs of each', async () => {
    const { code, out } = await run(['--help']);
    assert.equal(code, EXIT.success);
    for (const group of ['hub', 'site', 'project', 'run', 'model', 'audit', 'dicom', 'demo', 'doctor'])
      assert.match(out, new RegExp(`^  ${group} `, 'm'));
    const words = out.replace(/\s+/g, ' ');
    assert.match(words, /→ invite, sites, revoke /);
    assert.match(words, /→ join, dataset, activity, sent, projects, project, preview, decide, /);
    assert.match((await run(['site', '--help'])).out, /→ schema, add, list, remove$/m);
  });

  it('says that the doctor finds no folder behind a misspelt name', async () => {
    const { code, out, err } = await run(['doctor', '--data', path.join(folder, 'typo')]);
    assert.equal(code, EXIT.config);
    assert.match(out, /✖ data folder: .*typo does not exist\./);
    assert.doesNotMatch(err, /lantern doctor/);
  });

  it('ends with 64 for words it does not know', async () => {
    assert.equal((await run(['flub'])).code, EXIT.usage);
    assert.equal((await run(['site', 'join', '--code', 'x'])).code, EXIT.usage);
  });

  it('shows what is in a DICOM file, for people and for machines, and says what is none', async () => {
    const file = path.resolve(import.meta.dirname, '../../../../fixtures/dicom/chrH31.dcm');
    const shown = await run(['dicom', 'show', file]);
    assert.equal(shown.code, EXIT.success);
    assert.match(shown.out, /^# Explicit VR Little Endian \(1\.2\.840\.10008\.1\.2\.1\)$/m);
    assert.match(shown.out, /^\(0010,0010\) PN PatientName +Yamada\^Tarou=山田\^太郎=やまだ\^たろう$/m);
    const { dataSet } = JSON.parse((await run(['dicom', 'show', file, '--json'])).out);
    const name = { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' };
    assert.deepEqual(dataSet['00100010'], { vr: 'PN', Value: [name] });
    const none = await run(['dicom', 'show', import.meta.filename]);
    assert.match(none.err, /This is no DICOM file/);
    assert.notEqual(none.code, EXIT.success);
  });

  it('ends with 78 and names the setting when one is wrong, as JSON when asked', async () => {
    const { code, err } = await run(['hub', '--data', folder, '--port', 'ninety', '--json']);
    assert.equal(code, EXIT.config);
    const { error } = JSON.parse(err);
    assert.equal(error.code, 'config.invalid');
    assert.match(error.message, /httpPort/);
  });

  it('refuses an environment variable that is no setting', async () => {
    const { code, err } = await run(['site', '--data', folder], { LANTERN_SITE_THRESHOLD: '3' });
    assert.equal(code, EXIT.config);
    assert.match(err, /No setting is called LANTERN_SITE_THRESHOLD/);
  });

  it('ends with 69 and says what to do when nobody answers', async () => {
    const { code, err } = await run(['hub', 'sites', '--url', 'http://127.0.0.1:1']);
    assert.equal(code, EXIT.unavailable);
    assert.match(err, /^Error: http:\/\/127\.0\.0\.1:1 cannot be reached: nothing listens there \(ECONNREFUSED\)\.$/m);
    assert.match(err, /What to do: .*a command is to be repeated/);
  });

  it('says which server is meant when none is named or none runs', async () => {
    assert.match((await run(['project', 'list'])).err, /--data DIR on the same machine, or --url URL/);
    assert.match((await run(['project', 'list', '--data', folder])).err, /No server is running on/);
  });

  it('refuses an id of another kind before it asks anybody', async () => {
    const { code, err } = await run(['run', 'stop', 'proj_aaaaaaaaaaaaaaaaaaaaaaaa', '--url', 'http://127.0.0.1:1']);
    assert.equal(code, EXIT.failed);
    assert.match(err, /is not a RunId/);
  });

  it('says which file of a command is missing instead of calling it a fault', async () => {
    const none = path.join(folder, 'none');
    for (const args of [
      ['audit', 'verify-file', none],
      ['bundle', 'push', none, '--url', 'http://127.0.0.1:1'],
      ['site', 'trust-ehr', '--issuer', 'x', '--key', none, '--url', 'http://127.0.0.1:1'],
      ['hub', '--config', none],
    ]) {
      const { code, err } = await run(args);
      assert.equal(code, EXIT.failed, err);
      assert.match(err, /none\S* does not exist\./);
      assert.doesNotMatch(err, / {4}at /);
    }
  });

  it('says which file of a command is a folder instead of calling it a fault', async () => {
    const dir = path.join(folder, 'table.csv');
    await mkdir(dir);
    const url = ['--url', 'http://127.0.0.1:1'];
    for (const args of [
      ['audit', 'verify-file', dir],
      ['hub', '--config', dir],
      ['site', 'trust-ehr', '--issuer', 'x', '--key', dir, ...url],
      ['site', 'dataset', 'schema', dir],
      ['site', 'dataset', 'add', dir, '--schema', 'fixtures/example/schema.json', ...url],
    ]) {
      const { code, err } = await run(args);
      assert.equal(code, EXIT.failed, err);
      assert.match(err, /table\.csv is a folder, not a file\./);
    }
    assert.match((await run(['hub', 'sites', ...url, '--token-file', dir])).err, /token file .* cannot be read/);
  });

  it('refuses a token that no header can hold, and a port that is none, by name', async () => {
    const { code, err } = await run(['hub', 'sites', '--url', 'http://127.0.0.1:1'], { LANTERN_TOKEN: 'first\nother' });
    assert.equal(code, EXIT.config);
    assert.match(err, /given as the token/);
    assert.doesNotMatch(err, /first|other/);
    const nothing = await run(['hub', '--data', path.join(folder, 'hub'), '--port', ' ']);
    assert.equal(nothing.code, EXIT.config);
    assert.match(nothing.err, /httpPort/);
  });

  it('says of a folder whose server.json was cut off what to do, instead of calling it a fault', async () => {
    const cut = path.join(folder, 'cut');
    await mkdir(cut);
    await writeFile(path.join(cut, 'server.json'), '{"url":"http:');
    for (const args of [['hub', 'sites'], ['doctor']]) {
      const { code, out, err } = await run([...args, '--data', cut]);
      assert.equal(code, EXIT.config, err);
      assert.match(out + err, /cut\/server\.json does not say where the server answers: remove it/);
    }
  });

  it('refuses at once to write where no folder can be made', {
    skip: process.platform !== 'linux' && 'only Linux has /proc',
  }, async () => {
    const { code, err } = await run(['bundle', 'build', 'fixtures/example/bundle.json', '--out', '/proc/foo']);
    assert.equal(code, EXIT.failed);
    assert.match(err, /The folder \/proc\/foo cannot be used/);
  });

  it('refuses an empty option or argument by name, as a shell makes of a variable that is not set, before it does anything', async () => {
    const url = ['--url', 'http://127.0.0.1:1'];
    for (const [named, ...args] of [
      ['--out', 'bundle', 'build', 'fixtures/example/bundle.json', '--out', ''],
      ['--data', 'hub', '--data', ''],
      ['--data', 'hub', 'sites', '--data='],
      ['--config', 'site', '--config', ''],
      ['--token-file', 'project', 'list', '--token-file', '', ...url],
      ['--json', 'demo', '--json', ''],
      ['--head', 'audit', 'verify-file', import.meta.filename, '--head', 'kept', ''],
      ['<file>', 'project', 'create', '', ...url],
      ['<files>', 'dicom', 'send', '127.0.0.1:1', ''],
    ]) {
      const { code, out, err } = await run(args);
      assert.equal(code, EXIT.failed, err);
      assert.match(err, new RegExp(`^Error: ${named} is empty\\.`), args.join(' '));
      assert.equal(out, '');
    }
    assert.match((await run(['hub', 'sites', '--data', '', '--json'])).err, /^{"error":{"code":"input.invalid"/);
  });

  it('refuses a demonstration whose report cannot be written before it begins, in words for a person', async () => {
    const { code, out, err } = await run(['demo', '--json', path.join(folder, 'none', 'report.json')]);
    assert.equal(code, EXIT.failed);
    assert.match(
      err,
      /^Error: The report .*report\.json cannot be written: no file can be made there\.\n {2}What to do: /,
    );
    assert.equal(out, '');
  });

  it('refuses a data folder that cannot be one, and says which file is in the way', async () => {
    const file = path.join(folder, 'a-file');
    await writeFile(file, '');
    for (const data of [file, path.join(file, 'below')]) {
      const { code, err } = await run(['hub', '--data', data]);
      assert.equal(code, EXIT.config, err);
      assert.match(err, /a-file is a file, not a folder\./);
      assert.doesNotMatch(err, / {4}at /);
    }
  });

  it('does not make the folder of a misspelt site', async () => {
    const typo = path.join(folder, 'typo');
    const { code, err } = await run(['site', '--data', typo]);
    assert.equal(code, EXIT.config);
    assert.match(err, /typo is not that of a site that has joined a hub/);
    assert.equal(existsSync(typo), false);
  });

  it('says that a table is missing instead of judging what is in it', async () => {
    const { code, err } = await run(['site', 'dataset', 'schema', path.join(folder, 'nope.csv')]);
    assert.equal(code, EXIT.failed);
    assert.match(err, /nope\.csv does not exist\./);
  });

  it('wants exactly one verdict', async () => {
    const id = 'proj_aaaaaaaaaaaaaaaaaaaaaaaa';
    const { err } = await run([
      'site',
      'decide',
      id,
      '--approve',
      '--refuse',
      '--reason',
      'x',
      '--url',
      'http://127.0.0.1:1',
    ]);
    assert.match(err, /Give exactly one of: --approve, --refuse, --withdraw/);
  });

  it('builds the same bundle from the same specification, and another from another', async () => {
    const spec = (ridge: number) => ({
      kind: 'analysis',
      name: 'lr',
      version: '1.0.0',
      description: 'x',
      analysis: { kind: 'logistic-regression', ridge, damping: 1 },
    });
    const build = async (ridge: number): Promise<string> => {
      const file = path.join(folder, 'spec.json');
      await writeFile(file, JSON.stringify(spec(ridge)));
      const { code, out, err } = await run(['bundle', 'build', file, '--out', path.join(folder, 'bundle'), '--json']);
      assert.equal(code, EXIT.success, err);
      return JSON.parse(out).bundleDigest;
    };
    const [first, again, other] = [await build(1), await build(1), await build(2)];
    assert.equal(first, again);
    assert.notEqual(first, other);
  });

  it('finds the record that was changed in an exported audit log', async () => {
    const file = path.join(folder, 'audit.jsonl');
    await writeFile(file, '{"not":"a record"}\n');
    const { code, err } = await run(['audit', 'verify-file', file]);
    assert.equal(code, EXIT.failed);
    assert.match(err, /breaks at record 1 \(form\)/);
  });
});
