import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

const HOSPITAL = path.resolve(import.meta.dirname, '../../../../fixtures/fhir-synthea/hospital-a.ndjson.gz');

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-view-'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function view(definition: unknown, ...args: string[]) {
  const file = path.join(folder, 'view.json');
  await writeFile(file, JSON.stringify(definition));
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const [out, code] = await Promise.all([
    text(stdout),
    runProgram(['fhir', 'view', file, HOSPITAL, ...args], context as never).finally(() => stdout.end()),
  ]);
  stderr.end();
  return { code, out, err: await text(stderr) };
}

const PATIENTS = {
  resource: 'Patient',
  select: [
    {
      column: [
        { name: 'id', path: 'getResourceKey()' },
        { name: 'gender', path: 'gender' },
        { name: 'given', path: "name.where(use = 'official').given", collection: true },
      ],
    },
  ],
};

describe('lantern fhir view', () => {
  test('gives a row for each patient of a hospital, as CSV or as JSON lines', async () => {
    const csv = await view(PATIENTS);
    assert.equal(csv.code, EXIT.success, csv.err);
    const [header, ...rows] = csv.out.trimEnd().split('\n');
    assert.equal(header, 'id,gender,given');
    assert.equal(rows.length, 79);
    assert.match(rows[0] ?? '', /^[0-9a-f-]{36},(fe)?male,"\[""/);
    const lines = (await view(PATIENTS, '--json')).out.trimEnd().split('\n');
    assert.equal(lines.length, 79);
    assert.deepEqual(Object.keys(JSON.parse(lines[0] ?? '')), ['id', 'gender', 'given']);
  });

  test('refuses what it does not know, and a resource that does not fit, without saying a value', async () => {
    const unknown = await view({ ...PATIENTS, limit: 3 });
    assert.equal(unknown.code, EXIT.failed);
    assert.match(unknown.err, /view\.limit: is not known/);
    const several = await view({ resource: 'Patient', select: [{ column: [{ name: 'family', path: 'name.given' }] }] });
    assert.equal(several.code, EXIT.failed);
    assert.match(several.err, /Patient\/[0-9a-f-]{36}: view\.select\[0\]\.column\[0\]: the path finds several values/);
  });
});
