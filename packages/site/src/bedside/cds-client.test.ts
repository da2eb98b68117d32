import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type ErrorCode, SITE_API } from '@lantern/contract';
import {
  type BedsideSite,
  createRegistry,
  record,
  request,
  startBedsideSite,
  type TokenChanges,
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

const body = () => request('p-1', record('p-1'));

function codeOf(answer: { body: unknown }): string {
  return /"code":"([a-z.-]+)"/.exec(JSON.stringify(answer.body))?.[1] ?? '';
}

async function assertRefused(token: string, rule: RegExp, code: ErrorCode = 'auth.rejected'): Promise<void> {
  const answer = await site.call(SERVICE, body(), token);
  assert.equal(answer.status, 401, JSON.stringify(answer.body));
  assert.equal(codeOf(answer), code);
  assert.match(JSON.stringify(answer.body), rule);
}

const nowS = () => Math.floor(site.clock.now().getTime() / 1000);
const tokenWith = (changes: TokenChanges) => site.ehr.token(`${site.url}${SERVICE}`, changes);
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

function claims(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const { issuer: iss } = site.ehr;
  return { iss, aud: `${site.url}${SERVICE}`, iat: nowS(), exp: nowS() + 60, jti: randomUUID(), ...changes };
}

describe('a token of a registered record system', () => {
  test('is accepted once', async () => {
    const token = await tokenWith({});
    assert.equal((await site.call(SERVICE, body(), token)).status, 200);
    await assertRefused(token, /used before \(jti\)/);
  });

  test('may name several audiences, one of which is this service', async () => {
    const aud = ['https://other.test', `${site.url}${SERVICE}`];
    assert.equal((await site.call(SERVICE, body(), await tokenWith({ claims: { aud } }))).status, 200);
  });

  test('for a service is accepted for its feedback', async () => {
    const { cards } = (await site.call(SERVICE, body())).body as { cards: { uuid: string }[] };
    const feedback = [{ card: cards[0]?.uuid, outcome: 'accepted', outcomeTimestamp: '2026-03-15T12:01:00Z' }];
    const token = await tokenWith({});
    assert.equal((await site.call(`${SERVICE}/feedback`, { feedback }, token)).status, 200);
  });

  test('with the jti of a used one is refused, whatever else it says', async () => {
    const jti = randomUUID();
    assert.equal((await site.call(SERVICE, body(), await tokenWith({ claims: { jti } }))).status, 200);
    await assertRefused(await tokenWith({ claims: { jti, exp: nowS() + 90 } }), /used before/);
  });
});

describe('refused', () => {
  test('a request without a token', async () => {
    const response = await fetch(`${site.url}${SERVICE}`, { method: 'POST', body: '{}' });
    assert.equal(response.status, 401);
    assert.match(await response.text(), /auth\.missing/);
  });

  test('another scheme, and a token that is no JWT', async () => {
    const response = await fetch(`${site.url}${SERVICE}`, { method: 'POST', headers: { authorization: 'Basic eDp5' } });
    assert.match(await response.text(), /auth\.rejected/);
    await assertRefused('not-a-jwt', /not \\"Bearer\\" and a signed JWT/);
    await assertRefused('a.b.c', /not a JWT/);
    await assertRefused(`${'a'.repeat(9000)}.b.c`, /not \\"Bearer\\" and a signed JWT/);
  });

  test('alg none', async () => {
    await assertRefused(`${base64url({ alg: 'none', typ: 'JWT' })}.${base64url(claims())}.AA`, /alg/);
  });

  test('HMAC with the public key as secret', async () => {
    const signed = `${base64url({ alg: 'HS384', typ: 'JWT' })}.${base64url(claims())}`;
    const mac = createHmac('sha384', site.ehr.publicKeyPem).update(signed).digest('base64url');
    await assertRefused(`${signed}.${mac}`, /alg/);
  });

  test('another asymmetric algorithm than the one registered with the key', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    await assertRefused(await tokenWith({ key: privateKey, header: { alg: 'ES256' } }), /alg/);
  });

  test('a signature of another key, also one the token itself brings', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
    await assertRefused(await tokenWith({ key: privateKey }), /signature does not verify/);
    const jwk = publicKey.export({ format: 'jwk' });
    await assertRefused(await tokenWith({ key: privateKey, header: { jwk } }), /signature does not verify/);
  });

  test('changed claims, a changed header and a cut signature', async () => {
    const [header = '', , signature = ''] = (await tokenWith({})).split('.');
    const payload = base64url(claims({ jti: 'changed' }));
    await assertRefused(`${header}.${payload}.${signature}`, /signature does not verify/);
    const [, original = ''] = (await tokenWith({})).split('.');
    await assertRefused(`${base64url({ alg: 'ES384', typ: 'JWT', kid: 'x' })}.${original}.${signature}`, /signature/);
    const whole = await tokenWith({});
    await assertRefused(whole.slice(0, -4), /signature does not verify/);
  });

  test('an issuer that is not registered, and no issuer', async () => {
    await assertRefused(await tokenWith({ claims: { iss: 'https://other.test' } }), /\(iss\)/);
    await assertRefused(await tokenWith({ claims: { iss: undefined } }), /\(iss\)/);
  });

  test('the audience of another service, of another host, of the site as a whole, or none', async () => {
    const audiences = [
      `${site.url}/cds-services/other`,
      `https://elsewhere.test${SERVICE}`,
      site.url,
      undefined,
      `${site.url}${SERVICE}/`,
    ];
    for (const aud of audiences) await assertRefused(await tokenWith({ claims: { aud } }), /aud/);
  });

  test('a token for the feedback of a service where the service itself is called', async () => {
    await assertRefused(await tokenWith({ claims: { aud: `${site.url}${SERVICE}/feedback` } }), /aud/);
  });

  test('an expired token, and one without expiry', async () => {
    await assertRefused(await tokenWith({ claims: { iat: nowS() - 200, exp: nowS() - 31 } }), /expired/);
    await assertRefused(await tokenWith({ claims: { exp: undefined } }), /exp/);
  });

  test('a token that lives longer than five minutes', async () => {
    await assertRefused(await tokenWith({ claims: { exp: nowS() + 301 } }), /longer than 300 seconds/);
    await assertRefused(
      await tokenWith({ claims: { iat: nowS() - 250, exp: nowS() + 60 } }),
      /longer than 300 seconds/,
    );
  });

  test('a token from the future, not yet valid, or without time of issue', async () => {
    await assertRefused(await tokenWith({ claims: { iat: nowS() + 60, exp: nowS() + 200 } }), /iat/);
    await assertRefused(await tokenWith({ claims: { nbf: nowS() + 60 } }), /nbf/);
    await assertRefused(await tokenWith({ claims: { iat: undefined } }), /iat/);
  });

  test('a token without an identity of its own', async () => {
    for (const jti of [undefined, '', 7, 'x'.repeat(257)]) {
      await assertRefused(await tokenWith({ claims: { jti } }), /jti|signature/);
    }
  });

  test('a token of another type', async () => {
    await assertRefused(await tokenWith({ header: { typ: 'at+jwt' } }), /typ/);
  });

  test('a header that demands an extension we do not know', async () => {
    const header = base64url({ alg: 'ES384', typ: 'JWT', crit: ['exp'], exp: 1 });
    await assertRefused(`${header}.${base64url(claims())}.AA`, /signature does not verify/);
  });

  test('the token of a person', async () => {
    await assertRefused('token-admin', /not \\"Bearer\\" and a signed JWT/);
  });
});

describe('registering a record system', () => {
  const register = (
    publicKeyPem: string,
    algorithm: 'EdDSA' | 'ES256' | 'ES384' | 'RS384',
    issuer = 'https://second.test',
  ) => site.as('admin').call(SITE_API.registerCdsClient, { body: { issuer, publicKeyPem, algorithm } });
  const pemOf = (key: { export(options: { type: 'spki'; format: 'pem' }): string | Buffer }) =>
    key.export({ type: 'spki', format: 'pem' }).toString();

  test('replaces the key of an issuer at once', async () => {
    const issuer = 'https://rotating.test';
    const first = generateKeyPairSync('ed25519');
    const second = generateKeyPairSync('ed25519');
    const header = { alg: 'EdDSA' };
    await register(pemOf(first.publicKey), 'EdDSA', issuer);
    const old = { key: first.privateKey, header, claims: { iss: issuer } };
    assert.equal((await site.call(SERVICE, body(), await tokenWith(old))).status, 200);
    await register(pemOf(second.publicKey), 'EdDSA', issuer);
    await assertRefused(await tokenWith(old), /signature does not verify/);
    assert.equal((await site.call(SERVICE, body(), await tokenWith({ ...old, key: second.privateKey }))).status, 200);
  });

  test('accepts RSA of 2048 bits for RS384', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await register(pemOf(publicKey), 'RS384', 'https://rsa.test');
    const token = await tokenWith({ key: privateKey, header: { alg: 'RS384' }, claims: { iss: 'https://rsa.test' } });
    assert.equal((await site.call(SERVICE, body(), token)).status, 200);
  });

  test('refuses a key that does not fit its algorithm, a short one, a private one, and no key', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const refusals: [string, 'EdDSA' | 'ES256' | 'ES384' | 'RS384'][] = [
      [pemOf(rsa.publicKey), 'RS384'],
      [pemOf(ec.publicKey), 'ES384'],
      [pemOf(ec.publicKey), 'EdDSA'],
      [ec.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 'ES256'],
      [`-----BEGIN PUBLIC KEY-----\n${'A'.repeat(64)}\n-----END PUBLIC KEY-----\n`, 'ES256'],
    ];
    for (const [pem, algorithm] of refusals)
      await assert.rejects(register(pem, algorithm), /publicKeyPem is not an SPKI/);
    await assert.rejects(register(pemOf(ec.publicKey), 'ES256', 'two\nlines'), /issuer/);
  });
});
