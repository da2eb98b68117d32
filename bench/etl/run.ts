/**
 * FHIR to OMOP, in rows a second. A row is a row of the CDM's clinical tables and of the imaging extension, as they stand at the end:
 * persons, visits, events, eras, all; not the vocabulary, and nothing of the ETL's own tables.
 *
 *   npm run bench -- etl [--copies 8] [--runs 3] [--seed 7]
 *
 * Input: the three hospitals of fixtures/fhir-synthea, over and over, each copy under ids of its own (drawn from the seed), as one file
 * of JSON lines. Measured is one pass into an empty CDM on the disk that holds the vocabulary already: read, staged, mapped, committed,
 * in the file. Beside it, in the same run:
 * - the bound: DuckDB inserts the same final rows from Parquet into the same tables;
 * - a floor: DuckDB's own read_json and INSERT over Patient, Condition and Observation of the same file, with the same map of codes, but
 *   no visits, units, components, eras, account, or memory of what was read. It does a part of the work; nothing else does all of it.
 */
import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { cdmTableNames, VOCABULARY_TABLES } from '@lantern/omop';
import { fhirFileSource } from '../../packages/site/src/omop-etl/bundle-source.ts';
import { type CdmDatabase, openCdmDatabase } from '../../packages/site/src/omop-etl/cdm-database.ts';
import { runEtl } from '../../packages/site/src/omop-etl/etl.ts';
import { loadVocabulary } from '../../packages/site/src/omop-etl/vocabulary-files.ts';
import { seededRandom } from '../../packages/site/test/seeded-random.ts';
import { report, summarise } from '../measurement.ts';

const ROWS_PER_S_MIN = 20_000;
const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures');
const HOSPITALS = ['hospital-a', 'hospital-b', 'hospital-c'];
const VOCABULARY = new Set<string>(VOCABULARY_TABLES);
const TABLES = [...cdmTableNames().filter((table) => !VOCABULARY.has(table)), 'image_occurrence'];

const { values } = parseArgs({
  options: {
    copies: { type: 'string', default: '8' },
    runs: { type: 'string', default: '3' },
    seed: { type: 'string', default: '7' },
  },
});

async function writeInput(file: string): Promise<void> {
  const lines = (
    await Promise.all(HOSPITALS.map((name) => readFile(path.join(FIXTURES, 'fhir-synthea', `${name}.ndjson.gz`))))
  ).flatMap((bytes) => gunzipSync(bytes).toString('utf8').split('\n').filter(Boolean));
  const random = seededRandom(Number(values.seed));
  const next = () => random() * 2 ** 32;
  await pipeline(async function* () {
    for (let copy = 0; copy < Number(values.copies); copy += 1) {
      const suffix = next().toString(16).padStart(8, '0');
      for (const line of lines) {
        const id = /"id":"([^"]+)"/.exec(line)?.[1] ?? '';
        yield `${line
          .replace(`"id":"${id}"`, `"id":"${id.slice(0, 50)}-${suffix}"`)
          .replaceAll(/("reference":"[A-Z][A-Za-z]+\/)([^"]{1,50})[^"]*"/g, `$1$2-${suffix}"`)}\n`;
      }
    }
  }, createWriteStream(file));
}

const query = (cdm: CdmDatabase, sql: string) => cdm.transaction((session) => session.rows(sql));
const execute = (cdm: CdmDatabase, sql: string) => cdm.transaction((session) => session.run(sql));

async function emptyCdm(folder: string): Promise<{ cdm: CdmDatabase; file: string }> {
  const file = path.join(folder, `${randomBytes(4).toString('hex')}.duckdb`);
  const cdm = await openCdmDatabase({ file, memoryMiB: 2048, threads: 2 });
  await loadVocabulary(cdm, path.join(FIXTURES, 'omop-vocabulary'));
  await cdm.checkpoint();
  return { cdm, file };
}

async function countRows(cdm: CdmDatabase, tables: readonly string[]): Promise<number> {
  const counts = tables.map((table) => `(SELECT count(*) FROM ${table})`);
  const [row] = await query(cdm, `SELECT ${counts.join(' + ')} AS n`);
  return Number(row?.['n']);
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return (performance.now() - begin) / 1000;
}

type Pass = { readonly perS: number; readonly rows: number; readonly facts: Record<string, number> };

async function measurePass(folder: string, input: string, parquet: string | undefined): Promise<Pass> {
  const { cdm, file } = await emptyCdm(folder);
  const steps: [string, number][] = [];
  const cpu = process.cpuUsage();
  let read = 0;
  const seconds = await secondsOf(async () => {
    const onStep = (step: string) => void steps.push([step, performance.now()]);
    read = (await runEtl(cdm, fhirFileSource([input]), { onStep })).readCount;
    await cdm.checkpoint();
  });
  const end = performance.now();
  const { user, system } = process.cpuUsage(cpu);
  const rows = await countRows(cdm, TABLES);
  if (parquet !== undefined) {
    for (const table of TABLES) await execute(cdm, `COPY ${table} TO '${parquet}/${table}.parquet' (FORMAT parquet)`);
  }
  cdm.close();
  await rm(file);
  const spent = steps.map(([step, at], index) => [`seconds: ${step}`, ((steps[index + 1]?.[1] ?? end) - at) / 1000]);
  return {
    perS: rows / seconds,
    rows,
    facts: { resources: read, rows, seconds, cpuSeconds: (user + system) / 1e6, ...Object.fromEntries(spent) },
  };
}

async function measureBound(folder: string, parquet: string, rows: number): Promise<number> {
  const { cdm, file } = await emptyCdm(folder);
  const seconds = await secondsOf(async () => {
    await cdm.transaction(async (session) => {
      for (const table of TABLES) await session.run(`INSERT INTO ${table} SELECT * FROM '${parquet}/${table}.parquet'`);
    });
    await cdm.checkpoint();
  });
  assert.equal(await countRows(cdm, TABLES), rows);
  cdm.close();
  await rm(file);
  return rows / seconds;
}

async function measureFloor(folder: string, input: string): Promise<{ perS: number; rows: number }> {
  const { cdm, file } = await emptyCdm(folder);
  const read = (type: string, columns: string) => `(SELECT * FROM read_json('${input}', format = 'newline_delimited',
    columns = {resourceType: 'VARCHAR', id: 'VARCHAR', ${columns}}) WHERE resourceType = '${type}')`;
  const coded = `code: 'STRUCT(coding STRUCT("system" VARCHAR, code VARCHAR)[])', subject: 'STRUCT(reference VARCHAR)'`;
  const joined = `JOIN person p ON p.person_source_value = left(r.subject.reference, 50)
  LEFT JOIN etl.code_map m ON m.code = r.code.coding[1].code`;
  const statements = [
    `INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id, person_source_value)
     SELECT row_number() OVER (), CASE gender WHEN 'male' THEN 8507 WHEN 'female' THEN 8532 ELSE 0 END, year(birthDate::date), 0, 0,
       left('Patient/' || id, 50) FROM ${read('Patient', `gender: 'VARCHAR', birthDate: 'VARCHAR'`)}`,
    `INSERT INTO condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, condition_start_date,
       condition_type_concept_id, condition_source_value)
     SELECT row_number() OVER (), p.person_id, coalesce(m.target_concept_id, 0), left(r.onsetDateTime, 10)::date, 32817,
       r.code.coding[1].code FROM ${read('Condition', `onsetDateTime: 'VARCHAR', ${coded}`)} r ${joined}`,
    `INSERT INTO measurement (measurement_id, person_id, measurement_concept_id, measurement_date, measurement_type_concept_id,
       measurement_source_value, value_as_number)
     SELECT row_number() OVER (), p.person_id, coalesce(m.target_concept_id, 0), left(r.effectiveDateTime, 10)::date, 32817,
       r.code.coding[1].code, r.valueQuantity.value
     FROM ${read('Observation', `effectiveDateTime: 'VARCHAR', valueQuantity: 'STRUCT("value" DOUBLE)', ${coded}`)} r ${joined}`,
  ];
  const seconds = await secondsOf(async () => {
    await cdm.transaction(async (session) => {
      for (const statement of statements) await session.run(statement);
    });
    await cdm.checkpoint();
  });
  const rows = await countRows(cdm, ['person', 'condition_occurrence', 'measurement']);
  cdm.close();
  await rm(file);
  return { perS: rows / seconds, rows };
}

const folder = await mkdtemp(path.join(tmpdir(), 'lantern-bench-etl-'));
try {
  const input = path.join(folder, 'input.ndjson');
  await writeInput(input);
  const passes: Pass[] = [];
  for (let run = 0; run < Number(values.runs); run += 1) {
    passes.push(await measurePass(folder, input, run === 0 ? folder : undefined));
    process.stderr.write(`${passes.at(-1)?.perS.toFixed(0)} rows/s\n`);
  }
  const speeds = passes.map(({ perS }) => perS);
  const { median } = summarise(speeds);
  const shown = passes.find(({ perS }) => perS === median);
  const bound = await measureBound(folder, folder, passes[0]?.rows ?? 0);
  const floor = await measureFloor(folder, input);
  report({
    name: 'FHIR to OMOP',
    unit: 'rows/s',
    ...summarise(speeds),
    peer: {
      name: 'DuckDB read_json and INSERT of Patient, Condition and Observation alone: a part of the work',
      median: floor.perS,
      ratio: median / floor.perS,
    },
    bound: { why: 'DuckDB inserts the same final rows from Parquet into the same tables', value: bound },
    target: { text: `at least ${ROWS_PER_S_MIN} rows/s on two cores`, kept: median >= ROWS_PER_S_MIN },
    facts: {
      ...shown?.facts,
      copies: Number(values.copies),
      seed: Number(values.seed),
      inputBytes: (await stat(input)).size,
      peerRows: floor.rows,
      loadAverage: loadavg()[0] ?? 0,
    },
  });
} finally {
  await rm(folder, { recursive: true, force: true });
}
