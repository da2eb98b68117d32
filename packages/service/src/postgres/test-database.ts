/**
 * Databases for tests: a real PostgreSQL, an own empty database per call.
 *
 * The test runner starts one server for the whole run (`startTestPostgres`) and hands its url to the test processes in
 * LANTERN_TEST_POSTGRES_URL. A test file that is run alone starts its own, in a temporary folder that it removes again.
 */

import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../log.ts';
import { newSecret } from '../random.ts';
import { type Database, openDatabase } from './database.ts';
import { startEmbeddedPostgres } from './embedded.ts';
import { createPool } from './pool.ts';

const URL_VARIABLE = 'LANTERN_TEST_POSTGRES_URL';

/** Makes a database name unique in the server; 16 bytes are the least that `newSecret` gives. */
const SUFFIX_BYTES = 16;

const log = createLogger({ name: 'test-database', level: 'silent' });

export type TestPostgres = {
  readonly url: string;
  /** Process id of the server, for tests that kill it; undefined while it is being started again. */
  pid(): number | undefined;
  close(): Promise<void>;
};

/**
 * A test may be killed at any moment, even by kill -9. So a shell waits at the end of a pipe that breaks when this process
 * ends, however it ends; then it stops the server of `dir` and removes the folder. Returns the function that lets it go.
 */
function removeWithUs(dir: string): () => void {
  const script = `read _
    pid=$(head -n 1 "$1/cluster/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
    while [ -n "$pid" ] && kill -0 "$pid"; do sleep 0.1; done
    rm -rf "$1"`;
  const watcher = spawn('sh', ['-c', script, 'sh', dir], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  watcher.unref();
  if (watcher.stdin instanceof Socket) watcher.stdin.unref();
  return () => watcher.stdin.destroy();
}

/**
 * A PostgreSQL in a temporary folder, which `close` stops and removes; also when the process ends without `close`. `settings`: of
 * PostgreSQL, where one that is measured is to use the whole machine.
 */
export async function startTestPostgres(settings: Readonly<Record<string, string>> = {}): Promise<TestPostgres> {
  const dir = await mkdtemp(join(tmpdir(), 'lantern-test-'));
  await chmod(dir, 0o711); // Started as root, the server runs as another user, who has to pass through.
  const server = await startEmbeddedPostgres({ dataDir: dir, log, settings });
  const forget = removeWithUs(dir);
  return {
    url: server.url,
    pid: () => server.pid(),
    async close() {
      await server.close();
      await rm(dir, { recursive: true, force: true });
      forget();
    },
  };
}

let ownServer: Promise<TestPostgres> | undefined;
let openCount = 0;

async function acquireServer(): Promise<string> {
  const shared = process.env[URL_VARIABLE];
  if (shared !== undefined && shared !== '') return shared;
  openCount += 1;
  ownServer ??= startTestPostgres();
  return (await ownServer).url;
}

/** The last database that is closed takes the server of this process with it, so that nothing outlives a test file. */
async function releaseServer(): Promise<void> {
  if (ownServer === undefined) return;
  openCount -= 1;
  if (openCount > 0) return;
  const server = ownServer;
  ownServer = undefined;
  await (await server).close();
}

async function onServer(serverUrl: string, statement: string): Promise<void> {
  const pool = createPool({ url: serverUrl, applicationName: 'test-database', connectionCountMax: 1, log });
  try {
    await pool.query(statement);
  } finally {
    await pool.end();
  }
}

/**
 * A fresh, empty database that `close` drops. `name` is any short word in lower case; it only helps to find the database
 * while a test hangs.
 */
export async function openTestDatabase(name: string): Promise<Database> {
  const serverUrl = await acquireServer();
  const suffix = Buffer.from(newSecret(SUFFIX_BYTES)).toString('hex').slice(0, 24);
  const database = `test_${name.replaceAll(/[^a-z0-9]/g, '_').slice(0, 30)}_${suffix}`;
  await onServer(serverUrl, `create database ${database} strategy file_copy`);
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  const db = await openDatabase({ url: url.href, log, applicationName: `test-${name}` });
  let closed: Promise<void> | undefined;
  const close = async () => {
    await db.close();
    await onServer(serverUrl, `drop database if exists ${database} with (force)`);
    await releaseServer();
  };
  return {
    ...db,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}
