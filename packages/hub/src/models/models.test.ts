import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type Digest,
  HUB_API,
  type InputSource,
  ModelVersionSchema,
  type NewModelVersion,
  PAYLOAD_TYPES,
  pathOf,
  RetirementSchema,
  type Run,
  type RunPlan,
} from '@lantern/contract';
import { loadOrCreateKeyPair, openEnvelope, sha256 } from '@lantern/service';
import { HEART_COLUMNS, loadHeartDisease } from '../../test/heart-disease.ts';
import { analysisScript } from '../../test/learning-site.ts';
import { refused } from '../../test/refusal.ts';
import { startTestHub, type TestHub, type TestPerson } from '../../test/running-hub.ts';
import { joinSite, type ScriptedSite } from '../../test/scripted-site.ts';
import { endOfRun, planOf, registerAnalysis, schemaOf, submitStudy } from '../../test/study.ts';

const INPUTS: InputSource[] = HEART_COLUMNS.map((column) => ({
  kind: 'observation-quantity',
  column,
  codings: [{ system: 'http://loinc.org', code: '2093-3' }],
  units: [{ unit: '1', factor: 1 }],
  range: { min: -10_000, max: 10_000 },
  ageMaxDays: 30,
}));
const CARD = {
  title: 'Risk of heart disease',
  intendedUse: 'to test the registry',
  notFor: 'patients',
  limits: ['small data'],
  outcome: 'any narrowing above 50 %',
  contact: 'the authors',
};

type Finished = { hub: TestHub; sites: ScriptedSite[]; run: Run; maker: TestPerson };

async function finishedRun(t: TestContext, plan: Partial<RunPlan>): Promise<Finished> {
  const hub = await startTestHub(t);
  const centres = loadHeartDisease().slice(0, 2);
  const sites: ScriptedSite[] = [];
  for (const centre of centres) sites.push(await joinSite(hub, centre.name));
  const bundleDigest = await registerAnalysis(hub.admin, { kind: 'logistic-regression', ridge: 1, damping: 1 });
  const maker = await hub.person('maria', 'researcher');
  const project = await submitStudy(maker, { sites, bundleDigest });
  const { runId } = await maker.api.call(HUB_API.createRun, {
    params: { projectId: project.projectId },
    body: planOf(sites, { rounds: 2, standardisation: 'pooled', ...plan }),
  });
  const stops = sites.map((site, index) => site.serve(analysisScript(centres[index] ?? assert.fail())));
  const run = await endOfRun(hub.admin, runId);
  for (const stop of stops) await stop();
  assert.equal(run.state, 'completed', run.message);
  return { hub, sites, run, maker };
}

const wanted = (run: Run, change: Partial<NewModelVersion> = {}): NewModelVersion => ({
  runId: run.runId,
  model: 'heart-risk',
  inputs: INPUTS,
  card: CARD,
  ...change,
});

test('a model version carries weights, features, standardisation, lineage and metrics under the signature of the hub', async (t) => {
  const { hub, sites, run } = await finishedRun(t, {});
  const body = wanted(run);
  const first = await hub.admin.api.call(HUB_API.releaseModelVersion, { body });
  const sameAgain = await hub.admin.api.call(HUB_API.releaseModelVersion, { body });
  assert.deepEqual(sameAgain, first, 'the same request again is the same version');
  const card = { ...CARD, contact: 'somebody else' };
  const second = await hub.admin.api.call(HUB_API.releaseModelVersion, { body: { ...body, card } });
  const other = await hub.admin.api.call(HUB_API.releaseModelVersion, { body: { ...body, model: 'other' } });
  assert.deepEqual([first.version, second.version, other.version], [1, 2, 1]);

  const [zurich] = sites;
  assert.ok(zurich !== undefined);
  const params = { modelVersionId: first.modelVersionId };
  const { envelope } = await zurich.api.call(HUB_API.siteReadModelVersion, { params });
  const signer = await loadOrCreateKeyPair(join(hub.dataDir, 'hub.key'));
  const trusted = { payloadType: PAYLOAD_TYPES.modelVersion, schema: ModelVersionSchema, signer };
  const version = openEnvelope(envelope, trusted);
  const last = run.rounds.findLast((round) => round.step === 'newton');
  assert.equal(version.weights.digest, last?.weightsDigest);
  assert.equal(sha256(await zurich.readBlob(version.weights.digest)), version.weights.digest);
  assert.deepEqual(version.featureNames, [...HEART_COLUMNS]);
  assert.deepEqual(version.datasetSchema, schemaOf());
  assert.equal(version.standardisation.mean.length, HEART_COLUMNS.length);
  assert.ok(version.standardisation.stdDev.every((value) => value > 0));
  assert.deepEqual(version.evaluation, run.evaluation);
  assert.deepEqual(
    version.lineage.rounds.map((round) => [round.step, round.sites.length, round.answerDigests.length]),
    run.rounds.map((round) => [round.step, 2, 2]),
  );
  assert.deepEqual(
    version.lineage.sites.map((site) => site.trainRowCount).sort(),
    loadHeartDisease()
      .slice(0, 2)
      .map((centre) => centre.train.labels.length)
      .sort(),
  );
  const payload = Buffer.from(envelope.payload, 'base64')
    .toString()
    .replace('"notFor":"patients"', '"notFor":"anybody"');
  const changed = { ...envelope, payload: Buffer.from(payload).toString('base64') };
  assert.throws(() => openEnvelope(changed, trusted), /signature/i);
});

test('a run that standardised per site, or that did not complete, cannot be released, and the reason is given', async (t) => {
  const { hub, run, sites } = await finishedRun(t, { standardisation: 'per-site' });
  const release = (body: NewModelVersion) => hub.admin.api.call(HUB_API.releaseModelVersion, { body });
  await refused(release(wanted(run)), 'input.invalid', /per site.*no one standardisation/);
  const going = await hub.admin.api.call(HUB_API.createRun, {
    params: { projectId: run.projectId },
    body: planOf(sites, {}),
  });
  await refused(release(wanted(going)), 'input.invalid', /only a completed run/);
});

test('every column of a feature needs one source, and none may be left over', async (t) => {
  const { hub, run } = await finishedRun(t, { standardisation: 'none' });
  const release = (inputs: InputSource[]) =>
    hub.admin.api.call(HUB_API.releaseModelVersion, { body: wanted(run, { inputs }) });
  await refused(release(INPUTS.slice(1)), 'input.invalid', /no source for column age/);
  await refused(release([...INPUTS, ...INPUTS.slice(0, 1)]), 'input.invalid', /source already/);
  await refused(release([...INPUTS, { kind: 'patient-age', column: 'weight' }]), 'input.invalid', /no feature/);
  const plain = await release(INPUTS);
  const document = JSON.parse(Buffer.from(plain.envelope.payload, 'base64').toString());
  assert.deepEqual(
    document.standardisation.stdDev,
    HEART_COLUMNS.map(() => 1),
    'identity when nothing was scaled',
  );
});

test('a retired version stays readable, is not retired twice, and only its maker or an administrator retires it', async (t) => {
  const { hub, run } = await finishedRun(t, {});
  const { modelVersionId } = await hub.admin.api.call(HUB_API.releaseModelVersion, { body: wanted(run) });
  const params = { modelVersionId };
  const rosa = await hub.person('rosa', 'researcher');
  await refused(rosa.api.call(HUB_API.retireModelVersion, { params }), 'auth.forbidden');
  await refused(rosa.api.call(HUB_API.releaseModelVersion, { body: wanted(run) }), 'auth.forbidden', /creator/);
  const { state, retirement } = await hub.admin.api.call(HUB_API.retireModelVersion, { params });
  assert.equal(state, 'retired');
  const signer = await loadOrCreateKeyPair(join(hub.dataDir, 'hub.key'));
  const trusted = { payloadType: PAYLOAD_TYPES.retirement, schema: RetirementSchema, signer };
  const word = openEnvelope(retirement ?? assert.fail('unsigned'), trusted);
  assert.deepEqual([word.modelVersionId, word.retiredBy], [modelVersionId, 'admin']);
  await refused(hub.admin.api.call(HUB_API.retireModelVersion, { params }), 'state.transition-refused');
  const { modelVersions } = await rosa.api.call(HUB_API.listModelVersions, {});
  assert.deepEqual(
    modelVersions.map((version) => version.state),
    ['retired'],
  );
  assert.match(await readFile(join(hub.dataDir, 'hub.key'), 'utf8'), /PRIVATE KEY/);
});

test('weights of a round are read by who made its project and by administrators, those of a model by everybody', async (t) => {
  const { hub, run, maker } = await finishedRun(t, {});
  const [first, last] = run.rounds.flatMap(({ weightsDigest }) => weightsDigest ?? []);
  assert.ok(first !== undefined && last !== undefined && first !== last);
  const read = async (person: TestPerson, digest: Digest) => {
    const { body } = await person.http.download(pathOf(HUB_API.readBlob, { digest }));
    assert.equal(sha256(Buffer.concat(await body.toArray())), digest);
  };
  const others = [await hub.person('otto', 'researcher'), await hub.person('vera', 'viewer')];
  for (const person of [maker, hub.admin]) for (const digest of [first, last]) await read(person, digest);
  for (const person of others) for (const digest of [first, last]) await refused(read(person, digest), 'not-found');
  await hub.admin.api.call(HUB_API.releaseModelVersion, { body: wanted(run) });
  for (const person of others) {
    await read(person, last);
    await refused(read(person, first), 'not-found');
  }
});
