import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

const DEFINITION = {
  ConceptSets: [{ id: 0, name: 'any', expression: { items: [{ concept: { CONCEPT_ID: 1 } }] } }],
  PrimaryCriteria: { CriteriaList: [{ ConditionOccurrence: { CodesetId: 0 } }] },
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-cohort-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function cohortSql(definition: unknown, ...args: string[]) {
  const file = path.join(folder, 'definition.json');
  await writeFile(file, JSON.stringify(definition));
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const code = await runProgram(['cohort', 'sql', file, ...args], context as never);
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

describe('lantern cohort sql', () => {
  test('prints one query for the database that is named', async () => {
    const { code, out } = await cohortSql(DEFINITION, '--dialect', 'postgres', '--schema', 'cdm', '--json');
    assert.equal(code, EXIT.success);
    const { dialect, sql } = JSON.parse(out);
    assert.equal(dialect, 'postgres');
    assert.match(sql, /FROM "cdm"\."condition_occurrence"/);
  });

  test('refuses by name what it does not understand', async () => {
    const { code, out, err } = await cohortSql({ ...DEFINITION, Surprise: true }, '--dialect', 'duckdb');
    assert.notEqual(code, EXIT.success);
    assert.equal(out, '');
    assert.match(err, /Surprise: is not known here/);
  });

  test('wants to know the database', async () => {
    const { code, err } = await cohortSql(DEFINITION);
    assert.notEqual(code, EXIT.success);
    assert.match(err, /--dialect/);
  });
});
