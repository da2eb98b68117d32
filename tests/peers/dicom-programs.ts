/** Programs of DCMTK and Orthanc, as scripts/setup-peers installs them: run once, or for as long as a test lasts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';

const FOLDERS = ['/usr/bin', '/usr/sbin'];

function find(program: string): string | undefined {
  return FOLDERS.map((folder) => path.join(folder, program)).find((file) => existsSync(file));
}

const MISSING = ['storescu', 'dcmqrscp', 'Orthanc'].filter((program) => find(program) === undefined);

/** For the options of `test`. */
export const dicomProgramsMissing =
  MISSING.length === 0 ? false : `${MISSING.join(', ')} not installed: run scripts/setup-peers as root`;

const RUN_TIMEOUT_MS = 60_000;

export type Run = { readonly exitCode: number | null; readonly output: string };

/** `noDelay`: DCMTK holds packets back unless it is told not to; hospitals run it either way. */
export function run(program: string, args: readonly string[], options: { noDelay?: boolean } = {}): Promise<Run> {
  const child = spawn(find(program) ?? program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...(options.noDelay === true ? { TCP_NODELAY: '1' } : {}) },
    timeout: RUN_TIMEOUT_MS,
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, output }));
  });
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

export type RunningPeer = { stop(): Promise<void> };

/** Resolves when it takes connections. Throws what it printed when it ends before. */
export async function startPeer(
  program: string,
  args: readonly string[],
  options: { port: number; cwd: string },
): Promise<RunningPeer> {
  const child = spawn(find(program) ?? program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: options.cwd });
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  while (!(await takesConnections(options.port))) {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}: ${output}`);
    await new Promise((resolve) => setTimeout(resolve, 50)); // another process: nothing else tells when it listens
  }
  return { stop: () => stop(child, ended) };
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(timer);
}

/** Resolves when the port of another process takes connections. */
export async function listening(port: number): Promise<void> {
  while (!(await takesConnections(port))) {
    await new Promise((resolve) => setTimeout(resolve, 50)); // another process: nothing else tells when it listens
  }
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
