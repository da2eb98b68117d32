/** How a disturbed run must end: completed, with the bytes of the same run undisturbed, and with nothing done twice. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AppError,
  isFinal,
  RUN_STATES,
  type Run,
  SITE_API,
  SITE_TASK_STATES,
  type SiteActivity,
} from '@lantern/contract';
import { followRun } from '@lantern/lantern';
import { GRAPH_ROUNDS, type TestFederation, type TestSite } from './test-federation.ts';

/** Follows a run while parts of the federation come and go. */
export async function followThroughOutages(federation: TestFederation, started: Run): Promise<Run> {
  for (;;) {
    try {
      const run = await followRun(federation.admin, { runId: started.runId });
      if (isFinal(RUN_STATES, run.state)) return run;
    } catch (error) {
      unlessOutage(error);
      await delay(100); // the hub is away: a refused connection answers at once, and would be asked without end
    }
  }
}

/** The run completed with the bytes of the same run undisturbed, and nothing was done twice on the way. */
export async function assertAsUndisturbed(federation: TestFederation, disturbed: Run): Promise<void> {
  assert.equal(disturbed.state, 'completed', disturbed.message);
  assert.equal(weights(disturbed).length, GRAPH_ROUNDS);
  await assertNothingTwice(federation, disturbed);
  const { runId } = await federation.createRun('graph', disturbed.plan.seed);
  assert.deepEqual(weights(disturbed), weights(await followRun(federation.admin, { runId })));
}

/** Lets what passes by itself pass; anything else is thrown again. */
export function unlessOutage(error: unknown): undefined {
  if (error instanceof AppError && error.failureClass !== 'permanent') return undefined;
  throw error;
}

function weights(run: Run): string[] {
  return run.rounds.filter((round) => round.step === 'train').map((round) => round.weightsDigest ?? 'none');
}

async function assertNothingTwice(federation: TestFederation, run: Run): Promise<void> {
  for (const round of run.rounds) {
    assert.deepEqual(
      round.sites.map((site) => site.state),
      round.sites.map(() => 'answered'),
      `round ${round.number} (${round.step})`,
    );
  }
  for (const site of federation.sites) await assertEachTaskOnce(site, run);
}

async function assertEachTaskOnce(site: TestSite, run: Run): Promise<void> {
  const tasks = await settledTasks(site, run);
  assert.deepEqual(
    tasks.map((task) => task.round ?? 0).toSorted((a, b) => a - b),
    run.rounds.map((round) => round.number),
  );
  assert.ok(tasks.every((task) => task.state === 'delivered'));
}

/** An answer may have reached the hub while the database was away that notes it: the note follows, and is waited for. */
async function settledTasks(site: TestSite, run: Run): Promise<SiteActivity[]> {
  for (;;) {
    const { tasks } = await site.admin.api.call(SITE_API.listActivity, {});
    const ofRun = tasks.filter((task) => task.runId === run.runId);
    if (ofRun.every((task) => isFinal(SITE_TASK_STATES, task.state))) return ofRun;
    await delay(100);
  }
}
