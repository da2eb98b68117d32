/**
 * `npm run check`, which is `npm test`: every gate and every test that needs nothing but npm packages. CI (.ci/run) runs exactly
 * this between the demonstration and the tests beside other programs. Every gate runs, also after one has failed, so that one run
 * tells all; the tests come last and the end is their summary.
 *
 *   npm test                       all gates and all tests
 *   npm test -- hub/src/runs       only test files with this in their path, no other gate
 *   npm test -- --only-tests       all tests, no other gate
 *   npm test -- --only-gates       every gate but the tests
 *   npm run test:peers             tests beside programs that npm does not bring
 */
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { checkLayers } from './layers.ts';
import { describeCodeSize, measure } from './measure.ts';
import { type Offence, readSourceTree, type SourceTree } from './source-tree.ts';
import { findTests, runTests } from './test-run.ts';
import { checkTrackedFiles } from './tracked-files.ts';

const ROOT = path.resolve(import.meta.dirname, '..');

/** `lines` is shown below the one line of the gate; a gate that passed says as little as it can. */
type Outcome = { readonly passed: boolean; readonly lines: readonly string[] };
type Gate = { readonly name: string; run(tree: () => SourceTree): Outcome };

function runTool(script: string, args: readonly string[]): Outcome {
  const result = spawnSync(process.execPath, [path.join(ROOT, 'node_modules', script), ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  const passed = result.status === 0;
  return { passed, lines: passed ? [] : `${result.stdout}${result.stderr}`.trimEnd().split('\n') };
}

function fromOffences(offences: readonly Offence[], otherLines: Iterable<string> = []): Outcome {
  const lines = offences.map(({ file, line, rule }) => `${file}${line === 0 ? '' : `:${line}`} ${rule}`);
  return { passed: offences.length === 0, lines: [...otherLines, ...lines] };
}

const GATES: readonly Gate[] = [
  { name: 'types', run: () => runTool('typescript/bin/tsc', ['--noEmit', '--pretty', 'false']) },
  {
    name: 'biome',
    run: () => runTool('@biomejs/biome/bin/biome', ['check', '--error-on-warnings', '--max-diagnostics=200']),
  },
  { name: 'layers', run: (tree) => fromOffences(checkLayers(tree())) },
  {
    name: 'measure',
    run: (tree) => {
      const size = measure(tree());
      return fromOffences(size.offences, describeCodeSize(size));
    },
  },
  { name: 'tracked files', run: () => fromOffences(checkTrackedFiles(ROOT)) },
];

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function printResult(name: string, passed: boolean, startMs: number): void {
  const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
  print(`${passed ? 'ok  ' : 'FAIL'}  ${name.padEnd(14)}${seconds.padStart(8)} s`);
}

/** Runs every gate and returns the names of those that failed. */
function runGates(): string[] {
  let tree: SourceTree | undefined;
  const readOnce = () => {
    tree ??= readSourceTree(ROOT);
    return tree;
  };
  return GATES.flatMap((gate) => {
    const startMs = performance.now();
    const { passed, lines } = gate.run(readOnce);
    printResult(gate.name, passed, startMs);
    for (const line of lines) print(`      ${line}`);
    return passed ? [] : [gate.name];
  });
}

/** Runs the tests and returns the names of what failed: the tests, the cleaning up, or both. */
async function runSelectedTests(patterns: readonly string[], peers: boolean): Promise<string[]> {
  const files = findTests({ root: ROOT, patterns, peers });
  if (files.length === 0) {
    print(`FAIL  tests: no test file matches ${patterns.join(' ') || (peers ? 'tests/peers' : 'anything')}`);
    return ['tests'];
  }
  const aborter = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => aborter.abort());
  const startMs = performance.now();
  const { passed, leftBehind } = await runTests(files, ROOT, aborter.signal);
  printResult('tests', passed, startMs);
  if (leftBehind.length > 0) {
    print('FAIL  left behind by the tests:');
    for (const line of leftBehind) print(`      ${line}`);
  }
  return [...(passed ? [] : ['tests']), ...(leftBehind.length > 0 ? ['left behind'] : [])];
}

function assertInstalled(): void {
  const installed = statSync(path.join(ROOT, 'node_modules', 'typescript'), { throwIfNoEntry: false });
  if (installed === undefined) throw new Error('nothing is installed: run npm ci first');
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { 'only-tests': { type: 'boolean' }, 'only-gates': { type: 'boolean' }, peers: { type: 'boolean' } },
    allowPositionals: true,
  });
  assertInstalled();
  const peers = values.peers === true;
  const onlyTests = values['only-tests'] === true || peers || positionals.length > 0;
  const failed = onlyTests ? [] : runGates();
  if (values['only-gates'] !== true) failed.push(...(await runSelectedTests(positionals, peers)));
  print(failed.length === 0 ? 'passed' : `failed: ${failed.join(', ')}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

await main();
