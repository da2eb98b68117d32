/**
 * The cluster folder of an embedded PostgreSQL: made once, all or nothing. `initdb` works in a folder of another name, which
 * is renamed when it is complete and synced; so a folder called `cluster` is always whole, whatever was cut off before.
 *
 * Layout below the data folder: `cluster/` (PostgreSQL's own), `password` (0600, of the superuser `lantern`), `run/` (socket,
 * where the path is short enough), `server.log`, `owner.lock`, and `programs-<version>/` where the programs had to be copied.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '@lantern/contract';
import { newSecret } from '../random.ts';
import { type Binaries, majorVersion } from './binaries.ts';
import type { OsUser } from './os-user.ts';

export const SUPERUSER = 'lantern';
const PASSWORD_BYTES = 24;
const UNFINISHED_PREFIX = 'cluster.new-';
/** The initdb of a killed owner may still be writing there; it fails as soon as its folder is gone. */
const SWEEP = { recursive: true, force: true, maxRetries: 20, retryDelay: 100 } as const;

/** What initdb says is kept for the error message, but not without end. */
const OUTPUT_LENGTH_MAX = 4_000;

export function clusterDirOf(dataDir: string): string {
  return join(dataDir, 'cluster');
}

/** Whether the folder of an embedded server holds its database already; making it takes some seconds. */
export function isClusterMade(dataDir: string): boolean {
  return existsSync(clusterDirOf(dataDir));
}

/** A minimal environment: no library path, locale or PG* variable of the caller reaches the server. */
export const SERVER_ENV = { PATH: '/usr/bin:/bin', TZ: 'UTC', PGTZ: 'UTC', LC_ALL: 'C' } as const;

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The superuser's password: made on the first start, read on the next ones. */
export async function loadOrCreatePassword(dataDir: string): Promise<string> {
  const file = join(dataDir, 'password');
  if (await exists(file)) return (await readFile(file, 'utf8')).trim();
  const password = newSecret(PASSWORD_BYTES);
  const unfinished = `${file}.new`;
  await rm(unfinished, { force: true });
  await writeFile(unfinished, `${password}\n`, { mode: 0o600, flush: true });
  await rename(unfinished, file);
  await syncDir(dataDir);
  return password;
}

function runInitdb(initdb: string, args: readonly string[], options: { cwd: string; osUser: OsUser }): Promise<void> {
  const child = spawn(initdb, args, {
    cwd: options.cwd,
    env: SERVER_ENV,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options.osUser.switchTo,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_LENGTH_MAX);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new AppError('set-up.failed', 'initdb cannot be started.', { cause })));
    child.once('close', (exitCode) => {
      if (exitCode === 0) resolve();
      else reject(new AppError('set-up.failed', `initdb ended with code ${exitCode}: ${output.trim()}`));
    });
  });
}

async function createCluster(options: ClusterOptions): Promise<void> {
  const { binaries, dataDir, osUser, password } = options;
  const unfinished = join(dataDir, `${UNFINISHED_PREFIX}${process.pid}`);
  const passwordFile = `${unfinished}.password`;
  const { uid, gid } = osUser.switchTo ?? { uid: -1, gid: -1 };
  await mkdir(unfinished, { mode: 0o700 });
  await chown(unfinished, uid, gid);
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  await chown(passwordFile, uid, gid);
  const args = ['-D', unfinished, '-U', SUPERUSER, '--pwfile', passwordFile, '--auth=scram-sha-256'];
  args.push('--encoding=UTF8', '--locale=C', '--data-checksums', '--no-instructions');
  try {
    await runInitdb(binaries.initdb, args, { cwd: unfinished, osUser });
    await rename(unfinished, clusterDirOf(dataDir));
    await syncDir(dataDir);
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function sweepUnfinished(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir)) {
    if (name.startsWith(UNFINISHED_PREFIX)) await rm(join(dataDir, name), SWEEP);
  }
}

type ClusterOptions = {
  readonly binaries: Binaries;
  readonly dataDir: string;
  readonly osUser: OsUser;
  readonly password: string;
};

/**
 * Makes the cluster unless it is there. The caller holds the owner lock of `dataDir`.
 * Throws `set-up.failed` when the cluster is of another major version than the programs, or when initdb fails.
 */
export async function ensureCluster(options: ClusterOptions): Promise<void> {
  const clusterDir = clusterDirOf(options.dataDir);
  await sweepUnfinished(options.dataDir);
  if (!(await exists(clusterDir))) {
    await createCluster(options);
    return;
  }
  const found = Number(await readFile(join(clusterDir, 'PG_VERSION'), 'utf8').catch(() => 'NaN'));
  const wanted = await majorVersion(options.binaries);
  if (found !== wanted) {
    throw new AppError(
      'set-up.failed',
      `The database folder ${dirname(clusterDir)} was made by PostgreSQL ${found}; the installed programs are version ${wanted}. ` +
        `Dump it with version ${found} and load it into a new folder.`,
    );
  }
}
