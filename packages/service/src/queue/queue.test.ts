import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AppError } from '@lantern/contract';
import { sql } from 'kysely';
import { createLogger } from '../log.ts';
import { type Database, openDatabase } from '../postgres/database.ts';
import { openTestDatabase, startTestPostgres } from '../postgres/test-database.ts';
import { openPoolLocks } from './pool-locks.ts';
import { createQueue, enqueue, JOB_PAYLOAD_BYTES_MAX, migrateQueue } from './queue.ts';
import { type FailedJob, jobEnd, type QueueTask } from './work.ts';

const log = createLogger({ name: 'queue-test', level: 'silent' });
const LIMIT_MS = 60_000;

/** Waits for a condition of the outside world; fails the test when it does not come. */
async function until(what: string, isMet: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + LIMIT_MS;
  while (!(await isMet())) {
    assert.ok(performance.now() < deadlineMs, `waited in vain until ${what}`);
    await delay(5);
  }
}

function add(db: Database, job: Parameters<typeof enqueue>[1]): Promise<{ jobId: string }> {
  return db.transaction((tx) => enqueue(tx, job));
}

async function withQueue(
  db: Database,
  tasks: Record<string, QueueTask>,
  work: (failed: FailedJob[]) => Promise<void>,
  concurrency = 2,
): Promise<void> {
  const failed: FailedJob[] = [];
  const queue = createQueue({ db, tasks, concurrency, log, onFailed: async (job) => void failed.push(job) });
  await queue.start();
  try {
    await work(failed);
  } finally {
    await queue.close();
  }
}

async function countJobs(db: Database): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) from graphile_worker._private_jobs`.execute(
    db.kysely(),
  );
  return rows[0]?.count ?? -1;
}

describe('what the end of an attempt means', () => {
  const job = { attempt: 2, attemptsMax: 7, isClosing: false };

  test('a permanent error fails the job at its first attempt', () => {
    assert.deepEqual(jobEnd(new AppError('input.invalid', 'x'), { ...job, attempt: 1 }), { kind: 'failed' });
  });

  test('a transient error doubles the wait with each attempt up to a minute', () => {
    const waits = [1, 2, 5, 9, 60].map((attempt) => {
      const end = jobEnd(new AppError('peer.unreachable', 'x'), { attempt, attemptsMax: 100, isClosing: false });
      return end.kind === 'retry' ? end.delayMs : end.kind;
    });
    assert.deepEqual(waits, [250, 500, 4_000, 60_000, 60_000]);
  });

  test('an ambiguous error is tried again, as tasks bear to run twice', () => {
    assert.equal(jobEnd(new AppError('peer.ambiguous', 'x'), job).kind, 'retry');
  });

  test('the last allowed attempt fails the job', () => {
    assert.deepEqual(jobEnd(new AppError('storage.full', 'x'), { ...job, attempt: 7 }), { kind: 'failed' });
    assert.equal(jobEnd(new AppError('storage.full', 'x'), { ...job, attempt: 6 }).kind, 'retry');
  });

  test('an error nobody foresaw gets three attempts, unless fewer are allowed', () => {
    assert.equal(jobEnd(new TypeError('x'), job).kind, 'retry');
    assert.equal(jobEnd(new TypeError('x'), { ...job, attempt: 3 }).kind, 'failed');
    assert.equal(jobEnd(new TypeError('x'), { ...job, attemptsMax: 2 }).kind, 'failed');
  });

  test('what the driver and the disk report is understood as transient', () => {
    for (const code of ['ECONNRESET', '57P01', '40P01', 'ENOSPC']) {
      const end = jobEnd(Object.assign(new Error('x'), { code }), { ...job, attempt: 5 });
      assert.equal(end.kind, 'retry', code);
    }
  });

  test('a job that ends because the queue closes is given back, whatever the error', () => {
    assert.equal(jobEnd(new AppError('input.invalid', 'x'), { ...job, isClosing: true }).kind, 'given-back');
  });
});

describe('the queue', () => {
  let db: Database;

  before(async () => {
    db = await openTestDatabase('queue');
    await migrateQueue(db);
    await sql`create table effect (job_id text primary key, note text not null)`.execute(db.kysely());
  });
  after(() => db.close());

  test('a job of a transaction that is rolled back never runs; one that is committed runs once', async () => {
    const seen: unknown[] = [];
    const task: QueueTask = async (payload, { jobId }) => {
      seen.push(payload);
      await db.transaction((tx) => sql`insert into effect values (${jobId}, 'once')`.execute(tx));
    };
    await withQueue(db, { note: task }, async () => {
      const rolledBack = db.transaction(async (tx) => {
        await enqueue(tx, { name: 'note', payload: { patientCount: 17 } });
        throw new AppError('conflict', 'the caller changed its mind');
      });
      await assert.rejects(rolledBack, { code: 'conflict' });
      const { jobId } = await add(db, { name: 'note', payload: { patientCount: 23, nested: { unit: 'mg/dL' } } });
      await until('the job is done', async () => seen.length > 0 && (await countJobs(db)) === 0);
      const { rows } = await sql<{ job_id: string }>`select job_id from effect`.execute(db.kysely());
      assert.deepEqual(rows, [{ job_id: jobId }]);
    });
    assert.deepEqual(seen, [{ patientCount: 23, nested: { unit: 'mg/dL' } }]);
  });

  test('a job starts within milliseconds of the commit, by notification and not by polling', async (t) => {
    const startedMs: number[] = [];
    await withQueue(db, { quick: async () => void startedMs.push(performance.now()) }, async () => {
      await add(db, { name: 'quick', payload: {} });
      await until('the connection is warm', () => startedMs.length === 1);
      const latenciesMs: number[] = [];
      for (let index = 2; index <= 21; index += 1) {
        await add(db, { name: 'quick', payload: {} });
        const committedMs = performance.now();
        await until('the job has started', () => startedMs.length === index);
        latenciesMs.push((startedMs.at(-1) ?? 0) - committedMs);
      }
      const median = latenciesMs.sort((a, b) => a - b)[10] ?? Number.NaN;
      t.diagnostic(`median from commit to start: ${median.toFixed(1)} ms`);
      assert.ok(median < 300, `median ${median} ms`); // Polling alone would make it about 500 ms.
    });
  });

  test('a permanent error fails the job for good, tells so and leaves its row', async () => {
    let runCount = 0;
    const task: QueueTask = async () => {
      runCount += 1;
      throw new AppError('dataset.invalid', 'column age: must be a number');
    };
    await withQueue(db, { broken: task }, async (failed) => {
      const { jobId } = await add(db, { name: 'broken', payload: { row: 4 } });
      await until('the failure is told', () => failed.length === 1);
      assert.deepEqual(
        failed.map(({ error, ...job }) => ({ ...job, code: error.code })),
        [{ name: 'broken', payload: { row: 4 }, jobId, code: 'dataset.invalid' }],
      );
      await until('the row is marked', async () => {
        const { rows } = await sql`select 1 from graphile_worker._private_jobs
          where id = ${jobId}::bigint and not is_available and locked_at is null and last_error like 'column age%'`.execute(
          db.kysely(),
        );
        return rows.length === 1;
      });
      assert.equal(runCount, 1);
    });
    await sql`delete from graphile_worker._private_jobs`.execute(db.kysely());
  });

  test('a transient error is tried again and counts its attempts', async () => {
    const attempts: number[] = [];
    const task: QueueTask = async (_payload, { attempt }) => {
      attempts.push(attempt);
      if (attempt < 3) throw new AppError('peer.unreachable', 'the hub does not answer');
    };
    await withQueue(db, { send: task }, async (failed) => {
      await add(db, { name: 'send', payload: {} });
      await until('the job is done', async () => attempts.length === 3 && (await countJobs(db)) === 0);
      assert.deepEqual(failed, []);
    });
    assert.deepEqual(attempts, [1, 2, 3]);
  });

  test('of two waiting jobs with one key the later one replaces the earlier', async () => {
    const seen: unknown[] = [];
    const runAt = new Date(Date.now() + 3_600_000);
    await add(db, { name: 'plan', key: 'run_a', payload: { version: 1 }, runAt });
    await add(db, { name: 'plan', key: 'run_a', payload: { version: 2 } });
    await add(db, { name: 'plan', key: 'run_b', payload: { version: 7 } });
    await withQueue(db, { plan: async (payload) => void seen.push(payload) }, () =>
      until('no job is left', async () => (await countJobs(db)) === 0),
    );
    assert.deepEqual(new Set(seen), new Set([{ version: 2 }, { version: 7 }]));
    assert.equal(seen.length, 2);
  });

  test('a job is not lost when one of its key is taken while it is added', async () => {
    const job = { name: 'plan', key: 'taken', payload: { version: 1 } };
    const { jobId } = await add(db, job);
    const worker = await db.pool.connect();
    try {
      await worker.query('begin');
      await worker.query("update graphile_worker._private_jobs set locked_at = now(), locked_by = 'w' where id = $1", [
        jobId,
      ]);
      const adding = add(db, { ...job, payload: { version: 2 } });
      await until('the new one waits for the row', async () => {
        const { rows } = await db.pool.query<{ count: number }>(
          "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
        return rows[0]?.count === 1;
      });
      await worker.query('commit');
      const added = await adding;
      assert.ok(added.jobId !== null && added.jobId !== jobId);
      await db.pool.query('delete from graphile_worker._private_jobs where id = $1', [jobId]); // done
    } finally {
      worker.release();
    }
    const seen: unknown[] = [];
    await withQueue(db, { plan: async (payload) => void seen.push(payload) }, () =>
      until('no job is left', async () => (await countJobs(db)) === 0),
    );
    assert.deepEqual(seen, [{ version: 2 }]);
  });

  test('jobs of one named queue never run beside each other', async () => {
    let runningCount = 0;
    let runningCountMax = 0;
    const order: unknown[] = [];
    const task: QueueTask = async (payload) => {
      runningCount += 1;
      runningCountMax = Math.max(runningCountMax, runningCount);
      await delay(15);
      order.push(payload);
      runningCount -= 1;
    };
    await withQueue(
      db,
      { fold: task },
      async () => {
        for (let index = 0; index < 6; index += 1) {
          await add(db, { name: 'fold', payload: { index }, queueName: 'round' });
        }
        await until('all are done', async () => order.length === 6 && (await countJobs(db)) === 0);
      },
      4,
    );
    assert.equal(runningCountMax, 1);
    assert.deepEqual(
      order,
      [0, 1, 2, 3, 4, 5].map((index) => ({ index })),
    );
  });

  test('closing aborts a running job and gives it back without counting the attempt', async () => {
    let isRunning = false;
    const task: QueueTask = (_payload, { signal }) => {
      isRunning = true;
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    await withQueue(db, { train: task }, async () => {
      await add(db, { name: 'train', payload: {}, queueName: 'trainings' });
      await until('the job runs', () => isRunning);
    });
    const attempts: number[] = [];
    await withQueue(db, { train: async (_payload, { attempt }) => void attempts.push(attempt) }, () =>
      until('the job is done', async () => (await countJobs(db)) === 0),
    );
    assert.deepEqual(attempts, [1]);
  });

  test('a queue that closes while its workers ask for jobs waits for them, and prints nothing', async (t) => {
    const trace = t.mock.method(console, 'trace', () => undefined);
    for (let round = 0; round < 3; round++) {
      await withQueue(db, { nothing: async () => undefined }, async () => {
        await Promise.all(Array.from({ length: 20 }, () => add(db, { name: 'nothing', payload: {} })));
      });
    }
    await withQueue(db, { nothing: async () => undefined }, () =>
      until('the jobs are done', async () => (await countJobs(db)) === 0),
    );
    assert.equal(trace.mock.callCount(), 0);
  });

  test('a job of a killed worker runs again soon, though the worker never said good-bye', async () => {
    const worker = spawn(process.execPath, [fileURLToPath(new URL('test-worker.ts', import.meta.url)), db.url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { jobId } = await add(db, { name: 'hold', payload: {}, queueName: 'held' });
    const [line] = await once(createInterface(worker.stdout), 'line');
    assert.equal(line, `holds ${jobId}`);
    const ended = once(worker, 'exit');
    worker.kill('SIGKILL');
    await ended;
    const killedMs = performance.now();
    const seen: string[] = [];
    await withQueue(db, { hold: async (_payload, context) => void seen.push(context.jobId) }, () =>
      until('the job is done', async () => (await countJobs(db)) === 0),
    );
    assert.deepEqual(seen, [jobId]);
    assert.ok(performance.now() - killedMs < LIMIT_MS, 'graphile-worker alone would take four hours');
  });

  test('a sweep leaves the job of a worker that lives, and gives it back when nobody works on it', async () => {
    const { promise: gate, resolve: finish } = Promise.withResolvers<void>();
    let runCount = 0;
    const task: QueueTask = async () => {
      runCount += 1;
      await gate;
    };
    const locks = await openPoolLocks({ db, applicationName: 'test-locks', log });
    await withQueue(db, { slow: task }, async () => {
      await add(db, { name: 'slow', payload: {} });
      await until('the mark is old enough to be doubted', async () => {
        const { rows } = await sql`select 1 from graphile_worker._private_jobs
          where locked_at < now() - interval '1100 ms'`.execute(db.kysely());
        return rows.length === 1;
      });
      assert.equal(await locks.sweep([]), 0);
      await sql`update graphile_worker._private_jobs set locked_by = 'pool-of-nobody'`.execute(db.kysely());
      await until('the job was given back', () => runCount === 2);
      finish();
      await until('the job is done', async () => (await countJobs(db)) === 0);
    });
    await locks.close();
  });

  test('a payload above the limit is refused before it is stored', async () => {
    const payload = { text: 'x'.repeat(JOB_PAYLOAD_BYTES_MAX) };
    await assert.rejects(add(db, { name: 'note', payload }), { code: 'input.too-large' });
    assert.equal(await countJobs(db), 0);
  });

  test('a job outside a transaction is refused by the compiler', () => {
    // @ts-expect-error A connection outside a transaction would let the job live without the state it belongs to.
    const misuse = () => enqueue(db.kysely(), { name: 'note', payload: {} });
    assert.equal(typeof misuse, 'function');
  });
});

test('the queue outlives a killed database server and loses none of its jobs', async () => {
  const server = await startTestPostgres();
  const db = await openDatabase({ url: server.url, log, applicationName: 'queue-test' });
  try {
    await migrateQueue(db);
    await sql`create table done (number int primary key)`.execute(db.kysely());
    const record: QueueTask = async (payload) => {
      const { number } = payload as { number: number };
      await db.transaction((tx) => sql`insert into done values (${number}) on conflict do nothing`.execute(tx));
    };
    await withQueue(db, { record }, async () => {
      for (let number = 1; number <= 40; number += 1) {
        if (number === 11 || number === 27) {
          const pid = server.pid();
          assert.ok(pid !== undefined);
          process.kill(pid, 'SIGKILL');
        }
        await until('the job is accepted', () =>
          add(db, { name: 'record', payload: { number } }).then(
            () => true,
            (caught) => {
              assert.equal(caught.code, 'database.unavailable');
              return false;
            },
          ),
        );
      }
      await until('every job is done', async () => {
        const { rows } = await sql<{ count: number }>`select count(*) from done`.execute(db.kysely());
        return rows[0]?.count === 40 && (await countJobs(db)) === 0;
      });
    });
  } finally {
    await db.close();
    await server.close();
  }
});
