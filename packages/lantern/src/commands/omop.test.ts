import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures');
const HOSPITAL = path.join(FIXTURES, 'fhir-synthea', 'hospital-a.ndjson.gz');
const PATIENT_COUNT = 79;

let folder: string;
let cdm: string;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-omop-'));
  cdm = path.join(folder, 'cdm.duckdb');
});
after(() => rm(folder, { recursive: true, force: true }));

async function run(...args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const code = await runProgram(args, context as never);
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

describe('a hospital of synthetic patients', () => {
  test('becomes a CDM whose account adds up to what was read', async () => {
    const vocabulary = await run('omop', 'vocabulary', path.join(FIXTURES, 'omop-vocabulary'), '--cdm', cdm);
    assert.equal(vocabulary.code, EXIT.success, vocabulary.err);
    const { code, out, err } = await run('omop', 'etl', HOSPITAL, '--cdm', cdm, '--json');
    assert.equal(code, EXIT.success, err);
    const { readCount, repeatedCount, patientCount, account } = JSON.parse(out);
    assert.equal(patientCount, PATIENT_COUNT);
    const counts: number[] = account.byType.map(({ count }: { count: string }) => Number(count));
    assert.equal(counts.reduce((sum, count) => sum + count, 0) + repeatedCount, readCount);
    assert.equal(readCount, 5676);
  });

  test('read a second time changes nobody, and can be asked how its resources ended', async () => {
    const again = JSON.parse((await run('omop', 'etl', HOSPITAL, '--cdm', cdm, '--json')).out);
    assert.deepEqual([again.changedCount, again.patientCount], [0, 0]);
    const { out } = await run('omop', 'account', '--cdm', cdm);
    assert.match(out, /Condition +564 +0 +20 +0 +584/);
  });

  test('is checked, and what fails is said in words', async () => {
    const { code, out } = await run('omop', 'quality', '--cdm', cdm);
    assert.equal(code, EXIT.success);
    assert.match(out, /Conformance +\d+ +\d+ +\d+/);
    assert.match(
      out,
      /procedure_occurrence: 79 of 79 \(100 %\) patients have no row in procedure_occurrence; 95 % are allowed\./,
    );
  });

  test('can be asked for a cohort', async () => {
    const definition = path.join(folder, 'bronchitis.json');
    await writeFile(
      definition,
      JSON.stringify({
        ConceptSets: [{ id: 0, name: 'bronchitis', expression: { items: [{ concept: { CONCEPT_ID: 260139 } }] } }],
        PrimaryCriteria: { CriteriaList: [{ ConditionOccurrence: { CodesetId: 0 } }] },
      }),
    );
    const { code, out, err } = await run('cohort', 'run', '--cdm', cdm, '--definition', definition, '--json');
    assert.equal(code, EXIT.success, err);
    assert.equal(JSON.parse(out).subjectCount, 37); // as counted in the bundles by their SNOMED code
  });
});

describe('what cannot be read', () => {
  const broken: Readonly<Record<string, { name: string; content: string; message: RegExp }>> = {
    'no JSON': {
      name: 'a.ndjson',
      content: '{"resourceType":"Patient","id":"1"}\n{oops',
      message: /line 2: this is not JSON/,
    },
    'no resource': { name: 'b.json', content: '{"id":"1"}', message: /a resource needs resourceType and id/ },
  };
  for (const [what, { name, content, message }] of Object.entries(broken)) {
    test(`is told of with its place, and leaves the CDM as it was: ${what}`, async () => {
      const file = path.join(folder, name);
      await writeFile(file, content);
      const into = path.join(folder, `${name}.duckdb`);
      const { code, err } = await run('omop', 'etl', file, '--cdm', into);
      assert.equal(code, EXIT.failed);
      assert.match(err, message);
      assert.deepEqual(JSON.parse((await run('omop', 'account', '--cdm', into, '--json')).out).byType, []);
    });
  }

  test('is told of: a folder without such files, and a CDM that is not there', async () => {
    assert.match(
      (await run('omop', 'etl', path.join(FIXTURES, 'omop-vocabulary'), '--cdm', cdm)).err,
      /no \.json or \.ndjson file/,
    );
    assert.match((await run('omop', 'account', '--cdm', path.join(folder, 'none.duckdb'))).err, /does not exist/);
    assert.match((await run('omop', 'vocabulary', FIXTURES, '--cdm', cdm)).err, /no CONCEPT\.csv/);
  });
});
