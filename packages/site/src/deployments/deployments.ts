/**
 * Deployments: a signed model version put to work at this site, on the word of its governance lead.
 *
 *   live ──stop──► stopped       (contract DEPLOYMENT_STATES)
 *
 * Invariant: what answers at a bedside is exactly what the hub signed. The envelope is opened with the hub's key, kept since
 * enrolment, and the files are compared with its digests, when the version is deployed, at every start and before every use.
 * What no longer fits is stopped there and then, with an audit record, and its service is gone from the discovery.
 */
import {
  AppError,
  type BlobRef,
  DEPLOYMENT_STATES,
  type Deployment,
  type DeploymentId,
  type ModelVersion,
  type ModelVersionId,
  ModelVersionSchema,
  PAYLOAD_TYPES,
  type RegisteredModelVersion,
  type SignedEnvelope,
  toAppError,
  transition,
} from '@lantern/contract';
import { type DeploymentPolicy, deploymentFindings, designNames } from '@lantern/deployment';
import { bundleDigest, type GraphExecutor } from '@lantern/runner';
import {
  type BlobStore,
  documentDigest,
  newId,
  openEnvelope,
  type SignerKey,
  type Tx,
  transactionOf,
} from '@lantern/service';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import {
  blobsOf,
  checkInstalled,
  createFileWatch,
  type FileWatch,
  type Predictor,
  predictorOf,
  servedDigests,
} from './installed-model.ts';
import { noticeRetirements } from './retirement.ts';
import * as store from './store.ts';

/** Where model versions come from: the hub, through the site's one outbound door. */
export type ModelSource = {
  readModelVersion(modelVersionId: ModelVersionId, signal: AbortSignal): Promise<RegisteredModelVersion>;
  /** Brings a blob into the site's store, checked against its digest. */
  fetchBlob(blob: BlobRef, signal: AbortSignal): Promise<void>;
};

export type DeploymentsDeps = Pick<SiteContext, 'database' | 'clock' | 'log'> & {
  readonly source: ModelSource;
  readonly blobs: BlobStore;
  readonly executor: GraphExecutor;
  readonly hubKey: SignerKey;
  readonly policy: DeploymentPolicy;
};

/** A deployment that was verified just now. */
export type LiveDeployment = {
  readonly deploymentId: DeploymentId;
  readonly serviceId: string;
  readonly version: ModelVersion;
  /** SHA-256 of the signed document. */
  readonly versionDigest: string;
  /** The hub has retired this version; it goes on answering until somebody here stops it. */
  readonly isRetired: boolean;
  readonly predict: Predictor;
};

export type NewDeployment = {
  readonly modelVersionId: ModelVersionId;
  readonly serviceId: string;
  readonly reason: string;
};

export type Deployments = {
  /** Fetches, checks and puts to work; a live version under the same service id is replaced in the same moment. */
  deploy(wanted: NewDeployment, person: { name: string; signal: AbortSignal }): Promise<Deployment>;
  list(): Promise<Deployment[]>;
  stop(deploymentId: DeploymentId, person: { name: string }): Promise<Deployment>;
  /** Every live deployment, verified; one that does not verify is stopped and left out. */
  live(): Promise<LiveDeployment[]>;
  /** Every deployment that ever answered under a service id, live or stopped. */
  idsOfService(serviceId: string): Promise<DeploymentId[]>;
  /** Learns from the hub which live versions were retired; see `retirement.ts`. */
  noticeRetirements(signal: AbortSignal): Promise<void>;
  /** `undefined`: no such service. Throws `envelope.rejected` or `storage.corrupt` once, and stops it. */
  findLive(serviceId: string): Promise<LiveDeployment | undefined>;
};

/** Failures that mean "not what was signed"; others (a busy disk, a lost database) pass. */
const TAMPERED: ReadonlySet<string> = new Set([
  'envelope.rejected',
  'storage.corrupt',
  'bundle.invalid',
  'tensor.invalid',
]);

type DeploymentTx = Tx<store.DeploymentTables>;
type Internals = DeploymentsDeps & {
  readonly db: store.DeploymentDb;
  readonly files: FileWatch;
  readonly predictors: Map<DeploymentId, Predictor>;
};

export function createDeployments(deps: DeploymentsDeps): Deployments {
  const db = deps.database.kysely<store.DeploymentTables>();
  const internals: Internals = { ...deps, db, files: createFileWatch(deps.blobs), predictors: new Map() };
  return {
    deploy: (wanted, person) => deploy(internals, wanted, person),
    list: async () => (await store.listDeployments(db)).map(shown),
    stop: (deploymentId, person) => stop(internals, deploymentId, person),
    async live() {
      const rows = await store.listLive(db);
      const verified = await Promise.all(rows.map((row) => verifiedOrStopped(internals, row).catch(() => undefined)));
      return verified.filter((deployment) => deployment !== undefined);
    },
    idsOfService: (serviceId) => store.listIdsOfService(db, serviceId),
    noticeRetirements: (signal) => noticeRetirements(internals, signal),
    async findLive(serviceId) {
      const row = await store.findLive(db, serviceId);
      return row === undefined ? undefined : verifiedOrStopped(internals, row);
    },
  };
}

function shown(row: store.DeploymentRow): Deployment {
  return {
    deploymentId: row.deployment_id,
    modelVersionId: row.model_version_id,
    model: row.model,
    version: row.version,
    serviceId: row.service_id,
    state: row.state,
    deployedBy: row.deployed_by,
    deployedAt: row.deployed_at.toISOString(),
    ...(row.retirement_noticed_at === null ? {} : { retirementNoticedAt: row.retirement_noticed_at.toISOString() }),
    envelope: row.envelope,
  };
}

async function deploy(
  deps: Internals,
  wanted: NewDeployment,
  person: { name: string; signal: AbortSignal },
): Promise<Deployment> {
  try {
    const registered = await deps.source.readModelVersion(wanted.modelVersionId, person.signal);
    const version = openVersion(deps.hubKey, registered.envelope);
    checkDocument(deps, { version, registered, wanted });
    for (const blob of blobsOf(version)) await deps.source.fetchBlob(blob, person.signal);
    await checkInstalled(version, deps.blobs);
    await triedPredictor(deps, version, person.signal);
    return await putToWork(deps, wanted, { version, envelope: registered.envelope, by: person.name });
  } catch (caught) {
    const { code, failureClass } = toAppError(caught);
    if (failureClass === 'permanent' && code !== 'internal')
      await auditRefusal(deps, wanted, { code, by: person.name });
    throw caught;
  }
}

/** The document inside, if the hub signed it. Throws `envelope.rejected`. */
function openVersion(hubKey: SignerKey, envelope: SignedEnvelope): ModelVersion {
  return openEnvelope(envelope, {
    payloadType: PAYLOAD_TYPES.modelVersion,
    schema: ModelVersionSchema,
    signer: hubKey,
  });
}

function checkDocument(
  deps: Internals,
  { version, registered, wanted }: { version: ModelVersion; registered: RegisteredModelVersion; wanted: NewDeployment },
): void {
  if (version.modelVersionId !== wanted.modelVersionId) {
    throw new AppError('envelope.rejected', 'The hub sent another model version than the one asked for.');
  }
  if (bundleDigest(version.manifest) !== version.bundleDigest) {
    throw new AppError('envelope.rejected', 'The bundle digest is not that of the manifest in the document.');
  }
  const { policy } = deps;
  const findings = deploymentFindings({ version, state: registered.state, signatureVerified: true, policy });
  if (findings.length > 0) {
    throw new AppError('policy.refused', `Not deployed: ${findings.map(({ message }) => message).join(' ')}`);
  }
}

/**
 * The predictor, after one prediction for the mean patient: a model that cannot answer is found now, and the worker is warm
 * for the first patient.
 */
async function triedPredictor(deps: Internals, version: ModelVersion, signal?: AbortSignal): Promise<Predictor> {
  const predict = await predictorOf(version, deps);
  await predict(new Array<number>(designNames(version.features).length).fill(0), signal);
  return predict;
}

async function putToWork(
  deps: Internals,
  wanted: NewDeployment,
  { version, envelope, by }: { version: ModelVersion; envelope: SignedEnvelope; by: string },
): Promise<Deployment> {
  return deps.database.transaction(async (tx: DeploymentTx) => {
    const now = deps.clock.now();
    const replaced = await store.lockLive(tx, wanted.serviceId);
    if (replaced !== undefined) await move(tx, replaced, { event: 'stop', at: now });
    const row = await store.insertDeployment(tx, {
      deployment_id: newId('DeploymentId'),
      model_version_id: version.modelVersionId,
      model: version.model,
      version: version.version,
      service_id: wanted.serviceId,
      envelope,
      reason: wanted.reason,
      deployed_by: by,
      deployed_at: now,
    });
    await audit(deps, transactionOf<SiteTables>(tx), {
      actor: `user:${by}`,
      action: 'deployment.deploy',
      object: row.deployment_id,
      details: {
        modelVersionId: version.modelVersionId,
        versionDigest: documentDigest(version),
        serviceId: wanted.serviceId,
        ...(replaced === undefined ? {} : { replaced: replaced.deployment_id }),
      },
    });
    return shown(row);
  });
}

async function auditRefusal(
  deps: Internals,
  wanted: NewDeployment,
  { code, by }: { code: string; by: string },
): Promise<void> {
  await deps.database.transaction((tx: DeploymentTx) =>
    audit(deps, transactionOf<SiteTables>(tx), {
      actor: `user:${by}`,
      action: 'deployment.deploy',
      object: wanted.modelVersionId,
      outcome: 'refused',
      details: { serviceId: wanted.serviceId, code },
    }),
  );
}

async function move(
  tx: DeploymentTx,
  row: store.DeploymentRow,
  { event, at }: { event: 'stop'; at: Date },
): Promise<store.DeploymentRow> {
  const state = transition(DEPLOYMENT_STATES, { what: 'deployment', state: row.state, event });
  await store.setState(tx, row.deployment_id, { state, stoppedAt: at });
  return { ...row, state, stopped_at: at };
}

async function stop(deps: Internals, deploymentId: DeploymentId, person: { name: string }): Promise<Deployment> {
  return deps.database.transaction(async (tx: DeploymentTx) => {
    const row = await store.lockDeployment(tx, deploymentId);
    if (row === undefined) throw new AppError('not-found', 'There is no such deployment.');
    const stopped = await move(tx, row, { event: 'stop', at: deps.clock.now() });
    deps.predictors.delete(deploymentId);
    await audit(deps, transactionOf<SiteTables>(tx), {
      actor: `user:${person.name}`,
      action: 'deployment.stop',
      object: deploymentId,
      details: { serviceId: row.service_id },
    });
    return shown(stopped);
  });
}

async function verifiedOrStopped(deps: Internals, row: store.DeploymentRow): Promise<LiveDeployment> {
  try {
    return await verified(deps, row);
  } catch (caught) {
    const error = toAppError(caught);
    if (TAMPERED.has(error.code)) await reject(deps, row, error);
    throw error;
  }
}

/** Opens the envelope again and compares everything that could have been changed beside it. */
async function verified(deps: Internals, row: store.DeploymentRow): Promise<LiveDeployment> {
  const version = openVersion(deps.hubKey, row.envelope);
  const same =
    version.modelVersionId === row.model_version_id && version.model === row.model && version.version === row.version;
  if (!same) throw new AppError('envelope.rejected', 'The stored deployment names another version than its envelope.');
  for (const digest of servedDigests(version)) await deps.files.assertUnchanged(digest);
  const { deployment_id: deploymentId, service_id: serviceId } = row;
  const predict = deps.predictors.get(deploymentId) ?? (await triedPredictor(deps, version));
  deps.predictors.set(deploymentId, predict);
  const isRetired = row.retirement_noticed_at !== null;
  return { deploymentId, serviceId, version, versionDigest: documentDigest(version), isRetired, predict };
}

/** Takes out of use what is no longer what was signed. */
async function reject(deps: Internals, row: store.DeploymentRow, error: AppError): Promise<void> {
  deps.predictors.delete(row.deployment_id);
  deps.log.error(
    { err: error, deploymentId: row.deployment_id },
    'a deployment is not what was signed; it was stopped',
  );
  await deps.database.transaction(async (tx: DeploymentTx) => {
    const current = await store.lockDeployment(tx, row.deployment_id);
    if (current?.state !== 'live') return; // another request found it first
    await move(tx, current, { event: 'stop', at: deps.clock.now() });
    await audit(deps, transactionOf<SiteTables>(tx), {
      actor: 'site',
      action: 'deployment.reject',
      object: row.deployment_id,
      outcome: 'failure',
      details: { serviceId: row.service_id, code: error.code },
    });
  });
}
