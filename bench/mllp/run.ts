/**
 * Messages per second from eight senders that each wait for their acknowledgement: the feed of a site, which says AA of what is
 * committed and synced, beside listeners that store nothing: our framing alone, and the server of `hl7` from PyPI.
 *
 * The bound of a feed that syncs for every message alone is measured in the same run: appends of one message with fdatasync, one after
 * another. Ours passes it, since messages of several senders share a commit.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createMllpSender } from '@lantern/hl7';
import { type Database, migrate, migrateService, openTestDatabase } from '@lantern/service';
import { medianOf, report, summarise } from '../measurement.ts';

const SENDERS = 8;
const WARM_UP = 2_000; // until the code is compiled
const MESSAGES = 4_000;
const REPETITIONS = 5;
const SYNCS = 300;
const TARGET = 3_000;

const HERE = import.meta.dirname;
const PYTHON = path.resolve(HERE, '../../.lantern/peers/bin/python');

let run = 0;

/** Some 800 bytes: a laboratory result of ten values is longer, an admission shorter. */
function message(controlId: string): Buffer {
  const lines = [
    `MSH|^~\\&|LAB|NORTH|LANTERN|SITE|20260203101112||ORU^R01^ORU_R01|${controlId}|P|2.5.1`,
    `PID|1||P${controlId}^^^NORTH^MR||Doe^Jo^A||19700102|F|||1 Long Street^^Town^^N1 1AA^GBR`,
    `PV1|1|I|W1^2^3|||||||||||||||||V${controlId}`,
    'ORC|RE|1234^OE|5678^LAB',
    'OBR|1|1234^OE|5678^LAB|24323-8^Comprehensive metabolic panel^LN|||20260203090000',
    ...['2345-7^Glucose^LN', '2160-0^Creatinine^LN', '17861-6^Calcium^LN', '2951-2^Sodium^LN'].map(
      (code, index) => `OBX|${index + 1}|NM|${code}||${index + 4.25}|mmol/L^^UCUM|1-10|N|||F|||20260203090000`,
    ),
  ];
  return Buffer.from(`${lines.join('\r')}\r`);
}

async function perSecond(port: number, count: number): Promise<number> {
  run += 1;
  const senders = Array.from({ length: SENDERS }, () =>
    createMllpSender({ host: '127.0.0.1', port, uniform: Math.random }),
  );
  const startMs = performance.now();
  let next = 0;
  await Promise.all(
    senders.map(async (sender) => {
      for (let number = next++; number < count; number = next++) {
        const answer = await sender.send(message(`${run}-${number}`));
        assert.equal(answer?.code, 'AA');
      }
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  for (const sender of senders) sender.close();
  return count / seconds;
}

async function startChild(command: string, args: readonly string[]): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'close').then(() => Promise.reject(new Error('A listener did not start.'))),
  ]);
  const { port }: { port: number } = JSON.parse(line);
  return { child, port };
}

/** Processor time of a process so far, in ms; Linux counts it in hundredths of a second. */
function cpuMs(pid: number | undefined): number {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return Number.NaN;
  const fields = readFileSync(file, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

type Rates = { readonly rates: number[]; readonly cpuMsPerMessage: number; readonly databaseCpuMsPerMessage: number };

async function backendsMs(): Promise<number> {
  const { rows: backends } = await database.pool.query(
    "select pid from pg_stat_activity where application_name = 'bench-mllp' or backend_type = 'walwriter'",
  );
  return backends.reduce((sum, { pid }) => sum + cpuMs(pid), 0);
}

async function measured(command: string, args: readonly string[]): Promise<Rates> {
  const { child, port } = await startChild(command, args);
  try {
    await perSecond(port, WARM_UP);
    const rates: number[] = [];
    const before = { listener: cpuMs(child.pid), database: await backendsMs() };
    for (let repetition = 0; repetition < REPETITIONS; repetition += 1) rates.push(await perSecond(port, MESSAGES));
    const count = REPETITIONS * MESSAGES;
    return {
      rates,
      cpuMsPerMessage: (cpuMs(child.pid) - before.listener) / count,
      databaseCpuMsPerMessage: ((await backendsMs()) - before.database) / count,
    };
  } finally {
    const closed = once(child, 'close');
    child.kill('SIGTERM');
    await closed;
  }
}

/** Syncs per second of a file on the disk of the database. */
async function syncsPerSecond(): Promise<number> {
  const dir = await mkdtemp(path.join(tmpdir(), 'lantern-bench-mllp-'));
  const file = await open(path.join(dir, 'log'), 'a');
  const content = message('sync');
  const startMs = performance.now();
  for (let number = 0; number < SYNCS; number += 1) {
    await file.appendFile(content);
    await file.datasync();
  }
  const seconds = (performance.now() - startMs) / 1000;
  await file.close();
  await rm(dir, { recursive: true, force: true });
  return SYNCS / seconds;
}

async function openBenchDatabase(): Promise<Database> {
  const database = await openTestDatabase('bench-mllp');
  await migrateService(database);
  await migrate(database, {
    name: 'site',
    dir: fileURLToPath(new URL('../../packages/site/migrations', import.meta.url)),
  });
  return database;
}

const database = await openBenchDatabase();
try {
  const child = path.join(HERE, 'listener-child.ts');
  const { rows: settings } = await database.pool.query(
    "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit",
  );
  const syncs = [await syncsPerSecond(), await syncsPerSecond(), await syncsPerSecond()];
  const feed = await measured(process.execPath, [child, '--kind', 'feed', '--url', database.url]);
  const { rows } = await database.pool.query('select count(*)::int as count from hl7_message');
  assert.equal(rows[0]?.count, WARM_UP + REPETITIONS * MESSAGES);
  const bare = await measured(process.execPath, [child, '--kind', 'bare']);
  const python = existsSync(PYTHON) ? await measured(PYTHON, [path.join(HERE, 'python-listener.py')]) : undefined;
  const ours = medianOf(feed.rates);
  const peerRate = python === undefined ? medianOf(bare.rates) : medianOf(python.rates);
  report({
    name: 'durable acknowledged messages from eight senders',
    unit: 'messages/s',
    ...summarise(feed.rates),
    peer: {
      name:
        python === undefined
          ? 'our framing alone, which stores nothing'
          : 'hl7 (PyPI), which parses and stores nothing',
      median: peerRate,
      ratio: ours / peerRate,
    },
    bound: { why: 'one fdatasync of the same disk per message, if messages shared none', value: medianOf(syncs) },
    target: { text: `at least ${TARGET}/s`, kept: ours >= TARGET },
    facts: {
      messageBytes: message('1').byteLength,
      messages: MESSAGES,
      senders: SENDERS,
      fsync: settings[0]?.fsync,
      synchronousCommit: settings[0]?.commit,
      cpuMsPerMessageOfListener: Number(feed.cpuMsPerMessage.toFixed(3)),
      cpuMsPerMessageOfDatabase: Number(feed.databaseCpuMsPerMessage.toFixed(3)),
      cpuMsPerMessageOfPeer: Number((python ?? bare).cpuMsPerMessage.toFixed(3)),
      loadOfMachine: Number((loadavg()[0] ?? Number.NaN).toFixed(1)),
    },
  });
  report({
    name: 'the same, acknowledged by our framing without parsing or storing',
    unit: 'messages/s',
    ...summarise(bare.rates),
  });
} finally {
  await database.close();
}
