/**
 * One PostgreSQL server process (the "postmaster"): started as our child, or found running and adopted.
 *
 * A postmaster outlives the process that started it when that one is killed; it is then found through `postmaster.pid` in its
 * cluster folder. The file alone proves nothing (after a reboot the id may belong to anybody), so the command line of that
 * process must name this cluster folder.
 *
 * Started detached: Ctrl-C in a terminal reaches our process only, which stops the server after its own work is done.
 */
import { spawn } from 'node:child_process';
import { open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@lantern/contract';
import type { Binaries } from './binaries.ts';
import { SERVER_ENV } from './cluster.ts';
import { commandLine, isRunning } from './os-process.ts';
import type { OsUser } from './os-user.ts';

/** The socket is named after this number; no port is opened. */
export const SOCKET_PORT = 5432;

/** A start takes 50 ms; looking more often than this costs more than it gains. */
const START_POLL_MS = 10;
const STOP_POLL_MS = 20;

/** Crash recovery of a large database may take minutes; it is waited for as long as the server process lives, up to this. */
const START_WAIT_MS_MAX = 10 * 60_000;

/** A child that computes notices the death of the server at its next wait, within seconds. */
const CRASH_START_WAIT_MS_MAX = 15_000;
const CRASH_START_RETRY_MS = 200;

/** A fast shutdown writes a checkpoint; on a slow disk that takes seconds. Then the server is told to stop without one. */
const FAST_STOP_WAIT_MS_MAX = 30_000;
const IMMEDIATE_STOP_WAIT_MS_MAX = 10_000;

/** The log of a server that only says what went wrong; a larger one is started anew. */
const LOG_SIZE_BYTES_MAX = 8 * 1024 * 1024;
const LOG_TAIL_LENGTH = 1_500;

/**
 * Set on the command line at every start, so that a change here reaches existing clusters too. Five servers run beside
 * each other on a laptop: small buffers, few helpers, no port. Durability is never traded.
 * Nothing of a statement is logged, as statements and error details quote patient data.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '',
  port: String(SOCKET_PORT),
  unix_socket_permissions: '0700',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  max_connections: '50',
  shared_buffers: '64MB',
  max_wal_size: '512MB',
  max_worker_processes: '4',
  max_parallel_workers: '2',
  autovacuum_max_workers: '2',
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  logging_collector: 'off',
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_checkpoints: 'off',
  log_statement: 'none',
};

export type PostmasterFile = { readonly pid: number; readonly socketDir: string; readonly status: string };

/** A running server. `ended` settles when the process is gone, for whatever reason; it never rejects. */
export type Postmaster = {
  readonly pid: number;
  readonly socketDir: string;
  readonly adopted: boolean;
  readonly ended: Promise<void>;
};

/** Parses `postmaster.pid`: one value per line, PostgreSQL's src/include/utils/pidfile.h. */
export function parsePostmasterFile(text: string): PostmasterFile | undefined {
  const lines = text.split('\n').map((line) => line.trim());
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return { pid, socketDir: lines[4] ?? '', status: lines[7] ?? '' };
}

async function readPostmasterFile(clusterDir: string): Promise<PostmasterFile | undefined> {
  const text = await readFile(join(clusterDir, 'postmaster.pid'), 'utf8').catch(() => '');
  return parsePostmasterFile(text);
}

async function isPostmasterOf(clusterDir: string, pid: number): Promise<boolean> {
  if (!(await isRunning(pid))) return false;
  const words = (await commandLine(pid))?.split(' ') ?? [];
  return (
    (words[0]?.endsWith('postgres') ?? false) &&
    words[1] === '-D' &&
    words.slice(2).join(' ').startsWith(`${clusterDir} `)
  );
}

/** Above the largest process id of Linux (2^22) and macOS (99,998), so that nobody ever has it. */
const PID_OF_NOBODY = 2 ** 31 - 1;

/**
 * PostgreSQL refuses to start while `postmaster.pid` names a process that exists, be it a zombie or somebody else who got
 * the id. Then the id is replaced by one that nobody has, and only the id: the file also names the shared memory, by which
 * PostgreSQL finds out whether children of the dead server still work on the data. With the file removed it would not.
 * The lock beside the socket says nothing more, and lies in a folder of our own.
 */
async function disownStaleLocks(clusterDir: string, file: PostmasterFile): Promise<void> {
  const path = join(clusterDir, 'postmaster.pid');
  const text = await readFile(path, 'utf8').catch(() => '');
  if (parsePostmasterFile(text)?.pid !== file.pid) return;
  await writeFile(path, text.replace(/^\d+/, String(PID_OF_NOBODY)), { flush: true });
  await rm(join(file.socketDir, `.s.PGSQL.${SOCKET_PORT}.lock`), { force: true });
}

/** The server that already runs on `clusterDir`, once it is ready; undefined when there is none. */
export async function adoptPostmaster(clusterDir: string): Promise<Postmaster | undefined> {
  const deadlineMs = performance.now() + START_WAIT_MS_MAX;
  while (performance.now() < deadlineMs) {
    const file = await readPostmasterFile(clusterDir);
    if (file === undefined) return undefined;
    if (!(await isPostmasterOf(clusterDir, file.pid))) {
      await disownStaleLocks(clusterDir, file);
      return undefined;
    }
    if (file.status === 'ready') {
      return { pid: file.pid, socketDir: file.socketDir, adopted: true, ended: endOf(file.pid) };
    }
    await delay(START_POLL_MS);
  }
  throw new AppError('set-up.failed', 'A PostgreSQL server found running does not become ready.');
}

/** Watches a process that is not our child, without keeping our own process alive for it. */
async function endOf(pid: number): Promise<void> {
  while (await isRunning(pid)) await delay(200, undefined, { ref: false });
}

type StartOptions = {
  readonly binaries: Binaries;
  readonly clusterDir: string;
  readonly socketDir: string;
  readonly logFile: string;
  readonly osUser: OsUser;
  /** Of PostgreSQL, in place of ours. */
  readonly settings: Readonly<Record<string, string>>;
};

async function openLog(logFile: string) {
  const sizeBytes = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  return open(logFile, sizeBytes > LOG_SIZE_BYTES_MAX ? 'w' : 'a', 0o600);
}

async function logTail(logFile: string): Promise<string> {
  return (await readFile(logFile, 'utf8').catch(() => '')).slice(-LOG_TAIL_LENGTH).trim();
}

/**
 * Starts a server and waits until it takes connections. After a crash, children of the dead server may need a moment to
 * notice; PostgreSQL refuses to start beside them, so it is asked again for a while.
 * Throws `database.unavailable` when the server ends before it is ready; the message ends with what it wrote to its log.
 */
export async function startPostmaster(options: StartOptions): Promise<Postmaster> {
  const deadlineMs = performance.now() + CRASH_START_WAIT_MS_MAX;
  for (;;) {
    const isAfterCrash = (await readPostmasterFile(options.clusterDir)) !== undefined;
    try {
      return await startOnce(options);
    } catch (caught) {
      if (!isAfterCrash || performance.now() > deadlineMs) throw caught;
      await delay(CRASH_START_RETRY_MS);
    }
  }
}

async function startOnce(options: StartOptions): Promise<Postmaster> {
  const { clusterDir, socketDir } = options;
  const log = await openLog(options.logFile);
  const args = ['-D', clusterDir];
  for (const [name, value] of Object.entries({
    ...SETTINGS,
    ...options.settings,
    unix_socket_directories: socketDir,
  })) {
    args.push('-c', `${name}=${value}`);
  }
  try {
    const child = spawn(options.binaries.postgres, args, {
      cwd: clusterDir,
      env: SERVER_ENV,
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      ...options.osUser.switchTo,
    });
    let isEnded = false;
    let spawnError: Error | undefined;
    const ended = new Promise<void>((resolve) => {
      child.once('error', (caught) => {
        spawnError = caught;
        isEnded = true;
        resolve();
      });
      child.once('exit', () => {
        isEnded = true;
        resolve();
      });
    });
    child.unref();
    const deadlineMs = performance.now() + START_WAIT_MS_MAX;
    while (!isEnded && performance.now() < deadlineMs) {
      const file = await readPostmasterFile(clusterDir);
      if (file !== undefined && file.pid === child.pid && file.status === 'ready') {
        return { pid: file.pid, socketDir, adopted: false, ended };
      }
      await delay(START_POLL_MS);
    }
    if (!isEnded) child.kill('SIGQUIT');
    throw new AppError('database.unavailable', `PostgreSQL did not start. ${await logTail(options.logFile)}`, {
      cause: spawnError,
    });
  } finally {
    await log.close();
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // The process ended by itself in the meantime, which is what the signal was for.
  }
}

async function waitForEnd(pid: number, waitMsMax: number): Promise<boolean> {
  const deadlineMs = performance.now() + waitMsMax;
  while (performance.now() < deadlineMs) {
    if (!(await isRunning(pid))) return true;
    await delay(STOP_POLL_MS);
  }
  return false;
}

/** Stops a server and waits: first fast (clients are cut off, a checkpoint is written), then at once (recovery at next start). */
export async function stopPostmaster(pid: number): Promise<void> {
  signal(pid, 'SIGINT');
  if (await waitForEnd(pid, FAST_STOP_WAIT_MS_MAX)) return;
  signal(pid, 'SIGQUIT');
  if (await waitForEnd(pid, IMMEDIATE_STOP_WAIT_MS_MAX)) return;
  throw new AppError('database.unavailable', `The PostgreSQL server process ${pid} does not stop.`);
}
