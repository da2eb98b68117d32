/**
 * Whether the hub has retired a version that is at work here. The site asks, from time to time; what it learns is a warning in
 * the list of deployments and on every card, with an audit record. Nothing is taken out of use: whether a retired model goes on
 * answering is decided here, by the governance lead, and the hub's word is not signed.
 */
import { toAppError } from '@lantern/contract';
import { type Tx, transactionOf } from '@lantern/service';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import type { ModelSource } from './deployments.ts';
import * as store from './store.ts';

export type RetirementDeps = Pick<SiteContext, 'database' | 'clock' | 'log'> & {
  readonly db: store.DeploymentDb;
  readonly source: Pick<ModelSource, 'readModelVersion'>;
};

/** Asks the hub about every live deployment not yet known to be retired. Throws when the hub is out of reach. */
export async function noticeRetirements(deps: RetirementDeps, signal: AbortSignal): Promise<void> {
  for (const row of await store.listUnretired(deps.db)) {
    if (await isRetired(deps, row, signal)) await record(deps, row);
  }
}

async function isRetired(deps: RetirementDeps, row: store.DeploymentRow, signal: AbortSignal): Promise<boolean> {
  try {
    const { modelVersionId, state } = await deps.source.readModelVersion(row.model_version_id, signal);
    return modelVersionId === row.model_version_id && state === 'retired';
  } catch (caught) {
    const error = toAppError(caught);
    if (error.failureClass !== 'permanent') throw error;
    // A hub that no longer knows the version says nothing about it, and the others are still asked about.
    deps.log.warn({ err: error, deploymentId: row.deployment_id }, 'the hub does not say whether a version is retired');
    return false;
  }
}

async function record(deps: RetirementDeps, row: store.DeploymentRow): Promise<void> {
  await deps.database.transaction(async (tx: Tx<store.DeploymentTables>) => {
    if (!(await store.setRetirementNoticed(tx, row.deployment_id, deps.clock.now()))) return;
    await audit(deps, transactionOf<SiteTables>(tx), {
      actor: 'hub',
      action: 'deployment.version-retired',
      object: row.deployment_id,
      details: { modelVersionId: row.model_version_id, serviceId: row.service_id },
    });
  });
}
