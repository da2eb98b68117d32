import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createLogger } from '../log.ts';
import { copyBinaries, locateBinaries, majorVersion } from './binaries.ts';
import { startEmbeddedPostgres } from './embedded.ts';
import { commandLine, isRunning } from './os-process.ts';
import { firstUnreachable, userFromPasswd } from './os-user.ts';

const log = createLogger({ name: 'embedded-test', level: 'silent' });
const LIMIT_MS = 60_000;
const isRoot = process.getuid?.() === 0;

async function until(what: string, isMet: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + LIMIT_MS;
  while (!(await isMet())) {
    assert.ok(performance.now() < deadlineMs, `waited in vain until ${what}`);
    await delay(10);
  }
}

async function ask(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // The query reports the broken connection.
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

async function temporaryDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'lantern-pg-'));
  await chmod(dir, 0o711);
  return dir;
}

type Owner = ChildProcessByStdio<null, Readable, null>;

function startOwner(dataDir: string, ids: { uid?: number; gid?: number } = {}, ...more: string[]): Owner {
  const script = fileURLToPath(new URL('test-owner.ts', import.meta.url));
  return spawn(process.execPath, [script, dataDir, ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
    ...ids,
  });
}

/** The processes of that name which an owner started. */
async function childrenOf(owner: Owner, name: string): Promise<number[]> {
  const children = await readFile(`/proc/${owner.pid}/task/${owner.pid}/children`, 'utf8');
  const named = async (pid: number) => (await commandLine(pid))?.split(' ')[0] === name;
  const pids = children.trim().split(' ').map(Number);
  return (await Promise.all(pids.map(async (pid) => ((await named(pid)) ? [pid] : [])))).flat();
}

/**
 * Lets the owner commit until `count` numbers are acknowledged, then kills it as by kill -9. `watch`: first what ends the server
 * without it, as when a whole machine or container is killed.
 */
async function killAfter(
  owner: Owner,
  count: number,
  andThe?: 'watch',
): Promise<{ serverPid: number; acknowledgedCount: number }> {
  const numbers: number[] = [];
  for await (const line of createInterface(owner.stdout)) {
    numbers.push(Number(line));
    if (numbers.length !== count + 1) continue;
    if (andThe === 'watch') for (const pid of await childrenOf(owner, 'sh')) process.kill(pid, 'SIGKILL');
    owner.kill('SIGKILL');
  }
  if (owner.signalCode === null && owner.exitCode === null) await once(owner, 'exit');
  const [serverPid, ...acknowledged] = numbers;
  assert.ok(serverPid !== undefined && acknowledged.length >= count);
  return { serverPid, acknowledgedCount: acknowledged.length };
}

describe('an embedded PostgreSQL', () => {
  let dir: string;
  let dataDir: string;

  before(async () => {
    dir = await temporaryDir();
    dataDir = join(dir, 'postgres');
  });
  after(() => rm(dir, { recursive: true, force: true }));

  test('starts in an empty folder, durable, with checksums and without a port, and keeps its data over a stop', async () => {
    const first = await startEmbeddedPostgres({ dataDir, log });
    const settings = await ask(
      first.url,
      `select name, setting from pg_settings where name in
        ('fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums', 'listen_addresses', 'server_encoding',
         'TimeZone', 'log_min_error_statement', 'log_error_verbosity') order by name`,
    );
    assert.deepEqual(Object.fromEntries(settings.map(({ name, setting }) => [name, setting])), {
      data_checksums: 'on',
      fsync: 'on',
      full_page_writes: 'on',
      listen_addresses: '',
      log_error_verbosity: 'terse',
      log_min_error_statement: 'panic',
      server_encoding: 'UTF8',
      synchronous_commit: 'on',
      TimeZone: 'UTC',
    });
    await ask(first.url, "create table kept as select 'Müller' as name");
    const pid = first.pid();
    assert.ok(pid !== undefined);
    await Promise.all([first.close(), first.close()]);
    assert.equal(await isRunning(pid), false);

    const second = await startEmbeddedPostgres({ dataDir, log });
    assert.equal(second.url, first.url);
    assert.deepEqual(await ask(second.url, 'select name, current_user as user, current_database() as db from kept'), [
      { name: 'Müller', user: 'lantern', db: 'lantern' },
    ]);
    await second.close();
    const log_ = await readFile(join(dataDir, 'server.log'), 'utf8');
    assert.ok(!log_.includes('automatic recovery'), 'the stop was clean');
  });

  test('takes settings of its caller in place of its own', async () => {
    const server = await startEmbeddedPostgres({ dataDir, log, settings: { shared_buffers: '17MB' } });
    assert.deepEqual(await ask(server.url, 'show shared_buffers'), [{ shared_buffers: '17MB' }]);
    assert.deepEqual(await ask(server.url, 'show fsync'), [{ fsync: 'on' }]);
    await server.close();
  });

  test('asks for the password, which only its owner may read', async () => {
    const server = await startEmbeddedPostgres({ dataDir, log });
    try {
      assert.equal((await stat(join(dataDir, 'password'))).mode & 0o777, 0o600);
      const wrong = server.url.replace(/lantern:[^@]+@/, 'lantern:wrong@');
      await assert.rejects(ask(wrong, 'select 1'), { code: '28P01' });
    } finally {
      await server.close();
    }
  });

  test('does not write statements or values to its log when one fails', async () => {
    const server = await startEmbeddedPostgres({ dataDir, log });
    try {
      await ask(server.url, "create table if not exists unique_name as select 'x' as name");
      await ask(server.url, 'create unique index on unique_name (name)');
      await assert.rejects(ask(server.url, "insert into unique_name values ('x')"), { code: '23505' });
      await assert.rejects(ask(server.url, "select 'Planted Patient'::int"));
      assert.ok(!(await readFile(join(dataDir, 'server.log'), 'utf8')).includes('Planted'));
    } finally {
      await server.close();
    }
  });

  test('refuses a folder that a running process owns, and does not harm that one', async () => {
    const server = await startEmbeddedPostgres({ dataDir, log });
    try {
      await assert.rejects(startEmbeddedPostgres({ dataDir, log }), {
        code: 'set-up.failed',
        message: new RegExp(`Process ${process.pid} already uses`),
      });
      assert.deepEqual(await ask(server.url, 'select 7 as n'), [{ n: 7 }]);
    } finally {
      await server.close();
    }
  });

  test('comes back by itself on the same url after kill -9 of the server', async () => {
    const server = await startEmbeddedPostgres({ dataDir, log });
    try {
      await ask(server.url, 'create table committed as select generate_series(1, 500) as number');
      const killed = server.pid();
      assert.ok(killed !== undefined);
      process.kill(killed, 'SIGKILL');
      await until('another server runs', async () => server.pid() !== undefined && server.pid() !== killed);
      assert.deepEqual(await ask(server.url, 'select count(*)::int as n from committed'), [{ n: 500 }]);
    } finally {
      await server.close();
    }
  });

  test('can be closed while the server is being started again', async () => {
    const server = await startEmbeddedPostgres({ dataDir, log });
    const killed = server.pid();
    assert.ok(killed !== undefined);
    process.kill(killed, 'SIGKILL');
    await until('the end was noticed', async () => server.pid() !== killed);
    await server.close();
    assert.equal(server.pid(), undefined);
    await (await startEmbeddedPostgres({ dataDir, log })).close();
  });

  test('starts although postmaster.pid names a process that is something else', async () => {
    const socketDir = join(dataDir, 'run');
    const stale = `${process.pid}\n${join(dataDir, 'cluster')}\n1700000000\n5432\n${socketDir}\n\n  0  0\nready   \n`;
    await writeFile(join(dataDir, 'cluster', 'postmaster.pid'), stale);
    await writeFile(join(socketDir, '.s.PGSQL.5432.lock'), stale);
    const server = await startEmbeddedPostgres({ dataDir, log });
    assert.notEqual(server.pid(), process.pid);
    await server.close();
  });

  test('takes over from an owner that was killed, even if its id lives on in another process', async () => {
    await writeFile(join(dataDir, 'owner.lock'), `${process.ppid} another-boot/123\n`);
    await (await startEmbeddedPostgres({ dataDir, log })).close();
    await writeFile(join(dataDir, 'owner.lock'), '');
    await (await startEmbeddedPostgres({ dataDir, log })).close();
    assert.ok(!(await readdir(dataDir)).some((name) => name.startsWith('owner.lock')));
  });

  test('says so when the cluster was made by another major version', async () => {
    const versionFile = join(dataDir, 'cluster', 'PG_VERSION');
    const version = await readFile(versionFile, 'utf8');
    await writeFile(versionFile, '15\n');
    await assert.rejects(startEmbeddedPostgres({ dataDir, log }), {
      code: 'set-up.failed',
      message: /made by PostgreSQL 15; the installed programs are version 18/,
    });
    await writeFile(versionFile, version);
    await (await startEmbeddedPostgres({ dataDir, log })).close();
  });
});

describe('after kill -9', () => {
  test('of a server that is just being adopted starts another, with every acknowledged commit', {
    skip: process.platform !== 'linux' && 'the connections to a socket are read from /proc, which is Linux',
  }, async () => {
    const dir = await temporaryDir();
    const dataDir = join(dir, 'postgres');
    const until = async (isSo: (openCount: number) => boolean): Promise<void> => {
      const socket = join(dataDir, 'run/.s.PGSQL.');
      while (!isSo((await readFile('/proc/net/unix', 'utf8')).split(socket).length - 1)) await nextTurn();
    };
    try {
      const { serverPid, acknowledgedCount } = await killAfter(startOwner(dataDir), 20, 'watch');
      await until((openCount) => openCount === 1); // what its owner had open is closed
      process.kill(serverPid, 'SIGSTOP'); // it lives, is adopted, and answers nobody
      const starting = startEmbeddedPostgres({ dataDir, log });
      await until((openCount) => openCount === 2);
      process.kill(serverPid, 'SIGKILL');
      const server = await starting;
      assert.notEqual(server.pid(), serverPid);
      const [row] = await ask(server.url, 'select count(*)::int as count from acknowledged');
      assert.ok(Number(row?.['count']) >= acknowledgedCount);
      await server.close();
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('of the owner the server ends by itself, cleanly, and starts again with every acknowledged commit', async () => {
    const dir = await temporaryDir();
    const dataDir = join(dir, 'postgres');
    try {
      const { serverPid, acknowledgedCount } = await killAfter(startOwner(dataDir), 40);
      await until('the server ended', async () => !(await isRunning(serverPid)));
      const server = await startEmbeddedPostgres({ dataDir, log });
      const [row] = await ask(server.url, 'select count(*)::int as count, max(number) as max from acknowledged');
      assert.ok(Number(row?.['count']) >= acknowledgedCount);
      assert.equal(row?.['count'], row?.['max'], 'no number is missing');
      await server.close();
      assert.doesNotMatch(await readFile(join(dataDir, 'server.log'), 'utf8'), /automatic recovery/);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('of the owner, one that starts at once gets a server with every acknowledged commit, and keeps it', async () => {
    const dir = await temporaryDir();
    const dataDir = join(dir, 'postgres');
    try {
      const { acknowledgedCount } = await killAfter(startOwner(dataDir), 40);
      const server = await startEmbeddedPostgres({ dataDir, log });
      const [row] = await ask(server.url, 'select count(*)::int as count, max(number) as max from acknowledged');
      assert.ok(Number(row?.['count']) >= acknowledgedCount);
      assert.equal(row?.['count'], row?.['max'], 'no number is missing');
      await server.close();
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('of the owner and what watches over it the server is adopted, and after kill -9 of all it is recovered, with every acknowledged commit', {
    skip: process.platform !== 'linux' && 'the children of a process are read from /proc, which is Linux',
  }, async () => {
    const dir = await temporaryDir();
    const dataDir = join(dir, 'postgres');
    try {
      const first = await killAfter(startOwner(dataDir), 120, 'watch');
      assert.ok(await isRunning(first.serverPid), 'the server outlives its owner');
      const adopted = await startEmbeddedPostgres({ dataDir, log });
      assert.equal(adopted.pid(), first.serverPid);
      const [row] = await ask(adopted.url, 'select count(*)::int as count, max(number) as max from acknowledged');
      assert.ok(Number(row?.['count']) >= first.acknowledgedCount);
      assert.equal(row?.['count'], row?.['max'], 'no number is missing');
      await ask(adopted.url, 'truncate acknowledged');
      await adopted.close();
      assert.equal(await isRunning(first.serverPid), false);

      const second = await killAfter(startOwner(dataDir), 100, 'watch');
      process.kill(second.serverPid, 'SIGKILL');
      const recovered = await startEmbeddedPostgres({ dataDir, log });
      assert.notEqual(recovered.pid(), second.serverPid);
      const [after_] = await ask(recovered.url, 'select count(*)::int as count, max(number) as max from acknowledged');
      assert.ok(Number(after_?.['count']) >= second.acknowledgedCount);
      assert.equal(after_?.['count'], after_?.['max']);
      await recovered.close();
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('of the owner during initdb, or of initdb, the next start begins anew', async () => {
    const dir = await temporaryDir();
    const dataDir = join(dir, 'postgres');
    try {
      const owner = startOwner(dataDir);
      const isMaking = async () =>
        (await readdir(dataDir).catch(() => [])).some((name) => name.startsWith('cluster.new-'));
      await until('initdb works', isMaking);
      owner.kill('SIGKILL');
      await once(owner, 'exit');
      const names = await readdir(dataDir);
      assert.ok(!names.includes('cluster'), 'nothing that could be believed');
      const server = await startEmbeddedPostgres({ dataDir, log });
      assert.deepEqual(await ask(server.url, 'select 1 as n'), [{ n: 1 }]);
      await server.close();
      assert.equal(await isMaking(), false);
    } finally {
      await rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    }
  });
});

describe('the socket', () => {
  test('of a folder with a long name lies in a short temporary one, which is removed', async () => {
    const dir = await temporaryDir();
    const dataDir = join(dir, 'a-rather-long-name-of-a-hospital-trust'.repeat(3), 'postgres');
    try {
      const server = await startEmbeddedPostgres({ dataDir, log });
      const socketDir = new URL(server.url).searchParams.get('host') ?? '';
      assert.ok(Buffer.byteLength(join(socketDir, '.s.PGSQL.5432')) <= 103, socketDir);
      assert.deepEqual(await ask(server.url, 'select 3 as n'), [{ n: 3 }]);
      await server.close();
      await assert.rejects(stat(socketDir), { code: 'ENOENT' });
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});

describe('the operating-system user', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/usr/sbin/nologin\nodd:x:x:1::/:\n';

  test('is found by name in passwd(5) and is never root', () => {
    assert.deepEqual(userFromPasswd(passwd, 'nobody'), { uid: 65_534, gid: 65_533 });
    assert.equal(userFromPasswd(passwd, 'postgres'), undefined);
    assert.equal(userFromPasswd(passwd, 'odd'), undefined);
    assert.equal(userFromPasswd(passwd, 'root'), undefined);
  });

  test('started by root, the server runs as somebody else', {
    skip: isRoot ? false : 'not started as root',
  }, async () => {
    const dir = await temporaryDir();
    try {
      const owner = startOwner(join(dir, 'postgres'), {}, 'once');
      const lines: string[] = [];
      for await (const line of createInterface(owner.stdout)) lines.push(line);
      assert.match(lines[1] ?? '', /^[1-9]\d*$/);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('started by an ordinary user, everything runs and belongs to that user', async (t) => {
    const nobody = userFromPasswd(await readFile('/etc/passwd', 'utf8'), 'nobody');
    if (!isRoot || nobody === undefined) return t.skip('only root can become another user');
    const user = { name: 'nobody', switchTo: nobody };
    const blocked =
      (await firstUnreachable(process.execPath, user)) ?? (await firstUnreachable(import.meta.dirname, user));
    if (blocked !== undefined) return t.skip(`the user nobody may not pass ${blocked}`);
    const dir = await temporaryDir();
    try {
      await chown(dir, nobody.uid, nobody.gid);
      const owner = startOwner(join(dir, 'postgres'), nobody, 'once');
      const lines: string[] = [];
      for await (const line of createInterface(owner.stdout)) lines.push(line);
      assert.equal(lines[1], String(nobody.uid));
      assert.equal((await stat(join(dir, 'postgres', 'cluster'))).uid, nobody.uid);
      assert.equal((await stat(join(dir, 'postgres'))).mode & 0o777, 0o700);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('that may not pass a folder is named with the folder', {
    skip: isRoot ? false : 'not started as root',
  }, async () => {
    const dir = await temporaryDir();
    try {
      await chmod(dir, 0o700);
      await assert.rejects(startEmbeddedPostgres({ dataDir: join(dir, 'postgres'), log }), {
        code: 'set-up.failed',
        message: new RegExp(`may not pass the folder ${dir}\\.`),
      });
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('passes by the bits of owner, group and others, in this order', async () => {
    const dir = await temporaryDir();
    const inner = join(dir, 'inner');
    await mkdir(inner);
    const { uid, gid } = await stat(inner);
    const as = (userUid: number, userGid: number) =>
      firstUnreachable(inner, { name: 'x', switchTo: { uid: userUid, gid: userGid } });
    await chmod(inner, 0o610);
    assert.equal(await as(uid + 1, gid), undefined);
    assert.equal(await as(uid + 1, gid + 1), inner);
    assert.equal(await as(uid, gid), inner, 'the owner has no x, whatever the group has');
    await chmod(inner, 0o601);
    assert.equal(await as(uid + 1, gid + 1), undefined);
    assert.equal(await as(uid + 1, gid), inner);
    assert.equal(await firstUnreachable(inner, { name: 'self' }), undefined);
    await rm(dir, { recursive: true });
  });
});

test('programs in a closed folder are copied where everybody may run them, whole or not at all', async () => {
  const dir = await temporaryDir();
  try {
    const root = join(dir, 'programs');
    await mkdir(`${root}.new-${process.pid}`); // left by a copy that was cut off
    const copy = await copyBinaries(locateBinaries(), root);
    assert.equal(await majorVersion(copy), await majorVersion(locateBinaries()));
    assert.equal(await firstUnreachable(copy.postgres, { name: 'x', switchTo: { uid: 4_321, gid: 4_321 } }), undefined);
    const madeMs = (await stat(copy.postgres)).ctimeMs;
    await copyBinaries(locateBinaries(), root);
    assert.equal((await stat(copy.postgres)).ctimeMs, madeMs, 'copied once');
    assert.deepEqual(await readdir(dir), ['programs']);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
