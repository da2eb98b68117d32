import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type CdsCard,
  CdsResponseSchema,
  type CdsService,
  type Consultation,
  parse,
  SITE_API,
} from '@lantern/contract';
import { designNames, designRow } from '@lantern/deployment';
import { encodeRow, featureNames, standardise } from '@lantern/learning';
import { readAudit } from '@lantern/service';
import {
  type BedsideSite,
  createRegistry,
  record,
  request,
  STANDARDISATION,
  startBedsideSite,
  THETA,
} from '../../test/bedside-site.ts';

let site: BedsideSite;
const registry = createRegistry();
const SERVICE = '/cds-services/heart';

before(async () => {
  site = await startBedsideSite(registry);
  const { issuer, publicKeyPem } = site.ehr;
  await site.as('admin').call(SITE_API.registerCdsClient, { body: { issuer, publicKeyPem, algorithm: 'ES384' } });
  const { modelVersionId } = registry.release();
  await site.as('governance').call(SITE_API.deploy, { body: { modelVersionId, serviceId: 'heart', reason: 'test' } });
});
after(() => site.close());

async function card(patientId: string, prefetch: unknown): Promise<CdsCard> {
  const answer = await site.call(SERVICE, request(patientId, prefetch));
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { cards } = parse(CdsResponseSchema, answer.body, { what: 'CDS response' });
  assert.equal(cards.length, 1);
  assert.ok(cards[0]);
  return cards[0];
}

async function consultationOf(uuid: string): Promise<Consultation> {
  const { consultations } = await site.as('clinician').call(SITE_API.listConsultations, {});
  const found = consultations.find(({ cardUuid }) => cardUuid === uuid);
  assert.ok(found);
  return found;
}

describe('discovery', () => {
  test('names the service with its prefetch templates and no empty member', async () => {
    const response = await fetch(`${site.url}/cds-services`);
    const { services } = (await response.json()) as { services: CdsService[] };
    assert.deepEqual(services, [
      {
        hook: 'patient-view',
        id: 'heart',
        title: 'Heart, version 1',
        description: 'Estimated probability of coronary disease. u',
        prefetch: {
          patient: 'Patient/{{context.patientId}}',
          observations: 'Observation?patient={{context.patientId}}&code=http%3A%2F%2Floinc.org%7C2093-3',
        },
        usageRequirements:
          'Not for: n Comments in feedback (userComment) are not kept; keep them in the record system.',
      },
    ]);
  });
});

describe('a call', () => {
  test('answers the risk of the logistic model for this patient, with what it was computed from', async () => {
    const answered = await card('p-1', record('p-1'));
    const x = [(63 - 54) / 9, (260 - 220) / 40, (1 - 0.7) / 0.5];
    const score = x.reduce((sum, value, index) => sum + value * (THETA[index + 1] ?? 0), THETA[0] ?? 0);
    const percent = Math.round(100 / (1 + Math.exp(-score)));
    assert.equal(answered.summary, `${percent}% probability of coronary disease`);
    assert.ok(answered.detail?.includes('| Cholesterol | 260 mg/dL | 2026-03-01T09:00:00Z |'));
    assert.ok(answered.detail?.includes('| Age | 63 years | - |'));
    const kept = await consultationOf(answered.uuid);
    assert.equal(kept.result, 'risk');
    assert.equal(kept.at, site.clock.now().toISOString());
  });

  test('answers what is missing, without a risk', async () => {
    const { patient } = record('p-1');
    const answered = await card('p-1', { patient, observations: null });
    assert.equal(answered.summary, 'No risk computed: 1 missing (Cholesterol)');
    assert.ok(!JSON.stringify(answered).includes('%'));
    assert.equal((await consultationOf(answered.uuid)).result, 'input-missing');
  });

  test('answers what is impossible, without a risk', async () => {
    const answered = await card('p-1', record('p-1', { cholesterol: 6000 }));
    assert.equal(answered.summary, 'No risk computed: 1 not usable (Cholesterol)');
    assert.equal((await consultationOf(answered.uuid)).result, 'input-impossible');
  });

  test('never answers with the record of another patient', async () => {
    const answered = await card('p-2', record('p-1'));
    assert.match(answered.summary, /^No risk computed: 1 not usable \(Patient\)/);
    assert.equal((await consultationOf(answered.uuid)).result, 'input-impossible');
  });

  test('of another hook is refused as 400, of another service as 404', async () => {
    const other = { ...request('p-1', record('p-1')), hook: 'order-select' };
    assert.equal((await site.call(SERVICE, other)).status, 400);
    assert.equal((await site.call('/cds-services/lungs', request('p-1', record('p-1')))).status, 404);
  });

  test('without the prefetch it needs is refused as 412, with what is not FHIR as 400', async () => {
    const { patient } = record('p-1');
    assert.equal((await site.call(SERVICE, request('p-1'))).status, 412);
    assert.equal((await site.call(SERVICE, request('p-1', { patient }))).status, 412);
    assert.equal((await site.call(SERVICE, request('p-1', { patient, observations: patient }))).status, 400);
    assert.equal((await site.call(SERVICE, { hook: 'patient-view' })).status, 400);
  });

  test('answers what is missing when the record system could not read it, and quotes nothing of its words', async () => {
    const outcome = {
      resourceType: 'OperationOutcome',
      issue: [{ severity: 'error', code: 'forbidden', diagnostics: 'secret-diagnostics' }],
    };
    const { patient, observations } = record('p-1');
    for (const prefetch of [
      { patient, observations: outcome },
      { patient: outcome, observations },
    ]) {
      const answered = await card('p-1', prefetch);
      assert.match(answered.summary, /^No risk computed: 1 missing \((Patient|Observations)\)$/);
      assert.ok(!JSON.stringify(answered).includes('secret-diagnostics'));
      assert.equal((await consultationOf(answered.uuid)).result, 'input-missing');
    }
  });

  test('takes results that name the patient in full, on the base of the request', async () => {
    const prefetch = JSON.parse(
      JSON.stringify(record('p-1')).replaceAll('"Patient/p-1"', '"https://fhir.test/r4/Patient/p-1/_history/2"'),
    );
    const ask = async (fhirServer: string) => {
      const { status, body } = await site.call(SERVICE, { ...request('p-1', prefetch), fhirServer });
      assert.equal(status, 200);
      return parse(CdsResponseSchema, body, { what: 'CDS response' }).cards[0]?.summary;
    };
    assert.match((await ask('https://fhir.test/r4')) ?? '', /probability/);
    assert.match((await ask('https://other.test/r4')) ?? '', /^No risk computed/);
  });

  test('may bring members that this service does not know', async () => {
    const more = {
      ...request('p-1', { ...record('p-1'), extra: { any: 'thing' } }),
      fhirServer: 'https://fhir.test',
      extension: {},
    };
    assert.equal((await site.call(SERVICE, more)).status, 200);
  });

  test('leaves no trace of the patient in the database', async () => {
    await card('token-9f3a71', record('token-9f3a71', { cholesterol: 217.375 }));
    const { rows } = await site.database.pool.query<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = 'public'",
    );
    for (const { name } of rows) {
      const { rows: found } = await site.database.pool.query<{ text: string }>(
        `select row_to_json(t)::text as text from "${name}" t`,
      );
      for (const { text } of found) assert.ok(!text.includes('token-9f3a71') && !text.includes('217.375'), name);
    }
  });
});

describe('feedback', () => {
  const send = (feedback: unknown) => site.call(`${SERVICE}/feedback`, { feedback });
  const AT = '2026-03-15T12:04:00.000Z';

  test('is kept with the consultation, and the same again changes nothing', async () => {
    const { uuid } = await card('p-1', record('p-1'));
    const word = { card: uuid, outcome: 'accepted', outcomeTimestamp: AT };
    assert.equal((await send([word])).status, 200);
    assert.equal((await send([word])).status, 200);
    const kept = await consultationOf(uuid);
    assert.deepEqual([kept.outcome, kept.outcomeAt, kept.overrideCode], ['accepted', AT, undefined]);
    assert.equal(kept.hasComment, undefined);
  });

  test('that comes late does not undo a later word', async () => {
    const { uuid } = await card('p-1', record('p-1'));
    const override = { reason: { code: 'input-wrong', system: 'urn:lantern:override-reasons' } };
    await send([{ card: uuid, outcome: 'overridden', overrideReason: override, outcomeTimestamp: AT }]);
    await send([{ card: uuid, outcome: 'accepted', outcomeTimestamp: '2026-03-15T12:03:59.000Z' }]);
    const kept = await consultationOf(uuid);
    assert.deepEqual([kept.outcome, kept.overrideCode], ['overridden', 'input-wrong']);
  });

  test("keeps neither a comment nor a record system's own code, which may name the patient", async () => {
    const { uuid } = await card('p-1', record('p-1'));
    const overrideReason = { reason: { code: 'secret-code-77' }, userComment: 'secret-comment-77' };
    await send([{ card: uuid, outcome: 'overridden', overrideReason, outcomeTimestamp: AT }]);
    const { overrideCode, hasComment } = await consultationOf(uuid);
    assert.deepEqual([overrideCode, hasComment], ['other', true], 'but that there was a comment');
    const { rows } = await site.database.pool.query<{ text: string }>(
      'select row_to_json(c)::text as text from consultation c',
    );
    assert.ok(rows.every(({ text }) => !text.includes('secret-')));
  });

  test('from the future is refused, so that it cannot outlast every word after it', async () => {
    const { uuid } = await card('p-1', record('p-1'));
    const nowMs = site.clock.now().getTime();
    const at = (aheadMs: number) => new Date(nowMs + aheadMs).toISOString();
    const word = { card: uuid, outcome: 'overridden', outcomeTimestamp: AT };
    const { status, body } = await send([word, { ...word, outcomeTimestamp: at(5 * 60_000 + 1) }]);
    assert.equal(status, 400);
    assert.match(JSON.stringify(body), /feedback\/1\/outcomeTimestamp/);
    assert.equal((await consultationOf(uuid)).outcome, undefined, 'all of it or none');
    assert.equal((await send([{ ...word, outcomeTimestamp: at(5 * 60_000) }])).status, 200, 'clocks differ a little');
  });

  test('that comes after the deployment was stopped or replaced is kept', async () => {
    const deploy = async (reason: string) => {
      const { modelVersionId } = registry.release();
      return site.as('governance').call(SITE_API.deploy, { body: { modelVersionId, serviceId: 'late', reason } });
    };
    const ask = async () => {
      const { status, body } = await site.call('/cds-services/late', request('p-1', record('p-1')));
      assert.equal(status, 200);
      const [given] = parse(CdsResponseSchema, body, { what: 'CDS response' }).cards;
      assert.ok(given);
      return given.uuid;
    };
    const word = (card: string) =>
      site.call('/cds-services/late/feedback', { feedback: [{ card, outcome: 'accepted', outcomeTimestamp: AT }] });
    await deploy('first');
    const first = await ask();
    const { deploymentId } = await deploy('second');
    const second = await ask();
    assert.equal((await word(first)).status, 200, 'replaced');
    await site.as('governance').call(SITE_API.stopDeployment, { params: { deploymentId } });
    assert.equal((await word(second)).status, 200, 'stopped');
    for (const uuid of [first, second]) assert.equal((await consultationOf(uuid)).outcome, 'accepted');
  });

  test('on a card of another service, or to a service that never was, is refused', async () => {
    const { modelVersionId } = registry.release();
    await site.as('governance').call(SITE_API.deploy, { body: { modelVersionId, serviceId: 'other', reason: 'test' } });
    const { uuid } = await card('p-1', record('p-1'));
    const feedback = [{ card: uuid, outcome: 'accepted', outcomeTimestamp: AT }];
    assert.equal((await site.call('/cds-services/other/feedback', { feedback })).status, 404);
    assert.equal((await site.call('/cds-services/never/feedback', { feedback })).status, 404);
    assert.equal((await consultationOf(uuid)).outcome, undefined);
  });

  test('on a card this site did not give is refused as a whole', async () => {
    const { uuid } = await card('p-1', record('p-1'));
    const words = [uuid, '00000000-0000-4000-8000-000000000000'].map((card) => ({
      card,
      outcome: 'accepted',
      outcomeTimestamp: AT,
    }));
    assert.equal((await send(words)).status, 404);
    assert.equal((await consultationOf(uuid)).outcome, undefined);
  });
});

test('the bedside encodes and standardises a row exactly as training does', () => {
  const version = registry.release();
  assert.deepEqual(designNames(version.features), featureNames(version.features));
  for (const values of [
    { age: 63, chol: 260, sex: '1' },
    { age: 20.5, chol: 0, sex: '0' },
    { age: 63, chol: 260, sex: '1.0' },
    { age: 63, chol: 260, sex: '2' },
    { age: 63, sex: '1' },
  ]) {
    const trained = encodeRow(version.features, values);
    const bedside = designRow(version.features, STANDARDISATION, new Map(Object.entries(values)));
    assert.equal(bedside.kind === 'row', trained.kind === 'complete');
    if (bedside.kind === 'row' && trained.kind === 'complete') {
      assert.deepEqual(bedside.values, [...standardise(trained.values, STANDARDISATION)]);
    }
  }
});

test('trusting a record system is in the audit log', async () => {
  const records = await readAudit(site.database, { after: 0, limit: 1000 });
  const trusted = records.find(({ action }) => action === 'cds-client.register');
  assert.deepEqual([trusted?.actor, trusted?.object], ['user:test.admin', site.ehr.issuer]);
});
