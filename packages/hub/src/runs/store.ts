/** Rows of runs and rounds, and what their tasks came to. */
import {
  type AnswerBody,
  type Digest,
  type DisclosureFinding,
  type HubTaskState,
  liveStates,
  type ProjectId,
  type Round,
  type RoundState,
  RUN_STATES,
  type Run,
  type RunId,
  type RunPlan,
  type RunState,
  type SiteId,
  type StepKind,
} from '@lantern/contract';
import { type Selectable, sql } from 'kysely';
import type { HubDb, HubTables } from '../tables.ts';
import type { RoundResult } from './round-result.ts';

export type RunRow = Selectable<HubTables['run']>;
export type RoundRow = Selectable<HubTables['round']>;

export async function insertRun(
  tx: HubDb,
  run: { runId: RunId; projectId: ProjectId; plan: RunPlan; bundleDigest: Digest; createdBy: string; createdAt: Date },
): Promise<void> {
  await tx
    .insertInto('run')
    .values({
      run_id: run.runId,
      project_id: run.projectId,
      state: 'planned',
      plan: JSON.stringify(run.plan),
      bundle_digest: run.bundleDigest,
      created_by: run.createdBy,
      created_at: run.createdAt,
    })
    .execute();
}

export async function findRun(db: HubDb, runId: RunId): Promise<RunRow | undefined> {
  return db.selectFrom('run').selectAll().where('run_id', '=', runId).executeTakeFirst();
}

export async function lockRun(tx: HubDb, runId: RunId): Promise<RunRow | undefined> {
  return tx.selectFrom('run').selectAll().where('run_id', '=', runId).forUpdate().executeTakeFirst();
}

export async function listRunRows(db: HubDb, projectId: ProjectId): Promise<RunRow[]> {
  return db
    .selectFrom('run')
    .selectAll()
    .where('project_id', '=', projectId)
    .orderBy('created_at')
    .orderBy('run_id')
    .execute();
}

export async function listLiveRunIds(db: HubDb): Promise<RunId[]> {
  const rows = await db.selectFrom('run').select('run_id').where('state', 'in', liveStates(RUN_STATES)).execute();
  return rows.map((row) => row.run_id);
}

export async function lockLiveRunsOf(tx: HubDb, projectId: ProjectId): Promise<RunRow[]> {
  return tx
    .selectFrom('run')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('state', 'in', liveStates(RUN_STATES))
    .orderBy('run_id')
    .forUpdate()
    .execute();
}

export async function updateRunState(
  tx: HubDb,
  run: { runId: RunId; state: RunState; message?: string; endedAt?: Date },
): Promise<void> {
  await tx
    .updateTable('run')
    .set({
      state: run.state,
      ...(run.message === undefined ? {} : { message: run.message }),
      ...(run.endedAt === undefined ? {} : { ended_at: run.endedAt }),
    })
    .where('run_id', '=', run.runId)
    .execute();
}

export async function updateRunEvaluation(
  tx: HubDb,
  runId: RunId,
  evaluation: NonNullable<Run['evaluation']>,
): Promise<void> {
  await tx
    .updateTable('run')
    .set({ evaluation: JSON.stringify(evaluation) })
    .where('run_id', '=', runId)
    .execute();
}

export async function insertRound(
  tx: HubDb,
  round: { runId: RunId; number: number; step: StepKind; openedAt: Date },
): Promise<void> {
  await tx
    .insertInto('round')
    .values({ run_id: round.runId, number: round.number, step: round.step, state: 'open', opened_at: round.openedAt })
    .execute();
}

/** Without its result, which can be large and is not needed to decide. */
export type RoundStateRow = Pick<RoundRow, 'number' | 'state' | 'opened_at'>;

export async function findLastRoundState(db: HubDb, runId: RunId): Promise<RoundStateRow | undefined> {
  return db
    .selectFrom('round')
    .select(['number', 'state', 'opened_at'])
    .where('run_id', '=', runId)
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export async function updateRoundState(
  tx: HubDb,
  round: { runId: RunId; number: number; state: RoundState; closedAt?: Date },
): Promise<void> {
  await tx
    .updateTable('round')
    .set({ state: round.state, ...(round.closedAt === undefined ? {} : { closed_at: round.closedAt }) })
    .where('run_id', '=', round.runId)
    .where('number', '=', round.number)
    .execute();
}

export async function closeRound(
  tx: HubDb,
  round: {
    runId: RunId;
    number: number;
    closedAt: Date;
    weightsDigest?: Digest;
    metrics: Record<string, number>;
    result: RoundResult;
  },
): Promise<void> {
  await tx
    .updateTable('round')
    .set({
      state: 'closed',
      closed_at: round.closedAt,
      weights_digest: round.weightsDigest ?? null,
      metrics: JSON.stringify(round.metrics),
      result: JSON.stringify(round.result),
    })
    .where('run_id', '=', round.runId)
    .where('number', '=', round.number)
    .execute();
}

/** The newest result of each kind: all that the next round needs. */
export async function newestResults(db: HubDb, runId: RunId): Promise<RoundResult[]> {
  const { rows } = await sql<{ result: RoundResult }>`
    select distinct on (result->>'kind') result from round
    where run_id = ${runId} and result is not null
    order by result->>'kind', number desc`.execute(db);
  return rows.map((row) => row.result);
}

export type RoundTaskState = { readonly siteId: SiteId; readonly state: HubTaskState; readonly endedAt: Date | null };

export async function listTaskStates(db: HubDb, runId: RunId, round: number): Promise<RoundTaskState[]> {
  const rows = await db
    .selectFrom('task')
    .select(['site_id', 'state', 'ended_at'])
    .where('run_id', '=', runId)
    .where('round', '=', round)
    .orderBy('site_id')
    .execute();
  return rows.map((row) => ({ siteId: row.site_id, state: row.state, endedAt: row.ended_at }));
}

/** Sites that are out of a run: they refused once, or never came through `prepare` (round 0, once it is closed). */
export async function listSitesOut(db: HubDb, runId: RunId): Promise<SiteId[]> {
  const { rows } = await sql<{ site_id: SiteId }>`
    select distinct site_id from task
    where run_id = ${runId} and (state = 'refused' or (round = 0 and state in ('failed', 'cancelled')))`.execute(db);
  return rows.map((row) => row.site_id);
}

export type UsableAnswer = { readonly siteId: SiteId; readonly body: AnswerBody };

export async function listUsableAnswers(db: HubDb, runId: RunId, round: number): Promise<UsableAnswer[]> {
  const rows = await db
    .selectFrom('task')
    .select(['site_id', 'answer'])
    .where('run_id', '=', runId)
    .where('round', '=', round)
    .where('state', '=', 'answered')
    .orderBy('site_id')
    .execute();
  return rows.flatMap((row) => (row.answer === null ? [] : [{ siteId: row.site_id, body: row.answer }]));
}

export type DropOut = { readonly siteId: SiteId; readonly round: number; readonly message: string };

/** Why sites do not take part: every refusal of the run, and the failures of one round. */
export async function listDropOuts(db: HubDb, runId: RunId, round: number): Promise<DropOut[]> {
  const { rows } = await sql<{ site_id: SiteId; round: number; message: string | null }>`
    select site_id, round, message from task
    where run_id = ${runId} and (state = 'refused' or (state in ('failed', 'cancelled') and round in (0, ${round})))
    order by round, site_id`.execute(db);
  return rows.map((row) => ({ siteId: row.site_id, round: row.round, message: row.message ?? 'no reason was given' }));
}

/** The rows that a site said it had when it prepared; `undefined` before. */
export async function findPreparedRowCount(db: HubDb, runId: RunId, siteId: SiteId): Promise<number | undefined> {
  const { rows } = await sql<{ rowCount: number | null }>`
    select (answer->>'trainRowCount')::int as "rowCount" from task
    where run_id = ${runId} and round = 0 and site_id = ${siteId} and state = 'answered'`.execute(db);
  return rows[0]?.rowCount ?? undefined;
}

export type RoundTally = { readonly quorum: number; readonly answered: number; readonly pending: number };

/** How far a round has come, in one look. */
export async function tallyRound(db: HubDb, runId: RunId, round: number): Promise<RoundTally> {
  const { rows } = await sql<RoundTally>`
    select (select (plan->>'quorum')::int from run where run_id = ${runId}) as quorum,
      count(*) filter (where state = 'answered')::int as answered,
      count(*) filter (where state in ('queued', 'delivered'))::int as pending
    from task where run_id = ${runId} and round = ${round}`.execute(db);
  return rows[0] ?? { quorum: 0, answered: 0, pending: 0 };
}

export type TaskSummary = {
  readonly round: number;
  readonly siteId: SiteId;
  readonly state: HubTaskState;
  readonly rowCount: number | null;
  readonly updateDigest: Digest | null;
  readonly findings: DisclosureFinding[] | null;
  readonly message: string | null;
};

/** What people see of each task: never gradients or histograms, which can be large. */
export async function summariseTasks(db: HubDb, runId: RunId): Promise<TaskSummary[]> {
  const { rows } = await sql<TaskSummary>`
    select round, site_id as "siteId", state, message,
      coalesce(answer->'trainRowCount', answer->'rowCount', answer->'moments'->'rowCount',
        answer->'evaluation'->'rowCount')::int as "rowCount",
      answer->'delta'->>'digest' as "updateDigest",
      answer->'findings' as findings
    from task where run_id = ${runId} order by round, site_id`.execute(db);
  return rows;
}

export async function listRounds(db: HubDb, runId: RunId): Promise<Omit<RoundRow, 'result'>[]> {
  return db
    .selectFrom('round')
    .select(['run_id', 'number', 'step', 'state', 'opened_at', 'closed_at', 'weights_digest', 'metrics'])
    .where('run_id', '=', runId)
    .orderBy('number')
    .execute();
}

export async function countClosedRounds(db: HubDb, runId: RunId): Promise<number> {
  const row = await db
    .selectFrom('round')
    .select((select) => select.fn.countAll<string>().as('count'))
    .where('run_id', '=', runId)
    .where('state', '=', 'closed')
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** How a row of `round` looks to people. */
export function roundOf(row: Omit<RoundRow, 'result'>, tasks: readonly TaskSummary[]): Round {
  return {
    number: row.number,
    step: row.step,
    state: row.state,
    openedAt: row.opened_at.toISOString(),
    ...(row.closed_at === null ? {} : { closedAt: row.closed_at.toISOString() }),
    ...(row.weights_digest === null ? {} : { weightsDigest: row.weights_digest }),
    ...(row.metrics === null ? {} : { metrics: row.metrics }),
    sites: tasks
      .filter((task) => task.round === row.number)
      .map((task) => ({
        siteId: task.siteId,
        state: task.state,
        ...(task.rowCount === null ? {} : { rowCount: task.rowCount }),
        ...(task.updateDigest === null ? {} : { updateDigest: task.updateDigest }),
        ...(task.findings === null ? {} : { findings: task.findings }),
        ...(task.message === null ? {} : { message: task.message }),
      })),
  };
}
