import assert from 'node:assert/strict';
import { createPrivateKey, sign, verify } from 'node:crypto';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { AppError, type Digest } from '@lantern/contract';
import { type ManualClock, manualClock } from '../clock.ts';
import type { Database } from '../postgres/database.ts';
import { openTestDatabase } from '../postgres/test-database.ts';
import {
  checkBodyDigest,
  contentDigestHeader,
  digestCheckedBody,
  EMPTY_BODY_DIGEST,
  parseContentDigest,
} from './content-digest.ts';
import { sha256 } from './digest.ts';
import { type KeyLookup, newNonce, type SignatureVerifier, signRequest, verifyRequest } from './http-signature.ts';
import { generateKeyPair, type KeyPair, publicKeyFromPem } from './key-pair.ts';
import { createNonceStore } from './nonce-store.ts';
import { migrateService } from './service-migrations.ts';
import { type RequestHead, signatureBase } from './signature-base.ts';
import { parseDictionary, serialiseInnerList } from './structured-field.ts';

const NOW = '2026-03-01T08:00:00Z';
const BODY = '{"answer":"forty-two rows"}';

let db: Database;
before(async () => {
  db = await openTestDatabase('signature');
  await migrateService(db);
});
after(() => db.close());

async function spentCount(): Promise<number> {
  const { rows } = await db.pool.query('SELECT count(*)::int AS count FROM request_nonce');
  return rows[0].count;
}

type World = {
  readonly clock: ManualClock;
  readonly verifier: SignatureVerifier<string>;
  readonly ulm: KeyPair;
  readonly bern: KeyPair;
  readonly revoked: KeyPair;
};

function createWorld(): World {
  const clock = manualClock(NOW);
  const [ulm, bern, revoked] = [generateKeyPair(), generateKeyPair(), generateKeyPair()];
  const nonces = createNonceStore({ db, clock });
  const lookupKey = async (keyId: string): Promise<KeyLookup<string>> => {
    if (keyId === ulm.keyId) return { state: 'active', publicKey: ulm.publicKey, owner: 'site-ulm' };
    if (keyId === bern.keyId) return { state: 'active', publicKey: bern.publicKey, owner: 'site-bern' };
    if (keyId === revoked.keyId) return { state: 'revoked', publicKey: revoked.publicKey };
    return { state: 'unknown' };
  };
  return { clock, ulm, bern, revoked, verifier: { lookupKey, nonces, clock } };
}

type Signed = { method: string; target: string; headers: Record<string, string> };

function signed(
  world: World,
  overrides: { keyPair?: KeyPair; nonce?: string; digest?: Digest; url?: string } = {},
): Signed {
  const target = overrides.url ?? '/api/v1/site/tasks/task_x/answer?part=2&of=3';
  const headers = signRequest({
    method: 'POST',
    url: target,
    contentDigest: overrides.digest ?? sha256(BODY),
    keyPair: overrides.keyPair ?? world.ulm,
    clock: world.clock,
    nonce: overrides.nonce ?? newNonce(),
  });
  return { method: 'POST', target, headers: { host: 'hub.example', ...headers } };
}

/** Signs whatever Signature-Input says, as somebody would who holds the key but does not follow our rules. */
function signedAs(head: Signed, keyPair: KeyPair, signatureInput: string): Signed {
  const list = [...parseDictionary('signature-input', signatureInput).values()][0];
  assert.ok(list?.kind === 'list');
  const base = signatureBase(list, head);
  const signature = sign(null, Buffer.from(base, 'latin1'), keyPair.privateKey).toString('base64');
  const headers = { ...head.headers, 'signature-input': signatureInput, signature: `lantern=:${signature}:` };
  return { ...head, headers };
}

const created = Date.parse(NOW) / 1000;
function parametersOf(keyPair: KeyPair, changes: Record<string, string | undefined> = {}): string {
  const parameters: Record<string, string | undefined> = {
    created: String(created),
    nonce: '"abcdefghij0123456789"',
    keyid: `"${keyPair.keyId}"`,
    alg: '"ed25519"',
    tag: '"lantern-site"',
    ...changes,
  };
  return Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `;${name}=${value}`)
    .join('');
}
const COMPONENTS = ['"@method"', '"@path"', '"@query"', '"content-digest"'];

describe('a signed request', () => {
  test('is accepted once, with its owner and the digest its body must have', async () => {
    const world = createWorld();
    const head = signed(world);
    const { keyId, owner, bodyDigest } = await verifyRequest(head, world.verifier);
    assert.deepEqual(
      { keyId, owner, bodyDigest },
      { keyId: world.ulm.keyId, owner: 'site-ulm', bodyDigest: sha256(BODY) },
    );
    checkBodyDigest(BODY, bodyDigest);
  });

  test('is accepted behind a proxy that changes host, scheme, Via and connection headers', async () => {
    const world = createWorld();
    const head = signed(world);
    const headers = { ...head.headers, host: 'inside:8080', 'x-forwarded-proto': 'https', via: '1.1 squid' };
    assert.equal((await verifyRequest({ ...head, headers }, world.verifier)).owner, 'site-ulm');
  });

  test('is accepted beside the signature of a proxy that has another tag', async () => {
    const world = createWorld();
    const head = signed(world);
    const headers = {
      ...head.headers,
      'signature-input': `proxy=("@method");created=1;keyid="p", ${head.headers['signature-input']}`,
      signature: `proxy=:AAAA:, ${head.headers['signature']}`,
    };
    assert.equal((await verifyRequest({ ...head, headers }, world.verifier)).owner, 'site-ulm');
  });

  test('may cover more, and what it covers more is verified', async () => {
    const world = createWorld();
    const input = `lantern=(${[...COMPONENTS, '"x-step"', '"@authority"'].join(' ')})${parametersOf(world.ulm)}`;
    const plain = signed(world);
    const head = signedAs({ ...plain, headers: { ...plain.headers, 'x-step': 'train' } }, world.ulm, input);
    assert.equal((await verifyRequest(head, world.verifier)).owner, 'site-ulm');
    const changed = { ...head, headers: { ...head.headers, 'x-step': 'newton' } };
    await assert.rejects(verifyRequest(changed, world.verifier), { code: 'signature.rejected' });
  });

  test('of two keys may carry the same nonce: a nonce belongs to its key', async () => {
    const world = createWorld();
    const nonce = 'shared-nonce-of-two-sites';
    assert.equal((await verifyRequest(signed(world, { nonce }), world.verifier)).owner, 'site-ulm');
    assert.equal(
      (await verifyRequest(signed(world, { nonce, keyPair: world.bern }), world.verifier)).owner,
      'site-bern',
    );
  });

  test('is accepted just inside the allowed clock difference, either way', async () => {
    for (const aheadMs of [-299_000, 299_000]) {
      const world = createWorld();
      const signer = { ...world, clock: manualClock(new Date(Date.parse(NOW) + aheadMs).toISOString()) };
      assert.equal((await verifyRequest(signed(signer), world.verifier)).owner, 'site-ulm');
    }
  });
});

type Refusal = readonly [what: string, code: string, head: (world: World) => Signed | Promise<Signed>];

const withHeader = (head: Signed, changes: Record<string, string | undefined>): Signed => {
  const headers = { ...head.headers };
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete headers[name];
    else headers[name] = value;
  }
  return { ...head, headers };
};
const edited = (head: Signed, header: string, from: string | RegExp, to: string): Signed => {
  const before = head.headers[header] ?? '';
  const after = before.replace(from, to);
  assert.notEqual(after, before, 'the edit must change something');
  return withHeader(head, { [header]: after });
};
const input = (world: World, components: readonly string[], changes: Record<string, string | undefined> = {}): Signed =>
  signedAs(signed(world), world.ulm, `lantern=(${components.join(' ')})${parametersOf(world.ulm, changes)}`);

const REFUSALS: readonly Refusal[] = [
  // Replay and time
  [
    'sent a second time',
    'signature.replayed',
    async (world) => {
      const head = signed(world);
      await verifyRequest(head, world.verifier);
      return head;
    },
  ],
  [
    'with a nonce of an earlier request of the same key',
    'signature.replayed',
    async (world) => {
      await verifyRequest(signed(world, { nonce: 'nonce-used-for-two-things' }), world.verifier);
      return signed(world, { nonce: 'nonce-used-for-two-things', url: '/api/v1/site/other' });
    },
  ],
  [
    'signed 6 minutes ago',
    'signature.stale',
    (world) => {
      const head = signed(world);
      world.clock.advanceMs(360_000);
      return head;
    },
  ],
  [
    'signed 6 minutes in the future',
    'signature.stale',
    (world) => signed({ ...world, clock: manualClock('2026-03-01T08:06:00Z') }),
  ],
  [
    'whose own expiry has passed',
    'signature.stale',
    (world) => input(world, COMPONENTS, { expires: String(created - 1) }),
  ],
  // Keys
  ['by a key that nobody enrolled', 'site.unknown', (world) => signed(world, { keyPair: generateKeyPair() })],
  ['by a revoked key', 'site.revoked', (world) => signed(world, { keyPair: world.revoked })],
  [
    'by another key than the one it names',
    'signature.rejected',
    (world) => signed(world, { keyPair: { ...world.ulm, privateKey: world.bern.privateKey } }),
  ],
  [
    "that names a revoked site's key without holding it",
    'signature.rejected',
    (world) => signed(world, { keyPair: { ...world.revoked, privateKey: world.bern.privateKey } }),
  ],
  [
    'whose key id was replaced by that of another site',
    'signature.rejected',
    (world) => edited(signed(world), 'signature-input', world.ulm.keyId, world.bern.keyId),
  ],
  // Altered message
  ['whose method was changed', 'signature.rejected', (world) => ({ ...signed(world), method: 'DELETE' })],
  [
    'whose path was changed',
    'signature.rejected',
    (world) => ({ ...signed(world), target: '/api/v1/site/tasks/task_y/answer?part=2&of=3' }),
  ],
  [
    'whose path is spelt otherwise',
    'signature.rejected',
    (world) => ({ ...signed(world), target: '/api/v1/site/tasks/task%5Fx/answer?part=2&of=3' }),
  ],
  [
    'whose query was changed',
    'signature.rejected',
    (world) => ({ ...signed(world), target: '/api/v1/site/tasks/task_x/answer?part=3&of=3' }),
  ],
  [
    'whose query was put in another order',
    'signature.rejected',
    (world) => ({ ...signed(world), target: '/api/v1/site/tasks/task_x/answer?of=3&part=2' }),
  ],
  [
    'whose query was removed',
    'signature.rejected',
    (world) => ({ ...signed(world), target: '/api/v1/site/tasks/task_x/answer' }),
  ],
  [
    'whose digest was replaced by that of another body',
    'signature.rejected',
    (world) => withHeader(signed(world), { 'content-digest': contentDigestHeader(sha256('other')) }),
  ],
  [
    'whose time of creation was changed',
    'signature.rejected',
    (world) => edited(signed(world), 'signature-input', /created=\d+/, `created=${created + 1}`),
  ],
  [
    'whose nonce was changed',
    'signature.rejected',
    (world) => edited(signed(world), 'signature-input', /nonce="[^"]*"/, 'nonce="fresh-nonce-of-a-thief"'),
  ],
  [
    'with the signature of another request',
    'signature.rejected',
    (world) => withHeader(signed(world), { signature: signed(world).headers['signature'] }),
  ],
  [
    'with one bit of the signature flipped',
    'signature.rejected',
    (world) => {
      const head = signed(world);
      const bytes = Buffer.from(head.headers['signature']?.slice(9, -1) ?? '', 'base64');
      bytes.writeUInt8(bytes.readUInt8(40) ^ 4, 40);
      return withHeader(head, { signature: `lantern=:${bytes.toString('base64')}:` });
    },
  ],
  // Components
  ...COMPONENTS.map(
    (missing): Refusal => [
      `that does not cover ${missing}`,
      'signature.malformed',
      (world) =>
        input(
          world,
          COMPONENTS.filter((name) => name !== missing),
        ),
    ],
  ),
  [
    'that covers nothing',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', /\([^)]*\)/, '()'),
  ],
  [
    'that covers a component twice',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', '"@path"', '"@path" "@path"'),
  ],
  [
    'that covers a header which is not there',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', '"@path"', '"@path" "x-gone"'),
  ],
  [
    'that covers an unknown derived component',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', '"@path"', '"@path" "@status"'),
  ],
  [
    'that covers a component with a parameter',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', '"content-digest"', '"content-digest";sf'),
  ],
  [
    'whose component is no string',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', '"@path"', 'path'),
  ],
  // Parameters
  ...['created', 'nonce', 'keyid', 'alg', 'tag'].map(
    (name): Refusal => [
      `without the parameter ${name}`,
      'signature.malformed',
      (world) => input(world, COMPONENTS, { [name]: undefined }),
    ],
  ),
  ['with another algorithm', 'signature.malformed', (world) => input(world, COMPONENTS, { alg: '"hmac-sha256"' })],
  ['with another tag', 'signature.malformed', (world) => input(world, COMPONENTS, { tag: '"lantern-hub"' })],
  ['with an unknown parameter', 'signature.malformed', (world) => input(world, COMPONENTS, { role: '"admin"' })],
  [
    'with a parameter twice',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', ';alg=', ';tag="lantern-site";alg='),
  ],
  [
    'with a fractional time',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', /created=(\d+)/, 'created=$1.5'),
  ],
  ['with a nonce of four characters', 'signature.malformed', (world) => input(world, COMPONENTS, { nonce: '"abcd"' })],
  // Headers
  [
    'without any signature header',
    'signature.missing',
    (world) => withHeader(signed(world), { signature: undefined, 'signature-input': undefined }),
  ],
  ['without Signature', 'signature.malformed', (world) => withHeader(signed(world), { signature: undefined })],
  [
    'without Signature-Input',
    'signature.malformed',
    (world) => withHeader(signed(world), { 'signature-input': undefined }),
  ],
  [
    'without Content-Digest',
    'signature.malformed',
    (world) => withHeader(signed(world), { 'content-digest': undefined }),
  ],
  [
    'with an empty Content-Digest that it covers',
    'signature.malformed',
    (world) =>
      signedAs(
        withHeader(signed(world), { 'content-digest': '' }),
        world.ulm,
        `lantern=(${COMPONENTS.join(' ')})${parametersOf(world.ulm)}`,
      ),
  ],
  [
    'with a Content-Digest of another algorithm only',
    'signature.malformed',
    (world) =>
      signedAs(
        withHeader(signed(world), { 'content-digest': 'md5=:Sd/dVLAcvNLSq16eXua5uQ==:' }),
        world.ulm,
        `lantern=(${COMPONENTS.join(' ')})${parametersOf(world.ulm)}`,
      ),
  ],
  [
    'with a label twice, as two header lines make it',
    'signature.malformed',
    (world) => {
      const head = signed(world);
      return withHeader(head, {
        'signature-input': `${head.headers['signature-input']}, ${head.headers['signature-input']}`,
      });
    },
  ],
  [
    'with Signature twice',
    'signature.malformed',
    (world) => {
      const head = signed(world);
      return withHeader(head, { signature: `${head.headers['signature']}, ${head.headers['signature']}` });
    },
  ],
  [
    'with two signatures that both have our tag',
    'signature.malformed',
    (world) => {
      const head = signed(world);
      const second = signed(world).headers['signature-input']?.replace('lantern=', 'other=');
      return withHeader(head, { 'signature-input': `${head.headers['signature-input']}, ${second}` });
    },
  ],
  [
    'whose signature stands under another label',
    'signature.malformed',
    (world) => edited(signed(world), 'signature', 'lantern=', 'latern='),
  ],
  [
    'with a truncated signature',
    'signature.malformed',
    (world) => withHeader(signed(world), { signature: `lantern=:${Buffer.alloc(63, 7).toString('base64')}:` }),
  ],
  [
    'with a signature that is not base64',
    'signature.malformed',
    (world) => withHeader(signed(world), { signature: 'lantern=:not~base64!:' }),
  ],
  [
    'with a signature in base64 that is not canonical',
    'signature.malformed',
    (world) => edited(signed(world), 'signature', /..==:$/, 'x==:'),
  ],
  [
    'with a signature that is a string',
    'signature.malformed',
    (world) => withHeader(signed(world), { signature: 'lantern="abc"' }),
  ],
  [
    'with an oversized Signature-Input',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', '"@path"', `"@path" "${'x'.repeat(9000)}"`),
  ],
  [
    'with rubbish after Signature-Input',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', /$/, ' x'),
  ],
  [
    'with covered components that are no list',
    'signature.malformed',
    (world) => edited(signed(world), 'signature-input', /\([^)]*\)/, '"@method"'),
  ],
];

describe('a request is refused', () => {
  for (const [what, code, make] of REFUSALS) {
    test(`${what}: ${code}`, async () => {
      const world = createWorld();
      const head = await make(world);
      const spentBefore = await spentCount();
      await assert.rejects(verifyRequest(head, world.verifier), (caught: unknown) => {
        assert.ok(caught instanceof AppError, String(caught));
        assert.equal(caught.code, code, caught.message);
        return true;
      });
      assert.equal(await spentCount(), spentBefore, 'a refused request spends no nonce');
    });
  }

  test('there are at least 25 different ones', () => {
    assert.ok(REFUSALS.length >= 25, String(REFUSALS.length));
    assert.equal(new Set(REFUSALS.map(([what]) => what)).size, REFUSALS.length);
  });

  test('a stale request says by how much and in which direction', async () => {
    const world = createWorld();
    const head = signed({ ...world, clock: manualClock('2026-03-01T10:00:03Z') });
    await assert.rejects(verifyRequest(head, world.verifier), /7203 s ahead of the clock here; at most 300 s/);
  });
});

describe('the body of a signed request', () => {
  const chunks = [Buffer.from('{"answer":"forty-'), Buffer.from('two rows"}')];
  const collect = async (body: AsyncIterable<Uint8Array>): Promise<string> => {
    const parts: Uint8Array[] = [];
    for await (const part of body) parts.push(part);
    return Buffer.concat(parts).toString();
  };

  test('streams through unchanged when its digest is right', async () => {
    assert.equal(await collect(digestCheckedBody(Readable.from(chunks), sha256(BODY))), BODY);
  });
  for (const [what, altered] of [
    ['has one byte changed', [Buffer.from('{"answer":"forty-'), Buffer.from('two rowz"}')]],
    ['is truncated', chunks.slice(0, 1)],
    ['is longer', [...chunks, Buffer.from(' ')]],
    ['is missing', []],
  ] as const) {
    test(`ends in an error when it ${what}`, async () => {
      const body = digestCheckedBody(Readable.from(altered), sha256(BODY));
      await assert.rejects(collect(body), { code: 'input.digest-mismatch' });
      assert.throws(() => checkBodyDigest(Buffer.concat(altered), sha256(BODY)), { code: 'input.digest-mismatch' });
    });
  }
  test('that is empty has the digest of nothing', async () => {
    assert.equal(EMPTY_BODY_DIGEST, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    assert.equal(await collect(digestCheckedBody(Readable.from([]), EMPTY_BODY_DIGEST)), '');
  });
});

describe('vectors from outside', () => {
  // RFC 9530 appendix B.1: the Content-Digest of {"hello": "world"}\n.
  test('RFC 9530: Content-Digest of a JSON body', () => {
    const header = 'sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:';
    assert.equal(contentDigestHeader(sha256('{"hello": "world"}\n')), header);
    assert.equal(parseContentDigest(`sha-512=:AAAA:, ${header}`), sha256('{"hello": "world"}\n'));
  });

  // RFC 9421 appendix B.1.4 (test-key-ed25519), B.2 (test-request) and B.2.6 (sig-b26).
  const testKeyPem =
    '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n';
  const testPrivateKeyPem =
    '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n';
  const testRequest: RequestHead = {
    method: 'POST',
    target: '/foo?param=Value&Pet=dog',
    headers: {
      host: 'example.com',
      date: 'Tue, 20 Apr 2021 02:07:55 GMT',
      'content-type': 'application/json',
      'content-length': '18',
    },
  };
  const signatureInput =
    'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"';
  const signature = 'wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==';

  test('RFC 9421 B.2.6: the signature base is that of the RFC and its signature verifies', () => {
    const list = parseDictionary('signature-input', signatureInput).get('sig-b26');
    assert.ok(list?.kind === 'list');
    const base = signatureBase(list, testRequest);
    assert.equal(
      base,
      [
        '"date": Tue, 20 Apr 2021 02:07:55 GMT',
        '"@method": POST',
        '"@path": /foo',
        '"@authority": example.com',
        '"content-type": application/json',
        '"content-length": 18',
        '"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
      ].join('\n'),
    );
    const { publicKey } = publicKeyFromPem(testKeyPem);
    assert.equal(verify(null, Buffer.from(base), publicKey, Buffer.from(signature, 'base64')), true);
    assert.equal(verify(null, Buffer.from(`${base} `), publicKey, Buffer.from(signature, 'base64')), false);
    // Ed25519 is deterministic, so signing gives the very bytes of the RFC.
    assert.equal(sign(null, Buffer.from(base), createPrivateKey(testPrivateKeyPem)).toString('base64'), signature);
  });

  test('RFC 9421 2.2.7: an absent query is covered as a lone question mark, an absolute URL as its path and query', () => {
    const list = parseDictionary('signature-input', 'a=("@path" "@query")').get('a');
    assert.ok(list?.kind === 'list');
    const lines = (target: string) =>
      signatureBase(list, { ...testRequest, target })
        .split('\n')
        .slice(0, 2);
    assert.deepEqual(lines('/path?queryString'), ['"@path": /path', '"@query": ?queryString']);
    assert.deepEqual(lines('/path'), ['"@path": /path', '"@query": ?']);
    assert.deepEqual(lines('https://www.example.com/path?param=value'), ['"@path": /path', '"@query": ?param=value']);
    assert.deepEqual(lines('https://www.example.com'), ['"@path": /', '"@query": ?']);
  });

  test('RFC 8941: inner lists and parameters keep their order and are written in the strict form', () => {
    const list = parseDictionary('field', 'a=( "x"   "y";q=1;r );s="q\\"\\\\";b=:aGk=:;t=tok/en;f=?0').get('a');
    assert.ok(list?.kind === 'list');
    assert.equal(serialiseInnerList(list), '("x" "y";q=1;r);s="q\\"\\\\";b=:aGk=:;t=tok/en;f=?0');
  });
});
