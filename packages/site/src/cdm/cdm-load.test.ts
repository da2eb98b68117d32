import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { AppError } from '@lantern/contract';
import { loadCdm } from './cdm-load.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lantern-load-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const PERSON_HEADER = 'person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id';
const PERSONS = `${PERSON_HEADER}\n9007199254740993,8532,1963,8516,0\n2,8507,1970,0,0\n`;
const PERIOD_HEADER = `OBSERVATION_PERIOD_ID,PERSON_ID,"date(observation_period_start_date,'unixepoch')","date(observation_period_end_date,'unixepoch')",PERIOD_TYPE_CONCEPT_ID`;

async function load(signal = new AbortController().signal) {
  const file = path.join(folder, 'cdm.duckdb');
  return { file, loaded: await loadCdm({ folder, file, signal, onProgress: () => undefined }) };
}

async function rowsOf(file: string, sql: string): Promise<string[]> {
  const instance = await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const rows = (await connection.runAndReadAll(sql)).getRows().map((row) => row.map(String).join(' '));
  connection.closeSync();
  instance.closeSync();
  return rows;
}

describe('loading a CDM', () => {
  it('types every value and keeps numbers above 2^53', async () => {
    await writeFile(path.join(folder, 'PERSON.csv'), PERSONS);
    const { file, loaded } = await load();
    assert.deepEqual(await rowsOf(file, 'SELECT person_id, year_of_birth, month_of_birth FROM person ORDER BY 1'), [
      '2 1970 null',
      '9007199254740993 1963 null',
    ]);
    assert.equal(loaded.tables[0]?.loadedCount, 2);
    assert.ok(loaded.absentTables.includes('death') && !loaded.absentTables.includes('person'));
  });

  it('accounts for every row by the first rule that it breaks', async () => {
    await writeFile(path.join(folder, 'person.csv'), PERSONS);
    const days = [
      '1,2,1963-12-31,2007-02-06,1',
      '2,2,19631231,2007-02-06 00:00:00,1', // both are days
      '3,2,1963-02-30,2007-02-06,1',
      '4,2,31/12/1963,2007-02-06,1',
      '5,2,1963-12-31,infinity,1',
      '6,2,1963-12-31,2007-02-06 08:00:00,1',
      '7,,1963-12-31,2007-02-06,1',
      '8,2.5,1963-12-31,2007-02-06,1',
      '9,9223372036854775808,1963-12-31,2007-02-06,1',
      '10,2.0,1963-12-31,2007-02-06,1',
      '11,2,1963-12-31',
      '12,2,1963-12-31,2007-02-06,1,one too many',
    ];
    await writeFile(
      path.join(folder, 'observation_period.csv.gz'),
      gzipSync([PERIOD_HEADER, ...days, ''].join('\r\n')),
    );
    const { file, loaded } = await load();
    const account = loaded.tables.find(({ table }) => table === 'observation_period');
    assert.deepEqual(account?.refused, [
      { rule: 'observation_period_end_date is no day as 2026-11-27', rowCount: 2 },
      { rule: 'observation_period_start_date is no day as 2026-11-27', rowCount: 2 },
      { rule: 'person_id is missing', rowCount: 1 },
      { rule: 'person_id is no whole number of 64 bits', rowCount: 2 },
      { rule: 'the line is no record of this table', rowCount: 2 },
    ]);
    assert.equal(account.readCount, 12);
    assert.equal(account.loadedCount, 3);
    assert.deepEqual(
      await rowsOf(
        file,
        'SELECT observation_period_id, observation_period_start_date, observation_period_end_date FROM observation_period ORDER BY 1',
      ),
      ['1 1963-12-31 2007-02-06', '2 1963-12-31 2007-02-06', '10 1963-12-31 2007-02-06'],
    );
  });

  it('reads Parquet with its own types, where doubles that are whole are keys', async () => {
    await writeFile(path.join(folder, 'person.csv'), PERSONS);
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const columns = [
      'range AS visit_occurrence_id',
      'CASE WHEN range = 3 THEN 2.5 ELSE 2.0 END::DOUBLE AS person_id',
      '9201 AS visit_concept_id',
      "TIMESTAMP '2020-01-01' + INTERVAL (CASE WHEN range = 4 THEN 1 ELSE 0 END) HOUR AS visit_start_date",
      "'2020-01-02' AS visit_end_date",
      '0 AS visit_type_concept_id',
      "'x' AS surprise",
    ];
    const target = path.join(folder, 'visit_occurrence.parquet').replaceAll("'", "''");
    await connection.run(`COPY (SELECT ${columns.join(', ')} FROM range(5)) TO '${target}' (FORMAT parquet)`);
    connection.closeSync();
    const { loaded } = await load();
    const account = loaded.tables.find(({ table }) => table === 'visit_occurrence');
    assert.deepEqual(account?.unknownColumns, ['surprise']);
    assert.ok(account.absentColumns.includes('provider_id'));
    assert.deepEqual(account.refused, [
      { rule: 'person_id is no whole number of 64 bits', rowCount: 1 },
      { rule: 'visit_start_date is no day as 2026-11-27', rowCount: 1 },
    ]);
    assert.deepEqual([account.readCount, account.loadedCount], [5, 3]);
  });

  it('lays rows of one concept beside each other, by person, whatever their order in the file', async () => {
    await writeFile(path.join(folder, 'person.csv'), PERSONS);
    const header =
      'condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_type_concept_id';
    const rows = [
      [1, 2, 900],
      [2, 3, 7],
      [3, 1, 900],
      [4, 2, 80],
      [5, 1, 7],
    ].map(([id, person, concept]) => `${id},${person},${concept},2020-01-01,0`);
    await writeFile(path.join(folder, 'condition_occurrence.csv'), [header, ...rows, ''].join('\n'));
    const { file } = await load();
    assert.deepEqual(
      await rowsOf(file, 'SELECT condition_concept_id, person_id FROM condition_occurrence ORDER BY rowid'),
      ['7 1', '7 3', '80 2', '900 1', '900 2'],
    );
  });

  it("reads OHDSI's vocabulary files: tabs, no quotes, days of eight digits", async () => {
    await writeFile(path.join(folder, 'person.csv'), PERSONS);
    const header =
      'concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\tvalid_start_date\tvalid_end_date\tinvalid_reason';
    const row = '192671\tBleeding, "gastrointestinal\tCondition\tSNOMED\tDisorder\tS\t74474003\t20020131\t20991231\t';
    await writeFile(path.join(folder, 'CONCEPT.csv'), `${header}\n${row}\n`);
    const { file } = await load();
    assert.deepEqual(await rowsOf(file, 'SELECT concept_name, valid_start_date, invalid_reason FROM concept'), [
      'Bleeding, "gastrointestinal 2002-01-31 null',
    ]);
  });

  it('knows the columns that CDM 5.3 named otherwise, and says which version it is', async () => {
    await writeFile(path.join(folder, 'person.csv'), PERSONS);
    await writeFile(
      path.join(folder, 'visit_occurrence.csv'),
      'visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,visit_type_concept_id,discharge_to_concept_id\n1,2,9201,2020-01-01,2020-01-02,0,8536\n',
    );
    const version =
      'cdm_source_name,cdm_source_abbreviation,cdm_holder,source_release_date,cdm_release_date,cdm_version,cdm_version_concept_id,vocabulary_version\na,b,c,2020-01-01,2020-01-01,v5.3.1,756265,v5\n';
    await writeFile(path.join(folder, 'cdm_source.csv'), version);
    const { file, loaded } = await load();
    assert.equal(loaded.cdmVersion, 'v5.3.1');
    assert.deepEqual(await rowsOf(file, 'SELECT discharged_to_concept_id FROM visit_occurrence'), ['8536']);
  });

  const failing: Readonly<Record<string, readonly [Readonly<Record<string, string | Buffer>>, RegExp]>> = {
    'without persons': [{ 'death.csv': 'person_id,death_date\n1,2020-01-01\n' }, /no file of the table "person"/],
    'whose every person is refused': [
      { 'person.csv': `${PERSON_HEADER}\nx,1,1,1,1\n` },
      /person_id is no whole number/,
    ],
    'with a file that is no gzip file': [
      { 'person.csv': PERSONS, 'death.csv.gz': 'person_id,death_date\n' },
      /death\.csv\.gz: The file is no gzip file/,
    ],
    'with a packed file that ends too early': [
      {
        'person.csv': PERSONS,
        'death.csv.gz': gzipSync(`person_id,death_date\n${'1,2020-01-01\n'.repeat(50_000)}`).subarray(0, -40),
      },
      /death\.csv\.gz/,
    ],
    'with a file that is no Parquet': [{ 'person.csv': PERSONS, 'death.parquet': 'PAR0' }, /death\.parquet/],
    'with a table that is there twice': [{ 'person.csv': PERSONS, 'PERSON.csv': PERSONS }, /is there twice/],
  };
  for (const [what, [files, message]] of Object.entries(failing)) {
    it(`${what} fails and leaves nothing behind`, async () => {
      for (const [name, content] of Object.entries(files)) await writeFile(path.join(folder, name), content);
      await assert.rejects(load(), (error) => error instanceof AppError && message.test(error.message));
      assert.deepEqual((await readdir(folder)).toSorted(), Object.keys(files).toSorted());
    });
  }

  it('never writes over a file that is there', async () => {
    await writeFile(path.join(folder, 'person.csv'), PERSONS);
    await writeFile(path.join(folder, 'cdm.duckdb'), 'mine');
    await assert.rejects(load(), { code: 'EEXIST' });
  });

  it('that is stopped leaves nothing behind', async () => {
    await writeFile(path.join(folder, 'person.csv'), PERSONS);
    const stop = new AbortController();
    const file = path.join(folder, 'cdm.duckdb');
    await assert.rejects(loadCdm({ folder, file, signal: stop.signal, onProgress: () => stop.abort() }), {
      name: 'AbortError',
    });
    assert.deepEqual(await readdir(folder), ['person.csv']);
  });
});
