import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { cdmTableStatements } from '@lantern/omop';
import { openTestDatabase } from '@lantern/service';
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

async function definitionFile(definition: unknown): Promise<string> {
  const file = path.join(folder, 'definition.json');
  await writeFile(file, JSON.stringify(definition));
  return file;
}

async function cohortSql(definition: unknown, ...args: string[]) {
  return run('cohort', 'sql', await definitionFile(definition), ...args);
}

async function run(...args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const code = await runProgram(args, context as never);
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

/** Three persons above 2^53, two of whom had the condition; one of these is a child. */
async function writeCdm(): Promise<string> {
  const cdm = path.join(folder, 'cdm');
  await mkdir(cdm);
  const files = {
    'person.csv': [
      'person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id',
      ...['9007199254740993,8507,1950', '9007199254740995,8532,2015', '3,8532,1980'].map((row) => `${row},0,0`),
    ],
    'observation_period.csv': [
      'observation_period_id,person_id,observation_period_start_date,observation_period_end_date,period_type_concept_id',
      ...['9007199254740993', '9007199254740995', '3'].map((id, index) => `${index},${id},2010-01-01,2020-12-31,0`),
    ],
    'condition_occurrence.csv': [
      'condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_type_concept_id',
      '1,9007199254740993,1,2012-03-04,0',
      '2,9007199254740995,1,2016-05-06,0',
      '3,3,2,2016-05-06,0',
      '4,3,1,06.05.2016,0',
    ],
    'concept.csv': [
      'concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,concept_code,valid_start_date,valid_end_date',
      '1,any,Condition,v,c,1,1970-01-01,2099-12-31',
    ],
  };
  for (const [name, lines] of Object.entries(files)) await writeFile(path.join(cdm, name), `${lines.join('\n')}\n`);
  return cdm;
}

const ADULTS = {
  ...DEFINITION,
  ConceptSets: [
    {
      id: 0,
      name: 'any',
      expression: { items: [{ concept: { CONCEPT_ID: 1 } }, { concept: { CONCEPT_ID: 77, CONCEPT_NAME: 'nowhere' } }] },
    },
  ],
  InclusionRules: [{ name: 'adult', expression: { DemographicCriteriaList: [{ Age: { Value: 18, Op: 'gte' } }] } }],
};

describe('lantern cohort run', () => {
  test('gives subjects, entries and attrition from a folder, and says what was refused and what is missing', async () => {
    const cdm = await writeCdm();
    const { code, out, err } = await run('cohort', 'run', '--cdm', cdm, '--definition', await definitionFile(ADULTS));
    assert.equal(code, EXIT.success, err);
    assert.match(out, /^Subjects: 1\nEntries: {2}1$/m);
    assert.match(out, /^Before the inclusion rules: 2 persons, 2 events\.$/m);
    assert.match(out, /^1\. adult +1 +1$/m);
    assert.match(err, /lacks 1 of the concepts named: 77 nowhere\./);
    assert.match(
      err,
      /condition_occurrence\.csv 1 of 4 rows are refused: condition_start_date is no day as 2026-11-27 \(1\)/,
    );
  });

  test('writes rows as ATLAS has them, with ids above 2^53, from a file that omop load made', async () => {
    const [file, rows] = [path.join(folder, 'cdm.duckdb'), path.join(folder, 'rows.csv')];
    const loaded = await run('omop', 'load', await writeCdm(), '--cdm', file);
    assert.equal(loaded.code, EXIT.success, loaded.err);
    assert.match(loaded.out, /^condition_occurrence +4 +3 +1$/m);
    assert.match(
      loaded.out,
      /^ {2}condition_occurrence\.csv: condition_start_date is no day as 2026-11-27 \(1 rows\)$/m,
    );
    const definition = await definitionFile(DEFINITION);
    const options = ['--cdm', file, '--definition', definition, '--out', rows, '--cohort-id', '42', '--json'];
    const { code, out, err } = await run('cohort', 'run', ...options);
    assert.equal(code, EXIT.success, err);
    assert.equal(JSON.parse(out).subjectCount, 2);
    assert.equal(
      await readFile(rows, 'utf8'),
      [
        'cohort_definition_id,subject_id,cohort_start_date,cohort_end_date',
        '42,9007199254740993,2012-03-04,2020-12-31',
        '42,9007199254740995,2016-05-06,2020-12-31',
        '',
      ].join('\n'),
    );
  });

  test('asks a PostgreSQL of the hospital, in the schema that is named', async () => {
    const db = await openTestDatabase('cohort_run');
    try {
      const tables = ['person', 'observation_period', 'condition_occurrence', 'concept', 'concept_ancestor'];
      const statements = cdmTableStatements()
        .filter((one) => tables.some((name) => one.startsWith(`CREATE TABLE "${name}"`)))
        .map((one) => one.replace('CREATE TABLE ', 'CREATE TABLE hospital.'));
      const rows = [
        'INSERT INTO hospital.person VALUES (9007199254740993, 8507, 1950, NULL, NULL, NULL, 0, 0)',
        "INSERT INTO hospital.observation_period VALUES (1, 9007199254740993, '2010-01-01', '2020-12-31', 0)",
        "INSERT INTO hospital.condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, condition_start_date, condition_type_concept_id) VALUES (1, 9007199254740993, 1, '2012-03-04', 0)",
        "INSERT INTO hospital.concept VALUES (1, 'any', 'Condition', 'v', 'c', 'S', '1', '1970-01-01', '2099-12-31')",
      ];
      await db.pool.query(['CREATE SCHEMA hospital', ...statements, ...rows].join(';\n'));
      const definition = await definitionFile(DEFINITION);
      const target = path.join(folder, 'rows.csv.gz');
      const options = ['--cdm', db.url, '--definition', definition, '--out', target];
      const elsewhere = await run('cohort', 'run', ...options);
      assert.match(
        elsewhere.err,
        /holds no table "person" of a CDM\. A table of that name lies in hospital; name one by --schema/,
      );
      const { code, out, err } = await run('cohort', 'run', ...options, '--schema', 'hospital');
      assert.equal(code, EXIT.success, err);
      assert.match(out, /^Subjects: 1$/m);
      const written = gunzipSync(await readFile(target)).toString();
      assert.match(written, /^1,9007199254740993,2012-03-04,2020-12-31$/m);
    } finally {
      await db.close();
    }
  });

  const refused: Readonly<Record<string, readonly [(cdm: string) => Promise<string>, RegExp]>> = {
    'where nothing is': [async () => path.join(folder, 'nowhere'), /nowhere does not exist/],
    'that is no database': [async (cdm) => path.join(cdm, 'person.csv'), /person\.csv is no DuckDB database/],
    'without a table that is needed': [
      async (cdm) => {
        await rm(path.join(cdm, 'condition_occurrence.csv'));
        return cdm;
      },
      /lacks what this question needs: the table condition_occurrence/,
    ],
    'with an empty vocabulary': [
      async (cdm) => {
        const [header] = (await readFile(path.join(cdm, 'concept.csv'), 'utf8')).split('\n');
        await writeFile(path.join(cdm, 'concept.csv'), `${header}\n`);
        return cdm;
      },
      /The table concept is empty: load the vocabulary/,
    ],
    'by an address of another kind': [async () => 'mysql://localhost/cdm', /only postgres:\/\/ is known/],
  };
  for (const [what, [where, message]] of Object.entries(refused)) {
    test(`a CDM ${what} is refused in words`, async () => {
      const cdm = await where(await writeCdm());
      const { code, out, err } = await run(
        'cohort',
        'run',
        '--cdm',
        cdm,
        '--definition',
        await definitionFile(DEFINITION),
      );
      assert.notEqual(code, EXIT.success);
      assert.equal(out, '');
      assert.match(err, message);
    });
  }
});

describe('lantern cohort explain', () => {
  test('says a definition in words, and as a list of lines for machines', async () => {
    const file = await definitionFile(ADULTS);
    const { out } = await run('cohort', 'explain', file);
    assert.match(out, /the person: whose age \(years\) is at least 18/);
    assert.deepEqual(JSON.parse((await run('cohort', 'explain', file, '--json')).out).lines, out.trimEnd().split('\n'));
  });
});
