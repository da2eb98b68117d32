/**
 * Loading and finding FHIR resources.
 *
 *   LANTERN_DATA_DIR=... npm run bench -- fhir [--copies 13] [--loads 5] [--runs 60]
 *
 * Loading: the three hospitals of fhir-synthea from their compressed bundles, checked by the validator, indexed, committed and synced;
 * beside it PostgreSQL that takes the same texts as bare rows of one table, which is what no index and no check can beat. Finding: the
 * same records copied inside the database until they are about a million, then questions over HTTP, the line in the audit log
 * included; every question is another one.
 */
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '@lantern/service';
import { createFhirStore } from '../../packages/site/src/fhir/fhir-store.ts';
import { loadFiles } from '../../packages/site/src/fhir/loader.ts';
import { startTestFhir, type TestFhir } from '../../packages/site/test/fhir-harness.ts';
import { medianOf, report, summarise } from '../measurement.ts';
import { useMemory } from '../memory.ts';
import type { Loading } from './load-child.ts';

const LOADED_PER_S_MIN = 5000;
const SEARCH_MS_MAX = 50;
/** What a loading touches: the database, its log and the process. */
const LOADING_BYTES = 2_000_000_000;

const { values } = parseArgs({
  options: {
    copies: { type: 'string', default: '13' },
    loads: { type: 'string', default: '5' },
    runs: { type: 'string', default: '60' },
  },
});
const dataDir = process.env['LANTERN_DATA_DIR'];
assert(dataDir, 'LANTERN_DATA_DIR names the folder of the large data');
const bundles = path.join(dataDir, 'fhir-synthea/bundles');

function quantile(times: readonly number[], share: number): number {
  return times.toSorted((left, right) => left - right)[Math.ceil(times.length * share) - 1] ?? Number.NaN;
}

/** Each by a new process over a new database: what a first loading takes, with all that is compiled on the way. */
function measureLoading(runs: number): void {
  const loadings: Loading[] = [];
  for (let run = 0; run < runs; run += 1) {
    useMemory(LOADING_BYTES);
    const text = execFileSync(process.execPath, [path.join(import.meta.dirname, 'load-child.ts'), bundles]);
    loadings.push(JSON.parse(text.toString()) as Loading);
    process.stderr.write(`loading ${run + 1} of ${runs}\n`);
  }
  const rates = loadings.map(({ resources, seconds }) => resources / seconds);
  report({
    name: 'loading with validation',
    unit: 'resources/s',
    ...summarise(rates),
    bound: {
      why: 'PostgreSQL takes the same texts as bare rows with a key',
      value: medianOf(loadings.map(({ created, bareSeconds }) => created / bareSeconds)),
    },
    target: {
      text: `at least ${LOADED_PER_S_MIN} resources/s on two cores`,
      kept: medianOf(rates) >= LOADED_PER_S_MIN,
    },
    facts: {
      resources: loadings[0]?.resources ?? 0,
      nodeCpuSeconds: medianOf(loadings.map(({ cpuSeconds }) => cpuSeconds)),
    },
  });
}

/** Copies get ids of their own, refer to each other, and happen on other days. */
async function multiply({ database: { pool } }: TestFhir, copies: number): Promise<number> {
  const {
    rows: [span],
  } = await pool.query<{ span: string }>('select max(version_key)::text as span from fhir_resource');
  for (let copy = 1; copy <= copies; copy += 1) {
    const shift = `${span?.span ?? '0'}::bigint * ${copy}`;
    await pool.query(`
      insert into fhir_resource
      select version_key + ${shift}, type, id || '-${copy}', version, last_updated, method, meta,
        regexp_replace(body, '("reference":"[A-Za-z]+/[0-9a-f-]{36})"', '\\1-${copy}"', 'g')
      from fhir_resource where version_key <= ${span?.span}`);
    await pool.query(
      `insert into fhir_token select term, system_id, version_key + ${shift} from fhir_token where version_key <= ${span?.span}`,
    );
    await pool.query(
      `insert into fhir_reference select term || '-${copy}', version_key + ${shift} from fhir_reference where version_key <= ${span?.span}`,
    );
    await pool.query(
      `insert into fhir_string select place_id, folded, exact, leads, version_key + ${shift} from fhir_string where version_key <= ${span?.span}`,
    );
    await pool.query(`
      insert into fhir_date select place_id, low + interval '${copy} days', high + interval '${copy} days', leads, version_key + ${shift}
      from fhir_date where version_key <= ${span?.span}`);
    await pool.query(`
      insert into fhir_quantity select place_id, value, system_id, code, unit, canonical_value, canonical_unit, version_key + ${shift}
      from fhir_quantity where version_key <= ${span?.span}`);
    process.stderr.write(`copy ${copy} of ${copies}\n`);
  }
  await pool.query(`select setval('fhir_version_key', (select max(version_key) from fhir_resource))`);
  await pool.query('vacuum analyze fhir_resource, fhir_token, fhir_reference, fhir_string, fhir_date, fhir_quantity');
  const {
    rows: [counted],
  } = await pool.query<{ count: number }>('select count(*)::int as count from fhir_resource');
  return counted?.count ?? 0;
}

type Known = {
  readonly patients: readonly string[];
  readonly names: readonly string[];
  readonly conditions: readonly string[];
};
type Question = { readonly name: string; at(known: Known, index: number): string };

const pick = (list: readonly string[], index: number): string => list[(index * 7919) % list.length] ?? '';
const CODES = ['8302-2', '29463-7', '39156-5', '55284-4', '72166-2', '2093-3', '18262-6', '2085-9', '2571-8', '4548-4'];
const year = (index: number): number => 1990 + (index % 28);

const QUESTIONS: readonly Question[] = [
  { name: 'patient by id', at: ({ patients }, i) => `/Patient?_id=${pick(patients, i)}` },
  {
    name: 'patients by beginning of a name',
    at: ({ names }, i) => `/Patient?name=${encodeURIComponent(pick(names, i).slice(0, 4))}`,
  },
  {
    name: 'observations of a patient, newest first',
    at: ({ patients }, i) => `/Observation?patient=${pick(patients, i)}&_sort=-date`,
  },
  {
    name: 'observations of a patient by code',
    at: ({ patients }, i) => `/Observation?patient=${pick(patients, i)}&code=http://loinc.org|${pick(CODES, i)}`,
  },
  {
    name: 'encounters of a patient since a day',
    at: ({ patients }, i) => `/Encounter?patient=${pick(patients, i)}&date=ge${year(i)}-03-01`,
  },
  { name: 'observations by code (many)', at: (_, i) => `/Observation?code=${pick(CODES, i)}` },
  {
    name: 'observations by code and value',
    at: (_, i) => `/Observation?code=8302-2&value-quantity=gt${150 + (i % 40)}|http://unitsofmeasure.org|cm`,
  },
  {
    name: 'observations by code in a month',
    at: (_, i) => `/Observation?code=8302-2&date=${year(i)}-${String(1 + (i % 12)).padStart(2, '0')}`,
  },
  {
    name: 'conditions by code with their patients',
    at: ({ conditions }, i) => `/Condition?code=${pick(conditions, i)}&_include=Condition:patient`,
  },
  {
    name: 'patients who have a condition',
    at: ({ conditions }, i) => `/Patient?_has:Condition:patient:code=${pick(conditions, i)}`,
  },
  {
    name: 'conditions of patients by name',
    at: ({ names }, i) => `/Condition?subject:Patient.name=${encodeURIComponent(pick(names, i))}`,
  },
  { name: 'all conditions, newest first', at: (_, i) => `/Condition?_sort=-onset-date&onset-date=lt${year(i)}` },
];

async function measureFinding(fhir: TestFhir, resources: number, runs: number): Promise<void> {
  const { pool } = fhir.database;
  const column = async (text: string): Promise<string[]> =>
    (await pool.query<{ value: string }>(text)).rows.map(({ value }) => value);
  const known: Known = {
    patients: await column(`select id as value from fhir_resource where type = 'Patient' order by id`),
    names: await column(
      `select distinct folded as value from fhir_string join fhir_place using (place_id) where place = 'Patient.name' order by 1`,
    ),
    conditions: await column(
      `select distinct split_part(term, '|', 2) as value from fhir_token join fhir_place on term like place_id || '|%' where place = 'Condition.code' order by 1`,
    ),
  };
  for (const { name, at } of QUESTIONS) {
    const times: number[] = [];
    for (let index = 0; index < runs; index += 1) {
      const begin = performance.now();
      const { status, text } = await fhir.ask('GET', at(known, index));
      times.push(performance.now() - begin);
      assert.equal(status, 200, text.slice(0, 300));
    }
    const p95 = quantile(times, 0.95);
    report({
      name: `search: ${name}`,
      unit: 'ms',
      ...summarise(times),
      target: { text: `p95 under ${SEARCH_MS_MAX} ms`, kept: p95 < SEARCH_MS_MAX },
      facts: { resources, p95, median: medianOf(times) },
    });
  }
}

measureLoading(Number(values.loads));
const fhir = await startTestFhir('bench-fhir');
try {
  await loadFiles(createFhirStore({ database: fhir.database, clock: systemClock }), bundles);
  const resources = await multiply(fhir, Number(values.copies));
  await measureFinding(fhir, resources, Number(values.runs));
} finally {
  await fhir.close();
}
