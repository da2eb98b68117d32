/**
 * The 60 phenotypes of the OHDSI library over a CDM of made-up persons: the same plan on DuckDB and on PostgreSQL with OHDSI's keys
 * and indexes, in turns, each by the way that `lantern cohort run` takes. Both have to give the same counts.
 *
 *   LANTERN_DATA_DIR=… npm run bench -- cohort [--persons 100000] [--rows 300] [--runs 3] [--postgres-seconds 30] [--seed 1]
 *
 * DuckDB opens its file anew for every run, and its median counts. PostgreSQL is one server; it is asked a second time where the first
 * took less than ten seconds, and the shorter time counts; the first answers are compared besides. It is given up after --postgres-seconds, or after 25 times DuckDB's
 * time where that is longer; its time then counts as that, so that a ratio is too small rather than too large. The result says how
 * often, and whether the median is such a bound itself.
 *
 * Physical bound: the bytes of the columns that a plan reads, uncompressed, read once from memory by one thread.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type CohortDefinition, cdmFields, planCohort, planNeeds, readCirce } from '@lantern/omop';
import { startTestPostgres } from '@lantern/service';
import { openCdm, runCohort } from '@lantern/site';
import { medianOf, report, summarise } from '../measurement.ts';
import { analysisSettings, copyToPostgres } from './postgres-copy.ts';
import { makeSyntheticCdm } from './synthetic-cdm.ts';

const RATIO_MIN = 20;
const DUCKDB_MS_MAX = 2000;
/** Above the ratio that was promised, so that giving up cannot move the median below or above it. */
const GIVEN_UP_RATIO = 25;
/** A first answer of PostgreSQL that took less may have been slow for what was not in memory yet. */
const WARMING_MS_MAX = 10_000;
/** Of a clinical row: in DuckDB, in PostgreSQL with its indexes, and on the way from one to the other; measured, and rounded up. */
const DISK_BYTES_PER_ROW = { duckdb: 25, postgres: 190, way: 50 } as const;
const DISK_BYTES_BESIDE = 4 * 2 ** 30; // vocabulary, logs, what queries spill
/** Bytes of a value in memory, by the kind of its column. */
const WIDTHS = { key: 8, integer: 4, float: 8, date: 4, datetime: 8, text: 16 } as const;

const { values } = parseArgs({
  options: {
    persons: { type: 'string', default: '100000' },
    rows: { type: 'string', default: '300' },
    runs: { type: 'string', default: '3' },
    'postgres-seconds': { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    'without-postgres': { type: 'boolean', default: false },
  },
});

type Phenotype = { readonly name: string; readonly definition: CohortDefinition };
type Timed = { readonly ms: number; readonly cpuMs: number; readonly counts: string | undefined };
type Measured = {
  readonly name: string;
  readonly duckdb: Timed[];
  readonly postgres: Timed | undefined;
  /** Its first answer, for which some of the pages had to come from the disk. */
  readonly postgresFirst: Timed | undefined;
  boundMs: number;
};

function phenotypes(): Phenotype[] {
  const data = process.env['LANTERN_DATA_DIR'];
  if (data === undefined) throw new Error('LANTERN_DATA_DIR names no folder with omop-cohorts.');
  const folder = path.join(data, 'omop-cohorts', 'phenotypes');
  return readdirSync(folder).map((name) => ({
    name: path.parse(name).name,
    definition: readCirce(readFileSync(path.join(folder, name), 'utf8')),
  }));
}

async function timed(where: string, definition: CohortDefinition, limitMs: number): Promise<Timed> {
  const stop = AbortSignal.timeout(limitMs);
  const cdm = await openCdm({ where, schema: undefined, signal: stop, onProgress: () => undefined });
  const cpu = process.cpuUsage();
  const beginMs = performance.now();
  try {
    const run = await runCohort(cdm, definition);
    const ms = performance.now() - beginMs;
    const { user, system } = process.cpuUsage(cpu);
    const masks = run.masks.map(({ of, mask, count }) => `${of} ${mask} ${count}`).join(', ');
    return { ms, cpuMs: (user + system) / 1000, counts: `${run.subjectCount} ${run.entryCount} ${masks}` };
  } catch (caught) {
    if (!stop.aborted) throw caught;
    return { ms: limitMs, cpuMs: Number.NaN, counts: undefined };
  } finally {
    await cdm.close();
  }
}

/** The first answer, and the shorter of two. */
async function postgresTimes(url: string, definition: CohortDefinition, duckdbMs: number): Promise<[Timed, Timed]> {
  const limitMs = Math.ceil(Math.max(Number(values['postgres-seconds']) * 1000, GIVEN_UP_RATIO * duckdbMs));
  const first = await timed(url, definition, limitMs);
  if (first.counts === undefined || first.ms > WARMING_MS_MAX) return [first, first];
  const second = await timed(url, definition, limitMs);
  return [first, second.ms < first.ms ? second : first];
}

function timeWords({ ms, counts }: Timed): string {
  return counts === undefined ? `given up after ${(ms / 1000).toFixed(0)} s` : `${ms.toFixed(0)} ms`;
}

/** Before half an hour of loading, not after it. */
function assertDisk(folder: string): void {
  const { duckdb, postgres, way } = DISK_BYTES_PER_ROW;
  const perRow = values['without-postgres'] ? duckdb : duckdb + postgres + way;
  const needed = Number(values.persons) * Number(values.rows) * perRow + DISK_BYTES_BESIDE;
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= needed) return;
  const gb = (bytes: number) => (bytes / 1e9).toFixed(0);
  throw new Error(`This size needs ${gb(needed)} GB of disk; ${folder} has ${gb(bavail * bsize)} GB.`);
}

/** GB/s of one thread that reads memory, as bytes per millisecond. */
function bytesPerMs(): number {
  const block = new Float64Array(32 * 1024 * 1024).fill(1);
  const times = Array.from({ length: 5 }, () => {
    const beginMs = performance.now();
    block.copyWithin(0, block.length / 2);
    return performance.now() - beginMs;
  });
  return block.byteLength / 2 / medianOf(times);
}

function bytesOf(definition: CohortDefinition, counts: Readonly<Record<string, number>>): number {
  let bytes = 0;
  for (const [table, columns] of planNeeds(planCohort(definition))) {
    for (const { name, kind } of cdmFields(table) ?? [])
      if (columns.has(name)) bytes += WIDTHS[kind] * (counts[table] ?? 0);
  }
  return bytes;
}

async function measureAll(
  file: string,
  url: string | undefined,
  counts: Readonly<Record<string, number>>,
): Promise<Measured[]> {
  const speed = bytesPerMs();
  const all: Measured[] = [];
  const asked = phenotypes().filter((one) => values.only === undefined || one.name === values.only);
  for (const [index, { name, definition }] of asked.entries()) {
    const duckdb: Timed[] = [];
    for (let run = 0; run < Number(values.runs); run += 1) duckdb.push(await timed(file, definition, 600_000));
    const ms = medianOf(duckdb.map((one) => one.ms));
    const [postgresFirst, postgres] = url === undefined ? [] : await postgresTimes(url, definition, ms);
    const differs = postgres?.counts !== undefined && postgres.counts !== duckdb[0]?.counts;
    if (differs) throw new Error(`${name}: DuckDB says ${duckdb[0]?.counts}, PostgreSQL ${postgres.counts}`);
    all.push({ name, duckdb, postgres, postgresFirst, boundMs: bytesOf(definition, counts) / speed });
    const other = postgres === undefined ? '' : `, PostgreSQL ${timeWords(postgres)}`;
    const counts60 = duckdb[0]?.counts?.slice(0, 60);
    process.stderr.write(`  ${index + 1}/${asked.length} ${name}: DuckDB ${ms.toFixed(0)} ms${other}; ${counts60}\n`);
  }
  return all;
}

function reportAll(all: readonly Measured[], counts: Readonly<Record<string, number>>): void {
  const medians = all.map(({ duckdb }) => medianOf(duckdb.map(({ ms }) => ms)));
  const compared = all.flatMap(({ postgres }, index) =>
    postgres === undefined
      ? []
      : [{ ratio: postgres.ms / (medians[index] ?? 1), isGivenUp: postgres.counts === undefined }],
  );
  const ratios = compared.map(({ ratio }) => ratio);
  const firstRatios = all.flatMap(({ duckdb, postgresFirst }) => {
    const first = duckdb[0];
    return first === undefined || postgresFirst === undefined ? [] : [postgresFirst.ms / first.ms];
  });
  for (const [index, { name, duckdb, postgres, boundMs }] of all.entries()) {
    const median = medians[index] ?? Number.NaN;
    report({
      name: `phenotype ${name}`,
      unit: 'ms',
      ...summarise(duckdb.map(({ ms }) => ms)),
      ...(postgres === undefined
        ? {}
        : { peer: { name: 'PostgreSQL, same plan', median: postgres.ms, ratio: median / postgres.ms } }),
      bound: { why: 'its columns, uncompressed, read once from memory by one thread', value: boundMs },
      facts: {
        cpuMs: Math.round(medianOf(duckdb.map(({ cpuMs }) => cpuMs))),
        isGivenUpByPostgres: postgres !== undefined && postgres.counts === undefined,
        persons: Number(duckdb[0]?.counts?.split(' ')[0]),
      },
    });
  }
  const rowCount = Object.entries(counts).reduce(
    (sum, [table, count]) => (table.startsWith('concept') ? sum : sum + count),
    0,
  );
  const facts = { rowCount, ...counts };
  report({
    name: 'slowest phenotype on DuckDB',
    unit: 'ms',
    ...summarise(medians),
    median: Math.max(...medians),
    target: { text: `under ${DUCKDB_MS_MAX} ms`, kept: Math.max(...medians) < DUCKDB_MS_MAX },
    facts,
  });
  if (ratios.length === 0) return;
  report({
    name: 'time of PostgreSQL through time of DuckDB',
    unit: 'ratio',
    ...summarise(ratios),
    target: { text: `at least ${RATIO_MIN} in the median`, kept: medianOf(ratios) >= RATIO_MIN },
    facts: { ...facts, ...givenUpFacts(compared) },
  });
  report({
    name: 'time of PostgreSQL through time of DuckDB, the first answer of each',
    unit: 'ratio',
    ...summarise(firstRatios),
    facts,
  });
}

/** The median is exact unless one that was given up stands at or below it: all others can only grow. */
function givenUpFacts(compared: readonly { readonly ratio: number; readonly isGivenUp: boolean }[]) {
  const median = medianOf(compared.map(({ ratio }) => ratio));
  const givenUp = compared.filter(({ isGivenUp }) => isGivenUp);
  return {
    givenUpCount: givenUp.length,
    isMedianOnlyABound: givenUp.some(({ ratio }) => ratio <= median),
    atLeastTargetCount: compared.filter(({ ratio }) => ratio >= RATIO_MIN).length,
  };
}

async function main(): Promise<void> {
  assertDisk(tmpdir());
  const folder = mkdtempSync(path.join(tmpdir(), 'lantern-bench-cohort-'));
  const file = path.join(folder, 'cdm.duckdb');
  const server = values['without-postgres'] ? undefined : await startTestPostgres(analysisSettings());
  const beginMs = performance.now();
  const tell = (what: string) =>
    process.stderr.write(`  ${((performance.now() - beginMs) / 60_000).toFixed(1)} min: ${what}\n`);
  try {
    const definitions = phenotypes().map(({ definition }) => definition);
    const counts = await makeSyntheticCdm({
      file,
      definitions,
      personCount: Number(values.persons),
      rowsPerPerson: Number(values.rows),
      seed: Number(values.seed),
    });
    tell(`made ${JSON.stringify(counts)}`);
    if (server !== undefined) {
      await copyToPostgres(file, server.url);
      tell('PostgreSQL is loaded, indexed and analysed');
    }
    reportAll(await measureAll(file, server?.url, counts), counts);
  } finally {
    await server?.close();
    rmSync(folder, { recursive: true });
  }
}

await main();
