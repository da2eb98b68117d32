/**
 * How long it takes to find a study by what a person looks for, by C-FIND and QIDO-RS, from the question to the last match, the
 * line in the audit log included.
 *
 *   npm run bench -- image-query [--studies 40000] [--peer-studies 2000] [--runs 200]
 *
 * First with a million instances (25 for each study), whose index is written by SQL: no archive that has to be sent them could be
 * filled in an hour, Orthanc (SQLite, some hundred instances a second) among them. Then beside Orthanc, both sent the same
 * instances, in turns so that both meet the same machine. Every question is another one.
 */
import { strict as assert } from 'node:assert';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { openAssociation, storingContexts } from '@lantern/dicom';
import { fillIndex } from '../../packages/site/test/filled-index.ts';
import { OWN_AE, PEER_AE } from '../../packages/site/test/imaging-harness.ts';
import { syntheticInstance } from '../../packages/site/test/synthetic-images.ts';
import { medianOf, report, summarise } from '../measurement.ts';
import { type Archive, type Question, startOrthanc, startOurs } from './archives.ts';

const TIME_MS_MAX = 50;
const PLUGIN = '/usr/share/orthanc/plugins/libOrthancDicomWeb.so';
const INSTANCES_OF_STUDY = 2;

const { values } = parseArgs({
  options: {
    studies: { type: 'string', default: '40000' },
    'peer-studies': { type: 'string', default: '2000' },
    runs: { type: 'string', default: '200' },
  },
});
const STUDY_COUNT = Number(values.studies);
const PEER_STUDY_COUNT = Number(values['peer-studies']);
const RUN_COUNT = Number(values.runs);

/** Times of single questions [ms], and how many studies each found. */
type Times = { readonly ms: number[]; readonly counts: number[] };
type Kind = { readonly name: string; question(index: number): Question };

const protocols = [
  ['C-FIND', (archive: Archive, question: Question) => archive.byDimse(question)],
  ['QIDO-RS', (archive: Archive, question: Question) => archive.byWeb(question)],
] as const;

async function timed(times: Times, run: () => Promise<number>): Promise<void> {
  const begin = performance.now();
  const count = await run();
  times.ms.push(performance.now() - begin);
  times.counts.push(count);
}

function quantile(times: readonly number[], share: number): number {
  return times.toSorted((left, right) => left - right)[Math.ceil(times.length * share) - 1] ?? Number.NaN;
}

/** Spread over all studies, and never the same one twice in a row. */
const studyAt = (index: number, count: number) => 1 + ((index * 7919) % count);
const padded = (number: number) => String(number).padStart(7, '0');
/** As `fillIndex` names patients; but Orthanc 1.10 leaves what is encoded in a URL as it is, and would find neither of the last two. */
const FAMILIES =
  'Smith Jones Taylor Brown Williams Wilson Johnson Davies Patel Robinson Wright Thompson Evans Walker White Roberts Green Hall Wood Jackson Clarke Khan'.split(
    ' ',
  );
const GIVEN = 'Olivia Amelia Isla Ava Mia George Noah Arthur Harry Leo Muhammad Jack'.split(' ');
const patientOf = (study: number) => Math.floor((study * 2) / 5);
const patientId = (study: number) => `P${padded(patientOf(study))}`;

function nameOf(study: number): string {
  const patient = patientOf(study);
  return `${FAMILIES[(patient * 11) % 24] ?? 'Khan'}^${GIVEN[Math.floor(patient / 24) % 12]}^${patient % 97}`;
}

function day(index: number): string {
  return new Date(Date.UTC(2016, 0, 1 + ((index * 17) % 3600))).toISOString().slice(0, 10).replaceAll('-', '');
}

function kindsOf(count: number, uid: (study: number) => string): Kind[] {
  const study = (index: number) => studyAt(index, count);
  return [
    { name: 'patient id', question: (index) => ({ PatientID: patientId(study(index)) }) },
    { name: 'accession number', question: (index) => ({ AccessionNumber: `ACC${padded(study(index))}` }) },
    { name: 'study UID', question: (index) => ({ StudyInstanceUID: uid(study(index)) }) },
    {
      name: 'beginning of a name',
      // The family name and two letters of the given one.
      question: (index) => ({ PatientName: `${nameOf(study(index)).replace(/(\^..).*$/, '$1')}*` }),
    },
    {
      name: 'a week and a modality',
      question: (index) => ({
        StudyDate: `${day(index)}-${weekLater(day(index))}`,
        ModalitiesInStudy: ['MR', 'CT', 'US', 'PT'][index % 4] ?? '',
      }),
    },
  ];
}

function weekLater(date: string): string {
  const at = new Date(`${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}T00:00:00Z`);
  return new Date(at.getTime() + 6 * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');
}

async function measureLarge(): Promise<void> {
  const archive = await startOurs('bench');
  try {
    const begin = performance.now();
    const { instanceCount } = await fillIndex(archive.node.database, STUDY_COUNT);
    process.stderr.write(`${instanceCount} instances in ${Math.round((performance.now() - begin) / 1000)} s\n`);
    const kinds = kindsOf(STUDY_COUNT, (study) => `2.25.7.${study}`);
    for (const kind of kinds) {
      for (const [protocol, run] of protocols) {
        const times: Times = { ms: [], counts: [] };
        for (let index = 0; index < RUN_COUNT; index += 1) await timed(times, () => run(archive, kind.question(index)));
        reportLarge(`${protocol} by ${kind.name}`, times, instanceCount);
      }
    }
    await measureWhole(archive);
  } finally {
    await archive.close();
  }
}

function reportLarge(name: string, { ms, counts }: Times, instanceCount: number): void {
  const p95 = quantile(ms, 0.95);
  report({
    name: `${name}, ${instanceCount} instances`,
    unit: 'ms',
    ...summarise(ms),
    target: {
      text: `median and 95th percentile below ${TIME_MS_MAX} ms`,
      kept: medianOf(ms) < TIME_MS_MAX && p95 < TIME_MS_MAX,
    },
    facts: { p95, studies: STUDY_COUNT, foundMedian: medianOf(counts), foundMax: Math.max(...counts) },
  });
}

/** Every study by one C-FIND: how fast they come, and what it costs the process, which is that of the asker as well. */
async function measureWhole(archive: Archive): Promise<void> {
  global.gc?.();
  const before = process.memoryUsage().rss;
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20);
  const times: Times = { ms: [], counts: [] };
  await timed(times, () => archive.byDimse({ StudyDate: '' }));
  clearInterval(watch);
  assert.deepEqual(times.counts, [STUDY_COUNT]);
  report({
    name: 'every study by one C-FIND',
    unit: 'matches/s',
    ...summarise(times.ms.map((ms) => (1000 * STUDY_COUNT) / ms)),
    facts: { matches: STUDY_COUNT, ms: times.ms[0] ?? 0, residentGrowthBytes: peak - before },
  });
}

/** Two instances of each study, as a scanner would send them. */
async function send(port: number): Promise<void> {
  const [example] = instancesOf(1);
  assert.ok(example !== undefined);
  const client = await openAssociation({
    host: '127.0.0.1',
    port,
    calledAe: OWN_AE,
    callingAe: PEER_AE,
    contexts: storingContexts([example]),
  });
  for (let study = 1; study <= PEER_STUDY_COUNT; study += 1) {
    for (const instance of instancesOf(study)) assert.equal((await client.store(instance)).status, 0);
  }
  await client.release();
}

function instancesOf(study: number) {
  const others = {
    StudyDate: day(study * 37),
    AccessionNumber: `ACC${padded(study)}`,
    Modality: ['CT', 'MR', 'CR', 'US', 'PT'][study % 5] ?? 'CT',
  };
  const who = { patientId: patientId(study), patientName: nameOf(study) };
  return Array.from({ length: INSTANCES_OF_STUDY }, (_, index) =>
    syntheticInstance({ study, series: 1, number: index + 1, ...who, others }),
  );
}

async function measureBesideOrthanc(folder: string): Promise<void> {
  const ours = await startOurs('bench-small');
  const theirs = await startOrthanc(folder, PLUGIN);
  try {
    for (const [name, { port }] of Object.entries({ ours, theirs })) {
      const begin = performance.now();
      await send(port);
      process.stderr.write(`${name}: sent in ${Math.round((performance.now() - begin) / 1000)} s\n`);
    }
    await ours.node.database.pool.query('vacuum analyze'); // as its own daemon does within a minute
    const kinds = kindsOf(PEER_STUDY_COUNT, (study) => `2.25.1.${study}`);
    for (const kind of kinds) {
      for (const [protocol, run] of protocols) {
        const times: { ours: Times; theirs: Times } = { ours: { ms: [], counts: [] }, theirs: { ms: [], counts: [] } };
        for (let index = 0; index < RUN_COUNT; index += 1) {
          await timed(times.ours, () => run(ours, kind.question(index)));
          await timed(times.theirs, () => run(theirs, kind.question(index)));
        }
        assert.deepEqual(
          times.ours.counts,
          times.theirs.counts,
          `${protocol} by ${kind.name}: other studies are found`,
        );
        reportSmall(`${protocol} by ${kind.name}`, times);
      }
    }
  } finally {
    await ours.close();
    await theirs.close();
  }
}

function reportSmall(name: string, { ours, theirs }: { ours: Times; theirs: Times }): void {
  const median = medianOf(theirs.ms);
  report({
    name: `${name} beside Orthanc, ${PEER_STUDY_COUNT} studies sent to both`,
    unit: 'ms',
    ...summarise(ours.ms),
    peer: { name: 'Orthanc 1.10.1, SQLite', median, ratio: medianOf(ours.ms) / median },
    facts: {
      p95: quantile(ours.ms, 0.95),
      peerP95: quantile(theirs.ms, 0.95),
      foundMedian: medianOf(ours.counts),
      instances: PEER_STUDY_COUNT * INSTANCES_OF_STUDY,
    },
  });
}

await measureLarge();
if (!existsSync(PLUGIN)) process.stderr.write('Orthanc is left out: run scripts/setup-peers first\n');
else {
  const folder = mkdtempSync(path.join(tmpdir(), 'lantern-bench-'));
  try {
    await measureBesideOrthanc(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
