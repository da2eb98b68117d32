import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');

function capture() {
  const text = { out: '', err: '' };
  const sink = (key: 'out' | 'err') =>
    new Writable({
      write: (chunk, _, done) => {
        text[key] += String(chunk);
        done();
      },
    });
  return { text, stdout: sink('out') as never, stderr: sink('err') as never };
}

async function deidentify(...args: string[]) {
  const { text, stdout, stderr } = capture();
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const code = await runProgram(['dicom', 'deidentify', ...args], context);
  return { code, ...text };
}

describe('lantern dicom deidentify', () => {
  let folder: string;
  const at = (...parts: string[]) => path.join(folder, ...parts);
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-deidentify-'));
    await mkdir(at('in', 'Blenkinsop Agnes'), { recursive: true });
    await copyFile(path.join(FIXTURES, 'MR_small.dcm'), at('in', 'Blenkinsop Agnes', 'CompressedSamples.dcm'));
    await copyFile(path.join(FIXTURES, 'rtplan.dcm'), at('in', 'rtplan.dcm'));
    await copyFile(path.join(FIXTURES, 'rtplan_truncated.dcm'), at('in', 'rtplan_truncated.dcm'));
    await writeFile(at('in', 'notes.txt'), 'no DICOM at all');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('writes what it can under names of its own, lists what it holds back, and stops for none of it', async () => {
    const { code, out, err } = await deidentify(
      at('in'),
      at('out'),
      '--key-file',
      at('key'),
      '--report',
      at('report.json'),
    );
    assert.equal(code, EXIT.success);
    assert.match(out, /^2 of 4 files are de-identified/);
    assert.match(out, /notes\.txt: malformed/);
    assert.match(out, /rtplan_truncated\.dcm: truncated/);
    assert.match(err, /Made a new key/);
    const files = (await readdir(at('out'), { recursive: true })).filter((file) => file.endsWith('.dcm'));
    assert.equal(files.length, 2);
    for (const file of files) {
      assert.match(file, /^2\.25\.\d+\/2\.25\.\d+\/2\.25\.\d+\.dcm$/);
      const bytes = await readFile(at('out', file), 'latin1');
      assert.ok(!bytes.includes('CompressedSamples') && !bytes.includes('4MR1') && !bytes.includes('id00001'));
    }
    const report = await readFile(at('report.json'), 'utf8');
    for (const secret of ['CompressedSamples', 'Blenkinsop', '4MR1', 'notes'])
      assert.ok(!report.includes(secret), secret);
    assert.equal(JSON.parse(report).objects.length, 4);
  });

  test('keeps its key where only the owner reads it, and makes the same pseudonyms with it again', async () => {
    await deidentify(at('in'), at('out'), '--key-file', at('key'));
    assert.equal((await stat(at('key'))).mode & 0o777, 0o600);
    const { err } = await deidentify(at('in'), at('again'), '--key-file', at('key'));
    assert.match(err, /made with the key/);
    assert.deepEqual(
      (await readdir(at('again'), { recursive: true })).toSorted(),
      (await readdir(at('out'), { recursive: true })).toSorted(),
    );
    await deidentify(at('in'), at('other'), '--key-file', at('other key'));
    assert.notDeepEqual(await readdir(at('other')), await readdir(at('out')));
  });

  test('refuses a profile it does not understand, a key beside the output, and output within its input', async () => {
    await writeFile(at('profile.json'), '{"keepNames": true}');
    const unknown = await deidentify(at('in'), at('out'), '--key-file', at('key'), '--profile', at('profile.json'));
    assert.equal(unknown.code, EXIT.failed);
    assert.match(unknown.err, /keepNames is not a setting/);
    assert.match(
      (await deidentify(at('in'), at('out'), '--key-file', at('out', 'key'))).err,
      /must not lie in the output/,
    );
    assert.match((await deidentify(at('in'), at('in', 'out'), '--key-file', at('key'))).err, /must be apart/);
  });

  test('ends with an error where no file came out', async () => {
    await writeFile(at('letter.txt'), 'no DICOM at all');
    const { code, out, err } = await deidentify(at('letter.txt'), at('out'), '--key-file', at('key'));
    assert.equal(code, EXIT.failed);
    assert.match(out, /letter\.txt: malformed|letter\.txt: truncated/);
    assert.match(err, /No file was de-identified/);
  });

  test('answers machines with one JSON document', async () => {
    const { out, err } = await deidentify(at('in', 'rtplan.dcm'), at('out'), '--key-file', at('key'), '--json');
    assert.deepEqual(JSON.parse(out), { released: 1, heldBack: [] });
    assert.equal(err, '');
  });
});
