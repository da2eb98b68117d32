import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

const PATIENT = {
  resourceType: 'Patient',
  id: 'p1',
  identifier: [{ type: { coding: [{ code: 'MR' }] }, value: 'QX4471902' }],
  name: [{ family: 'Quillfeather', given: ['Zephyrine'] }],
  birthDate: '1951-02-03',
  contact: [{ name: { given: ['Barnabas'] } }],
};

async function deidentify(...args: string[]) {
  const text = { out: '', err: '' };
  const sink = (key: 'out' | 'err') =>
    new Writable({
      write: (chunk, _, done) => {
        text[key] += String(chunk);
        done();
      },
    });
  const streams = { stdout: sink('out') as never, stderr: sink('err') as never };
  const context = { env: {}, stdin: new PassThrough(), ...streams, signal: new AbortController().signal };
  const code = await runProgram(['notes', 'deidentify', ...args], context);
  return { code, ...text };
}

describe('lantern notes deidentify', () => {
  let folder: string;
  const at = (...parts: string[]) => path.join(folder, ...parts);
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-notes-'));
    await mkdir(at('in', 'Quillfeather'), { recursive: true });
    await writeFile(
      at('in', 'Quillfeather', 'letter.txt'),
      'Zephyrine QUILLFEATHER (qx4471902), born 3.2.51, with Barnabas. BP 142/86.',
    );
    await writeFile(at('in', 'ward.txt'), 'Seen at Quayside Infirmary on 12/03/2021 by Dr Hartley');
    await writeFile(at('in', 'latin.txt'), Buffer.from('Zephyrin\xe9 Quillfeather', 'latin1'));
    await writeFile(at('patient.json'), JSON.stringify({ resourceType: 'Bundle', entry: [{ resource: PATIENT }] }));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const args = () => [
    at('in'),
    at('out'),
    '--patient',
    at('patient.json'),
    '--key-file',
    at('key'),
    '--place',
    'Quayside Infirmary',
  ];

  it('writes copies under numbers, says what was replaced and what is no text, and reports no value', async () => {
    const { code, out } = await deidentify(...args(), '--report', at('report.json'));
    assert.equal(code, EXIT.success);
    assert.match(out, /^2 of 3 files are de-identified/);
    assert.match(out, /left out:\n.*latin\.txt/);
    assert.deepEqual(await readdir(at('out')), ['note-000001.txt', 'note-000003.txt']);
    const [letter, ward] = await Promise.all(
      [1, 3].map((number) => readFile(at('out', `note-00000${number}.txt`), 'utf8')),
    );
    assert.match(letter ?? '', /^\[NAME\] \(PSN\w{24}\), born \[DATE OF BIRTH\], with \[NAME\]\. BP 142\/86\.$/);
    assert.match(ward ?? '', /^Seen at \[PLACE\] on \d\d\/\d\d\/20\d\d by Dr \[NAME\]$/);
    assert.ok(!ward?.includes('12/03/2021'));
    const report = await readFile(at('report.json'), 'utf8');
    assert.ok(!/quill|letter|4471902/i.test(report));
    assert.deepEqual(JSON.parse(report).notes[0].findings[0], { kind: 'name', start: 0, end: 22 });
  });

  it('makes the same of the same under one key, another under another, and prints JSON', async () => {
    await deidentify(...args());
    const first = await readFile(at('out', 'note-000001.txt'), 'utf8');
    const { out } = await deidentify(...args(), '--json');
    assert.equal(await readFile(at('out', 'note-000001.txt'), 'utf8'), first);
    assert.deepEqual(JSON.parse(out).findings, { name: 3, 'birth-date': 1, number: 1, place: 1, date: 1 });
    await rm(at('key'));
    await deidentify(...args());
    assert.notEqual(await readFile(at('out', 'note-000001.txt'), 'utf8'), first);
  });

  it('refuses a file that is no patient, and an output inside the input', async () => {
    await writeFile(at('patient.json'), '{"resourceType":"Bundle","entry":[]}');
    const nobody = await deidentify(...args());
    assert.ok(nobody.code !== EXIT.success && /no FHIR Patient/.test(nobody.err));
    const inside = await deidentify(at('in'), at('in', 'out'));
    assert.ok(inside.code !== EXIT.success && /must be apart/.test(inside.err));
  });
});
