/**
 * Runs test files with node:test over one PostgreSQL that all of them share (each test has a database of its own in it), inside
 * an enclosure that shows what they left behind. Whatever way the run ends, the server is stopped and its folder removed.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { startTestPostgres } from '@lantern/service';
import { openEnclosure } from './left-behind.ts';

const PATTERNS = [
  'packages/*/{src,test}/**/*.test.ts',
  'tests/**/*.test.ts',
  'scripts/**/*.test.ts',
  'bench/**/*.test.ts',
];

/** Peers are programs that npm does not bring (Python, DICOM tools): npm run test:peers. */
const PEERS = 'tests/peers/';

/** Many tests start processes of their own; more files at once than this only queue for the disk. */
const CONCURRENCY_MAX = 4;

/** Far above any test that moves; a test that does not move is ended by it. */
const TEST_TIMEOUT_MS = 300_000;

export type TestSelection = {
  readonly root: string;
  /** Parts of paths; a file that holds one of them is run. None: every file. */
  readonly patterns: readonly string[];
  readonly peers: boolean;
};

export type TestResult = { readonly passed: boolean; readonly leftBehind: readonly string[] };

export function findTests({ root, patterns, peers }: TestSelection): string[] {
  return globSync([...PATTERNS], { cwd: root })
    .map((file) => file.split(path.sep).join('/'))
    .filter((file) => !file.includes('node_modules/') && file.startsWith(PEERS) === peers)
    .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
    .sort();
}

/**
 * Runs node:test in a process group of its own, so that the interruption of this process reaches every process of the tests, and
 * reaches them once. Resolves with whether all tests passed.
 */
async function runNodeTest(
  files: readonly string[],
  options: { root: string; environment: Record<string, string>; signal: AbortSignal },
): Promise<boolean> {
  const concurrency = Math.max(1, Math.min(CONCURRENCY_MAX, availableParallelism()));
  const flags = [`--test-concurrency=${concurrency}`, `--test-timeout=${TEST_TIMEOUT_MS}`, '--test-reporter=spec'];
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env; // Set when we are ourselves under test; it would mute the child.
  const child = spawn(process.execPath, ['--test', ...flags, ...files], {
    cwd: options.root,
    env: { ...inherited, ...options.environment },
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  });
  const stop = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
  };
  options.signal.addEventListener('abort', stop, { once: true });
  if (options.signal.aborted) stop();
  try {
    return await new Promise<boolean>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code === 0));
    });
  } finally {
    options.signal.removeEventListener('abort', stop);
  }
}

/** Runs the files; `signal` ends the run early, and the result then says not passed. */
export async function runTests(files: readonly string[], root: string, signal: AbortSignal): Promise<TestResult> {
  const postgres = await startTestPostgres();
  const enclosure = openEnclosure();
  try {
    const environment = { ...enclosure.environment, LANTERN_TEST_POSTGRES_URL: postgres.url };
    const passed = await runNodeTest(files, { root, environment, signal });
    return { passed: passed && !signal.aborted, leftBehind: await enclosure.clear() };
  } finally {
    await postgres.close();
  }
}
