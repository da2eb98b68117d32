/**
 * PostgreSQL inside Lantern: real binaries, own folder, no port, nothing to install. One instance owns one data folder.
 *
 *   starting ──► running ──► (the server dies) ──► restarting ──► running …
 *                   └──────────────► closing ──► closed
 *
 * Invariants
 * - The url stays the same for the life of an instance, whatever happens to the server behind it.
 * - At most one server works on a folder: PostgreSQL's own lock sees to that, and a server left over from a killed process
 *   is adopted, not doubled. At most one Lantern process owns a folder (owner-lock.ts).
 * - The server of a process that was killed ends by itself (owner-watch.ts), unless what watches was killed with it.
 * - A server that dies is started again with back-off until `close`. What was committed is there again: fsync is on.
 */
import { chmod, chown, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@lantern/contract';
import pg from 'pg';
import { makeDataFolder } from '../data-folder.ts';
import type { Logger } from '../log.ts';
import { type Binaries, copyBinaries, locateBinaries, majorVersion } from './binaries.ts';
import { clusterDirOf, ensureCluster, loadOrCreatePassword, SUPERUSER } from './cluster.ts';
import { chooseOsUser, firstUnreachable, type OsUser } from './os-user.ts';
import { takeOwnerLock } from './owner-lock.ts';
import { watchOwner } from './owner-watch.ts';
import { adoptPostmaster, type Postmaster, SOCKET_PORT, startPostmaster, stopPostmaster } from './postmaster.ts';

/** A socket address holds 108 bytes with the closing zero on Linux, 104 on macOS (sun_path in unix(7)). */
const SOCKET_PATH_BYTES_MAX = 103;

const DATABASE = 'lantern';

/** The first restart comes at once, as kill -9 leaves nothing to wait for; a server that cannot start is tried every 5 s. */
const RESTART_DELAY_MS_MIN = 50;
const RESTART_DELAY_MS_MAX = 5_000;

/** A server on the same machine that is ready takes a connection at once; this is for one that is about to die. */
const CONNECT_TIMEOUT_MS = 10_000;

/** A process that was killed is gone in milliseconds; a loaded machine may need more. */
const DYING_WAIT_MS = 2_000;

export type EmbeddedPostgres = {
  /** Connection string of the superuser `lantern` for the database `lantern`; holds a password, must not be logged. */
  readonly url: string;
  /** Process id of the server that runs now; undefined while it is being started again. */
  pid(): number | undefined;
  /** Stops the server and waits until it is gone; clients are cut off. May be called twice. */
  close(): Promise<void>;
};

type EmbeddedOptions = {
  readonly dataDir: string;
  readonly log: Logger;
  /** Of PostgreSQL, in place of ours; for a server that is measured. */
  readonly settings?: Readonly<Record<string, string>>;
};

function urlOf(options: { socketDir: string; password: string; database: string }): string {
  const query = new URLSearchParams({ host: options.socketDir, port: String(SOCKET_PORT) });
  return `postgres://${SUPERUSER}:${options.password}@localhost/${options.database}?${query}`;
}

function isSocketPathShort(socketDir: string): boolean {
  return Buffer.byteLength(join(socketDir, `.s.PGSQL.${SOCKET_PORT}`)) <= SOCKET_PATH_BYTES_MAX;
}

/** Made by root for another user, the data folder itself stays root's and may only be passed through. */
async function prepareDataDir(dataDir: string): Promise<string> {
  await makeDataFolder(dataDir);
  await chmod(dataDir, process.getuid?.() === 0 ? 0o711 : 0o700);
  return realpath(dataDir);
}

async function assertReachable(dir: string, osUser: OsUser): Promise<void> {
  const blocked = await firstUnreachable(dir, osUser);
  if (blocked === undefined) return;
  throw new AppError(
    'set-up.failed',
    `Started as root, PostgreSQL runs as the user "${osUser.name}", who may not pass the folder ${blocked}. ` +
      `Choose a data folder elsewhere (for example below /var/lib), or allow passing with "chmod o+x ${blocked}".`,
  );
}

async function reachableBinaries(dataDir: string, osUser: OsUser): Promise<Binaries> {
  const binaries = locateBinaries();
  const isReachable = async (file: string) => (await firstUnreachable(file, osUser)) === undefined;
  if ((await isReachable(binaries.postgres)) && (await isReachable(binaries.initdb))) return binaries;
  return copyBinaries(binaries, join(dataDir, `programs-${await majorVersion(binaries)}`));
}

async function ownedDir(dir: string, osUser: OsUser): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (osUser.switchTo !== undefined) await chown(dir, osUser.switchTo.uid, osUser.switchTo.gid);
  return dir;
}

/** A folder for the socket: `run/` beside the cluster where its path is short enough, else a temporary one. */
async function makeSocketDir(dataDir: string, osUser: OsUser): Promise<{ dir: string; isTemporary: boolean }> {
  const beside = join(dataDir, 'run');
  if (isSocketPathShort(beside)) return { dir: await ownedDir(beside, osUser), isTemporary: false };
  const temporary = await mkdtemp(join(tmpdir(), 'lantern-'));
  return { dir: await ownedDir(temporary, osUser), isTemporary: true };
}

async function ensureDatabase(socketDir: string, password: string): Promise<void> {
  const connectionString = urlOf({ socketDir, password, database: 'postgres' });
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  client.on('error', () => undefined); // The query that meets the broken connection reports it.
  try {
    await client.connect();
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE}`);
  } catch (caught) {
    throw new AppError('database.unavailable', 'The embedded PostgreSQL runs but does not answer.', { cause: caught });
  } finally {
    await client.end().catch(() => undefined);
  }
}

type Launch = () => Promise<Postmaster>;

/**
 * A server that answers. One that was adopted may be dying (kill -9 of its owner and then of itself): it takes a connection and
 * breaks it. Another is started then; one that lives and does not answer is stopped.
 */
async function launchAnswering(launch: Launch, answers: () => Promise<void>): Promise<Postmaster> {
  const first = await launch();
  try {
    await answers();
    return first;
  } catch (caught) {
    const gone = first.ended.then(() => true);
    const isDying = first.adopted && (await Promise.race([gone, delay(DYING_WAIT_MS, false, { ref: false })]));
    if (!isDying) {
      await stopPostmaster(first.pid).catch(() => undefined); // the failure to answer is what the caller hears of
      throw caught;
    }
  }
  return launchAnswering(launch, answers);
}

/** Keeps one server running until closed. */
class Supervisor {
  readonly #launch: Launch;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  #current: Postmaster | undefined;
  readonly #loop: Promise<void>;

  constructor(first: Postmaster, launch: Launch, log: Logger) {
    this.#launch = launch;
    this.#log = log;
    this.#current = first;
    this.#loop = this.#run(first);
  }

  pid(): number | undefined {
    return this.#current?.pid;
  }

  async #run(first: Postmaster): Promise<void> {
    let current: Postmaster | undefined = first;
    while (current !== undefined) {
      await current.ended;
      this.#current = undefined;
      if (this.#closing.signal.aborted) return;
      this.#log.error({ postgresPid: current.pid }, 'PostgreSQL ended unexpectedly; it is started again');
      current = await this.#restart();
      this.#current = current;
    }
  }

  async #restart(): Promise<Postmaster | undefined> {
    let delayMs = RESTART_DELAY_MS_MIN;
    while (!this.#closing.signal.aborted) {
      try {
        const postmaster = await this.#launch();
        if (this.#closing.signal.aborted) {
          await stopPostmaster(postmaster.pid);
          return undefined;
        }
        this.#log.info({ postgresPid: postmaster.pid }, 'PostgreSQL runs again');
        return postmaster;
      } catch (err) {
        this.#log.error({ err, delayMs }, 'PostgreSQL could not be started again; it is tried again');
      }
      await delay(delayMs, undefined, { ref: false, signal: this.#closing.signal }).catch(() => undefined);
      delayMs = Math.min(delayMs * 2, RESTART_DELAY_MS_MAX);
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    if (this.#current !== undefined) await stopPostmaster(this.#current.pid);
    await this.#loop;
  }
}

async function launchFrom({ dataDir, log, settings = {} }: EmbeddedOptions) {
  const osUser = await chooseOsUser(clusterDirOf(dataDir));
  await assertReachable(dataDir, osUser);
  const password = await loadOrCreatePassword(dataDir);
  const binaries = await reachableBinaries(dataDir, osUser);
  await ensureCluster({ binaries, dataDir, osUser, password });
  const clusterDir = clusterDirOf(dataDir);
  const adopted = await adoptPostmaster(clusterDir);
  if (adopted !== undefined)
    log.warn({ postgresPid: adopted.pid }, 'Adopted a PostgreSQL left over from a killed process');
  const beside = join(dataDir, 'run');
  const socket =
    adopted === undefined
      ? await makeSocketDir(dataDir, osUser)
      : { dir: adopted.socketDir, isTemporary: adopted.socketDir !== beside };
  const logFile = join(dataDir, 'server.log');
  const launch: Launch = async () =>
    (await adoptPostmaster(clusterDir)) ??
    (await startPostmaster({ binaries, clusterDir, socketDir: socket.dir, logFile, osUser, settings }));
  return { password, socket, launch };
}

/**
 * Starts (or adopts) the PostgreSQL of `dataDir`, which is made if it is not there. Returns when it takes connections:
 * about 1.5 s the first time, 0.1 s later.
 *
 * Throws `set-up.failed` when the folder is in use, unreachable, of another major version, or the programs are missing;
 * `database.unavailable` when the server does not start.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { log } = options;
  const dataDir = await prepareDataDir(options.dataDir);
  const releaseLock = await takeOwnerLock(dataDir);
  let socketDirToRemove: string | undefined;
  let endWatch: (() => Promise<void>) | undefined;
  try {
    const { password, socket, launch } = await launchFrom({ ...options, dataDir });
    if (socket.isTemporary) socketDirToRemove = socket.dir;
    endWatch = watchOwner(clusterDirOf(dataDir), log);
    const started = await launchAnswering(launch, () => ensureDatabase(socket.dir, password));
    const supervisor = new Supervisor(started, launch, log);
    let closed: Promise<void> | undefined;
    const close = async () => {
      await supervisor.close();
      await endWatch?.();
      if (socket.isTemporary) await rm(socket.dir, { recursive: true, force: true });
      await releaseLock();
    };
    return {
      url: urlOf({ socketDir: socket.dir, password, database: DATABASE }),
      pid: () => supervisor.pid(),
      close: () => {
        closed ??= close();
        return closed;
      },
    };
  } catch (caught) {
    await endWatch?.();
    if (socketDirToRemove !== undefined) await rm(socketDirToRemove, { recursive: true, force: true });
    await releaseLock();
    throw caught;
  }
}
