/**
 * The hub's durable jobs: their names, what they carry, and how they are put into the queue in the transaction of the change
 * that needs them. `main.ts` binds each to the function that performs it; each may run twice, and does nothing the second time.
 */
import { IdSchema, matches, parse, type RunId } from '@lantern/contract';
import { enqueue } from '@lantern/service';
import { type Static, Type } from 'typebox';
import type { HubTx } from './tables.ts';

const RunJobSchema = Type.Object({ runId: IdSchema('RunId') }, { additionalProperties: false });
const RoundJobSchema = Type.Object(
  { runId: IdSchema('RunId'), round: Type.Integer({ minimum: 0 }) },
  { additionalProperties: false },
);
const ProjectJobSchema = Type.Object({ projectId: IdSchema('ProjectId') }, { additionalProperties: false });
const DecisionJobSchema = Type.Object(
  { projectId: IdSchema('ProjectId'), siteId: IdSchema('SiteId'), sequence: Type.Integer({ minimum: 1 }) },
  { additionalProperties: false },
);

/** What performs each job. */
export type JobHandlers = {
  /** Performs whatever a run does next: opens, folds and closes rounds. */
  readonly advanceRun: (job: Static<typeof RunJobSchema>, signal: AbortSignal) => Promise<void>;
  /** Removes the blobs that a closed round has made superfluous. */
  readonly sweepRound: (job: Static<typeof RoundJobSchema>) => Promise<void>;
  readonly expireProject: (job: Static<typeof ProjectJobSchema>) => Promise<void>;
  readonly expireDecision: (job: Static<typeof DecisionJobSchema>) => Promise<void>;
};

type QueueTask = (payload: unknown, context: { readonly signal: AbortSignal }) => Promise<void>;

/** The handlers as the queue calls them, each behind the schema of its payload. */
export function queueTasks(handlers: JobHandlers): Record<string, QueueTask> {
  return {
    'run.advance': (payload, { signal }) =>
      handlers.advanceRun(parse(RunJobSchema, payload, { what: 'run.advance' }), signal),
    'round.sweep': (payload) => handlers.sweepRound(parse(RoundJobSchema, payload, { what: 'round.sweep' })),
    'project.expire': (payload) => handlers.expireProject(parse(ProjectJobSchema, payload, { what: 'project.expire' })),
    'decision.expire': (payload) =>
      handlers.expireDecision(parse(DecisionJobSchema, payload, { what: 'decision.expire' })),
  };
}

/**
 * Soon. Without a key: graphile-worker drops a job whose namesake begins to run at that very moment, and that one may have
 * looked already. A look too many finds nothing to do.
 */
export async function enqueueAdvance(tx: HubTx, runId: string): Promise<void> {
  await enqueue(tx, { name: 'run.advance', payload: { runId } });
}

/**
 * At the instant when the round under way needs a look; replaces the instant set before. Should it be dropped because the job
 * set before begins to run at that very moment, then that one looks after this transaction and sets the instant itself.
 */
export async function enqueueAdvanceAt(tx: HubTx, runId: string, runAt: Date): Promise<void> {
  await enqueue(tx, {
    name: 'run.advance',
    payload: { runId },
    key: `run.deadline:${runId}`,
    runAt,
  });
}

export async function enqueueSweep(tx: HubTx, job: Static<typeof RoundJobSchema>): Promise<void> {
  await enqueue(tx, { name: 'round.sweep', payload: job });
}

export async function enqueueProjectExpiry(tx: HubTx, projectId: string, runAt: Date): Promise<void> {
  await enqueue(tx, { name: 'project.expire', payload: { projectId }, key: `project.expire:${projectId}`, runAt });
}

export async function enqueueDecisionExpiry(
  tx: HubTx,
  job: Static<typeof DecisionJobSchema>,
  runAt: Date,
): Promise<void> {
  const key = `decision.expire:${job.projectId}:${job.siteId}`;
  await enqueue(tx, { name: 'decision.expire', payload: job, key, runAt });
}

/** The run that a job was about, if it was about one. */
export function runIdOfJob(name: string, payload: unknown): RunId | undefined {
  return name === 'run.advance' && matches(RunJobSchema, payload) ? payload.runId : undefined;
}
