/**
 * The demo's hub and sites as processes of their own, started as anybody would start them: `lantern hub`, `lantern site join`,
 * `lantern site`. Each has its own folder, database, key and log. Whatever was started is stopped again, also on failure; and by
 * itself when this process is killed, which closes the channel between them.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { AppError } from '@lantern/contract';
import type { Environment } from '../cli/sessions.ts';

const MAIN = path.resolve(import.meta.dirname, '../main.ts');
const START_WAIT_MS = 60_000; // initialising a database takes about a second; a busy machine may need many
const STOP_WAIT_MS = 20_000; // a clean stop waits for the database to write its checkpoint
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export type ServerProcess = {
  readonly name: string;
  readonly url: string;
  readonly dataDir: string;
  readonly pid: number;
  /** Resolves when the process ends, with the signal that ended it. */
  readonly ended: Promise<NodeJS.Signals | undefined>;
  stop(): Promise<void>;
};

export type ProcessSettings = {
  readonly env: Environment;
  readonly root: string;
  /** Nothing more is started once it is aborted. */
  readonly signal?: AbortSignal;
};

/** Only what a program needs to find itself: nothing of the caller's settings reaches a hospital's process. */
function childEnvironment(env: Environment): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, LANG } = env;
  const kept = { PATH, HOME, TMPDIR, LANG };
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined));
}

/** Starts `lantern …` and resolves when it says that it answers. */
export async function startServer(
  settings: ProcessSettings,
  server: {
    name: string;
    folder: string;
    args: readonly string[];
    port?: number;
    settings?: Readonly<Record<string, string>>;
  },
): Promise<ServerProcess> {
  settings.signal?.throwIfAborted();
  const dataDir = path.join(settings.root, server.folder);
  await mkdir(dataDir, { recursive: true });
  const child = spawn(
    process.execPath,
    [MAIN, ...server.args, '--data', dataDir, '--port', String(server.port ?? 0), '--json'],
    {
      env: { ...childEnvironment(settings.env), ...server.settings },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  );
  const logFile = path.join(settings.root, `${server.folder}.log`);
  child.stderr?.pipe(createWriteStream(logFile, { flags: 'a', mode: 0o600 }));
  const ended = new Promise<NodeJS.Signals | undefined>((resolve) =>
    child.once('exit', (_, signal) => resolve(signal ?? undefined)),
  );
  const url = await readyUrl(child, server.name, logFile);
  return { name: server.name, url, dataDir, pid: child.pid ?? 0, ended, stop: () => stopProcess(child) };
}

function readyUrl(child: ChildProcess, name: string, logFile: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new AppError('set-up.failed', `${name} did not start: ${why}; see ${logFile}.`));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`no answer within ${START_WAIT_MS / 1000} s`);
    }, START_WAIT_MS);
    child.once('exit', (code) => {
      clearTimeout(timer);
      fail(`it ended with code ${code ?? 'none'}`);
    });
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const url = urlOfReadyLine(line);
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}

function urlOfReadyLine(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  const value: unknown = JSON.parse(line);
  return typeof value === 'object' && value !== null && 'url' in value && typeof value.url === 'string'
    ? value.url
    : undefined;
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WAIT_MS);
  await ended;
  clearTimeout(timer);
}

/** Runs one command of the command line to its end; the JSON it printed. */
export async function runLantern(settings: ProcessSettings, args: readonly string[]): Promise<unknown> {
  settings.signal?.throwIfAborted();
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args, '--json'], {
      env: childEnvironment(settings.env),
      maxBuffer: OUTPUT_BYTES_MAX,
    });
    return JSON.parse(stdout);
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new AppError('set-up.failed', `lantern ${args.slice(0, 2).join(' ')} failed: ${said}`, { cause: error });
  }
}
