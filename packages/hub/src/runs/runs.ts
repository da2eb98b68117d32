/**
 * Runs as people see them: started from a plan, read, stopped. What happens in between is `plan.ts` (decides) and
 * `advance.ts` (performs).
 *
 * A plan is checked here against project and bundle, so that whatever can be known to fail fails before a site is asked.
 */
import {
  AppError,
  type BundleManifest,
  brokenBound,
  COEFFICIENT_COUNT_MAX,
  isFinal,
  type Project,
  type ProjectId,
  RUN_STATES,
  type Run,
  type RunId,
  type RunPlan,
} from '@lantern/contract';
import { featureNames } from '@lantern/learning';
import { faultPoint, newId } from '@lantern/service';
import { manifestOf } from '../bundles/bundles.ts';
import { activeSites } from '../enrolment/enrolment.ts';
import { audit, type Person } from '../hub-context.ts';
import { enqueueAdvance } from '../jobs.ts';
import { openProject, projectFor } from '../projects/projects.ts';
import type { HubDb, HubTx } from '../tables.ts';
import type { AdvanceDeps } from './advance.ts';
import { endRun, type RunHandle } from './run-state.ts';
import * as store from './store.ts';

/** Starts a run. Throws `input.invalid` naming the field of the plan that cannot be. */
export async function createRun(
  deps: AdvanceDeps,
  wanted: { projectId: ProjectId; plan: RunPlan; person: Person },
): Promise<Run> {
  const { projectId, plan, person } = wanted;
  const runId = newId('RunId');
  await deps.transaction(async (tx: HubTx) => {
    const project = await openProject(tx, { projectId, person, states: ['submitted'] });
    const algorithm = project.spec.algorithms.find((candidate) => candidate.name === plan.algorithm);
    if (algorithm === undefined) throw wrong('algorithm', 'the project has no algorithm of this name');
    const manifest = await manifestOf(tx, algorithm.bundleDigest);
    if (manifest === undefined) throw wrong('algorithm', 'its bundle is not registered');
    checkSites(plan, project);
    if ((await activeSites(tx, plan.sites)).length !== plan.sites.length) throw wrong('sites', 'one was revoked');
    checkAlgorithm(plan, { manifest, algorithm });
    const createdAt = deps.clock.now();
    const { bundleDigest } = algorithm;
    await store.insertRun(tx, { runId, projectId, plan, bundleDigest, createdBy: person.name, createdAt });
    await enqueueAdvance(tx, runId);
    audit(deps, tx, { actor: person.userId, action: 'run.create', object: runId });
  });
  faultPoint('hub.run.planned');
  return currentRun(deps.db, runId);
}

function wrong(field: string, rule: string): AppError {
  return new AppError('input.invalid', `${field}: ${rule}.`, { field: `/${field}` });
}

function checkSites(plan: RunPlan, project: Project): void {
  if (plan.quorum > plan.sites.length) throw wrong('quorum', 'is more than the number of sites');
  if (!plan.sites.every((siteId) => project.spec.sites.includes(siteId))) {
    throw wrong('sites', 'the project does not ask one of them');
  }
}

function checkAlgorithm(
  plan: RunPlan,
  { manifest, algorithm }: { manifest: BundleManifest; algorithm: Project['spec']['algorithms'][number] },
): void {
  if (plan.rounds > algorithm.roundsMax) throw wrong('rounds', `the project allows at most ${algorithm.roundsMax}`);
  const featureCount = featureNames(algorithm.features).length;
  if (manifest.kind === 'analysis') {
    if (plan.strategy !== undefined) throw wrong('strategy', 'an analysis has none');
    if (plan.local !== undefined) throw wrong('local', 'an analysis has none');
    if (manifest.analysis.kind === 'moments' && plan.standardisation !== 'pooled') {
      throw wrong('standardisation', 'an analysis of moments needs "pooled", which is what computes them');
    }
    if (manifest.analysis.kind === 'logistic-regression' && featureCount >= COEFFICIENT_COUNT_MAX) {
      const most = COEFFICIENT_COUNT_MAX - 1;
      throw wrong('algorithm', `logistic regression takes at most ${most} features, the project names ${featureCount}`);
    }
    return;
  }
  if (plan.strategy === undefined) throw wrong('strategy', 'a graph needs one');
  if (plan.local === undefined) throw wrong('local', 'a graph needs it');
  if (algorithm.training === undefined) throw wrong('algorithm', 'the project sets no bounds on its training');
  const broken = brokenBound(algorithm.training, { strategy: plan.strategy, local: plan.local });
  if (broken !== undefined) throw wrong(broken.field, broken.rule);
  if (plan.strategy.kind === 'fedprox' && !manifest.model.proximal) {
    throw wrong('strategy', 'FedProx needs a bundle built with the proximal term');
  }
  if (plan.strategy.kind === 'scaffold' && !manifest.model.control) {
    throw wrong('strategy', 'SCAFFOLD needs a bundle built with the control input');
  }
  if (manifest.model.featureCount !== featureCount) {
    throw wrong(
      'algorithm',
      `its bundle takes ${manifest.model.featureCount} features, the project names ${featureCount}`,
    );
  }
}

export async function listRuns(db: HubDb, projectId: ProjectId): Promise<Run[]> {
  await projectFor(db, projectId);
  const rows = await store.listRunRows(db, projectId);
  return Promise.all(rows.map((row) => runOf(db, row)));
}

/** A run now; waits up to `waitMs` until it has ended or has more than `afterRounds` closed rounds. */
export async function readRun(
  deps: AdvanceDeps,
  wanted: { runId: RunId; waitMs: number; afterRounds: number | undefined; signal: AbortSignal },
): Promise<Run> {
  const { runId, afterRounds, signal } = wanted;
  const endsAtMs = deps.clock.monotonicMs() + wanted.waitMs;
  const subscription = deps.wakeups.subscribe(`run:${runId}`);
  try {
    for (;;) {
      const row = await store.findRun(deps.db, runId);
      if (row === undefined) throw notFound();
      const leftMs = endsAtMs - deps.clock.monotonicMs();
      const ended = isFinal(RUN_STATES, row.state);
      const moved = afterRounds !== undefined && (await store.countClosedRounds(deps.db, runId)) > afterRounds;
      const over = ended || moved || leftMs <= 0 || !(await subscription.wait(leftMs, signal));
      if (over) return await runOf(deps.db, row);
    }
  } finally {
    subscription.close();
  }
}

async function currentRun(db: HubDb, runId: RunId): Promise<Run> {
  const row = await store.findRun(db, runId);
  if (row === undefined) throw notFound();
  return runOf(db, row);
}

function notFound(): AppError {
  return new AppError('not-found', 'There is no such run.');
}

async function runOf(db: HubDb, row: store.RunRow): Promise<Run> {
  const [rounds, tasks] = [await store.listRounds(db, row.run_id), await store.summariseTasks(db, row.run_id)];
  return {
    runId: row.run_id,
    projectId: row.project_id,
    state: row.state,
    plan: row.plan,
    ...(row.message === null ? {} : { message: row.message }),
    rounds: rounds.map((round) => store.roundOf(round, tasks)),
    ...(row.evaluation === null ? {} : { evaluation: row.evaluation }),
    createdBy: row.created_by,
    createdAt: row.created_at.toISOString(),
  };
}

function handleOf(row: store.RunRow): RunHandle {
  return { runId: row.run_id, state: row.state };
}

export async function stopRun(deps: AdvanceDeps, runId: RunId, person: Person): Promise<Run> {
  await deps.transaction(async (tx: HubTx) => {
    const found = await store.findRun(tx, runId);
    if (found === undefined) throw notFound();
    // The project first, as everybody who locks both: two orders could wait for each other.
    await openProject(tx, { projectId: found.project_id, person, states: ['submitted', 'closed', 'expired'] });
    const row = await store.lockRun(tx, runId);
    if (row === undefined) throw notFound();
    audit(deps, tx, { actor: person.userId, action: 'run.stop-asked', object: runId });
    await endRun(deps, tx, handleOf(row), { event: 'stop', message: `Stopped by ${person.name}.` });
  });
  return currentRun(deps.db, runId);
}

/** Stops every live run of a project, in the transaction that ends the project. */
export async function stopRunsOf(
  deps: AdvanceDeps,
  tx: HubTx,
  end: { projectId: ProjectId; message: string },
): Promise<void> {
  for (const row of await store.lockLiveRunsOf(tx, end.projectId)) {
    await endRun(deps, tx, handleOf(row), { event: 'stop', message: end.message });
  }
}

/** A run whose job failed for good: says so instead of standing still. A run that has ended is left as it is. */
export async function failBrokenRun(deps: AdvanceDeps, runId: RunId, error: AppError): Promise<void> {
  await deps.transaction(async (tx: HubTx) => {
    const row = await store.lockRun(tx, runId);
    if (row === undefined || isFinal(RUN_STATES, row.state)) return;
    await endRun(deps, tx, handleOf(row), { event: 'fail', message: `${error.code}: ${error.message}` });
  });
}
