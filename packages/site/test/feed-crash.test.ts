/**
 * A feed that is killed, as by `kill -9`, again and again while four senders send, each its next message once the one before is
 * acknowledged: at instants of chance and at every named point. Whatever was acknowledged has to be there once, with its bytes, and is
 * mapped once.
 *
 * Fifteen cycles of chance; LANTERN_CRASH_CYCLES sets another number. A failure prints its seed.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FAULT_POINTS } from '@lantern/contract';
import { createMllpSender } from '@lantern/hl7';
import { type Database, migrate, migrateService, openTestDatabase } from '@lantern/service';
import { admission } from './feed-harness.ts';
import { chance } from './image-node-child.ts';

const CYCLES = Number(process.env['LANTERN_CRASH_CYCLES'] ?? 15);
const SENDERS = 4;
const LIFE_MS_MIN = 30;
const LIFE_MS_SPAN = 400;
const DRAIN_MS_MAX = 60_000;

const { seed, uniform } = chance();

let database: Database;
let child: ChildProcess | undefined;
const acknowledged = new Map<string, Buffer>();
/** Of each sender: sent, and perhaps not acknowledged; it is sent again in the next life. */
const next = new Array<number>(SENDERS).fill(0);

before(async () => {
  database = await openTestDatabase('feed-crash');
  await migrateService(database);
  await migrate(database, { name: 'site', dir: fileURLToPath(new URL('../migrations', import.meta.url)) });
  await database.pool.query('create table applied_bundle (sequence bigint not null, at timestamptz default now())');
});

after(async () => {
  await kill();
  await database?.close();
});

async function kill(): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

async function start(faultPoint?: string): Promise<{ port: number; ended: Promise<unknown> }> {
  const program = path.join(import.meta.dirname, 'feed-process.ts');
  const settings = JSON.stringify({ url: database.url, faultPoint });
  child = spawn(process.execPath, [program, settings], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  assert.ok(child.stdout !== null);
  const line = once(createInterface({ input: child.stdout }), 'line');
  // A fault point of the processing may be reached before it is ready: what waits is mapped at once.
  const [ready] = await Promise.race([line, ended.then(() => [undefined])]);
  const { port }: { port: number } = typeof ready === 'string' ? JSON.parse(ready) : { port: 0 };
  return { port, ended };
}

/** Sends until the connection breaks. Two senders send of one patient. */
async function sendUntilCut(port: number, index: number): Promise<void> {
  if (port === 0) return;
  const sender = createMllpSender({ host: '127.0.0.1', port, uniform: () => 0.5, attemptsMax: 1 });
  try {
    for (;;) {
      const controlId = `${index}-${next[index]}`;
      const message = admission({ controlId, patient: `P${Math.floor(index / 2)}` });
      const answer = await sender.send(message);
      assert.equal(answer?.code, 'AA', `seed ${seed}`);
      acknowledged.set(controlId, message);
      next[index] = (next[index] ?? 0) + 1;
    }
  } catch (caught) {
    if (caught instanceof assert.AssertionError) throw caught; // else it was killed, as it should be
  } finally {
    sender.close();
  }
}

function sendAll(port: number): Promise<unknown> {
  return Promise.all(Array.from({ length: SENDERS }, (_, index) => sendUntilCut(port, index)));
}

describe('a feed that is killed while it receives and maps', { timeout: (CYCLES + 10) * 30_000 }, () => {
  it(`loses nothing that it acknowledged and maps nothing twice, over ${CYCLES} kills of chance`, async () => {
    for (let cycle = 0; cycle < CYCLES; cycle += 1) {
      const { port } = await start();
      const sending = sendAll(port);
      await delay(LIFE_MS_MIN + uniform() * LIFE_MS_SPAN);
      await kill();
      await sending;
    }
    await assertWhole();
  });

  for (const point of FAULT_POINTS.filter((name) => name.startsWith('feed.'))) {
    it(`loses nothing and does nothing twice when it dies at ${point}`, async () => {
      const before = acknowledged.size;
      for (const count of [1, 7]) {
        const { port, ended } = await start(`${point}:${count}`);
        const sending = sendAll(port);
        await ended;
        await sending;
      }
      await assertWhole();
      assert.ok(acknowledged.size >= before);
    });
  }
});

async function assertWhole(): Promise<void> {
  await start(); // maps what is left
  const { pool } = database;
  const deadlineMs = performance.now() + DRAIN_MS_MAX;
  for (;;) {
    const { rows } = await pool.query("select count(*)::int as count from hl7_message where state = 'received'");
    if (rows[0]?.count === 0) break;
    assert.ok(performance.now() < deadlineMs, `${rows[0]?.count} messages still wait, seed ${seed}`);
    await delay(50);
  }
  await kill();
  const { rows: stored } = await pool.query(
    'select sequence, control_id, content, state from hl7_message order by sequence',
  );
  const byId = new Map(stored.map((row) => [row.control_id, row]));
  assert.equal(byId.size, stored.length, `a message is stored twice, seed ${seed}`);
  for (const [controlId, message] of acknowledged) {
    assert.ok(
      byId.get(controlId)?.content?.equals(message),
      `an acknowledged message is lost or changed, seed ${seed}`,
    );
  }
  const { rows: applied } = await pool.query('select sequence from applied_bundle order by ctid');
  const sequences = applied.map((row) => Number(row.sequence));
  assert.equal(new Set(sequences).size, sequences.length, `a message is mapped twice, seed ${seed}`);
  assert.deepEqual(
    sequences.toSorted((a, b) => a - b),
    stored.map((row) => Number(row.sequence)),
    `seed ${seed}`,
  );
  for (let index = 0; index < SENDERS; index += 1) {
    const own = stored
      .filter((row) => row.control_id.startsWith(`${index}-`))
      .map((row) => Number(row.control_id.slice(2)));
    assert.deepEqual(
      own,
      own.toSorted((a, b) => a - b),
      `the order of a connection is lost, seed ${seed}`,
    );
  }
  process.stdout.write(`${acknowledged.size} messages acknowledged, ${stored.length} kept and mapped, seed ${seed}\n`);
}
