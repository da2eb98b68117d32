import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { connect, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { AppError, createApiClient, DigestSchema, endpoint } from '@lantern/contract';
import { metrics } from '@opentelemetry/api';
import { pino } from 'pino';
import { Type } from 'typebox';
import { type ManualClock, manualClock, systemClock } from '../clock.ts';
import { sha256 } from '../identity/digest.ts';
import { newNonce, signRequest } from '../identity/http-signature.ts';
import { generateKeyPair } from '../identity/key-pair.ts';
import { createNonceStore } from '../identity/nonce-store.ts';
import { migrateService } from '../identity/service-migrations.ts';
import type { Database } from '../postgres/database.ts';
import { openTestDatabase } from '../postgres/test-database.ts';
import { parseByteRange } from './byte-range.ts';
import { createHttpClient, type HttpClient, type HttpClientOptions } from './client.ts';
import { defineRoute, type Route } from './route.ts';
import { createHttpServer, type HttpServer } from './server.ts';

// A self-signed certificate for localhost that only these tests trust; it protects nothing.
const TEST_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgul9XIpO55Z4uHoAv
CzdZ2ZVeVRVxLFGosLYric8eSiyhRANCAATlm3L/VJrEeAvfdzkelqPNxYEZJcw5
ppsKJUrDpalg1kmtWH5yTXUcB3AN/65q24y4C47rmyUd2Ar1kYTSqPBA
-----END PRIVATE KEY-----
`;
const TEST_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBsjCCAVmgAwIBAgIUQDWbOuzyQP4dVE1gBSfqlym2/B8wCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVTGFudGVybiBsb29wYmFjayB0ZXN0MCAXDTI2MTEyMzIxNTYz
N1oYDzIxMjYxMDMwMjE1NjM3WjAgMR4wHAYDVQQDDBVMYW50ZXJuIGxvb3BiYWNr
IHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATlm3L/VJrEeAvfdzkelqPN
xYEZJcw5ppsKJUrDpalg1kmtWH5yTXUcB3AN/65q24y4C47rmyUd2Ar1kYTSqPBA
o28wbTAdBgNVHQ4EFgQUeDIW1iqCwbSjNLn2S3zHXluYEwgwHwYDVR0jBBgwFoAU
eDIW1iqCwbSjNLn2S3zHXluYEwgwDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzAR
gglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDRwAwRAIgNzrlrYq0C/lqJIMC
YbfKTl8ym82TCSt7J7XfU3b9eZcCICMiMw38Clpm6kOzbXkpTkX1GlHRKOJbNi6h
ystNs5Kb
-----END CERTIFICATE-----
`;

const site = generateKeyPair();
const revoked = generateKeyPair();
const WEIGHTS = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 31 + (index >> 8)) & 255));

const SUM = endpoint({
  method: 'POST',
  path: '/api/v1/site/sum',
  summary: 'Adds',
  body: Type.Object({ terms: Type.Array(Type.Number()) }, { additionalProperties: false }),
  response: Type.Object({ sum: Type.Number(), by: Type.String() }, { additionalProperties: false }),
});
const POLL = endpoint({
  method: 'GET',
  path: '/api/v1/site/poll',
  summary: 'Polls',
  query: Type.Object({ waitMs: Type.Integer() }),
  response: Type.Object({ waitedMs: Type.Integer() }, { additionalProperties: false }),
});
const BLOB = endpoint({
  method: 'GET',
  path: '/api/v1/site/blobs/:digest',
  summary: 'Bytes',
  params: Type.Object({ digest: DigestSchema }),
});
const PUT_BLOB = endpoint({
  method: 'PATCH',
  path: '/api/v1/site/uploads/:digest',
  summary: 'Takes bytes',
  params: Type.Object({ digest: DigestSchema }),
  query: Type.Object({ offset: Type.Integer({ minimum: 0 }) }),
  response: Type.Object({ offset: Type.Integer(), complete: Type.Boolean() }, { additionalProperties: false }),
});
const ENROL = endpoint({
  method: 'POST',
  path: '/api/v1/site/enrolment',
  summary: 'Joins',
  body: Type.Object({ publicKeyPem: Type.String() }, { additionalProperties: false }),
  response: Type.Object({ ok: Type.Literal(true) }, { additionalProperties: false }),
});
const UPLOAD_ANSWER = PUT_BLOB.response;

function siteRoutes(): readonly Route[] {
  const access = { kind: 'site' } as const;
  return [
    defineRoute(SUM)({
      access,
      handler: async ({ body, caller }) => ({ sum: body.terms.reduce((a, b) => a + b, 0), by: caller.siteId }),
    }),
    defineRoute(POLL)({ access, handler: async ({ query }) => ({ waitedMs: query.waitMs }) }),
    defineRoute(BLOB)({
      access,
      handler: async ({ headers }) => {
        const range = parseByteRange(headers.range, WEIGHTS.length);
        const { start, end } = range ?? { start: 0, end: WEIGHTS.length };
        return {
          status: range === undefined ? 200 : 206,
          body: Readable.from([WEIGHTS.subarray(start, end)]),
          sizeBytes: end - start,
          ...(range === undefined ? {} : { contentRange: range.contentRange }),
        };
      },
    }),
    defineRoute(PUT_BLOB)({
      access,
      stream: true,
      bodyLimitBytes: 16 * 1024 * 1024,
      handler: async ({ bodyStream, params, query }) => {
        const hash = createHash('sha256');
        let sizeBytes = 0;
        for await (const chunk of bodyStream) {
          hash.update(chunk);
          sizeBytes += chunk.length;
        }
        return { offset: query.offset + sizeBytes, complete: hash.digest('hex') === params.digest };
      },
    }),
    defineRoute(ENROL)({
      access: { kind: 'public', why: 'signed with the key being enrolled' },
      handler: async ({ body, verifySignedBy }) => {
        await verifySignedBy(body.publicKeyPem);
        return { ok: true };
      },
    }),
  ];
}

let db: Database;
let hubClock: ManualClock;
before(async () => {
  db = await openTestDatabase('client');
  await migrateService(db);
  hubClock = manualClock('2026-03-01T08:00:00Z');
});
after(() => db.close());

async function startHub(tls?: { key: string; cert: string }): Promise<{ server: HttpServer; url: string }> {
  const server = await createHttpServer({
    routes: siteRoutes(),
    authenticators: {
      token: async () => undefined,
      site: {
        nonces: createNonceStore({ db, clock: hubClock }),
        clock: hubClock,
        lookupKey: async (keyId) => {
          if (keyId === site.keyId)
            return { state: 'active', publicKey: site.publicKey, owner: { siteId: 'site-ulm' } };
          if (keyId === revoked.keyId) return { state: 'revoked', publicKey: revoked.publicKey };
          return { state: 'unknown' };
        },
      },
    },
    log: pino({ level: 'silent' }),
    metrics: { meter: metrics.getMeter('test'), text: async () => '' },
    clock: systemClock,
    title: 'Hub',
    version: '1',
    ...(tls === undefined ? {} : { tls }),
  });
  return { server, url: await server.listen({ host: '127.0.0.1', port: 0 }) };
}

function clientOf(baseUrl: string, options: Partial<HttpClientOptions> = {}): HttpClient {
  return createHttpClient({ baseUrl, signer: { keyPair: site }, clock: hubClock, ...options });
}

const bytesOf = async (body: Readable): Promise<Buffer> => Buffer.concat(await body.toArray());

describe('a signed client and its hub', () => {
  let hub: { server: HttpServer; url: string };
  let client: HttpClient;
  before(async () => {
    hub = await startHub();
    client = clientOf(hub.url);
  });
  after(async () => {
    client.close();
    await hub.server.close();
  });

  test('exchange JSON, typed by the schema, and the hub knows who asked', async () => {
    const body = { terms: [1.5, 2.25, 40] };
    const answer = await client.json('POST', '/api/v1/site/sum', { schema: SUM.response, body });
    assert.deepEqual(answer, { sum: 43.75, by: 'site-ulm' });
    const api = createApiClient(client.transport);
    assert.deepEqual(await api.call(POLL, { query: { waitMs: 250 } }), { waitedMs: 250 });
  });

  test('exchange bytes: whole, from an offset, and up in a stream', async () => {
    const path = `/api/v1/site/blobs/${sha256(WEIGHTS)}`;
    const whole = await client.download(path);
    assert.deepEqual([whole.status, whole.headers['content-length']], [200, '100000']);
    assert.equal(sha256(await bytesOf(whole.body)), sha256(WEIGHTS));
    const rest = await client.download(path, { start: 99_990 });
    assert.deepEqual([rest.status, rest.headers['content-range']], [206, 'bytes 99990-99999/100000']);
    assert.deepEqual(await bytesOf(rest.body), WEIGHTS.subarray(99_990));

    const digest = sha256(WEIGHTS);
    const upload = { digest, sizeBytes: WEIGHTS.length, schema: UPLOAD_ANSWER };
    const target = `/api/v1/site/uploads/${digest}?offset=0`;
    const pieces = [WEIGHTS.subarray(0, 70_000), WEIGHTS.subarray(70_000)];
    const expected = { offset: 100_000, complete: true };
    assert.deepEqual(await client.upload(target, { ...upload, body: Readable.from(pieces) }), expected);
    assert.deepEqual(await client.upload(target, { ...upload, body: WEIGHTS }), expected);
  });

  test('find a body that was altered on the way, small or streamed, and act on neither', async () => {
    const nonce = newNonce();
    const headersFor = (method: string, url: string, body: string) =>
      signRequest({
        method,
        url,
        contentDigest: sha256(body),
        keyPair: site,
        clock: hubClock,
        nonce: newNonce() + nonce[0],
      });
    const send = async (method: string, path: string, type: string, body: string, sent: string) => {
      const headers = { 'content-type': type, ...headersFor(method, path, body) };
      const response = await fetch(hub.url + path, { method, headers, body: sent });
      return Object(await response.json()).error?.code;
    };
    const json = 'application/json';
    assert.equal(
      await send('POST', '/api/v1/site/sum', json, '{"terms":[1]}', '{"terms":[2]}'),
      'input.digest-mismatch',
    );
    assert.equal(await send('POST', '/api/v1/site/sum', json, '{"terms":[1]}', '{"terms":[1]}'), undefined);
    const path = `/api/v1/site/uploads/${sha256('abc')}?offset=0`;
    assert.equal(await send('PATCH', path, 'application/octet-stream', 'abc', 'abd'), 'input.digest-mismatch');
    assert.equal(await send('PATCH', path, 'application/octet-stream', 'abc', 'abc'), undefined);
    const poll = await fetch(`${hub.url}/api/v1/site/poll?waitMs=1`, {
      headers: headersFor('GET', '/api/v1/site/poll?waitMs=1', 'a body that a GET does not have'),
    });
    assert.equal(Object(await poll.json()).error.code, 'input.digest-mismatch');
  });

  test('refuse the same request a second time', async () => {
    const headers = {
      'content-type': 'application/json',
      ...signRequest({
        ...{ method: 'POST', url: '/api/v1/site/sum', contentDigest: sha256('{"terms":[7]}') },
        ...{ keyPair: site, clock: hubClock, nonce: newNonce() },
      }),
    };
    const send = () => fetch(`${hub.url}/api/v1/site/sum`, { method: 'POST', headers, body: '{"terms":[7]}' });
    assert.deepEqual(await (await send()).json(), { sum: 7, by: 'site-ulm' });
    assert.equal(Object(await (await send()).json()).error.code, 'signature.replayed');
  });

  test('give the same error here as there, with its field', async () => {
    const wrong = client.transport({ method: 'POST', path: '/api/v1/site/sum', body: { terms: ['x'] } });
    await assert.rejects(wrong, { code: 'input.invalid', field: '/terms/0', message: /must be number/ });
    const path = `/api/v1/site/blobs/${sha256(WEIGHTS)}`;
    await assert.rejects(client.download(path, { start: 100_000 }), { code: 'input.range-invalid' });
    const stranger = clientOf(hub.url, { signer: { keyPair: generateKeyPair() } });
    const call = { schema: POLL.response };
    await assert.rejects(stranger.json('GET', '/api/v1/site/poll?waitMs=1', call), { code: 'site.unknown' });
    const former = clientOf(hub.url, { signer: { keyPair: revoked } });
    await assert.rejects(former.json('GET', '/api/v1/site/poll?waitMs=1', call), { code: 'site.revoked' });
    const unsigned = createHttpClient({ baseUrl: hub.url, clock: hubClock, token: 'x' });
    await assert.rejects(unsigned.json('GET', '/api/v1/site/poll?waitMs=1', call), { code: 'signature.missing' });
    for (const one of [stranger, former, unsigned]) one.close();
  });

  test('tell a site whose clock is off by how much', async () => {
    const lateClock = manualClock(new Date(Date.now() - 2 * 3600_000).toISOString());
    const late = clientOf(hub.url, { clock: lateClock });
    const call = late.json('GET', '/api/v1/site/poll?waitMs=1', { schema: POLL.response });
    await assert.rejects(call, {
      code: 'signature.stale',
      message: /clock is (719[5-9]|720[0-5]) s behind the other side's/,
    });
    late.close();
  });

  test('let a key enrol that only the request itself brings', async () => {
    const fresh = generateKeyPair();
    const enrol = (signer: typeof fresh, publicKeyPem: string) => {
      const one = clientOf(hub.url, { signer: { keyPair: signer } });
      const call = one.json('POST', '/api/v1/site/enrolment', { schema: ENROL.response, body: { publicKeyPem } });
      return call.finally(() => one.close());
    };
    const nonceCount = async () => (await db.pool.query('SELECT count(*)::int AS n FROM request_nonce')).rows[0].n;
    const before = await nonceCount();
    assert.deepEqual(await enrol(fresh, fresh.publicKeyPem), { ok: true });
    assert.equal(await nonceCount(), before, 'a key that anybody can make fills no table');
    await assert.rejects(enrol(site, fresh.publicKeyPem), { code: 'site.unknown' });
    const impostor = { ...fresh, privateKey: site.privateKey };
    await assert.rejects(enrol(impostor, fresh.publicKeyPem), { code: 'signature.rejected' });
    const body = JSON.stringify({ publicKeyPem: fresh.publicKeyPem });
    const signedFor = signRequest({
      ...{ method: 'POST', url: '/api/v1/site/enrolment', contentDigest: sha256(`${body} `) },
      ...{ keyPair: fresh, clock: hubClock, nonce: newNonce() },
    });
    const altered = await fetch(`${hub.url}/api/v1/site/enrolment`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...signedFor },
      body,
    });
    assert.equal(Object(await altered.json()).error.code, 'input.digest-mismatch');
  });

  test('keep their connection for the next request', async () => {
    let connections = 0;
    hub.server.app.server.on('connection', () => {
      connections += 1;
    });
    const one = clientOf(hub.url);
    for (let index = 0; index < 5; index += 1) {
      await one.json('POST', '/api/v1/site/sum', { schema: SUM.response, body: { terms: [index] } });
    }
    assert.equal(connections, 1);
    one.close();
  });

  test('stop at once when the caller wants to', async () => {
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    const { signal } = controller;
    const call = client.json('GET', '/api/v1/site/poll?waitMs=1', { schema: POLL.response, signal });
    await assert.rejects(call, { code: 'stopped' });
  });

  test('stop in the middle of a download, whoever stops it, and leave no connection behind', async () => {
    const endless = await startOddPeer((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n${'x'.repeat(100)}`);
    });
    const controller = new AbortController();
    const one = createHttpClient({ baseUrl: endless.url, clock: systemClock });
    const { body } = await one.download('/x', { signal: controller.signal });
    const reading = (async () => {
      for await (const _ of body) controller.abort();
    })();
    await assert.rejects(reading, { code: 'stopped' });

    const left = await one.download('/x');
    const closed = new Promise((resolve) => left.body.once('close', resolve));
    for await (const chunk of left.body) {
      assert.equal(chunk.length, 100);
      break;
    }
    await closed;
    one.close();
    await endless.close();
  });
});

describe('a client behind a hospital proxy', () => {
  test('reaches a TLS hub by CONNECT, and the signature still holds', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lantern-ca-'));
    const caFile = join(dir, 'ca.pem');
    await writeFile(caFile, TEST_CERTIFICATE);
    const hub = await startHub({ key: TEST_KEY, cert: TEST_CERTIFICATE });
    const proxy = await startConnectProxy();
    const body = { terms: [3, 4] };
    try {
      const direct = clientOf(hub.url, { caFile });
      assert.equal((await direct.json('POST', '/api/v1/site/sum', { schema: SUM.response, body })).sum, 7);
      direct.close();
      const proxied = clientOf(hub.url, { caFile, proxyUrl: `http://ward:se%63ret@127.0.0.1:${proxy.port}` });
      assert.equal((await proxied.json('POST', '/api/v1/site/sum', { schema: SUM.response, body })).sum, 7);
      proxied.close();
      const expected = `Basic ${Buffer.from('ward:secret').toString('base64')}`;
      assert.deepEqual(proxy.requests, [`CONNECT ${new URL(hub.url).host} ${expected}`]);
      const distrusting = clientOf(hub.url);
      const call = distrusting.json('POST', '/api/v1/site/sum', { schema: SUM.response, body });
      await assert.rejects(call, {
        code: 'peer.unreachable',
        message: /not trusted here.*caFile \(DEPTH_ZERO_SELF_SIGNED_CERT/,
      });
      distrusting.close();
      await writeFile(caFile, 'no certificate');
      assert.throws(() => clientOf(hub.url, { caFile }), { code: 'config.invalid', field: 'caFile' });
      assert.throws(() => clientOf(hub.url, { caFile: join(dir, 'gone.pem') }), { code: 'config.invalid' });
    } finally {
      await proxy.close();
      await hub.server.close();
      await rm(dir, { recursive: true });
    }
  });
});

async function startConnectProxy(): Promise<{ port: number; requests: string[]; close: () => Promise<void> }> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const proxy = createServer((_request, response) => response.writeHead(405).end());
  proxy.on('connect', (request, client: Socket) => {
    requests.push(`CONNECT ${request.url} ${request.headers['proxy-authorization']}`);
    const [host = '', port = ''] = (request.url ?? '').split(':');
    const upstream = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(client);
      client.pipe(upstream);
    });
    for (const socket of [upstream, client]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
  });
  const port = await listening(proxy);
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => proxy.close(() => resolve()));
  };
  return { port, requests, close };
}

function listening(server: Server | TcpServer): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

/** A peer that does what `answer` says with each connection once a whole head has arrived. */
async function startOddPeer(answer: (socket: Socket) => void): Promise<{ url: string; close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('\r\n\r\n')) answer(socket);
    });
  });
  const port = await listening(server);
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url: `http://127.0.0.1:${port}`, close };
}

describe('a failed request', () => {
  const schema = Type.Object({});
  const http = (status: string, type: string, body: string): string =>
    `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

  const cases: readonly [what: string, method: 'GET' | 'POST', code: string, answer: (socket: Socket) => void][] = [
    ['that is cut after it was sent may have had its effect', 'POST', 'peer.ambiguous', (socket) => socket.destroy()],
    ['that changes nothing may simply be sent again', 'GET', 'peer.unreachable', (socket) => socket.destroy()],
    ['without an answer in time may have had its effect', 'POST', 'peer.ambiguous', () => undefined],
    [
      "answered by a proxy's page is not an answer of the peer",
      'POST',
      'peer.unreachable',
      (socket) => socket.write(http('403 Forbidden', 'text/html', '<h1>Blocked</h1>')),
    ],
    [
      'answered with an unknown code is not an answer of the peer',
      'POST',
      'peer.unreachable',
      (socket) =>
        socket.write(
          http(
            '400 Bad',
            'application/json',
            '{"error":{"code":"odd.code","message":"m","hint":"h","correlationId":"c"}}',
          ),
        ),
    ],
    [
      'answered with an error of ours is that error',
      'POST',
      'policy.refused',
      (socket) =>
        socket.write(
          http(
            '403 Forbidden',
            'application/json',
            '{"error":{"code":"policy.refused","message":"m","hint":"h","correlationId":"c"}}',
          ),
        ),
    ],
    [
      'answered with something that is no JSON',
      'POST',
      'peer.unreachable',
      (socket) => socket.write(http('200 OK', 'text/html', '<h1>Log in</h1>')),
    ],
    [
      'answered with JSON of another shape',
      'POST',
      'input.invalid',
      (socket) => socket.write(http('200 OK', 'application/json', '[1]')),
    ],
    [
      'answered with too much',
      'POST',
      'input.too-large',
      (socket) => socket.write(http('200 OK', 'application/json', `"${'x'.repeat(5000)}"`)),
    ],
    [
      'whose answer breaks off in the middle',
      'GET',
      'peer.unreachable',
      (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"half":'),
    ],
    [
      'whose answer breaks off after it may have acted',
      'POST',
      'peer.ambiguous',
      (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"half":'),
    ],
    [
      'whose answer stalls in the middle is given up',
      'GET',
      'peer.unreachable',
      (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"half":'),
    ],
    [
      'answered with bytes that are no HTTP',
      'GET',
      'peer.unreachable',
      (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
    ],
  ];
  for (const [what, method, code, answer] of cases) {
    test(`${what}: ${code}`, async () => {
      const peer = await startOddPeer(answer);
      const client = createHttpClient({
        baseUrl: peer.url,
        clock: systemClock,
        timeouts: { idleMs: 300 },
        jsonBytesMax: 4000,
      });
      const call = client.json(method, '/x', { schema, ...(method === 'POST' ? { body: {} } : {}) });
      const caught = await call.then(
        () => undefined,
        (fault: unknown) => fault,
      );
      client.close();
      await peer.close();
      assert.ok(caught instanceof AppError, String(caught));
      assert.equal(caught.code, code, caught.message);
      assert.ok(!/Blocked|Log in|half/.test(caught.message), 'quotes nothing of the answer');
    });
  }

  test('to a port where nobody listens reached nobody', async () => {
    const peer = await startOddPeer(() => undefined);
    await peer.close();
    const client = createHttpClient({ baseUrl: peer.url, clock: systemClock });
    const refused = { code: 'peer.unreachable', message: /ECONNREFUSED/ };
    await assert.rejects(client.json('POST', '/x', { schema, body: {} }), refused);
    const body = Readable.from([Buffer.alloc(10)]);
    const upload = { body, sizeBytes: 10, digest: sha256(Buffer.alloc(10)), schema };
    await assert.rejects(client.upload('/x', upload), refused);
    assert.equal(body.destroyed, true);
    client.close();
  });

  test('to a host that does not exist reached nobody', async () => {
    const client = createHttpClient({ baseUrl: 'http://hub.invalid', clock: systemClock });
    await assert.rejects(client.json('POST', '/x', { schema, body: {} }), { code: 'peer.unreachable' });
    client.close();
  });

  test('whose upload source fails half-way was not completed', async () => {
    const peer = await startOddPeer(() => undefined);
    const client = createHttpClient({ baseUrl: peer.url, clock: systemClock });
    async function* failing(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(10);
      throw new RangeError('disk gone');
    }
    const upload = { body: Readable.from(failing()), sizeBytes: 20, digest: sha256('x'), schema };
    await assert.rejects(client.upload('/x', upload), { code: 'peer.unreachable' });
    client.close();
    await peer.close();
  });

  test('is not even tried with an address that is no origin', () => {
    for (const baseUrl of ['hub.example', 'ftp://hub.example', 'https://hub.example/lantern', '']) {
      assert.throws(() => createHttpClient({ baseUrl, clock: systemClock }), {
        code: 'config.invalid',
        field: 'baseUrl',
      });
    }
  });
});
