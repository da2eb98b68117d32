/**
 * Folding updates of float32: ours (WASM SIMD) beside NumPy's best, in turns so that both meet the same machine.
 *
 *   npm run bench -- fold [--elements 100000000] [--updates 8] [--runs 15] [--blocks 250000,262144] [--python PATH]
 *
 * Two forms of the same work. From memory: the updates are arrays. NumPy reads them in place; we must copy each block into
 * WebAssembly's memory first. From files, in the page cache: what the hub does, which reads each block straight into that
 * memory; NumPy maps or reads the same files. Node.js cannot map a file, so this copy is the price. One folder serves all runs,
 * as the hub's does, on one thread. NumPy is timed in several ways of writing it; the best is the peer (scripts/setup-peers
 * installs it). Its sum must have the bits of ours.
 *
 * Each form is measured by the clock, and in processor time, which does not count what other processes take and is the
 * steadier one on a machine that does other work too. Needs 12 GB of memory and 3.2 GB of disk at the default size.
 *
 * Physical bound: reading every update once, here one copy of the same bytes.
 */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, fsyncSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { crc32 } from 'node:zlib';
import { BLOCK_ELEMENTS_DEFAULT, createFolder, type Folder, type FoldSource } from '@lantern/learning';
import { medianOf, report, summarise } from '../measurement.ts';

const SPEED_MIN = 0.8; // of NumPy's
const { values } = parseArgs({
  options: {
    python: { type: 'string', default: path.resolve(import.meta.dirname, '../../.lantern/peers/bin/python') },
    elements: { type: 'string', default: '100000000' },
    updates: { type: 'string', default: '8' },
    runs: { type: 'string', default: '15' },
    blocks: { type: 'string', default: String(BLOCK_ELEMENTS_DEFAULT) },
  },
});
const elements = Number(values.elements);
const updateCount = Number(values.updates);

const FORMS = ['memory', 'files'] as const;
type Form = (typeof FORMS)[number];
/** Milliseconds by the clock and of the process's processor time. */
type Time = { readonly clock: number; readonly processor: number };
type Times = Map<string, Time[]>;
type Found = Readonly<Record<Form, { readonly ours: Times; readonly theirs: Times }>> & { readonly copies: Time[] };

const updates = Array.from({ length: updateCount }, (_, k) => {
  const update = new Float32Array(elements);
  for (let index = 0; index < elements; index += 1)
    update[index] = ((index * 2654435761 + k * 977) >>> 0) / 2 ** 32 - 0.5;
  return new Uint8Array(update.buffer);
});
const sum = new Uint8Array(4 * elements).fill(1); // touched, so that no run pays for the first use of its pages

function weightOf(k: number): number {
  return (k + 1) / ((updateCount * (updateCount + 1)) / 2);
}

/** On the disk when it returns, so that no run meets the writing back. */
function writeUpdates(folder: string): string[] {
  return updates.map((update, k) => {
    const file = path.join(folder, `update-${k}`);
    const descriptor = openSync(file, 'wx');
    writeFileSync(descriptor, update);
    fsyncSync(descriptor);
    closeSync(descriptor);
    return file;
  });
}

function timed(run: () => void): Time {
  const before = process.cpuUsage();
  const begin = performance.now();
  run();
  const clock = performance.now() - begin;
  const { user, system } = process.cpuUsage(before);
  return { clock, processor: (user + system) / 1000 };
}

function foldInto(sources: readonly FoldSource[], folder: Folder): void {
  let at = 0;
  folder.fold(sources, { byteOffset: 0, byteLength: sum.byteLength }, (block) => {
    sum.set(block, at);
    at += block.byteLength;
  });
}

const timeFold: Readonly<Record<Form, (folder: Folder, files: readonly string[]) => Time>> = {
  memory: (folder) =>
    timed(() => {
      const sources = updates.map((update, k) => ({
        weight: weightOf(k),
        readInto(target: Uint8Array, byteOffset: number): number {
          target.set(update.subarray(byteOffset, byteOffset + target.byteLength));
          return target.byteLength;
        },
      }));
      foldInto(sources, folder);
    }),
  files: (folder, files) =>
    timed(() => {
      const descriptors = files.map((file) => openSync(file, 'r'));
      const sources = descriptors.map((descriptor, k) => ({
        weight: weightOf(k),
        readInto: (target: Uint8Array, byteOffset: number) =>
          readSync(descriptor, target, 0, target.byteLength, byteOffset),
      }));
      foldInto(sources, folder);
      for (const descriptor of descriptors) closeSync(descriptor);
    }),
};

function timeCopy(): Time {
  return timed(() => {
    for (const update of updates) sum.set(update);
  });
}

type PeerRun = Readonly<Record<Form, Readonly<Record<string, readonly [number, number]>>>> & { readonly crc: number };
type Peer = { readonly version: string; run(): Promise<PeerRun>; close(): Promise<void> };

async function startPeer(files: readonly string[]): Promise<Peer | undefined> {
  if (!existsSync(values.python)) {
    process.stderr.write('NumPy is left out: run scripts/setup-peers first\n');
    return undefined;
  }
  const script = path.join(import.meta.dirname, 'numpy_peer.py');
  const child = spawn(values.python, [script, String(elements), ...files], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => JSON.parse((await lines.next()).value ?? '{}');
  const { numpy } = await answer();
  return {
    version: String(numpy),
    async run() {
      child.stdin.write('run\n');
      return answer();
    },
    async close() {
      const exit = once(child, 'exit');
      child.stdin.end();
      await exit;
    },
  };
}

function add(times: Times, name: string, time: Time): void {
  times.set(name, [...(times.get(name) ?? []), time]);
}

/** The way with the smallest median. */
function bestOf(times: Times, by: keyof Time): { name: string; times: number[] } {
  const ways = [...times].map(([name, each]) => ({ name, times: each.map((time) => time[by]) }));
  return ways.reduce((best, way) => (medianOf(way.times) < medianOf(best.times) ? way : best));
}

async function measure(files: readonly string[], peer: Peer | undefined): Promise<Found> {
  const form = () => ({ ours: new Map(), theirs: new Map() });
  const folders = values.blocks
    .split(',')
    .map((block) => ({ block, folder: createFolder({ blockElements: Number(block) }) }));
  const found: Found = { memory: form(), files: form(), copies: [] };
  for (let run = 0; run < Number(values.runs); run += 1) {
    found.copies.push(timeCopy());
    for (const form of FORMS) {
      for (const { block, folder } of folders) add(found[form].ours, block, timeFold[form](folder, files));
    }
    const theirs = await peer?.run();
    if (theirs === undefined) continue;
    assert.equal(theirs.crc, crc32(sum), 'NumPy folds to other bits');
    for (const form of FORMS) {
      for (const [name, [clock, processor]] of Object.entries(theirs[form])) {
        add(found[form].theirs, name, { clock, processor });
      }
    }
  }
  return found;
}

function reportTimes(found: Found, form: Form, by: keyof Time, version: string): void {
  const ours = bestOf(found[form].ours, by);
  const median = medianOf(ours.times);
  const theirs = found[form].theirs.size === 0 ? undefined : bestOf(found[form].theirs, by);
  const peerMedian = medianOf(theirs?.times ?? []);
  report({
    name: `fold of ${updateCount} updates from ${form}, ${by === 'clock' ? 'by the clock' : 'processor time'}`,
    unit: 'ms',
    ...summarise(ours.times),
    ...(theirs === undefined
      ? {}
      : {
          peer: { name: `numpy ${version}, ${theirs.name}`, median: peerMedian, ratio: median / peerMedian },
          target: { text: `at least ${SPEED_MIN} x the speed of NumPy`, kept: peerMedian / median >= SPEED_MIN },
        }),
    bound: { why: 'one copy of the same bytes', value: medianOf(found.copies.map((time) => time[by])) },
    facts: { elements, updates: updateCount, kernel: createFolder().kernel, blockElements: Number(ours.name) },
  });
}

async function main(): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'lantern-bench-fold-'));
  try {
    const files = writeUpdates(folder);
    const peer = await startPeer(files);
    const found = await measure(files, peer);
    await peer?.close();
    for (const form of FORMS) {
      for (const by of ['clock', 'processor'] as const) reportTimes(found, form, by, peer?.version ?? '');
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

await main();
