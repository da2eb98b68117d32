import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { manualClock } from '@lantern/service';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { startTestFhir, type TestFhir } from '../../test/fhir-harness.ts';
import { createBulkExport } from './bulk-export.ts';

const START = new Date('2026-11-27T12:00:00Z');
const clock = manualClock(START.toISOString());
let fhir: TestFhir;
before(async () => {
  fhir = await startTestFhir('fhir-export', { clock });
  for (const [type, id, more] of [
    ['Patient', 'p1', { gender: 'male' }],
    ['Patient', 'p2', {}],
    ['Observation', 'o1', { status: 'final', code: { text: 'x' }, valueQuantity: { value: 1 } }],
    ['Organization', 'org', { name: 'Ward' }],
  ] as const) {
    const { status } = await fhir.ask('PUT', `/${type}/${id}`, { body: { resourceType: type, id, ...more } });
    assert.equal(status, 201);
  }
});
after(() => fhir?.close());

const ASYNC = { prefer: 'respond-async' };
type Manifest = { readonly output: { readonly type: string; readonly url: string; readonly count: number }[] };

/** Asks as often as needed: the job runs beside. */
async function finished(statusUrl: string, token?: string): Promise<Manifest> {
  for (;;) {
    const { status, text } = await fhir.ask('GET', statusUrl, token === undefined ? {} : { token });
    if (status === 200) return JSON.parse(text);
    assert.equal(status, 202, text);
  }
}

async function exported(where: string): Promise<Manifest> {
  const { status, headers, text } = await fhir.ask('GET', where, { headers: ASYNC });
  assert.equal(status, 202, text);
  return finished(headers.get('content-location') ?? '');
}

describe('an export', () => {
  it('is polled, and its files hold every resource once', async () => {
    const { output } = await exported('/$export');
    assert.deepEqual(
      output.map(({ type, count }) => `${type} ${count}`),
      ['Observation 1', 'Organization 1', 'Patient 2'],
    );
    const lines = (await fhir.ask('GET', output[2]?.url ?? '')).text.trim().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).id),
      ['p1', 'p2'],
    );
  });

  it('of patients leaves out what belongs to none, and takes types', async () => {
    assert.deepEqual(
      (await exported('/Patient/$export')).output.map(({ type }) => type),
      ['Observation', 'Patient'],
    );
    assert.deepEqual(
      (await exported('/$export?_type=Organization')).output.map(({ type }) => type),
      ['Organization'],
    );
    assert.deepEqual((await exported('/$export?_since=2027-01-01T00:00:00Z')).output, []);
  });

  it('that failed for good says so to who polls it, and is not tried again', async () => {
    const { headers } = await fhir.ask('GET', '/$export', { headers: ASYNC });
    const statusUrl = headers.get('content-location') ?? '';
    await finished(statusUrl);
    const exportId = statusUrl.split('/').at(-1) ?? '';
    await fhir.database.pool.query(`update fhir_export set state = 'running' where export_id = $1`, [exportId]);
    const dir = await mkdtemp(path.join(tmpdir(), 'lantern-exports-'));
    try {
      const exports = await createBulkExport({ database: fhir.database, clock, dir });
      await exports.jobFailed({
        jobId: '1',
        name: 'fhir-export',
        payload: { exportId },
        error: new AppError('internal', 'x'),
      });
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
    const { status, text } = await fhir.ask('GET', statusUrl);
    assert.equal(status, 500);
    assert.equal(JSON.parse(text).resourceType, 'OperationOutcome');
  });

  it('is refused where it is not understood, and gone when it was cancelled', async () => {
    assert.equal((await fhir.ask('GET', '/$export')).status, 400);
    assert.equal((await fhir.ask('GET', '/$export?_typeFilter=x', { headers: ASYNC })).status, 400);
    assert.equal((await fhir.ask('GET', '/$export?_type=Toaster', { headers: ASYNC })).status, 400);
    const statusUrl = (await fhir.ask('GET', '/$export', { headers: ASYNC })).headers.get('content-location') ?? '';
    assert.equal((await fhir.ask('DELETE', statusUrl)).status, 202);
    assert.equal((await fhir.ask('GET', statusUrl)).status, 404);
  });
});

describe('a program with SMART backend services', () => {
  const clientId = 'https://analytics.example';
  const audience = () => `${fhir.url}/fhir/auth/token`;
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;

  before(async () => {
    keys = await generateKeyPair('ES384', { extractable: true });
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'ES384' };
    const response = await fetch(`${fhir.url}/api/v1/fhir-clients`, {
      method: 'POST',
      headers: { authorization: `Bearer ${fhir.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ clientId, jwks: { keys: [jwk] }, scopes: ['system/Patient.read'] }),
    });
    assert.equal(response.status, 201, await response.text());
  });

  type Claims = { readonly jti: string; readonly aud?: string; readonly exp?: number; readonly iss?: string };
  async function assertion(
    { jti, aud = audience(), exp = START.getTime() / 1000 + 200, iss = clientId }: Claims,
    key = keys.privateKey,
  ): Promise<string> {
    return new SignJWT({})
      .setProtectedHeader({ alg: 'ES384', kid: 'k1', typ: 'JWT' })
      .setIssuer(iss)
      .setSubject(iss)
      .setAudience(aud)
      .setJti(jti)
      .setExpirationTime(exp)
      .sign(key);
  }

  async function tokenFor(client_assertion: string, scope = 'system/*.read') {
    const form = {
      grant_type: 'client_credentials',
      scope,
      client_assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    };
    const response = await fetch(audience(), { method: 'POST', body: new URLSearchParams(form) });
    return { status: response.status, body: JSON.parse(await response.text()) };
  }

  it('reads what its scopes say and nothing else', async () => {
    const { status, body } = await tokenFor(await assertion({ jti: 'one' }));
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.scope, 'system/Patient.read');
    const token = body.access_token;
    assert.equal((await fhir.ask('GET', '/Patient/p1', { token })).status, 200);
    assert.equal((await fhir.ask('GET', '/Observation/o1', { token })).status, 403);
    assert.equal(
      (await fhir.ask('PUT', '/Patient/p1', { token, body: { resourceType: 'Patient', id: 'p1' } })).status,
      403,
    );
    assert.equal((await fhir.ask('GET', '/Patient/p1/$everything', { token })).status, 403);
    assert.equal((await fhir.ask('GET', '/$export', { token, headers: ASYNC })).status, 403);
    const batch = {
      resourceType: 'Bundle',
      type: 'batch',
      entry: [{ request: { method: 'DELETE', url: 'Patient/p1' } }],
    };
    assert.match((await fhir.ask('POST', '', { token, body: batch })).text, /"status":"403"/);
  });

  it('is refused with an assertion that is used, foreign, late, too long or for another address', async () => {
    const used = await assertion({ jti: 'two' });
    assert.equal((await tokenFor(used)).status, 200);
    const stranger = (await generateKeyPair('ES384')).privateKey;
    const now = START.getTime() / 1000;
    for (const refused of [
      used,
      await assertion({ jti: '3' }, stranger),
      await assertion({ jti: '4', exp: now - 60 }),
      await assertion({ jti: '5', exp: now + 3600 }),
      await assertion({ jti: '6', aud: 'https://elsewhere.example' }),
      await assertion({ jti: '7', iss: 'nobody' }),
      'not.a.jwt',
    ]) {
      const { status, body } = await tokenFor(refused);
      assert.deepEqual([status, body.error], [400, 'invalid_client']);
    }
    assert.equal(
      (await tokenFor(await assertion({ jti: '8' }), 'system/Observation.read')).body.error,
      'invalid_scope',
    );
  });

  it('has a token for five minutes, or until it is removed', async () => {
    const tokens = [await tokenFor(await assertion({ jti: 'nine' })), await tokenFor(await assertion({ jti: 'ten' }))];
    const [token = ''] = tokens.map(({ body }) => body.access_token);
    clock.advanceMs(299_000);
    assert.equal((await fhir.ask('GET', '/Patient/p1', { token })).status, 200);
    clock.advanceMs(2_000);
    assert.equal((await fhir.ask('GET', '/Patient/p1', { token })).status, 401);
  });
});

describe('the audit log of records', () => {
  it('names who, what and which parameters, and no value', async () => {
    await fhir.ask('GET', '/Patient?family=Secretname&birthdate=1974');
    const { rows } = await fhir.database.pool.query<{ line: string }>('select r::text as line from audit_record r');
    const text = rows.map(({ line }) => line).join('\n');
    assert.match(text, /records\.search/);
    assert.match(text, /family birthdate/);
    assert.doesNotMatch(text, /Secretname|1974/);
  });
});
