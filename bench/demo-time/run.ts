/**
 * How long the demonstration takes after `npm ci`: its command as README gives it, without npm before it, from the start of the
 * process to its end, with everything stopped and removed again. The temporary folder is one of this bench, so that it sees whether
 * something was left in it; the file of --json says that the story was told to its end.
 *
 * No peer: without Lantern a person would write such a federation, which has no time of its own. And no bound: the demonstration
 * waits for five databases to be made and for four hospitals' answers, and how fast they could be at best nobody knows.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { report, summarise } from '../measurement.ts';

const MAIN = path.resolve(import.meta.dirname, '../../packages/lantern/src/main.ts');
const REPETITIONS = 5;
const SECONDS_MAX = 60;
const LAST_CHAPTER = 'audit'; // of the file of --json

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());

/** The demonstration writes its account to standard error, which is for people; standard output is for measurements. */
function runDemo(temporary: string, jsonFile: string): Promise<number | null> {
  const child = spawn(process.execPath, [MAIN, 'demo', '--json', jsonFile], {
    stdio: ['ignore', process.stderr, 'inherit'],
    env: { ...process.env, TMPDIR: temporary },
    signal: stop.signal,
    killSignal: 'SIGTERM',
  });
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      if (error.name !== 'AbortError') reject(error);
    });
    child.once('close', resolve);
  });
}

function chaptersOf(jsonFile: string): string[] {
  const facts: unknown = JSON.parse(readFileSync(jsonFile, 'utf8'));
  return typeof facts === 'object' && facts !== null ? Object.keys(facts) : [];
}

/** Seconds from start to end. Throws where the demonstration failed, did not tell all, or left something behind. */
async function timedDemo(folder: string): Promise<number> {
  const temporary = mkdtempSync(path.join(folder, 'tmp-'));
  chmodSync(temporary, 0o711); // started as root, the user of the databases has to pass
  const jsonFile = path.join(folder, 'demo.json');
  rmSync(jsonFile, { force: true });
  const startMs = performance.now();
  const code = await runDemo(temporary, jsonFile);
  const seconds = (performance.now() - startMs) / 1000;
  if (code !== 0) throw new Error(`the demonstration ended with ${code ?? 'a signal'}`);
  const chapters = chaptersOf(jsonFile);
  if (!chapters.includes(LAST_CHAPTER)) throw new Error(`the demonstration ended after ${chapters.join(', ')}`);
  const left = readdirSync(temporary);
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  process.stderr.write(`\n${seconds.toFixed(1)} s\n`);
  return seconds;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'lantern-bench-'));
  chmodSync(folder, 0o711);
  try {
    const seconds: number[] = [];
    while (seconds.length < REPETITIONS) seconds.push(await timedDemo(folder));
    report({
      name: 'npm run demo, after npm ci',
      unit: 's',
      ...summarise(seconds),
      target: { text: `each at most ${SECONDS_MAX} s on 2 cores`, kept: Math.max(...seconds) <= SECONDS_MAX },
      facts: {
        processes: 5,
        databases: 5,
        peer: 'none: what a person would do without it is to write such a federation',
      },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
