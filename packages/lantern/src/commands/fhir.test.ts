import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { type Database, openTestDatabase } from '@lantern/service';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

let folder: string;
let database: Database;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-fhir-command-'));
  database = await openTestDatabase('fhir-command');
});
after(async () => {
  await database?.close();
  await rm(folder, { recursive: true, force: true });
});

async function fhir(...args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const where = ['--data', path.join(folder, 'data'), '--database-url', database.url, '--json'];
  const code = await runProgram(['fhir', ...args, ...where], context as never);
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

describe('lantern fhir', () => {
  test('loads what is sound, accounts for every resource by rule, and changes nothing the second time', async () => {
    const input = path.join(folder, 'input');
    await mkdir(input);
    const lines = [
      '{"resourceType":"Patient","id":"a","birthDate":"1974-12-25"}',
      '{"resourceType":"Patient","id":"b","birthDate":"1974-13-25"}',
      '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10}}',
      'no json',
      '',
    ];
    await writeFile(path.join(input, 'some.ndjson'), lines.join('\n'));
    const bundle = {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [
        {
          fullUrl: 'urn:uuid:11111111-1111-4111-8111-111111111111',
          resource: { resourceType: 'Patient' },
          request: { method: 'POST', url: 'Patient' },
        },
        {
          resource: {
            resourceType: 'Condition',
            id: 'c',
            subject: { reference: 'urn:uuid:11111111-1111-4111-8111-111111111111' },
          },
          request: { method: 'POST', url: 'Condition' },
        },
      ],
    };
    await writeFile(path.join(input, 'bundle.json'), JSON.stringify(bundle));
    const first = await fhir('load', input);
    assert.equal(first.code, EXIT.success, first.err);
    const { total, refusedBy } = JSON.parse(first.out);
    assert.deepEqual(total, { read: 6, created: 4, updated: 0, unchanged: 0, refused: 2 });
    assert.deepEqual(refusedBy, { 'value Patient.birthDate': 1, 'structure: not JSON': 1 });
    const second = JSON.parse((await fhir('load', input)).out);
    assert.deepEqual(second.total, { read: 6, created: 0, updated: 0, unchanged: 4, refused: 2 });
  });

  test('exports a file of lines per type, with numbers as they were, and not over an earlier export', async () => {
    const out = path.join(folder, 'out');
    const { code, out: printed } = await fhir('export', '--out', out);
    assert.equal(code, EXIT.success);
    assert.deepEqual(
      JSON.parse(printed).files.map(({ type, count }: { type: string; count: number }) => `${type} ${count}`),
      ['Condition 1', 'Observation 1', 'Patient 2'],
    );
    assert.match(await readFile(path.join(out, 'Observation.ndjson'), 'utf8'), /"value":1\.10\}/);
    assert.match(
      await readFile(path.join(out, 'Condition.ndjson'), 'utf8'),
      /"Patient\/11111111-1111-4111-8111-111111111111"/,
    );
    const again = await fhir('export', '--out', out);
    assert.notEqual(again.code, EXIT.success);
    assert.match(again.err, /another folder/);
  });

  test('says in words that a path is not there', async () => {
    const { code, err } = await fhir('load', path.join(folder, 'nothing.json'));
    assert.notEqual(code, EXIT.success);
    assert.match(err, /nothing\.json/);
  });
});
