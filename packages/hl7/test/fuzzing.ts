/**
 * Cases of chance against a parser: 100,000 of them, or as many as a time allows, whichever is first.
 *
 *   LANTERN_FUZZ_CASES     how many at most
 *   LANTERN_FUZZ_SECONDS   how long at most: a minute where CI says so, else a few seconds
 *   LANTERN_FUZZ_SEED      of the first case; case n has this plus n
 *
 * A failure names the seed of its case, which runs again alone with LANTERN_FUZZ_CASES=1.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import type { TestContext } from 'node:test';

const CASE_COUNT_MAX = 100_000;
const SECONDS_IN_CI = 60;
const SECONDS_ELSE = 3;
/** No case may hold the event loop longer. */
const CASE_MS_MAX = 1000;
/** What the whole process may need at its highest more than before: garbage that is not yet collected for the most part. */
const GROWTH_BYTES_MAX = 384 * 1024 * 1024;

/** A whole number from 0 to below `below`. */
export type Chance = (below: number) => number;

/** A stream of numbers from a seed (mulberry32). */
export function chanceFrom(seed: number): Chance {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Runs the cases one after another and gives how many there were. Fails where one throws, takes a second, or memory grows. */
export async function fuzz(
  t: TestContext,
  runCase: (chance: Chance) => void | Promise<void>,
  growthBytesMax = GROWTH_BYTES_MAX,
): Promise<number> {
  const seed = Number(process.env['LANTERN_FUZZ_SEED'] ?? randomInt(2 ** 31));
  const casesMax = Number(process.env['LANTERN_FUZZ_CASES'] ?? CASE_COUNT_MAX);
  const isInCi = process.env['CI'] === 'true';
  const seconds = Number(process.env['LANTERN_FUZZ_SECONDS'] ?? (isInCi ? SECONDS_IN_CI : SECONDS_ELSE));
  const startMs = performance.now();
  const peakBefore = peakBytes();
  let count = 0;
  for (; count < casesMax && performance.now() - startMs < seconds * 1000; count += 1) {
    const caseSeed = (seed + count) % 2 ** 32;
    await timed(caseSeed, () => runCase(chanceFrom(caseSeed)));
  }
  const grown = peakBytes() - peakBefore;
  t.diagnostic(
    `${count} cases from LANTERN_FUZZ_SEED=${seed}, ${Math.round(grown / 1024 ** 2)} MiB more at the highest`,
  );
  assert.ok(grown <= growthBytesMax, `memory grew by ${grown} bytes (LANTERN_FUZZ_SEED=${seed})`);
  return count;
}

async function timed(seed: number, run: () => void | Promise<void>): Promise<void> {
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  try {
    await run();
  } catch (cause) {
    throw new Error(`the case of LANTERN_FUZZ_SEED=${seed} failed: ${String(cause)}`, { cause });
  }
  if (performance.now() - startMs <= CASE_MS_MAX) return;
  const { user, system } = process.cpuUsage(startCpu); // not where the machine had others to serve meanwhile
  assert.ok((user + system) / 1000 <= CASE_MS_MAX, `the case of LANTERN_FUZZ_SEED=${seed} took more than a second`);
}

function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Changes some bytes, cuts, repeats, leaves out or shifts a part: what a broken or hostile peer sends. Up to four changes from `from` on. */
export function mutated(bytes: Buffer, chance: Chance, from = 0): Buffer {
  let result = Buffer.from(bytes);
  for (let change = 1 + chance(4); change > 0 && result.byteLength > from; change -= 1) {
    const at = from + chance(result.byteLength - from);
    switch (chance(6)) {
      case 0:
        result[at] = chance(256);
        break;
      case 1:
        if (chance(4) === 0) result = result.subarray(0, at + 1);
        else result[at] = (result[at] ?? 0) ^ (1 << chance(8));
        break;
      case 2:
        result = Buffer.concat([result.subarray(0, at), result.subarray(from + chance(at + 1 - from))]);
        break;
      case 3:
        result[at] = [0, 1, 2, 4, 0x7f, 0xff][chance(6)] ?? 0;
        break;
      case 4:
        result = Buffer.concat([result.subarray(0, at), result.subarray(at + 1 + chance(8))]);
        break;
      default:
        result = Buffer.concat([result.subarray(0, at), Buffer.from([chance(256), chance(256)]), result.subarray(at)]);
    }
  }
  return result;
}
