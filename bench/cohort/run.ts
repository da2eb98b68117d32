/**
 * The 60 phenotypes of the OHDSI library over a CDM of made-up persons: the same plan on DuckDB and on PostgreSQL with OHDSI's keys
 * and indexes, each by the way that `lantern cohort run` takes. Both have to give the same counts.
 *
 *   LANTERN_DATA_DIR=… npm run bench -- cohort [--persons 100000] [--rows 300] [--runs 3] [--postgres-seconds 30] [--seed 1]
 *     [--cdm FILE [--postgres URL]]
 *
 * Each database answers alone, in rounds over all 60, as researchers ask who ask different things; each question is asked twice in
 * turn. The first of each pair is what counts as asked among others, the second as asked again at once; both ratios are reported.
 * DuckDB opens its file anew for every question. PostgreSQL is given up after --postgres-seconds, or after 25 times DuckDB's time where
 * that is longer, and not asked that again; its time then counts as that, so that a ratio is too small rather than too large. The
 * result says how often, and whether the median is such a bound itself.
 *
 * --cdm and --postgres measure over what an earlier run has made, or anybody else, and leave it there.
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
import { makeSyntheticCdm, rowCounts } from './synthetic-cdm.ts';

const RATIO_MIN = 20;
const DUCKDB_MS_MAX = 2000;
/** Above the ratio that was promised, so that giving up cannot move the median below or above it. */
const GIVEN_UP_RATIO = 25;
const DUCKDB_LIMIT_MS = 600_000;
/**
 * Of a clinical row in DuckDB, and in PostgreSQL with its indexes and log: 18 and 171 over 307 million rows, rounded up. The largest
 * tables are on the way as CSV before the others are there, so that they add nothing to the most.
 */
const DISK_BYTES_PER_ROW = { duckdb: 20, postgres: 175 } as const;
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
    cdm: { type: 'string' },
    postgres: { type: 'string' },
    only: { type: 'string' },
    'without-postgres': { type: 'boolean', default: false },
  },
});

type Phenotype = { readonly name: string; readonly definition: CohortDefinition };
type Timed = { readonly ms: number; readonly cpuMs: number; readonly counts: string | undefined };
/** One round's two answers to a question. */
type Pair = { readonly among: Timed; readonly again: Timed };
type Measured = Phenotype & {
  readonly boundMs: number;
  readonly duckdb: Pair[];
  /** Of PostgreSQL; empty where it was not asked. */
  readonly postgres: Pair[];
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

/** An answer that was given up is not asked for again. */
async function timedPair(where: string, definition: CohortDefinition, limitMs: number): Promise<Pair> {
  const among = await timed(where, definition, limitMs);
  return { among, again: among.counts === undefined ? among : await timed(where, definition, limitMs) };
}

function timeWords({ ms, counts }: Timed): string {
  return counts === undefined ? `given up after ${(ms / 1000).toFixed(0)} s` : `${ms.toFixed(0)} ms`;
}

const msOf = (pairs: readonly Pair[], which: keyof Pair): number => medianOf(pairs.map((pair) => pair[which].ms));
const isGivenUp = (pairs: readonly Pair[]): boolean => pairs.some(({ again }) => again.counts === undefined);

/** Before half an hour of loading, not after it. */
function assertDisk(folder: string): void {
  const { duckdb, postgres } = DISK_BYTES_PER_ROW;
  const perRow = values['without-postgres'] ? duckdb : duckdb + postgres;
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
  const asked = phenotypes().filter((one) => values.only === undefined || one.name === values.only);
  const all = asked.map(
    (one): Measured => ({ ...one, boundMs: bytesOf(one.definition, counts) / speed, duckdb: [], postgres: [] }),
  );
  for (let round = 1; round <= Number(values.runs); round += 1) {
    for (const one of all) one.duckdb.push(await timedPair(file, one.definition, DUCKDB_LIMIT_MS));
    tell(`round ${round} of DuckDB`);
  }
  if (url === undefined) return all;
  for (let round = 1; round <= Number(values.runs); round += 1) {
    for (const one of all.filter(({ postgres }) => !isGivenUp(postgres))) await askPostgres(url, one);
    tell(`round ${round} of PostgreSQL`);
  }
  return all;
}

/** Throws where PostgreSQL does not count what DuckDB counts. */
async function askPostgres(url: string, { name, definition, duckdb, postgres }: Measured): Promise<void> {
  const [duckdbMs, counts] = [msOf(duckdb, 'among'), duckdb[0]?.again.counts];
  const limitMs = Math.ceil(Math.max(Number(values['postgres-seconds']) * 1000, GIVEN_UP_RATIO * duckdbMs));
  const pair = await timedPair(url, definition, limitMs);
  const differing = [pair.among, pair.again].find((one) => one.counts !== undefined && one.counts !== counts);
  if (differing !== undefined) throw new Error(`${name}: DuckDB says ${counts}, PostgreSQL ${differing.counts}`);
  postgres.push(pair);
  const times = `DuckDB ${duckdbMs.toFixed(0)} ms, PostgreSQL ${timeWords(pair.among)}, ${timeWords(pair.again)}`;
  process.stderr.write(`  ${name}: ${times}; ${counts?.slice(0, 60)}\n`);
}

function reportAll(all: readonly Measured[], counts: Readonly<Record<string, number>>): void {
  for (const one of all) reportPhenotype(one);
  const rowCount = Object.entries(counts).reduce(
    (sum, [table, count]) => (table.startsWith('concept') ? sum : sum + count),
    0,
  );
  const facts = { rowCount, ...counts };
  const medians = all.map(({ duckdb }) => msOf(duckdb, 'among'));
  report({
    name: 'slowest phenotype on DuckDB',
    unit: 'ms',
    ...summarise(medians),
    median: Math.max(...medians),
    target: { text: `under ${DUCKDB_MS_MAX} ms`, kept: Math.max(...medians) < DUCKDB_MS_MAX },
    facts: { ...facts, underTargetCount: medians.filter((ms) => ms < DUCKDB_MS_MAX).length },
  });
  if (all.some(({ postgres }) => postgres.length === 0)) return;
  for (const [which, words] of [
    ['among', 'asked among others'],
    ['again', 'asked again at once'],
  ] as const) {
    const compared = all.map(({ duckdb, postgres }) => ({
      ratio: msOf(postgres, which) / msOf(duckdb, which),
      isGivenUp: isGivenUp(postgres),
    }));
    const ratios = compared.map(({ ratio }) => ratio);
    report({
      name: `time of PostgreSQL through time of DuckDB, ${words}`,
      unit: 'ratio',
      ...summarise(ratios),
      target: { text: `at least ${RATIO_MIN} in the median`, kept: medianOf(ratios) >= RATIO_MIN },
      facts: { ...facts, ...givenUpFacts(compared) },
    });
  }
}

function reportPhenotype({ name, duckdb, postgres, boundMs }: Measured): void {
  const peerMs = postgres.length === 0 ? undefined : msOf(postgres, 'among');
  const again = { duckdbAgainMs: Math.round(msOf(duckdb, 'again')) };
  report({
    name: `phenotype ${name}`,
    unit: 'ms',
    ...summarise(duckdb.map(({ among }) => among.ms)),
    ...(peerMs === undefined
      ? {}
      : { peer: { name: 'PostgreSQL, same plan', median: peerMs, ratio: msOf(duckdb, 'among') / peerMs } }),
    bound: { why: 'its columns, uncompressed, read once from memory by one thread', value: boundMs },
    facts: {
      cpuMs: Math.round(medianOf(duckdb.map(({ among }) => among.cpuMs))),
      isGivenUpByPostgres: isGivenUp(postgres),
      ...(peerMs === undefined ? again : { ...again, postgresAgainMs: Math.round(msOf(postgres, 'again')) }),
      persons: Number(duckdb[0]?.among.counts?.split(' ')[0]),
    },
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

const BEGIN_MS = performance.now();

function tell(what: string): void {
  process.stderr.write(`  ${((performance.now() - BEGIN_MS) / 60_000).toFixed(1)} min: ${what}\n`);
}

async function main(): Promise<void> {
  if (values.cdm !== undefined) {
    const counts = await rowCounts(values.cdm);
    reportAll(await measureAll(values.cdm, values.postgres, counts), counts);
    return;
  }
  if (values.postgres !== undefined) throw new Error('--postgres needs --cdm: the file with the same rows.');
  assertDisk(tmpdir());
  const folder = mkdtempSync(path.join(tmpdir(), 'lantern-bench-cohort-'));
  const file = path.join(folder, 'cdm.duckdb');
  const server = values['without-postgres'] ? undefined : await startTestPostgres(analysisSettings());
  try {
    await makeSyntheticCdm({
      file,
      definitions: phenotypes().map(({ definition }) => definition),
      personCount: Number(values.persons),
      rowsPerPerson: Number(values.rows),
      seed: Number(values.seed),
    });
    const counts = await rowCounts(file);
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
