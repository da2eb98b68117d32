/**
 * A run is let in at `prepare`: counted under the decision that allows it, and its rows held against those of every earlier run on
 * the dataset, in whatever version.
 *
 * Invariant: what is written here is committed before the answer is stored, and one run is let in at a time on a dataset, so
 * that two runs on nearly the same rows do not pass each other. The same run asked again, after a crash, is counted once. A run
 * that is refused for its rows counts, since the refusal is an answer about them.
 */
import {
  type Digest,
  type DisclosureFinding,
  type RoundTask,
  RUN_COUNT_MAX_DEFAULT,
  type RunStatisticsPolicy,
} from '@lantern/contract';
import { compareRows, nearRowsFinding, type ReleasedRows, type RowSet } from '@lantern/omop';
import type { Performed } from '../exchange/performer.ts';
import type { RoundPermission } from '../governance/policy.ts';
import type { SiteContext } from '../site-context.ts';
import type { SiteTx } from '../tables.ts';
import { refused, refusedByGate } from './refusal.ts';
import * as store from './store.ts';

export type ArrivingRun = {
  readonly task: RoundTask;
  readonly permission: RoundPermission;
  readonly dataset: string;
  /** Rows of which statistics may leave. */
  readonly held: readonly { readonly rowSet: RowSet; readonly rows: ReleasedRows }[];
};

/** `undefined`: the run is let in, and its rows are remembered. */
export async function letRunIn(deps: SiteContext, run: ArrivingRun): Promise<Performed | undefined> {
  return deps.database.transaction(async (tx: SiteTx) => {
    const spent = await countRun(deps, tx, run);
    if (spent !== undefined) return spent;
    await store.lockReleasedRows(tx, run.dataset);
    const { runStatistics } = run.permission.conditions;
    const fresh: ReleasedRows[] = [];
    const findings: DisclosureFinding[] = [];
    for (const { rowSet, rows } of run.held) {
      const novelty = await noveltyOf(tx, run.dataset, { rows, policy: runStatistics });
      if (novelty === 'near') findings.push(nearRowsFinding(rowSet, runStatistics));
      if (novelty === 'apart') fresh.push(rows);
    }
    if (findings.length > 0) return refusedByGate(findings);
    for (const rows of fresh) await store.insertReleasedRows(tx, { dataset: run.dataset, rows, at: deps.clock.now() });
    return undefined;
  });
}

async function countRun(
  deps: SiteContext,
  tx: SiteTx,
  { task, permission }: Pick<ArrivingRun, 'task' | 'permission'>,
): Promise<Performed | undefined> {
  const { runId, projectId } = task;
  const decisionDigest: Digest = permission.decisionDigest;
  const runCountMax = permission.conditions.runCountMax ?? RUN_COUNT_MAX_DEFAULT;
  await store.lockRunCount(tx, decisionDigest);
  if (await store.isCountedRun(tx, runId)) return undefined;
  if ((await store.countRuns(tx, decisionDigest)) >= runCountMax) {
    return refused(
      'policy.refused',
      `This site's decision allows ${runCountMax} runs, and they are used up; the governance lead may decide anew.`,
    );
  }
  await store.insertCountedRun(tx, { runId, projectId, decisionDigest, at: deps.clock.now() });
  return undefined;
}

async function noveltyOf(
  tx: SiteTx,
  dataset: string,
  { rows, policy }: { rows: ReleasedRows; policy: RunStatisticsPolicy },
): Promise<'near' | 'covered' | 'apart'> {
  let isCovered = false;
  for await (const earlier of store.streamReleasedRows(tx, dataset, {
    patientCount: rows.patients.count,
    reach: policy.patientCountMin,
  })) {
    const novelty = compareRows(rows, earlier, policy.patientCountMin);
    if (novelty === 'near') return 'near';
    if (novelty === 'covered') isCovered = true;
  }
  return isCovered ? 'covered' : 'apart';
}
