/**
 * Folding updates of float32: ours (WASM SIMD) beside NumPy's best, in turns so that both meet the same machine.
 *
 *   node bench/fold/fold.ts [--python PATH] [--elements 100000000] [--updates 8] [--runs 7] [--blocks 16384,65536]
 *
 * Prints one JSON line: medians in milliseconds by the clock and of processor time, and the ratio of each, NumPy's best over
 * ours (above 1: we are faster). On a machine that does other work too, the ratio of processor time is the steadier one. The
 * Python named must have NumPy. The bound beside them is one copy of the same bytes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus, loadavg, totalmem } from 'node:os';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { BLOCK_ELEMENTS_DEFAULT, createFolder } from '@lantern/learning';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    elements: { type: 'string', default: '100000000' },
    updates: { type: 'string', default: '8' },
    runs: { type: 'string', default: '7' },
    blocks: { type: 'string', default: String(BLOCK_ELEMENTS_DEFAULT) },
  },
});
const elements = Number(values.elements);
const updateCount = Number(values.updates);
const blocks = values.blocks.split(',').map(Number);

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

/** Milliseconds by the clock, and of this process's processor time: the second does not count what other processes take. */
type Time = { readonly wall: number; readonly cpu: number };

function timed(run: () => void): Time {
  const cpu = process.cpuUsage();
  const begin = performance.now();
  run();
  const wall = performance.now() - begin;
  const { user, system } = process.cpuUsage(cpu);
  return { wall, cpu: (user + system) / 1000 };
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

function timesOfPeer(answer: Record<string, unknown>): [string, Time][] {
  return Object.entries(answer).map(([name, times]) => {
    const [wall, cpu] = Array.isArray(times) ? times.map(Number) : [];
    return [name, { wall: wall ?? Number.NaN, cpu: cpu ?? Number.NaN }];
  });
}

async function main(): Promise<void> {
  const script = new URL('fold_numpy.py', import.meta.url).pathname;
  const peer = spawn(values.python, [script, String(updateCount), String(elements)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, unknown>> => JSON.parse((await lines.next()).value ?? '{}');
  const { numpy } = await answer();
  const ours = new Map<string, Time[]>();
  const theirs = new Map<string, Time[]>();
  const copies: Time[] = [];
  const add = (times: Map<string, Time[]>, name: string, time: Time) =>
    times.set(name, [...(times.get(name) ?? []), time]);
  for (let run = 0; run < Number(values.runs); run += 1) {
    for (const block of blocks) add(ours, String(block), timeFold(block));
    copies.push(timeCopy());
    peer.stdin.write('run\n');
    for (const [name, time] of timesOfPeer(await answer())) add(theirs, name, time);
  }
  peer.stdin.end();
  await once(peer, 'exit');
  report({ numpy, ours, theirs, copies });
}

function report(found: {
  numpy: unknown;
  ours: Map<string, Time[]>;
  theirs: Map<string, Time[]>;
  copies: Time[];
}): void {
  const summary = (times: Map<string, Time[]>, by: keyof Time) => {
    const medians = [...times].map(([name, each]) => [name, median(each, by)] as const);
    const [name, best] = medians.reduce((a, b) => (b[1] < a[1] ? b : a));
    return { best: name, medianMs: best, all: Object.fromEntries(medians) };
  };
  const wall = { ours: summary(found.ours, 'wall'), numpy: summary(found.theirs, 'wall') };
  const cpu = { ours: summary(found.ours, 'cpu'), numpy: summary(found.theirs, 'cpu') };
  const line = {
    bench: 'fold',
    updates: updateCount,
    elements,
    runs: Number(values.runs),
    ratio: ratioOf(wall),
    ratioOfProcessorTime: ratioOf(cpu),
    kernel: createFolder().kernel,
    wall,
    processor: cpu,
    copyMedianMs: median(found.copies, 'wall'),
    oursBytesPerSecond: Math.round((4 * elements * updateCount) / (wall.ours.medianMs / 1000)),
    machine: {
      cpu: cpus()[0]?.model,
      cores: cpus().length,
      memoryBytes: totalmem(),
      loadAverage: loadavg()[0],
      node: process.version,
      numpy: found.numpy,
    },
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** NumPy's best over our best: above 1, we are faster. */
function ratioOf(times: { ours: { medianMs: number }; numpy: { medianMs: number } }): number {
  return Number((times.numpy.medianMs / times.ours.medianMs).toFixed(3));
}

function median(times: readonly Time[], by: keyof Time): number {
  const sorted = times.map((time) => time[by]).sort((a, b) => a - b);
  return Number((sorted[Math.floor(sorted.length / 2)] ?? Number.NaN).toFixed(1));
}

await main();
