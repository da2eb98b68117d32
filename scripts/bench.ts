/**
 * `npm run bench -- <name>`: runs bench/<name>/run.ts and keeps what it measured in bench/results/<name>.json, as JSON lines: first
 * the machine and the date, then one measurement per line. The file is replaced only by a run that went well to its end.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describeMachine } from '../bench/machine.ts';

const BENCH = path.resolve(import.meta.dirname, '../bench');

function benchNames(): string[] {
  return readdirSync(BENCH).filter((name) => existsSync(path.join(BENCH, name, 'run.ts')));
}

/** A line of a bench must be a measurement; anything else on its standard output is a mistake in the bench. */
function parseMeasurement(line: string): string {
  const value: unknown = JSON.parse(line);
  const isMeasurement =
    typeof value === 'object' && value !== null && 'name' in value && 'median' in value && 'unit' in value;
  if (!isMeasurement) throw new Error(`not a measurement: ${line.slice(0, 200)}`);
  return JSON.stringify(value);
}

async function runBench(name: string, args: readonly string[]): Promise<string[]> {
  const child = spawn(process.execPath, [path.join(BENCH, name, 'run.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const stop = () => child.kill('SIGTERM');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    process.stdout.write(`${line}\n`);
    if (line.trim() !== '') lines.push(line);
  }
  const code = await ended;
  if (code !== 0) throw new Error(`bench ${name} ended with ${code ?? 'a signal'}; its old results are kept`);
  if (lines.length === 0) throw new Error(`bench ${name} measured nothing; its old results are kept`);
  return lines.map(parseMeasurement);
}

function keepResults(name: string, lines: readonly string[]): string {
  const folder = path.join(BENCH, 'results');
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${name}.json`);
  const header = JSON.stringify({ bench: name, measuredAt: new Date().toISOString(), machine: describeMachine() });
  writeFileSync(`${file}.part`, `${[header, ...lines].join('\n')}\n`);
  renameSync(`${file}.part`, file);
  return path.relative(path.dirname(BENCH), file);
}

async function main(): Promise<void> {
  const [name, ...args] = process.argv.slice(2);
  const names = benchNames();
  if (name === undefined || !names.includes(name)) {
    process.stderr.write(`usage: npm run bench -- NAME\nbenches: ${names.join(', ') || 'none yet'}\n`);
    process.exitCode = 2;
    return;
  }
  const lines = await runBench(name, args);
  process.stderr.write(`kept in ${keepResults(name, lines)}\n`);
}

await main();
