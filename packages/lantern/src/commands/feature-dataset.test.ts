import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { makeCdm } from '../../../site/test/cdm-engines.ts';
import { CONCEPTS, circe, recordsStatements } from '../../../site/test/records-cdm.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

const SPECIFICATION = {
  schema: 'lantern.feature-specification/1',
  name: 'diabetes',
  title: 'Diabetes',
  description: 'Persons with diabetes.',
  cohort: circe(CONCEPTS.diabetes),
  index: 'first-entry',
  columns: [{ kind: 'year', name: 'year', description: 'year', range: { min: 2016, max: 2030 }, missing: 'keep' }],
  testShare: 0.5,
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-dataset-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function run(verb: string, specification: unknown, ...args: string[]) {
  const file = path.join(folder, 'specification.json');
  await writeFile(file, JSON.stringify(specification));
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const code = await runProgram(['dataset', verb, file, ...args], context as never);
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

describe('lantern dataset', () => {
  test('plan prints one query for the database that is named, and the schema of the table', async () => {
    const { code, out } = await run('plan', SPECIFICATION, '--dialect', 'postgres', '--schema', 'cdm', '--json');
    assert.equal(code, EXIT.success);
    const { sql, schema } = JSON.parse(out);
    assert.match(sql, /JOIN "cdm"\."person"/);
    assert.deepEqual(
      schema.columns.map(({ name }: { name: string }) => name),
      ['patient', 'year', 'split'],
    );
  });

  test('preview prints the report of a CDM and writes the table', async (t) => {
    const cdm = await makeCdm('duckdb', recordsStatements({ count: 40 }), { isStrict: false });
    t.after(() => cdm.close());
    const out = path.join(folder, 'table.csv');
    const previewed = await run('preview', SPECIFICATION, '--cdm', cdm.where, '--out', out, '--json');
    assert.equal(previewed.code, EXIT.success, previewed.err);
    const { report } = JSON.parse(previewed.out);
    assert.deepEqual([report.cohortPatientCount, report.rowCount], [40, 40]);
    assert.deepEqual(report.columns, [{ name: 'year', missingCount: 5, unitLeftOutCount: 0, rangeLeftOutCount: 5 }]);
    assert.equal((await readFile(out, 'utf8')).trimEnd().split('\n').length, 41);
  });

  test('refuses a field that nobody knows, by its path', async () => {
    const { code, err } = await run('plan', { ...SPECIFICATION, surprise: 1 }, '--dialect', 'duckdb');
    assert.notEqual(code, EXIT.success);
    assert.match(err, /\/surprise/);
  });
});
