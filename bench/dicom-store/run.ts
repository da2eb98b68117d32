/**
 * Receiving images: ours, which syncs and indexes before it answers, beside Orthanc, which does too, and DCMTK's storescp, which
 * does neither. The same stock sender (storescu, TCP_NODELAY) sends the same files over one, four and eight associations; receivers
 * take turns, each over an empty folder.
 *
 *   npm run bench -- dicom-store [--instances 1000] [--runs 5] [--only store|study|memory|associations]
 *
 * Also: a CT study of 324 slices until it is handed on as complete; the memory for one instance of 2 GB; a hundred associations at
 * once.
 *
 * Bounds, measured in the same run. Over one association no instance comes before the last was answered, so nobody who syncs is
 * faster than the same sender to a receiver that keeps nothing (the ceiling) and a loop that writes and syncs the same files (the
 * disk), one after the other. Over several, sender and receiver share the cores: what the sender takes for an instance, and what a
 * plain receiver in this language takes that hashes, writes, syncs and commits the same bytes without any DICOM (the floor). That is
 * where such a receiver ends, and no proof that none could be faster. Beside each rate stands the processor time of an instance, which a busy machine changes less.
 */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { medianOf, report, summarise } from '../measurement.ts';
import { useMemory } from '../memory.ts';
import { endedChildrenMs, type Receiver, type ReceiverName, startFloor, startReceiver } from './receivers.ts';
import { writeBigInstance, writeSlices } from './slices.ts';

const { values } = parseArgs({
  options: {
    instances: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '5' },
    only: { type: 'string' },
  },
});
const INSTANCES = Number(values.instances);
const RUNS = Number(values.runs);
const RECEIVERS: readonly ReceiverName[] = ['lantern', 'orthanc', 'storescp', 'sink'];
const ASSOCIATION_COUNTS = [1, 4, 8];
const RATIO_TO_ORTHANC_MIN = 2;
const RATIO_TO_STORESCP_MIN = 0.7;
const STUDY_SLICES = 324;
const STUDY_QUIET_MS = 1000;
const STUDY_MS_MAX = 3000;
const BIG_BYTES = 2_000_000_000;
const MEMORY_BYTES_MAX = 512 * 1024 * 1024;
const MANY_ASSOCIATIONS = 100;
const PER_ASSOCIATION = 5;
const INSTANCE_BYTES = 525_000;
const FIRST_INSTANCES = 200;

/** Milliseconds until every sender has its last answer and has gone. */
async function send(port: number, folders: readonly string[]): Promise<number> {
  const start = performance.now();
  const codes = await Promise.all(
    folders.map(async (folder) => {
      const args = ['--aetitle', 'SENDER', '--call', 'BENCH', '--scan-directories', '127.0.0.1', String(port), folder];
      const sender = spawn('storescu', args, { stdio: 'ignore', env: { ...process.env, TCP_NODELAY: '1' } });
      const [code] = await once(sender, 'close');
      return code;
    }),
  );
  assert.deepEqual(
    codes,
    folders.map(() => 0),
    'a sender failed',
  );
  return performance.now() - start;
}

async function over<T>(name: ReceiverName, work: (receiver: Receiver) => Promise<T>, quietMs?: number): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), `lantern-bench-${name}-`));
  chmodSync(folder, 0o711); // the database runs as another user
  const receiver = await startReceiver(name, folder, quietMs);
  try {
    return await work(receiver);
  } finally {
    await receiver.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Folders of equal parts, one for each association. */
function parts(root: string, associationCount: number): string[] {
  return Array.from({ length: associationCount }, (_, index) =>
    path.join(root, String(associationCount), String(index)),
  );
}

async function measureStore(root: string): Promise<void> {
  const first = path.join(root, 'first');
  mkdirSync(first);
  writeSlices(first, { count: FIRST_INSTANCES, study: 1 });
  for (const count of ASSOCIATION_COUNTS) {
    for (const [index, folder] of parts(root, count).entries()) {
      mkdirSync(folder, { recursive: true });
      writeSlices(folder, { count: INSTANCES / count, study: 100 * count + index });
    }
  }
  for (const count of ASSOCIATION_COUNTS) {
    const runs = emptyRuns();
    for (let run = 0; run < RUNS; run += 1) {
      for (const name of RECEIVERS)
        runs[name].push(await over(name, (receiver) => timed(receiver, name, parts(root, count), first)));
      runs.disk.push((INSTANCES / syncFiles(parts(root, count), path.join(root, 'synced'))) * 1000);
      runs.floorMs.push(await floorMs(path.join(root, 'floor'), count));
      const said = RECEIVERS.map((name) => `${name} ${runs[name].at(-1)?.rate.toFixed(0)}/s`);
      process.stderr.write(
        `${count} associations, run ${run + 1}: ${said.join(', ')}, disk alone ${runs.disk.at(-1)?.toFixed(0)}/s, floor ${runs.floorMs.at(-1)?.toFixed(2)} ms\n`,
      );
    }
    reportRates(count, runs);
  }
}

/** Processor time of an instance at the plain receiver [ms]. */
async function floorMs(folder: string, connectionCount: number): Promise<number> {
  const floor = await startFloor(folder, INSTANCE_BYTES);
  const content = randomBytes(INSTANCE_BYTES);
  const sendAll = async (instanceCount: number) => {
    const socket = connect({ port: floor.port, host: '127.0.0.1', noDelay: true });
    for (let sent = 0; sent < instanceCount; sent += 1) {
      socket.write(content);
      await once(socket, 'data'); // one byte
    }
    socket.destroy();
  };
  await sendAll(FIRST_INSTANCES);
  useMemory(INSTANCES * INSTANCE_BYTES);
  const before = floor.processorMs();
  await Promise.all(Array.from({ length: connectionCount }, () => sendAll(INSTANCES / connectionCount)));
  const took = floor.processorMs() - before;
  await floor.stop();
  rmSync(folder, { recursive: true });
  return took / INSTANCES;
}

/** Of one run: instances a second, and processor time of an instance at receiver and sender [ms]. */
type Run = { readonly rate: number; readonly receiverMs: number; readonly senderMs: number };
type Runs = Readonly<Record<ReceiverName, Run[]>> & { readonly disk: number[]; readonly floorMs: number[] };

const emptyRuns = (): Runs => ({ lantern: [], orthanc: [], storescp: [], sink: [], disk: [], floorMs: [] });

/**
 * What is measured is a receiver at work, not its start: each takes a study first that is not counted. And memory: where a machine
 * gives free memory back to its host, whoever writes first pays to have it again, the more the longer nobody used it. So as much as
 * will be written is used and freed before each.
 */
async function timed(receiver: Receiver, name: ReceiverName, folders: readonly string[], first: string): Promise<Run> {
  await send(receiver.port, [first]);
  useMemory(INSTANCES * INSTANCE_BYTES);
  const before = { receiver: receiver.processorMs(), sender: endedChildrenMs() };
  const took = await send(receiver.port, folders);
  const [receiverMs, senderMs] = [receiver.processorMs() - before.receiver, endedChildrenMs() - before.sender];
  if (name !== 'sink')
    assert.equal(
      receiver.count(),
      FIRST_INSTANCES + INSTANCES,
      `${name} has another number of instances than were sent`,
    );
  return { rate: (INSTANCES / took) * 1000, receiverMs: receiverMs / INSTANCES, senderMs: senderMs / INSTANCES };
}

function reportRates(count: number, runs: Runs): void {
  const median = (name: ReceiverName, key: keyof Run) => medianOf(runs[name].map((run) => run[key]));
  const ours = median('lantern', 'rate');
  const ceiling = median('sink', 'rate');
  const disk = medianOf(runs.disk);
  const floor = medianOf(runs.floorMs);
  const coresMs = 1000 * availableParallelism(); // a second
  const bound =
    count === 1
      ? { why: 'received as by one that keeps nothing, then written and synced', value: 1 / (1 / ceiling + 1 / disk) }
      : {
          why: 'the cores, shared by the sender and a receiver without DICOM that hashes, writes, syncs and commits',
          value: coresMs / (median('lantern', 'senderMs') + floor),
        };
  for (const [name, min] of [
    ['orthanc', RATIO_TO_ORTHANC_MIN],
    ['storescp', RATIO_TO_STORESCP_MIN],
  ] as const) {
    const peer = median(name, 'rate');
    report({
      name: `C-STORE over ${count} ${count === 1 ? 'association' : 'associations'}, beside ${name}`,
      unit: 'instances/s',
      ...summarise(runs.lantern.map(({ rate }) => rate)),
      peer: { name, median: peer, ratio: ours / peer },
      bound,
      target: { text: `at least ${min} x ${name}`, kept: ours / peer >= min },
      facts: {
        instances: INSTANCES,
        instanceBytes: INSTANCE_BYTES,
        targetThroughBound: rounded((min * peer) / bound.value), // over one association nobody could keep it above 1
        ceilingPerSecond: Math.round(ceiling),
        diskPerSecond: Math.round(disk),
        floorProcessorMs: rounded(floor),
        ourProcessorMs: rounded(median('lantern', 'receiverMs')),
        peerProcessorMs: rounded(median(name, 'receiverMs')),
        senderProcessorMs: rounded(median('lantern', 'senderMs')),
      },
    });
  }
}

function rounded(number: number): number {
  return Math.round(100 * number) / 100;
}

function syncFiles(folders: readonly string[], to: string): number {
  const contents = folders.flatMap((folder) => readdirSync(folder).map((file) => path.join(folder, file)));
  mkdirSync(to);
  let ms = 0;
  for (const [index, file] of contents.entries()) {
    const content = readFileSync(file);
    const start = performance.now();
    const descriptor = openSync(path.join(to, String(index)), 'w');
    writeSync(descriptor, content);
    fdatasyncSync(descriptor);
    closeSync(descriptor);
    ms += performance.now() - start;
  }
  rmSync(to, { recursive: true });
  return ms;
}

async function measureStudy(root: string): Promise<void> {
  const folder = path.join(root, 'study');
  mkdirSync(folder);
  writeSlices(folder, { count: STUDY_SLICES, study: 7 });
  const times: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    await over(
      'lantern',
      async (receiver) => {
        const start = Date.now();
        await send(receiver.port, [folder]);
        while (receiver.completedAt().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
        times.push((receiver.completedAt()[0] ?? Number.NaN) - start - STUDY_QUIET_MS);
      },
      STUDY_QUIET_MS,
    );
  }
  report({
    name: 'a CT study received, durable and handed on, without its quiet time',
    unit: 'ms',
    ...summarise(times),
    target: { text: `within ${STUDY_MS_MAX} ms`, kept: medianOf(times) <= STUDY_MS_MAX },
    facts: { slices: STUDY_SLICES, quietMs: STUDY_QUIET_MS },
  });
}

async function measureMemory(root: string): Promise<void> {
  const folder = path.join(root, 'big');
  mkdirSync(folder);
  writeBigInstance(folder, BIG_BYTES);
  const peak = await over('lantern', async (receiver) => {
    await send(receiver.port, [folder]);
    return receiver.peakBytes();
  });
  rmSync(folder, { recursive: true });
  report({
    name: 'greatest memory of our process for one instance of 2 GB',
    unit: 'MiB',
    ...summarise([peak / 1024 / 1024]),
    target: { text: 'below 512 MiB', kept: peak < MEMORY_BYTES_MAX },
    facts: { instanceBytes: BIG_BYTES },
  });
}

async function measureMany(root: string): Promise<void> {
  const folders = Array.from({ length: MANY_ASSOCIATIONS }, (_, index) => path.join(root, 'many', String(index)));
  for (const [index, folder] of folders.entries()) {
    mkdirSync(folder, { recursive: true });
    writeSlices(folder, { count: PER_ASSOCIATION, study: 1000 + index });
  }
  const sent = MANY_ASSOCIATIONS * PER_ASSOCIATION;
  const { ms, peak } = await over('lantern', async (receiver) => {
    const took = await send(receiver.port, folders);
    assert.equal(receiver.count(), sent);
    return { ms: took, peak: receiver.peakBytes() };
  });
  report({
    name: 'a hundred associations at once',
    unit: 'instances/s',
    ...summarise([(sent / ms) * 1000]),
    target: { text: 'all served', kept: true },
    facts: { associations: MANY_ASSOCIATIONS, instances: sent, peakMiB: Math.round(peak / 1024 / 1024) },
  });
}

const root = mkdtempSync(path.join(tmpdir(), 'lantern-bench-slices-'));
try {
  const sections = { store: measureStore, study: measureStudy, memory: measureMemory, associations: measureMany };
  for (const [name, measure] of Object.entries(sections)) {
    if (values.only === undefined || values.only === name) await measure(root);
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
