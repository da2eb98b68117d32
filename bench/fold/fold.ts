/**
 * Folding updates of float32: ours (WASM SIMD) beside NumPy's best, in turns so that both meet the same machine.
 *
 *   node bench/fold/fold.ts [--python PATH] [--elements 100000000] [--updates 8] [--runs 7] [--blocks 16384,65536]
 *
 * Prints one JSON line: medians in milliseconds, bytes read per second, and `ratio` = NumPy's best median over ours (above 1:
 * we are faster). The Python named must have NumPy. The bound beside them is one copy of the same bytes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus, totalmem } from 'node:os';
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

function timeFold(blockElements: number): number {
  const folder = createFolder({ blockElements });
  const begin = performance.now();
  let at = 0;
  folder.fold(sources, { byteOffset: 0, byteLength: sum.byteLength }, (block) => {
    sum.set(block, at);
    at += block.byteLength;
  });
  return performance.now() - begin;
}

function timeCopy(): number {
  const begin = performance.now();
  for (const update of updates) sum.set(update);
  return performance.now() - begin;
}

function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}

async function main(): Promise<void> {
  const script = new URL('fold_numpy.py', import.meta.url).pathname;
  const peer = spawn(values.python, [script, String(updateCount), String(elements)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, unknown>> => JSON.parse((await lines.next()).value ?? '{}');
  const { numpy } = await answer();
  const ours = new Map(blocks.map((block) => [block, [] as number[]]));
  const theirs = new Map<string, number[]>();
  const copies: number[] = [];
  for (let run = 0; run < Number(values.runs); run += 1) {
    for (const [block, times] of ours) times.push(timeFold(block));
    copies.push(timeCopy());
    peer.stdin.write('run\n');
    for (const [name, time] of Object.entries(await answer()))
      theirs.set(name, [...(theirs.get(name) ?? []), Number(time)]);
  }
  peer.stdin.end();
  await once(peer, 'exit');
  report({ numpy, ours, theirs, copies });
}

function report(found: {
  numpy: unknown;
  ours: Map<number, number[]>;
  theirs: Map<string, number[]>;
  copies: number[];
}): void {
  const medians = (times: Iterable<[unknown, number[]]>) =>
    Object.fromEntries([...times].map(([name, each]) => [String(name), Math.round(median(each))]));
  const best = (of: Record<string, number>) => Object.entries(of).reduce((a, b) => (b[1] < a[1] ? b : a));
  const [ours, theirs] = [medians(found.ours), medians(found.theirs)];
  const [block, oursMs] = best(ours);
  const [variant, numpyMs] = best(theirs);
  const line = {
    bench: 'fold',
    updates: updateCount,
    elements,
    runs: Number(values.runs),
    ratio: Number((numpyMs / oursMs).toFixed(3)),
    ours: { kernel: createFolder().kernel, blockElements: Number(block), medianMs: oursMs, all: ours },
    numpy: { version: found.numpy, variant, medianMs: numpyMs, all: theirs },
    copyMedianMs: Math.round(median(found.copies)),
    oursBytesPerSecond: Math.round((4 * elements * updateCount) / (oursMs / 1000)),
    machine: { cpu: cpus()[0]?.model, cores: cpus().length, memoryBytes: totalmem(), node: process.version },
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

await main();
