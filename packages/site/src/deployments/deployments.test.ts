import assert from 'node:assert/strict';
import { appendFile, chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import {
  AppError,
  BUNDLE_FILE_PATHS,
  type Deployment,
  type ErrorCode,
  type ModelVersion,
  PAYLOAD_TYPES,
  SITE_API,
} from '@lantern/contract';
import { buildGraphBundle } from '@lantern/runner';
import { assertRouteAuthorisation, generateKeyPair, readAudit, sha256, signEnvelope } from '@lantern/service';
import {
  type BedsideSite,
  createRegistry,
  FEATURE_COUNT,
  record,
  request,
  startBedsideSite,
  thetaBytes,
} from '../../test/bedside-site.ts';

let site: BedsideSite;
const registry = createRegistry();

before(async () => {
  site = await startBedsideSite(registry);
  const { issuer, publicKeyPem } = site.ehr;
  await site.as('admin').call(SITE_API.registerCdsClient, { body: { issuer, publicKeyPem, algorithm: 'ES384' } });
});
after(() => site.close());

let serviceCount = 0;
function newService(): string {
  serviceCount += 1;
  return `service-${serviceCount}`;
}

function deploy(version: Pick<ModelVersion, 'modelVersionId'>, serviceId = newService()): Promise<Deployment> {
  const { modelVersionId } = version;
  return site.as('governance').call(SITE_API.deploy, { body: { modelVersionId, serviceId, reason: 'For the ward.' } });
}

function fails(code: ErrorCode, message = /./) {
  return (error: unknown) => error instanceof AppError && error.code === code && message.test(error.message);
}

async function servedIds(): Promise<string[]> {
  const response = await fetch(`${site.url}/cds-services`);
  const { services } = (await response.json()) as { services: { id: string }[] };
  return services.map(({ id }) => id);
}

async function stateOf({ deploymentId }: Deployment): Promise<string | undefined> {
  const { deployments } = await site.as('governance').call(SITE_API.listDeployments, {});
  return deployments.find((one) => one.deploymentId === deploymentId)?.state;
}

async function auditOf(object: string): Promise<string[]> {
  const records = await readAudit(site.database, { after: 0, limit: 1000 });
  return records.filter((one) => one.object === object).map(({ action, outcome }) => `${action} ${outcome}`);
}

/** A graph version whose files the scripted hub has. */
function graphVersion(): ModelVersion {
  const bundle = buildGraphBundle({
    name: 'network',
    version: '1.0.0',
    description: 'Two layers',
    seed: 5,
    model: {
      featureCount: FEATURE_COUNT,
      layers: [{ kind: 'dense', units: 4, bias: true }, { kind: 'tanh' }, { kind: 'dense', units: 1, bias: true }],
      loss: 'sigmoid-cross-entropy',
      optimiser: { kind: 'sgd', momentum: 0 },
      batchSize: 8,
      proximal: false,
      control: false,
    },
  });
  for (const bytes of bundle.files.values()) registry.blobs.set(sha256(bytes), bytes);
  const weights = bundle.files.get(BUNDLE_FILE_PATHS.initialWeights) ?? new Uint8Array();
  return registry.release({
    manifest: bundle.manifest,
    bundleDigest: bundle.bundleDigest,
    weights: { digest: sha256(weights), sizeBytes: weights.byteLength },
  });
}

describe('deploying', () => {
  test('puts a version to work under its service id and writes it into the audit log', async () => {
    const version = registry.release();
    const deployment = await deploy(version);
    assert.equal(deployment.state, 'live');
    assert.equal(deployment.deployedBy, 'test.governance');
    assert.deepEqual(deployment.envelope, registry.versions.get(version.modelVersionId)?.envelope);
    assert.ok((await servedIds()).includes(deployment.serviceId));
    assert.deepEqual(await auditOf(deployment.deploymentId), ['deployment.deploy success']);
  });

  test('serves a graph as well as an analysis', async () => {
    const { serviceId } = await deploy(graphVersion());
    const answer = await site.call(`/cds-services/${serviceId}`, request('p-1', record('p-1')));
    assert.match(JSON.stringify(answer.body), /[0-9]+% probability of coronary disease/);
  });

  test('replaces the version under the same service id in one step', async () => {
    const first = await deploy(registry.release());
    const second = await deploy(registry.release({ version: 2 }), first.serviceId);
    assert.equal(await stateOf(first), 'stopped');
    assert.equal(await stateOf(second), 'live');
    assert.equal((await servedIds()).filter((id) => id === first.serviceId).length, 1);
  });

  test('two at once under one service id leave one of them live', async () => {
    const serviceId = newService();
    const versions = [registry.release(), registry.release()];
    const deployments = await Promise.all(versions.map((version) => deploy(version, serviceId)));
    const states = await Promise.all(deployments.map(stateOf));
    assert.deepEqual(states.sort(), ['live', 'stopped']);
  });

  test('is refused for a document another key signed, or that was changed', async () => {
    const version = registry.release();
    const registered = registry.versions.get(version.modelVersionId);
    assert.ok(registered);
    const foreign = signEnvelope({
      payloadType: PAYLOAD_TYPES.modelVersion,
      payload: version,
      keyPair: generateKeyPair(),
    });
    registry.versions.set(version.modelVersionId, { ...registered, envelope: foreign });
    await assert.rejects(deploy(version), fails('envelope.rejected'));
    const payload = Buffer.from(JSON.stringify({ ...version, version: 9 })).toString('base64');
    registry.versions.set(version.modelVersionId, { ...registered, envelope: { ...registered.envelope, payload } });
    await assert.rejects(deploy(version), fails('envelope.rejected'));
    assert.deepEqual(await auditOf(version.modelVersionId), ['deployment.deploy refused', 'deployment.deploy refused']);
  });

  test('is refused when the hub hands out another version than the one asked for', async () => {
    const asked = registry.release();
    const other = registry.versions.get(registry.release().modelVersionId);
    assert.ok(other);
    registry.versions.set(asked.modelVersionId, other);
    await assert.rejects(deploy(asked), fails('envelope.rejected', /another model version/));
  });

  test('is refused by the rules of this site, all named', async () => {
    const low = registry.release({ evaluation: { combined: { rowCount: 9, auc: 0.55 }, sites: [] } });
    await assert.rejects(deploy(low), fails('policy.refused', /AUC 0.550 is below this site's 0.6/));
    await assert.rejects(deploy(registry.release({}, 'retired')), fails('policy.refused', /is retired/));
    const inputs = registry.release().inputs.slice(1);
    await assert.rejects(deploy(registry.release({ inputs })), fails('policy.refused', /age has no input source/));
  });

  test('is refused for weights that are not the coefficients of this model', async () => {
    const weights = (bytes: Uint8Array) => {
      registry.blobs.set(sha256(bytes), bytes);
      return registry.release({ weights: { digest: sha256(bytes), sizeBytes: bytes.byteLength } });
    };
    await assert.rejects(deploy(weights(thetaBytes([1, 2, 3]))), fails('tensor.invalid', /F64 \[4\]/));
    await assert.rejects(deploy(weights(thetaBytes([1, 2, 3, Number.NaN]))), fails('tensor.invalid', /finite/));
    await assert.rejects(deploy(weights(Buffer.from('not tensors'))), fails('tensor.invalid'));
  });

  test('is refused for a manifest that is not the bundle the document names', async () => {
    const version = registry.release({ bundleDigest: sha256('another bundle') });
    await assert.rejects(deploy(version), fails('envelope.rejected', /bundle digest/));
  });
});

describe('stopping', () => {
  test('takes a service out of the discovery at once, and is final for this deployment', async () => {
    const deployment = await deploy(registry.release());
    const stop = () =>
      site.as('governance').call(SITE_API.stopDeployment, { params: { deploymentId: deployment.deploymentId } });
    assert.equal((await stop()).state, 'stopped');
    assert.ok(!(await servedIds()).includes(deployment.serviceId));
    assert.equal((await site.call(`/cds-services/${deployment.serviceId}`, request('p-1', record('p-1')))).status, 404);
    await assert.rejects(stop(), fails('state.transition-refused'));
    assert.deepEqual(await auditOf(deployment.deploymentId), ['deployment.deploy success', 'deployment.stop success']);
  });
});

describe('what is no longer what was signed', () => {
  const call = (deployment: Deployment) =>
    site.call(`/cds-services/${deployment.serviceId}`, request('p-1', record('p-1')));

  async function assertGone(deployment: Deployment): Promise<void> {
    assert.equal(await stateOf(deployment), 'stopped');
    assert.equal((await call(deployment)).status, 404);
    assert.ok(!(await servedIds()).includes(deployment.serviceId));
    assert.deepEqual(await auditOf(deployment.deploymentId), [
      'deployment.deploy success',
      'deployment.reject failure',
    ]);
  }

  test('a changed envelope in the database is found at the next call, stopped and recorded once', async () => {
    const deployment = await deploy(registry.release());
    assert.equal((await call(deployment)).status, 200);
    await site.database.pool.query(
      `update deployment set envelope = jsonb_set(envelope, '{payload}', to_jsonb(reverse(envelope->>'payload'))) where deployment_id = $1`,
      [deployment.deploymentId],
    );
    const answer = await call(deployment);
    assert.equal(answer.status, 422);
    assert.match(JSON.stringify(answer.body), /envelope\.rejected/);
    await assertGone(deployment);
  });

  test('the genuine envelope of another version under this deployment is found', async () => {
    const deployment = await deploy(registry.release());
    const other = registry.versions.get(registry.release({ version: 7 }).modelVersionId)?.envelope;
    await site.database.pool.query('update deployment set envelope = $2 where deployment_id = $1', [
      deployment.deploymentId,
      JSON.stringify(other),
    ]);
    assert.equal((await call(deployment)).status, 422);
    await assertGone(deployment);
  });

  test('a changed byte of the weights on disk is found before the next prediction', async () => {
    const bytes = thetaBytes([0.5, 0.25, 0.125, 2]);
    registry.blobs.set(sha256(bytes), bytes);
    const deployment = await deploy(
      registry.release({ weights: { digest: sha256(bytes), sizeBytes: bytes.byteLength } }),
    );
    assert.equal((await call(deployment)).status, 200);
    await rewrite(site.blobs.pathOf(sha256(bytes)));
    const answer = await call(deployment);
    assert.equal(answer.status, 500);
    assert.match(JSON.stringify(answer.body), /storage\.corrupt/);
    await assertGone(deployment);
  });

  test('a changed prediction graph is found at a restart, and the service is not offered again', async () => {
    const version = graphVersion();
    const deployment = await deploy(version);
    const predict = version.manifest.files.find(({ path }) => path === BUNDLE_FILE_PATHS.predict);
    assert.ok(predict);
    const file = site.blobs.pathOf(predict.digest);
    const original = await readFile(file);
    await rewrite(file);
    assert.ok((await site.restarted().live()).every(({ serviceId }) => serviceId !== deployment.serviceId));
    await assertGone(deployment);
    await writeFile(file, original);
  });

  test('weights that are gone take the service out', async () => {
    const bytes = thetaBytes([0.75, 0.25, 0.125, 2]);
    registry.blobs.set(sha256(bytes), bytes);
    const deployment = await deploy(
      registry.release({ weights: { digest: sha256(bytes), sizeBytes: bytes.byteLength } }),
    );
    await rm(site.blobs.pathOf(sha256(bytes)), { force: true });
    assert.ok(!(await servedIds()).includes(deployment.serviceId));
    await assertGone(deployment);
  });

  test('an untouched deployment survives a restart', async () => {
    const deployment = await deploy(registry.release());
    assert.ok((await site.restarted().live()).some(({ serviceId }) => serviceId === deployment.serviceId));
  });
});

async function rewrite(file: string): Promise<void> {
  await chmod(file, 0o600);
  const bytes = await readFile(file);
  const last = bytes.length - 1;
  bytes[last] = (bytes[last] ?? 0) ^ 1;
  await writeFile(file, bytes);
  await appendFile(file, '');
}

test('every route asks for the credential it declares', async () => {
  const roles = ['admin', 'governance', 'data-engineer', 'clinician'] as const;
  const tokensByRole = Object.fromEntries(roles.map((role) => [role, `token-${role}`]));
  await assertRouteAuthorisation({ server: site, url: site.url, tokensByRole });
});
