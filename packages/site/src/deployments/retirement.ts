/**
 * Whether the hub has retired a version that is at work here. The site asks, from time to time; what it learns is a warning in
 * the list of deployments and on every card, with an audit record. The hub's word is signed like the version itself, and counts
 * only so: whoever stands between cannot put warnings on cards. Nothing is taken out of use: whether a retired model goes on
 * answering is decided here, by the governance lead.
 */
import { PAYLOAD_TYPES, RetirementSchema, type SignedEnvelope, toAppError } from '@lantern/contract';
import { openEnvelope, type SignerKey, type Tx, transactionOf } from '@lantern/service';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import type { ModelSource } from './deployments.ts';
import * as store from './store.ts';

export type RetirementDeps = Pick<SiteContext, 'database' | 'clock' | 'log'> & {
  readonly db: store.DeploymentDb;
  readonly source: Pick<ModelSource, 'readModelVersion'>;
  readonly hubKey: SignerKey;
};

/** Asks the hub about every live deployment not yet known to be retired. Throws when the hub is out of reach. */
export async function noticeRetirements(deps: RetirementDeps, signal: AbortSignal): Promise<void> {
  for (const row of await store.listUnretired(deps.db)) {
    if (await isRetired(deps, row, signal)) await record(deps, row);
  }
}

async function isRetired(deps: RetirementDeps, row: store.DeploymentRow, signal: AbortSignal): Promise<boolean> {
  try {
    const { retirement } = await deps.source.readModelVersion(row.model_version_id, signal);
    return retirement !== undefined && retiredVersionOf(deps, retirement) === row.model_version_id;
  } catch (caught) {
    const error = toAppError(caught);
    if (error.failureClass !== 'permanent') throw error;
    // No word, or none that the hub signed, says nothing about this version, and the others are still asked about.
    deps.log.warn({ err: error, deploymentId: row.deployment_id }, 'the hub does not say whether a version is retired');
    return false;
  }
}

/** Which version the hub retired. Throws `envelope.rejected` when somebody else says so. */
function retiredVersionOf({ hubKey }: RetirementDeps, retirement: SignedEnvelope): string {
  const trusted = { payloadType: PAYLOAD_TYPES.retirement, schema: RetirementSchema, signer: hubKey };
  return openEnvelope(retirement, trusted).modelVersionId;
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
