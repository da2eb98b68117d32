import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

const SPECIFICATION = {
  schema: 'lantern.feature-specification/1',
  name: 'diabetes',
  title: 'Diabetes',
  description: 'Persons with diabetes.',
  cohort: {
    ConceptSets: [{ id: 0, name: 'any', expression: { items: [{ concept: { CONCEPT_ID: 201826 } }] } }],
    PrimaryCriteria: { CriteriaList: [{ ConditionOccurrence: { CodesetId: 0 } }] },
  },
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

  test('preview prints the report of a CDM and writes the table', async () => {
    const cdm = path.join(folder, 'cdm');
    await mkdir(cdm);
    const files = {
      concept: [
        'concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code,valid_start_date,valid_end_date,invalid_reason',
        '201826,Type 2 diabetes mellitus,Condition,SNOMED,Clinical Finding,S,44054006,1970-01-01,2099-12-31,',
      ],
      person: [
        'person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id',
        '1,8507,1950,0,0',
        '2,8532,1960,0,0',
      ],
      observation_period: [
        'observation_period_id,person_id,observation_period_start_date,observation_period_end_date,period_type_concept_id',
        '1,1,2010-01-01,2025-01-01,0',
        '2,2,2010-01-01,2025-01-01,0',
      ],
      condition_occurrence: [
        'condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_end_date,condition_type_concept_id,visit_occurrence_id',
        '1,1,201826,2015-03-01,,0,',
        '2,2,201826,2019-03-01,,0,',
      ],
    };
    for (const [name, lines] of Object.entries(files))
      await writeFile(path.join(cdm, `${name}.csv`), `${lines.join('\n')}\n`);
    const out = path.join(folder, 'table.csv');
    const previewed = await run('preview', SPECIFICATION, '--cdm', cdm, '--out', out, '--json');
    assert.equal(previewed.code, EXIT.success, previewed.err);
    const { report } = JSON.parse(previewed.out);
    assert.deepEqual([report.cohortPatientCount, report.rowCount], [2, 2]);
    assert.deepEqual(report.columns, [{ name: 'year', missingCount: 1, unitLeftOutCount: 0, rangeLeftOutCount: 1 }]);
    const [header, ...rows] = (await readFile(out, 'utf8')).trimEnd().split('\n');
    assert.equal(header, 'patient,year,split');
    assert.deepEqual(rows.map((row) => row.split(',')[1]).toSorted(), ['', '2019.0']);
  });

  test('refuses a field that nobody knows, by its path', async () => {
    const { code, err } = await run('plan', { ...SPECIFICATION, surprise: 1 }, '--dialect', 'duckdb');
    assert.notEqual(code, EXIT.success);
    assert.match(err, /\/surprise/);
  });
});
