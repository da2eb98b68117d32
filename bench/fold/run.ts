/**
 * Folding updates of float32: ours (WASM SIMD) beside NumPy's best, in turns so that both meet the same machine.
 *
 *   npm run bench -- fold [--elements 100000000] [--updates 8] [--runs 9] [--blocks 16000,16384] [--python PATH]
 *
 * Two measurements of the same runs: by the clock, and of processor time, which does not count what other processes take and
 * is the steadier one on a machine that does other work too. NumPy is timed in several ways of writing it; the best is the peer
 * (scripts/setup-peers installs it). Needs 8 GB of memory at the default size.
 *
 * Physical bound: reading every update once, here one copy of the same bytes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { BLOCK_ELEMENTS_DEFAULT, createFolder } from '@lantern/learning';
import { medianOf, report, summarise } from '../measurement.ts';

const SPEED_MIN = 0.8; // of NumPy's
const { values } = parseArgs({
  options: {
    python: { type: 'string', default: path.resolve(import.meta.dirname, '../../.lantern/peers/bin/python') },
    elements: { type: 'string', default: '100000000' },
    updates: { type: 'string', default: '8' },
    runs: { type: 'string', default: '9' },
    blocks: { type: 'string', default: String(BLOCK_ELEMENTS_DEFAULT) },
  },
});
const elements = Number(values.elements);
const updateCount = Number(values.updates);

/** Milliseconds by the clock and of this process's processor time. */
type Time = { readonly clock: number; readonly processor: number };
type Times = Map<string, Time[]>;

const updates = Array.from({ length: updateCount }, (_, k) => {
  const update = new Float32Array(elements);
  for (let index = 0; index < elements; index += 1)
    update[index] = ((index * 2654435761 + k * 977) >>> 0) / 2 ** 32 - 0.5;
  return new Uint8Array(update.buffer);
});
const sources = updates.map((update, k) => ({
  weight: (k + 1) / ((updateCount * (updateCount + 1)) / 2),
  readInto(target: Uint8Array, byteOffset: number): number {
    target.set(update.subarray(byteOffset, byteOffset + target.byteLength));
    return target.byteLength;
  },
}));
const sum = new Uint8Array(4 * elements).fill(1); // touched, so that no run pays for the first use of its pages

function timed(run: () => void): Time {
  const before = process.cpuUsage();
  const begin = performance.now();
  run();
  const clock = performance.now() - begin;
  const { user, system } = process.cpuUsage(before);
  return { clock, processor: (user + system) / 1000 };
}

function timeFold(blockElements: number): Time {
  const folder = createFolder({ blockElements });
  return timed(() => {
    let at = 0;
    folder.fold(sources, { byteOffset: 0, byteLength: sum.byteLength }, (block) => {
      sum.set(block, at);
      at += block.byteLength;
    });
  });
}

function timeCopy(): Time {
  return timed(() => {
    for (const update of updates) sum.set(update);
  });
}

type Peer = { readonly version: string; run(): Promise<[string, Time][]>; close(): Promise<void> };

async function startPeer(): Promise<Peer | undefined> {
  if (!existsSync(values.python)) {
    process.stderr.write('NumPy is left out: run scripts/setup-peers first\n');
    return undefined;
  }
  const script = path.join(import.meta.dirname, 'numpy_peer.py');
  const child = spawn(values.python, [script, String(updateCount), String(elements)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, unknown>> => JSON.parse((await lines.next()).value ?? '{}');
  const { numpy } = await answer();
  return {
    version: String(numpy),
    async run() {
      child.stdin.write('run\n');
      return Object.entries(await answer()).map(([name, times]) => {
        const [clock, processor] = Array.isArray(times) ? times.map(Number) : [];
        return [name, { clock: clock ?? Number.NaN, processor: processor ?? Number.NaN }];
      });
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

function reportTimes(by: keyof Time, found: { ours: Times; theirs: Times; copies: Time[]; version: string }): void {
  const ours = bestOf(found.ours, by);
  const median = medianOf(ours.times);
  const theirs = found.theirs.size === 0 ? undefined : bestOf(found.theirs, by);
  const peerMedian = medianOf(theirs?.times ?? []);
  report({
    name: `fold of ${updateCount} updates, ${by === 'clock' ? 'by the clock' : 'processor time'}`,
    unit: 'ms',
    ...summarise(ours.times),
    ...(theirs === undefined
      ? {}
      : {
          peer: { name: `numpy ${found.version}, ${theirs.name}`, median: peerMedian, ratio: median / peerMedian },
          target: { text: `at least ${SPEED_MIN} x the speed of NumPy`, kept: peerMedian / median >= SPEED_MIN },
        }),
    bound: { why: 'one copy of the same bytes', value: medianOf(found.copies.map((time) => time[by])) },
    facts: { elements, updates: updateCount, kernel: createFolder().kernel, blockElements: Number(ours.name) },
  });
}

async function main(): Promise<void> {
  const peer = await startPeer();
  const found = { ours: new Map(), theirs: new Map(), copies: [] as Time[], version: peer?.version ?? '' };
  for (let run = 0; run < Number(values.runs); run += 1) {
    for (const block of values.blocks.split(',')) add(found.ours, block, timeFold(Number(block)));
    found.copies.push(timeCopy());
    for (const [name, time] of (await peer?.run()) ?? []) add(found.theirs, name, time);
  }
  await peer?.close();
  reportTimes('clock', found);
  reportTimes('processor', found);
}

await main();
