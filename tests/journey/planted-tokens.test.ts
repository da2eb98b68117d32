/**
 * Nothing of a patient is at the hub, nor in any log: random tokens stand in every identifying place of two hospitals' real
 * heart-disease tables and of a request from a bedside; a count, a run to a model version, a deployment and a consultation are
 * done; then every byte that the hub holds, and every log, is searched for them.
 *
 * The patients of one table share the beginning of their tokens, so that one search finds any of them.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError, HUB_API, type ProjectId, type ProjectSpec, type Run, SITE_API } from '@lantern/contract';
import { DATASET, FEATURES, followRun, HOSPITALS, hospitalCsv, INPUTS, pushBundle, uploadFile } from '@lantern/lantern';
import { buildGraphBundle } from '@lantern/runner';
import { createLogger, openDatabase } from '@lantern/service';
import { encodings } from '../../packages/site/test/token-encodings.ts';
import { postAsRecordSystem } from './record-system.ts';
import { TestFederation, type TestSite } from './test-federation.ts';

const ISSUER = 'https://ehr.journey.example';
const FEATURE_COUNT = 13;

/** Where a token stands -> the token. `control` is told to the hub on purpose: the search must find it. */
const planted = new Map<string, string>();

function plant(place: string): string {
  const token = `Q${randomBytes(9).toString('hex').toUpperCase()}`;
  planted.set(place, token);
  return token;
}

let federation: TestFederation;

before(async () => {
  federation = await TestFederation.start(2);
});
after(() => federation.stop());

describe('tokens planted in what a hospital knows of its patients', () => {
  it('are in no byte that the hub holds and in no log, after a count, a run, a deployment and a consultation', async () => {
    for (const [index, site] of federation.sites.entries()) await bringTables(site, index);
    const projectId = await approvedProject();
    await count(projectId);
    const run = await train(projectId);
    const modelVersionId = await release(run);
    await deployAndConsult(modelVersionId);

    const held = await everythingHeld();
    const found = [...planted].filter(([, token]) => encodings(token).some((form) => held.includes(form)));
    assert.deepEqual(
      found.map(([place]) => place),
      ['control: purpose of the project', 'control: contact on the card'],
    );
    assert.ok(planted.size > 12);
  });
});

/** A good table under a telling file name, and one whose fault is in a row that names its patient. */
async function bringTables(site: TestSite, index: number): Promise<void> {
  const hospital = HOSPITALS[index] ?? assert.fail();
  const key = { kind: 'patient-key' as const, name: 'patient', description: 'number of the patient' };
  const schema = { ...DATASET, columns: [key, ...DATASET.columns] };
  const id = plant(`patient key at ${site.key}`);
  const [header = '', ...rows] = (await hospitalCsv(hospital)).trimEnd().split('\n');
  const lines = [`patient,${header}`, ...rows.map((row, number) => `${id}${number},${row}`)];
  const broken = lines.with(7, `${plant(`key of a broken row at ${site.key}`)},${plant(`value at ${site.key}`)},1,1`);
  const bring = async (text: string, name: string) => {
    const file = path.join(federation.root, `${plant(`file name of ${name} at ${site.key}`)}.csv`);
    await writeFile(file, text);
    const upload = { offset: SITE_API.importOffset, append: SITE_API.appendImport };
    const digest = await uploadFile(site.admin, upload, file);
    const body = { schema, source: { digest, format: 'csv' as const }, feasibility: 'any-project' as const };
    return site.admin.api.call(SITE_API.registerDataset, { body });
  };
  await assert.rejects(
    bring(`${broken.join('\n')}\n`, 'a broken table'),
    (error) => error instanceof AppError && error.code === 'dataset.invalid',
  );
  await bring(`${lines.join('\n')}\n`, 'the table');
}

async function approvedProject(): Promise<ProjectId> {
  const bundle = buildGraphBundle({
    name: 'planted',
    version: '1.0.0',
    description: 'one layer',
    seed: 7,
    model: {
      featureCount: FEATURE_COUNT,
      layers: [{ kind: 'dense', units: 1, bias: true }],
      loss: 'sigmoid-cross-entropy',
      optimiser: { kind: 'sgd', momentum: 0 },
      batchSize: 16,
      proximal: false,
      control: false,
    },
  });
  const { admin, sites } = federation;
  const training = { strategies: ['fedavg' as const], learningRateMax: 0.05, epochsMax: 2 };
  const body: ProjectSpec = {
    title: 'Planted',
    purpose: `A test; ${plant('control: purpose of the project')}.`,
    sites: sites.map(({ siteId }) => siteId),
    datasets: [DATASET.name],
    algorithms: [
      { name: 'graph', bundleDigest: await pushBundle(admin, bundle), features: FEATURES, roundsMax: 5, training },
    ],
    egress: ['counts', 'cohort-size', 'moments', 'weight-update', 'evaluation'],
    privacy: { updateNormMax: 10 },
    expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
  };
  const { projectId } = await admin.api.call(HUB_API.createProject, { body });
  await admin.api.call(HUB_API.submitProject, { params: { projectId } });
  const runStatistics = { patientCountMin: 10, parameterRowRatioMax: 1, categoryPatientCountMin: 0 };
  for (const site of sites) {
    const decision = { verdict: 'approved' as const, reason: 'Public data.', runStatistics };
    await site.admin.api.call(SITE_API.decide, { params: { projectId }, body: decision });
  }
  return projectId;
}

async function count(projectId: ProjectId): Promise<void> {
  const filter = { kind: 'compare' as const, column: 'age', operator: '>=' as const, value: 50 };
  const body = { dataset: DATASET.name, filter, columns: ['age', 'sex'] };
  const { api } = federation.admin;
  const { questionId } = await api.call(HUB_API.askQuestion, { params: { projectId }, body });
  const query = { waitMs: 20_000 };
  let asked = await api.call(HUB_API.readQuestion, { params: { questionId }, query });
  while (!asked.complete) asked = await api.call(HUB_API.readQuestion, { params: { questionId }, query });
  assert.deepEqual(
    asked.answers.map((answer) => answer.body?.kind),
    ['summary', 'summary'],
  );
}

async function train(projectId: ProjectId): Promise<Run> {
  const body = {
    ...federation.plan('graph', 500),
    rounds: 2,
    local: { learningRate: 0.05, work: { kind: 'epochs' as const, count: 2 } },
  };
  const { runId } = await federation.admin.api.call(HUB_API.createRun, { params: { projectId }, body });
  const run = await followRun(federation.admin, { runId });
  assert.equal(run.state, 'completed', run.message);
  return run;
}

async function release({ runId }: Run) {
  const card = {
    title: 'Planted',
    intendedUse: 'to test',
    notFor: 'patients',
    limits: ['none known'],
    outcome: 'narrowing',
    contact: plant('control: contact on the card'),
  };
  const body = { runId, model: 'planted', inputs: INPUTS, card };
  return (await federation.admin.api.call(HUB_API.releaseModelVersion, { body })).modelVersionId;
}

/** The record system asks about a patient without results, and the clinician says why the card does not help. */
async function deployAndConsult(modelVersionId: Awaited<ReturnType<typeof release>>): Promise<void> {
  const site = federation.sites[0] ?? assert.fail();
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const publicKeyPem = String(publicKey.export({ type: 'spki', format: 'pem' }));
  const known = { issuer: ISSUER, publicKeyPem, algorithm: 'EdDSA' as const };
  await site.admin.api.call(SITE_API.registerCdsClient, { body: known });
  const client = { issuer: ISSUER, key: privateKey, siteUrl: site.process.url };
  const body = { modelVersionId, serviceId: 'planted', reason: 'To test.' };
  await site.admin.api.call(SITE_API.deploy, { body });
  const place = '/cds-services/planted';
  const id = plant('patient id at a bedside');
  const name = [{ family: plant('name at a bedside'), given: [plant('given name at a bedside')] }];
  const identifier = [{ system: 'urn:mrn', value: plant('record number at a bedside') }];
  const patient = { resourceType: 'Patient', id, name, identifier, gender: 'female', birthDate: '1960-02-03' };
  const { cards } = (await postAsRecordSystem(client, place, {
    hook: 'patient-view',
    hookInstance: randomUUID(),
    context: { userId: `Practitioner/${plant('user at a bedside')}`, patientId: id },
    prefetch: { patient, observations: { resourceType: 'Bundle', type: 'searchset', entry: [] } },
  })) as { cards: { uuid: string }[] };
  const overrideReason = { reason: { code: 'not-useful' }, userComment: plant('comment of a clinician') };
  const outcomeTimestamp = new Date().toISOString();
  const card = cards[0]?.uuid ?? assert.fail('no card');
  const feedback = [{ card, outcome: 'overridden', outcomeTimestamp, overrideReason }];
  await postAsRecordSystem(client, `${place}/feedback`, { feedback });
  // A request that is refused is where a careless server logs what it was sent.
  const refused = { hook: plant('hook of a refused request'), patient };
  await assert.rejects(postAsRecordSystem(client, place, refused), /400/);
}

/** The hub's database as text, its files (but those of the database, which are that text again), and the logs of all. */
async function everythingHeld(): Promise<Buffer> {
  const database = await dumpOfHub();
  assert.ok(database.includes('"planted"') && database.length > 100_000, 'the dump holds the project');
  const files = await filesBelow(federation.hub.dataDir, (file) => !file.includes('/postgres/'));
  assert.ok(files.some((file) => file.includes('/blobs/')));
  const logs = (await readdir(federation.root)).filter((name) => name.endsWith('.log'));
  assert.deepEqual(logs.sort(), ['hub.log', 'site-0.log', 'site-1.log']);
  const all = [...files, ...logs.map((name) => path.join(federation.root, name))];
  return Buffer.concat([Buffer.from(database), ...(await Promise.all(all.map((file) => readFile(file))))]);
}

async function filesBelow(dir: string, wanted: (file: string) => boolean): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  return files.filter(wanted);
}

/** Every row of every table, the queue among them, as SQL prints it. */
async function dumpOfHub(): Promise<string> {
  const [passwordFile] = await filesBelow(federation.hub.dataDir, (file) => path.basename(file) === 'password');
  const [pidFile] = await filesBelow(federation.hub.dataDir, (file) => path.basename(file) === 'postmaster.pid');
  const password = (await readFile(passwordFile ?? assert.fail('no password'), 'utf8')).trim();
  const [, , , port = '', host = ''] = (await readFile(pidFile ?? assert.fail('no server'), 'utf8')).split('\n');
  const url = `postgres://lantern:${password}@localhost/lantern?${new URLSearchParams({ host, port })}`;
  const log = createLogger({ name: 'dump', level: 'silent' });
  const database = await openDatabase({ url, applicationName: 'dump', log });
  try {
    const { rows: tables } = await database.pool.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    );
    assert.ok(tables.length > 15);
    const dumps: string[] = [];
    for (const { name } of tables) {
      const { rows } = await database.pool.query<{ row: string }>(`select each::text as row from ${name} as each`);
      dumps.push(...rows.map(({ row }) => row));
    }
    return dumps.join('\n');
  } finally {
    await database.close();
  }
}
