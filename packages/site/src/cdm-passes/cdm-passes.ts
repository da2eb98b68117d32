/**
 * Passes of the ETL as durable jobs: on a schedule and when somebody asks, one after another.
 *
 *   waiting ──► running ──► done
 *      └───────────┴──────► failed        (CDM_PASS_STATES)
 *
 * A job that is performed twice, after a crash, finds in the CDM that its records were read already.
 */
import { AppError, type CdmPass, type RowAccount } from '@lantern/contract';
import { appendAudit, type Clock, enqueue, type FailedJob, type QueueTask, type Tx } from '@lantern/service';
import { accountOf } from '../omop-etl/etl.ts';
import type { Sweep } from '../sweeper.ts';
import { openPublished, readPublishedState } from './cdm-file.ts';
import { type PassDeps, type PassResult, runPass } from './pass.ts';
import * as store from './store.ts';

const PASS_JOB = 'cdm.pass';
const SWEEP_MS = 30_000; // adds to the time between two passes
const MINUTE_MS = 60_000;
const KEPT_MS = 30 * 24 * 3_600_000; // a month of passes
const LISTED_COUNT = 50;
const FINDING_COUNT = 20;
const SCHEDULE = 'schedule';

type CdmPassesDeps = PassDeps & { readonly clock: Clock };

export type CdmPasses = {
  /** A pass that is yet to begin; `by`: name of an account. */
  ask(asked: { readonly isRebuild: boolean; readonly by: string }): Promise<CdmPass>;
  list(): Promise<CdmPass[]>;
  /** Throws `not-found`. */
  read(passId: number): Promise<CdmPass>;
  /** Of the CDM as it is now. Throws `not-found` where there is none yet. */
  account(findingCountMax: number | undefined, signal: AbortSignal): Promise<RowAccount>;
  readonly jobs: Readonly<Record<string, QueueTask>>;
  /** For the queue: a pass that will not be tried again says why. */
  jobFailed(job: FailedJob): Promise<void>;
  readonly sweeps: readonly Sweep[];
};

export function createCdmPasses(deps: CdmPassesDeps): CdmPasses {
  const { database } = deps;
  return {
    ask: async ({ isRebuild, by }) => passOf(await ask(deps, { isRebuild, by })),
    list: async () => (await store.listPasses(database, LISTED_COUNT)).map(passOf),
    async read(passId) {
      const row = await store.readPass(database, passId);
      if (row === undefined) throw new AppError('not-found', 'There is no pass of this number.');
      return passOf(row);
    },
    account: (findingCountMax = FINDING_COUNT, signal) => readAccount(deps, findingCountMax, signal),
    jobs: { [PASS_JOB]: (payload, { signal }) => perform(deps, passIdOf(payload), signal) },
    jobFailed: (job) => giveUp(deps, job),
    sweeps: [{ name: 'passes of the ETL', everyMs: SWEEP_MS, run: () => sweep(deps) }],
  };
}

async function ask(
  { database, clock }: CdmPassesDeps,
  { isRebuild, by }: { readonly isRebuild: boolean; readonly by: string },
): Promise<store.PassRow> {
  return database.transaction(async (tx: Tx<store.PassTables>) => {
    const waiting = await store.findWaiting(tx, isRebuild);
    const pass = waiting ?? (await store.insertPass(tx, { isRebuild, askedBy: by, askedAt: clock.now() }));
    const payload = { passId: pass.pass_id };
    if (waiting === undefined) await enqueue(tx, { name: PASS_JOB, payload, queueName: PASS_JOB });
    if (by !== SCHEDULE) {
      await appendAudit(tx, {
        at: clock.now(),
        actor: `user:${by}`,
        action: 'cdm-pass.ask',
        object: `cdm-pass:${pass.pass_id}`,
        outcome: 'success',
        details: { isRebuild },
      });
    }
    return pass;
  });
}

async function perform(deps: CdmPassesDeps, passId: number, signal: AbortSignal): Promise<void> {
  const { database, clock } = deps;
  const pass = await store.readPass(database, passId);
  const isStarted = await database.transaction((tx: Tx<store.PassTables>) =>
    store.changePass(tx, passId, { event: 'start', at: clock.now() }),
  );
  if (pass === undefined || !isStarted) return; // it has ended already
  await end(deps, passId, await runPass(deps, { isRebuild: pass.is_rebuild, signal }));
}

async function end({ database, clock }: CdmPassesDeps, passId: number, result: PassResult): Promise<void> {
  const { readCount, changedCount, patientCount } = result.isPublished
    ? result
    : { readCount: 0, changedCount: 0, patientCount: 0 };
  await database.transaction(async (tx: Tx<store.PassTables>) => {
    const counts = {
      is_published: result.isPublished,
      read_count: readCount,
      changed_count: changedCount,
      patient_count: patientCount,
    };
    const isEnded = await store.changePass(tx, passId, { event: 'finish', at: clock.now(), counts });
    if (!isEnded || !result.isPublished) return;
    await appendAudit(tx, {
      at: clock.now(),
      actor: 'site',
      action: 'cdm-pass.publish',
      object: `cdm-pass:${passId}`,
      outcome: 'success',
      details: { readCount, changedCount },
    });
  });
}

async function giveUp({ database, clock }: CdmPassesDeps, { name, payload, error }: FailedJob): Promise<void> {
  if (name !== PASS_JOB) return;
  await database.transaction(async (tx: Tx<store.PassTables>) => {
    const passId = passIdOf(payload);
    const reason = `${error.code}: ${error.message}`;
    if (!(await store.changePass(tx, passId, { event: 'fail', at: clock.now(), reason }))) return;
    await appendAudit(tx, {
      at: clock.now(),
      actor: 'site',
      action: 'cdm-pass.publish',
      object: `cdm-pass:${passId}`,
      outcome: 'failure',
      details: { code: error.code },
    });
  });
}

/** Asks for a pass where the last one ended long enough ago; forgets old ones. */
async function sweep(deps: CdmPassesDeps): Promise<void> {
  const { database, clock, settings } = deps;
  const now = clock.now().getTime();
  await store.removeEndedBefore(database, new Date(now - KEPT_MS));
  const ended = await store.lastEnd(database);
  if (ended === undefined) return;
  if (ended !== null && now - ended.getTime() < settings.everyMinutes * MINUTE_MS) return;
  await ask(deps, { isRebuild: false, by: SCHEDULE });
}

async function readAccount(
  { file, bounds }: CdmPassesDeps,
  findingCountMax: number,
  signal: AbortSignal,
): Promise<RowAccount> {
  if ((await readPublishedState(file, { bounds, signal })) === undefined) {
    throw new AppError('not-found', 'There is no CDM yet: no pass has ended.');
  }
  const cdm = await openPublished(file, { bounds, signal });
  try {
    return await accountOf((sql) => cdm.rows(sql), findingCountMax);
  } finally {
    await cdm.close();
  }
}

function passIdOf(payload: unknown): number {
  return typeof payload === 'object' && payload !== null && 'passId' in payload ? Number(payload.passId) : 0;
}

function passOf(row: store.PassRow): CdmPass {
  return {
    passId: row.pass_id,
    state: row.state,
    isRebuild: row.is_rebuild,
    askedBy: row.asked_by,
    askedAt: row.asked_at.toISOString(),
    ...(row.started_at === null ? {} : { startedAt: row.started_at.toISOString() }),
    ...(row.ended_at === null ? {} : { endedAt: row.ended_at.toISOString() }),
    ...(row.is_published === null ? {} : { isPublished: row.is_published }),
    ...(row.read_count === null ? {} : { readCount: row.read_count }),
    ...(row.changed_count === null ? {} : { changedCount: row.changed_count }),
    ...(row.patient_count === null ? {} : { patientCount: row.patient_count }),
    ...(row.reason === null ? {} : { reason: row.reason }),
  };
}
