/**
 * The bedside of a site for tests: real database, blob store, worker processes and sockets; the hub is the other party and is
 * played by a map of signed documents and blobs. The clock is turned by the test.
 */
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type ApiClient,
  type Digest,
  EVERYTHING,
  type FeatureSpec,
  type InputSource,
  type ModelVersion,
  type ModelVersionId,
  ModelVersionSchema,
  PAYLOAD_TYPES,
  parse,
  type RegisteredModelVersion,
  type SiteRole,
} from '@lantern/contract';
import { encodeTensors } from '@lantern/learning';
import { type BuiltBundle, buildAnalysisBundle, createGraphExecutor, type GraphExecutor } from '@lantern/runner';
import {
  type BlobStore,
  createHttpServer,
  createLogger,
  createMetrics,
  type Database,
  generateKeyPair,
  type HttpServer,
  type KeyPair,
  type ManualClock,
  manualClock,
  migrate,
  migrateService,
  newId,
  openBlobStore,
  openTestDatabase,
  sha256,
  signEnvelope,
} from '@lantern/service';
import { SignJWT } from 'jose';
import { createBedside } from '../src/bedside/bedside.ts';
import { createCdsClientVerifier } from '../src/bedside/cds-client.ts';
import { bedsideRoutes } from '../src/bedside/routes.ts';
import { createDeployments, type Deployments, type DeploymentsDeps } from '../src/deployments/deployments.ts';
import { deploymentRoutes } from '../src/deployments/routes.ts';
import { apiOf } from './site-harness.ts';

const NOW = '2026-03-15T12:00:00Z';
const ISSUER = 'https://ehr.test';

export type BedsideSite = {
  readonly url: string;
  readonly clock: ManualClock;
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly deployments: Deployments;
  readonly routes: HttpServer['routes'];
  readonly ehr: RecordSystem;
  as(role: SiteRole): ApiClient;
  /** A call of the record system with a fresh token for exactly this path. */
  call(path: string, body: unknown, token?: string): Promise<{ status: number; body: unknown }>;
  /** Deployments over the same database and files, as after a restart. */
  restarted(): Deployments;
  close(): Promise<void>;
};

export type RecordSystem = {
  readonly issuer: string;
  readonly publicKeyPem: string;
  readonly privateKey: KeyObject;
  token(audience: string, changes?: TokenChanges): Promise<string>;
};

export type TokenChanges = {
  readonly key?: KeyObject | Uint8Array;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
};

export type ScriptedRegistry = {
  readonly keyPair: KeyPair;
  readonly versions: Map<string, RegisteredModelVersion>;
  readonly blobs: Map<Digest, Uint8Array>;
  /** Signs and registers; gives the document. */
  release(changes?: Partial<ModelVersion>, state?: RegisteredModelVersion['state']): ModelVersion;
  /** What the hub answers; a test may put another answer in its place. */
  readModelVersion(modelVersionId: ModelVersionId): Promise<RegisteredModelVersion>;
};

export async function startBedsideSite(registry: ScriptedRegistry): Promise<BedsideSite> {
  const dir = await mkdtemp(path.join(tmpdir(), 'lantern-bedside-'));
  const database = await openTestDatabase('bedside');
  await migrateService(database);
  await migrate(database, { name: 'site', dir: fileURLToPath(new URL('../migrations', import.meta.url)) });
  const clock = manualClock(NOW);
  const blobs = await openBlobStore({ dir: path.join(dir, 'blobs') });
  const executor = createGraphExecutor();
  const deps = deploymentDeps(registry, { database, clock, blobs, executor });
  const deployments = createDeployments(deps);
  const ehr = recordSystem(clock);
  const http = await serve({ deployments, database, clock });
  const site: BedsideSite = {
    url: http.url,
    clock,
    database,
    blobs,
    deployments,
    routes: http.server.routes,
    ehr,
    as: (role) => apiOf(http.url, `token-${role}`),
    call: async (target, body, token) =>
      callAs(`${http.url}${target}`, body, token ?? (await ehr.token(`${http.url}${target}`))),
    restarted: () => createDeployments(deps),
    async close() {
      await http.server.close();
      await executor.close();
      await database.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
  return site;
}

async function callAs(url: string, body: unknown, token: string): Promise<{ status: number; body: unknown }> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  const answered: unknown = await response.json();
  return { status: response.status, body: answered };
}

function deploymentDeps(
  registry: ScriptedRegistry,
  parts: { database: Database; clock: ManualClock; blobs: BlobStore; executor: GraphExecutor },
): DeploymentsDeps {
  return {
    ...parts,
    log: createLogger({ name: 'bedside-test', level: 'silent' }),
    hubKey: registry.keyPair,
    policy: { aucMin: 0.6, siteCountMin: 1 },
    source: {
      readModelVersion: (modelVersionId) => registry.readModelVersion(modelVersionId),
      async fetchBlob({ digest }) {
        const bytes = registry.blobs.get(digest);
        if (bytes === undefined) throw new TypeError('The test did not store this blob.');
        if (!(await parts.blobs.has(digest))) await parts.blobs.putExpected(digest, bytes);
      },
    },
  };
}

async function serve(parts: {
  deployments: Deployments;
  database: Database;
  clock: ManualClock;
}): Promise<{ server: HttpServer; url: string }> {
  let url = '';
  const server = await createHttpServer({
    routes: [...deploymentRoutes(parts.deployments), ...bedsideRoutes(createBedside(parts))],
    authenticators: {
      token: async (token) => {
        const role = /^token-(.+)$/.exec(token)?.[1];
        return role === undefined ? undefined : { userId: newId('UserId'), name: `test.${role}`, roles: [role] };
      },
      cdsClient: createCdsClientVerifier({ ...parts, publicUrl: () => url }),
    },
    log: createLogger({ name: 'bedside-test', level: 'silent' }),
    metrics: createMetrics('bedside-test'),
    clock: parts.clock,
    title: 'Bedside',
    version: '0.0.0',
  });
  url = await server.listen({ host: '127.0.0.1', port: 0 });
  return { server, url };
}

function recordSystem(clock: ManualClock): RecordSystem {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
  return {
    issuer: ISSUER,
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    privateKey,
    token(audience, changes = {}) {
      const nowS = Math.floor(clock.now().getTime() / 1000);
      const claims = { iss: ISSUER, aud: audience, iat: nowS, exp: nowS + 120, jti: randomUUID(), ...changes.claims };
      const given = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
      const header = { alg: 'ES384', typ: 'JWT', ...changes.header };
      return new SignJWT(given).setProtectedHeader(header).sign(changes.key ?? privateKey);
    },
  };
}

const CHOLESTEROL = { system: 'http://loinc.org', code: '2093-3', display: 'Cholesterol' };

const FEATURES: FeatureSpec = {
  dataset: 'heart',
  features: [
    { kind: 'numeric', column: 'age' },
    { kind: 'numeric', column: 'chol' },
    { kind: 'one-hot', column: 'sex', categories: ['0', '1'], dropFirst: true },
  ],
  label: {
    name: 'disease',
    positiveWhen: { kind: 'compare', column: 'num', operator: '>', value: 0 },
    columns: ['num'],
  },
  trainWhere: EVERYTHING,
  testWhere: EVERYTHING,
  missing: 'drop-row',
};
export const FEATURE_COUNT = 3;

const INPUTS: InputSource[] = [
  { kind: 'patient-age', column: 'age' },
  { kind: 'patient-gender', column: 'sex', categories: { female: '0', male: '1' } },
  {
    kind: 'observation-quantity',
    column: 'chol',
    codings: [CHOLESTEROL],
    units: [{ unit: 'mg/dL', factor: 1 }],
    range: { min: 50, max: 600 },
    ageMaxDays: 365,
  },
];

/** Intercept first; then age, chol, sex=1. */
export const THETA = [-0.25, 0.75, 0.5, 1.25];
export const STANDARDISATION = { mean: [54, 220, 0.7], stdDev: [9, 40, 0.5] };

function logisticBundle(): BuiltBundle {
  const analysis = { kind: 'logistic-regression', ridge: 1, damping: 1 };
  return buildAnalysisBundle({ name: 'lr', version: '1.0.0', description: 'Logistic regression', analysis });
}

export function thetaBytes(theta: readonly number[] = THETA): Uint8Array {
  return encodeTensors({ theta: { dtype: 'F64', shape: [theta.length], data: Float64Array.from(theta) } });
}

export function createRegistry(): ScriptedRegistry {
  const keyPair = generateKeyPair();
  const versions = new Map<string, RegisteredModelVersion>();
  const blobs = new Map<Digest, Uint8Array>();
  const weights = thetaBytes();
  blobs.set(sha256(weights), weights);
  return {
    keyPair,
    versions,
    blobs,
    async readModelVersion(modelVersionId) {
      const version = versions.get(modelVersionId);
      if (version === undefined) throw new TypeError('The test did not release this version.');
      return version;
    },
    release(changes = {}, state = 'released') {
      const version = { ...documentWith(weights), ...changes };
      const { modelVersionId, model } = version;
      const envelope = signEnvelope({ payloadType: PAYLOAD_TYPES.modelVersion, payload: version, keyPair });
      versions.set(modelVersionId, { modelVersionId, model, version: version.version, state, envelope });
      return version;
    },
  };
}

function documentWith(weights: Uint8Array): ModelVersion {
  const { manifest, bundleDigest } = logisticBundle();
  const siteId = newId('SiteId');
  const digest = sha256('a document of the test');
  const column = { description: 'd', missingAllowed: true };
  const document: unknown = {
    schema: 'lantern.model-version/1',
    modelVersionId: newId('ModelVersionId'),
    model: 'heart',
    version: 1,
    weights: { digest: sha256(weights), sizeBytes: weights.byteLength },
    manifest,
    bundleDigest,
    features: FEATURES,
    datasetSchema: {
      name: 'heart',
      title: 'Heart',
      description: 'Test data',
      missingMarks: [],
      columns: [
        { kind: 'number', name: 'age', unit: 'a', range: { min: 18, max: 110 }, ...column },
        { kind: 'number', name: 'chol', unit: 'mg/dL', range: { min: 0, max: 1000 }, ...column },
        {
          kind: 'category',
          name: 'sex',
          categories: [
            { value: '0', meaning: 'female' },
            { value: '1', meaning: 'male' },
          ],
          ...column,
        },
        { kind: 'number', name: 'num', unit: '1', range: { min: 0, max: 4 }, ...column },
      ],
    },
    featureNames: ['age', 'chol', 'sex=1'],
    standardisation: STANDARDISATION,
    inputs: INPUTS,
    lineage: {
      projectId: newId('ProjectId'),
      projectDigest: digest,
      runId: newId('RunId'),
      plan: {
        algorithm: 'lr',
        rounds: 4,
        standardisation: 'pooled',
        seed: 1,
        sites: [siteId],
        quorum: 1,
        stragglerWaitMs: 0,
        weightSitesBy: 'rows',
      },
      rounds: [],
      sites: [{ siteId, name: 'North', decisionDigests: [digest], trainRowCount: 100 }],
    },
    evaluation: { combined: { rowCount: 50, auc: 0.81 }, sites: [] },
    card: { title: 'Heart', intendedUse: 'u', notFor: 'n', limits: ['l'], outcome: 'coronary disease', contact: 'c' },
    createdBy: 'researcher',
    createdAt: NOW,
  };
  return parse(ModelVersionSchema, document, { what: 'test version' });
}

/** What a record system would prefetch: a man of 63 with a cholesterol of 260. */
export function record(
  patientId: string,
  changes: { cholesterol?: number; gender?: string } = {},
): Record<string, unknown> {
  const { cholesterol = 260, gender = 'male' } = changes;
  const observation = {
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [CHOLESTEROL] },
    subject: { reference: `Patient/${patientId}` },
    effectiveDateTime: '2026-03-01T09:00:00Z',
    valueQuantity: { value: cholesterol, system: 'http://unitsofmeasure.org', code: 'mg/dL', unit: 'mg/dL' },
  };
  return {
    patient: { resourceType: 'Patient', id: patientId, gender, birthDate: '1962-06-01' },
    observations: { resourceType: 'Bundle', type: 'searchset', entry: [{ resource: observation }] },
  };
}

export function request(patientId: string, prefetch?: unknown): Record<string, unknown> {
  return {
    hook: 'patient-view',
    hookInstance: randomUUID(),
    context: { userId: 'Practitioner/1', patientId },
    ...(prefetch === undefined ? {} : { prefetch }),
  };
}
