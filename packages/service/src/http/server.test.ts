import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Agent, request as rawRequest } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { AppError, DigestSchema, endpoint } from '@lantern/contract';
import { metrics } from '@opentelemetry/api';
import { pino } from 'pino';
import { Type } from 'typebox';
import { systemClock } from '../clock.ts';
import { parseByteRange } from './byte-range.ts';
import { type Access, defineRoute, type Route } from './route.ts';
import { accessTable, assertRouteAuthorisation } from './route-authorisation-check.ts';
import { createHttpServer, type HttpServer } from './server.ts';

const PATIENT = 'Mrs-Eleonora-Quill';
const ADMIN = { kind: 'roles', roles: ['admin'] } as const satisfies Access;
const OPEN = { kind: 'public', why: 'a test' } as const satisfies Access;
const BLOB = Buffer.from('0123456789abcdefghij');

const ECHO = endpoint({
  method: 'POST',
  path: '/api/v1/echo/:name',
  summary: 'Echo',
  params: Type.Object({ name: Type.String({ pattern: '^[a-z]+$' }) }),
  query: Type.Object({
    times: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
    loud: Type.Optional(Type.Boolean()),
  }),
  body: Type.Object({ text: Type.String(), weight: Type.Optional(Type.Number()) }, { additionalProperties: false }),
  response: Type.Object(
    { text: Type.String(), times: Type.Integer(), loud: Type.Boolean() },
    { additionalProperties: false },
  ),
});
const WAIT = endpoint({
  method: 'GET',
  path: '/api/v1/wait',
  summary: 'Waits until it is told to stop',
  response: Type.Object({ reason: Type.String() }),
});
const FAIL = endpoint({ method: 'GET', path: '/api/v1/fail', summary: 'Fails', response: Type.Object({}) });
const LEAK = endpoint({
  method: 'GET',
  path: '/api/v1/leak',
  summary: 'Answers more than it may',
  response: Type.Object({ ok: Type.Boolean() }, { additionalProperties: false }),
});
const REFUSE = endpoint({ method: 'GET', path: '/api/v1/refuse', summary: 'Refuses', response: Type.Object({}) });
const READ = endpoint({
  method: 'GET',
  path: '/api/v1/blobs/:digest',
  summary: 'Bytes',
  params: Type.Object({ digest: DigestSchema }),
});
const WRITE = endpoint({
  method: 'PATCH',
  path: '/api/v1/uploads',
  summary: 'Takes bytes',
  response: Type.Object({ sizeBytes: Type.Integer(), chunks: Type.Integer(), digest: Type.String() }),
});
const REUSED = endpoint({ method: 'GET', path: '/reused', summary: 'Pieces in one and the same memory' });
const BROKEN = endpoint({
  method: 'GET',
  path: '/broken/:when',
  summary: 'A body that fails',
  params: Type.Object({ when: Type.Union([Type.Literal('at-once'), Type.Literal('later'), Type.Literal('short')]) }),
});
const SECRET = endpoint({
  method: 'GET',
  path: '/api/v1/secret',
  summary: 'For admins',
  response: Type.Object({ by: Type.String() }),
});
const REMOVE = endpoint({ method: 'DELETE', path: '/api/v1/secret', summary: 'For admins', response: Type.Object({}) });

type Waiter = { readonly entered: Promise<void>; readonly reasons: string[] };

function testRoutes(waiter: { enter: () => void; reasons: string[] }): readonly Route[] {
  return [
    defineRoute(ECHO)({
      access: OPEN,
      handler: async ({ params, query, body }) => ({
        text: `${params.name} ${body.text}`,
        times: query.times ?? 1,
        loud: query.loud ?? false,
      }),
    }),
    defineRoute(WAIT)({
      access: OPEN,
      handler: async ({ signal }) => {
        const stopped = new Promise<string>((resolve) => {
          signal.addEventListener('abort', () => resolve(String(signal.reason.message)));
        });
        waiter.enter();
        const reason = await stopped;
        waiter.reasons.push(reason);
        return { reason };
      },
    }),
    defineRoute(FAIL)({
      access: OPEN,
      handler: async () => {
        throw Object.assign(new TypeError(`no such patient: ${PATIENT}`), { detail: PATIENT });
      },
    }),
    defineRoute(LEAK)({ access: OPEN, handler: async () => Object.assign({ ok: true }, { patient: PATIENT }) }),
    defineRoute(REFUSE)({
      access: OPEN,
      handler: async () => {
        throw new AppError('policy.refused', 'The site does not allow this at night.', { field: '/hour' });
      },
    }),
    defineRoute(READ)({
      access: OPEN,
      handler: async ({ headers }) => {
        const range = parseByteRange(headers.range, BLOB.length);
        const { start, end } = range ?? { start: 0, end: BLOB.length };
        return {
          status: range === undefined ? 200 : 206,
          body: Readable.from([BLOB.subarray(start, end)]),
          sizeBytes: end - start,
          ...(range === undefined ? {} : { contentRange: range.contentRange }),
        };
      },
    }),
    defineRoute(WRITE)({
      access: OPEN,
      stream: true,
      bodyLimitBytes: 8 * 1024 * 1024,
      handler: async ({ bodyStream }) => {
        const hash = createHash('sha256');
        let sizeBytes = 0;
        let chunks = 0;
        for await (const chunk of bodyStream) {
          if (chunk[0] === 0x21) throw new AppError('policy.refused', 'No exclamation marks.');
          hash.update(chunk);
          sizeBytes += chunk.length;
          chunks += 1;
        }
        return { sizeBytes, chunks, digest: hash.digest('hex') };
      },
    }),
    defineRoute(REUSED)({
      access: OPEN,
      handler: async () => ({ status: 200, body: reusedPieces(), sizeBytes: REUSED_PIECES * REUSED_PIECE_BYTES }),
    }),
    defineRoute(BROKEN)({
      access: OPEN,
      handler: async ({ params }) => ({ status: 200, body: failingPieces(params.when), sizeBytes: 200_000 }),
    }),
    defineRoute(SECRET)({ access: ADMIN, handler: async ({ caller }) => ({ by: caller.name }) }),
    defineRoute(REMOVE)({ access: { kind: 'roles', roles: ['admin', 'viewer'] }, handler: async () => ({}) }),
  ];
}

const REUSED_PIECES = 40;
const REUSED_PIECE_BYTES = 300_000;

/** As a store reads a file: every piece is overwritten by the next. */
async function* reusedPieces(): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(REUSED_PIECE_BYTES);
  for (let number = 1; number <= REUSED_PIECES; number += 1) yield memory.fill(number);
}

async function* failingPieces(when: 'at-once' | 'later' | 'short'): AsyncGenerator<Uint8Array> {
  if (when === 'at-once') throw new AppError('storage.corrupt', 'The object is not what it was.');
  yield new Uint8Array(100_000);
  if (when === 'later') throw new TypeError(`no such patient: ${PATIENT}`);
}

const TOKENS: Readonly<Record<string, string>> = { admin: 'token-of-ada', viewer: 'token-of-vic' };

async function startServer(
  routes: readonly Route[],
  logLines: string[] = [],
): Promise<{ server: HttpServer; url: string }> {
  const server = await createHttpServer({
    routes,
    authenticators: {
      token: async (token) => {
        const role = Object.keys(TOKENS).find((name) => TOKENS[name] === token);
        return role === undefined
          ? undefined
          : { userId: 'user_aaaaaaaaaaaaaaaaaaaaaaaa' as never, name: role, roles: [role] };
      },
    },
    log: pino({ level: 'trace' }, { write: (line: string) => void logLines.push(line) }),
    metrics: { meter: metrics.getMeter('test'), text: async () => '# HELP tested yes\n' },
    clock: systemClock,
    title: 'Test',
    version: '1.2.3',
    bodyLimitBytes: 2000,
  });
  return { server, url: await server.listen({ host: '127.0.0.1', port: 0 }) };
}

describe('the HTTP server', () => {
  const logLines: string[] = [];
  const gate = Promise.withResolvers<void>();
  const waiter: Waiter & { enter: () => void } = { entered: gate.promise, enter: gate.resolve, reasons: [] };
  let server: HttpServer;
  let url: string;

  before(async () => {
    ({ server, url } = await startServer(testRoutes(waiter), logLines));
  });
  after(() => server.close());

  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  const errorOf = async (response: Response) => {
    const { error } = Object(await response.json());
    return { status: response.status, code: error.code, field: error.field, message: String(error.message) };
  };

  test('a route gets typed parameters, query and body, and its answer comes back as JSON', async () => {
    const response = await post('/api/v1/echo/anna?times=3&loud=true', { text: 'hello' });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { text: 'anna hello', times: 3, loud: true });
  });

  test('every answer carries the security headers and a correlation id', async () => {
    for (const path of ['/health', '/api/v1/nowhere', '/api/v1/fail', '/api/v1/%']) {
      const { headers } = await fetch(url + path, { headers: { 'x-correlation-id': 'abc-123-def' } });
      assert.equal(headers.get('x-correlation-id'), 'abc-123-def', path);
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(headers.get('cache-control'), 'no-store', path);
    }
  });

  test('a correlation id that could forge a log line is replaced', async () => {
    const { headers } = await fetch(`${url}/health`, { headers: { 'x-correlation-id': 'a b {"x":1}' } });
    assert.match(headers.get('x-correlation-id') ?? '', /^[0-9a-f-]{36}$/);
  });

  const refusals: readonly [string, () => Promise<Response>, number, string, string | undefined][] = [
    ['an unknown body field', () => post('/api/v1/echo/anna', { text: 'a', extra: 1 }), 400, 'input.invalid', '/extra'],
    [
      'a field of another type, not coerced',
      () => post('/api/v1/echo/anna', { text: 7 }),
      400,
      'input.invalid',
      '/text',
    ],
    [
      'a number as text, not coerced',
      () => post('/api/v1/echo/anna', { text: 'a', weight: '7' }),
      400,
      'input.invalid',
      '/weight',
    ],
    ['a body that is no JSON', () => post('/api/v1/echo/anna', '{"text":'), 400, 'input.invalid', undefined],
    [
      'prototype poisoning',
      () => post('/api/v1/echo/anna', '{"text":"a","__proto__":{"x":1}}'),
      400,
      'input.invalid',
      undefined,
    ],
    ['an empty JSON body', () => post('/api/v1/echo/anna', ''), 400, 'input.invalid', undefined],
    [
      'a path parameter against its pattern',
      () => post('/api/v1/echo/ANNA', { text: 'a' }),
      400,
      'input.invalid',
      '/name',
    ],
    [
      'a path parameter that is too long',
      () => post(`/api/v1/echo/${'a'.repeat(300)}`, { text: 'a' }),
      400,
      'input.invalid',
      undefined,
    ],
    [
      'a query number out of range',
      () => post('/api/v1/echo/anna?times=12', { text: 'a' }),
      400,
      'input.invalid',
      '/times',
    ],
    [
      'a query number that is no number',
      () => post('/api/v1/echo/anna?times=0x3', { text: 'a' }),
      400,
      'input.invalid',
      '/times',
    ],
    [
      'a query boolean that is no boolean',
      () => post('/api/v1/echo/anna?loud=1', { text: 'a' }),
      400,
      'input.invalid',
      '/loud',
    ],
    [
      'an unknown query parameter',
      () => post('/api/v1/echo/anna?tmies=3', { text: 'a' }),
      400,
      'input.invalid',
      '/tmies',
    ],
    [
      'a query parameter that occurs twice',
      () => post('/api/v1/echo/anna?times=3&times=4', { text: 'a' }),
      400,
      'input.invalid',
      '/times',
    ],
    [
      'a body above the limit',
      () => post('/api/v1/echo/anna', { text: 'a'.repeat(3000) }),
      413,
      'input.too-large',
      undefined,
    ],
    [
      'another content type',
      () => post('/api/v1/echo/anna', 'x', { 'content-type': 'text/xml' }),
      415,
      'input.unsupported',
      'content-type',
    ],
    [
      'bytes for a JSON route',
      () => post('/api/v1/echo/anna', 'x', { 'content-type': 'application/octet-stream' }),
      415,
      'input.unsupported',
      'content-type',
    ],
    ['an unknown path', () => fetch(`${url}/api/v1/nowhere`), 404, 'not-found', undefined],
    ['another method', () => fetch(`${url}/api/v1/echo/anna`), 405, 'input.method-not-allowed', undefined],
    ['a broken percent-encoding', () => fetch(`${url}/api/v1/%`), 400, 'input.invalid', undefined],
    ['a refusal of the handler', () => fetch(`${url}/api/v1/refuse`), 403, 'policy.refused', '/hour'],
    [
      'JSON for a stream route',
      () =>
        fetch(`${url}/api/v1/uploads`, {
          method: 'PATCH',
          headers: { 'content-type': 'application/json' },
          body: '{}',
        }),
      415,
      'input.unsupported',
      'content-type',
    ],
    ['no token', () => fetch(`${url}/api/v1/secret`), 401, 'auth.missing', undefined],
    [
      'an unknown token',
      () => fetch(`${url}/api/v1/secret`, { headers: { authorization: 'Bearer nobody' } }),
      401,
      'auth.rejected',
      undefined,
    ],
    [
      'another scheme',
      () => fetch(`${url}/api/v1/secret`, { headers: { authorization: 'Basic YTpi' } }),
      401,
      'auth.rejected',
      undefined,
    ],
    [
      'another role',
      () => fetch(`${url}/api/v1/secret`, { headers: { authorization: 'Bearer token-of-vic' } }),
      403,
      'auth.forbidden',
      undefined,
    ],
  ];
  for (const [what, send, status, code, field] of refusals) {
    test(`${what} is refused as ${status} ${code}`, async () => {
      const refused = await errorOf(await send());
      assert.deepEqual({ ...refused, message: undefined }, { status, code, field, message: undefined });
      assert.ok(!refused.message.includes('undefined') && refused.message.length > 10, refused.message);
    });
  }

  test('a 405 names the methods that the path takes', async () => {
    const response = await fetch(`${url}/api/v1/secret`, { method: 'PUT' });
    assert.equal(response.status, 405);
    assert.equal(response.headers.get('allow'), 'GET, DELETE');
  });

  test('an unforeseen fault tells the caller nothing and the log no message that is not ours', async () => {
    const response = await fetch(`${url}/api/v1/fail`, { headers: { 'x-correlation-id': 'unforeseen-fault' } });
    const text = await response.text();
    assert.equal(response.status, 500);
    assert.ok(!text.includes(PATIENT) && text.includes('unforeseen-fault'), text);
    const logged = logLines.filter((line) => line.includes('unforeseen-fault'));
    assert.ok(logged.some((line) => line.includes('TypeError') && line.includes('server.test.ts')));
    assert.ok(logLines.every((line) => !line.includes(PATIENT)));
  });

  test('an answer with a field that its schema does not name is not sent', async () => {
    const response = await fetch(`${url}/api/v1/leak`);
    assert.equal(response.status, 500);
    assert.ok(!(await response.text()).includes(PATIENT));
  });

  test('the request log names the route pattern, never path values, query or body', async () => {
    await post('/api/v1/echo/annaquill?times=7', { text: 'feverish' }, { 'x-correlation-id': 'look-at-the-log' });
    const line = logLines.find((text) => text.includes('look-at-the-log') && text.includes('/api/v1/echo/:name'));
    assert.ok(line !== undefined);
    assert.ok(logLines.every((text) => !/annaquill|times=7|feverish/.test(text)));
  });

  test('bytes come whole with their length, and by range', async () => {
    const digest = 'e'.repeat(64);
    const whole = await fetch(`${url}/api/v1/blobs/${digest}`);
    assert.equal(whole.headers.get('content-length'), '20');
    assert.equal(await whole.text(), '0123456789abcdefghij');
    const part = await fetch(`${url}/api/v1/blobs/${digest}`, { headers: { range: 'bytes=17-' } });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-range'), 'bytes 17-19/20');
    assert.equal(await part.text(), 'hij');
    const beyond = await fetch(`${url}/api/v1/blobs/${digest}`, { headers: { range: 'bytes=20-' } });
    assert.deepEqual((await errorOf(beyond)).code, 'input.range-invalid');
  });

  test('a piece of an answer is not asked for before the last one has left its memory', async () => {
    const response = await fetch(`${url}/reused`);
    let position = 0;
    for await (const chunk of response.body ?? []) {
      for (const byte of chunk) {
        const expected = 1 + Math.floor(position / REUSED_PIECE_BYTES);
        if (byte !== expected) assert.fail(`byte ${position} is ${byte}, not ${expected}`);
        position += 1;
      }
    }
    assert.equal(position, REUSED_PIECES * REUSED_PIECE_BYTES);
  });

  test('a byte answer that fails at once is an ordinary error; one that fails later, or is too short, never looks whole', async () => {
    const atOnce = await fetch(`${url}/broken/at-once`);
    assert.equal(atOnce.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.match(await atOnce.text(), /storage.corrupt/);
    for (const when of ['later', 'short']) {
      const response = await fetch(`${url}/broken/${when}`);
      assert.equal(response.status, 200);
      await assert.rejects(response.arrayBuffer());
    }
    assert.equal(logLines.filter((line) => line.includes('an answer broke off')).length, 2);
    assert.ok(!logLines.join().includes(PATIENT));
  });

  test('a streamed body reaches the handler in pieces, unbuffered and unchanged', async () => {
    const bytes = Buffer.alloc(3_000_000, 'lantern light ');
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await fetch(`${url}/api/v1/uploads`, { method: 'PATCH', headers, body: bytes });
    const answer = Object(await response.json());
    assert.equal(answer.sizeBytes, 3_000_000);
    assert.equal(answer.digest, createHash('sha256').update(bytes).digest('hex'));
    assert.ok(answer.chunks > 5, `${answer.chunks} chunks`);
  });

  test('a body above the limit is refused with the limit in the message', async () => {
    const { message } = await errorOf(await post('/api/v1/echo/anna', { text: 'a'.repeat(3000) }));
    assert.match(message, /larger than the \d+ bytes that this operation accepts/);
  });

  test('a stream above its limit is refused, whether it says its length or not', async () => {
    const headers = { 'content-type': 'application/octet-stream' };
    const known = await fetch(`${url}/api/v1/uploads`, {
      method: 'PATCH',
      headers,
      body: Buffer.alloc(8_400_000, 'a'),
    });
    assert.equal((await errorOf(known)).code, 'input.too-large');
    const chunked = await new Promise<number>((resolve, reject) => {
      const request = rawRequest(`${url}/api/v1/uploads`, { method: 'PATCH', headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.on('error', reject);
      request.end(Buffer.alloc(8_400_000, 'b'));
    });
    assert.equal(chunked, 413);
  });

  test('a handler that refuses in the middle of a stream can still say why', async () => {
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await fetch(`${url}/api/v1/uploads`, {
      method: 'PATCH',
      headers,
      body: Buffer.alloc(2_000_000, '!'),
    });
    assert.equal((await errorOf(response)).message, 'No exclamation marks.');
  });

  test('after a body that was refused half-way the connection still serves the next request', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const send = (method: string, path: string, body?: Buffer) =>
      new Promise<{ status: number; reused: boolean }>((resolve, reject) => {
        const headers = body === undefined ? {} : { 'content-type': 'application/octet-stream' };
        const request = rawRequest(url + path, { method, agent, headers }, (response) => {
          response.resume();
          response.on('end', () => resolve({ status: response.statusCode ?? 0, reused: request.reusedSocket }));
        });
        request.on('error', reject);
        request.end(body);
      });
    assert.equal((await send('PATCH', '/api/v1/uploads', Buffer.alloc(2_000_000, '!'))).status, 403);
    assert.deepEqual(await send('GET', '/health'), { status: 200, reused: true });
    agent.destroy();
  });

  test('a request whose headers are too large gets an answer in our form', async () => {
    const { hostname, port } = new URL(url);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(`GET /health HTTP/1.1\r\nhost: x\r\nx-padding: ${'p'.repeat(20_000)}\r\n\r\n`);
      });
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString();
      });
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
    });
    assert.match(answer, /^HTTP\/1\.1 431 /);
    assert.match(answer, /"code":"input\.too-large"/);
  });

  test('a client that goes away aborts the signal of its request', async () => {
    const controller = new AbortController();
    const asked = fetch(`${url}/api/v1/wait`, { signal: controller.signal });
    await waiter.entered;
    controller.abort();
    await assert.rejects(asked);
    while (waiter.reasons.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(waiter.reasons, ['The client went away.']);
  });

  test('the OpenAPI document names every route with its security', async () => {
    const document = Object(await (await fetch(`${url}/openapi.json`)).json());
    assert.equal(document.openapi, '3.1.0');
    assert.deepEqual(document.info, { title: 'Test', version: '1.2.3' });
    const operations = server.routes.map(({ endpoint: { method, path } }) => {
      const operation = document.paths[path.replace(/:(\w+)/g, '{$1}')][method.toLowerCase()];
      return [`${method} ${path}`, operation.security.map((entry: object) => Object.keys(entry)[0])];
    });
    assert.deepEqual(Object.fromEntries(operations)['GET /api/v1/secret'], ['token']);
    assert.deepEqual(Object.fromEntries(operations)['POST /api/v1/echo/:name'], []);
    assert.equal(operations.length, 15);
  });

  test('readiness and liveness are public, metrics are not', async () => {
    assert.deepEqual(await (await fetch(`${url}/health`)).json(), { status: 'live' });
    assert.deepEqual(await (await fetch(`${url}/ready`)).json(), { status: 'ready', checks: [] });
    assert.equal((await fetch(`${url}/metrics`)).status, 401);
    const allowed = await fetch(`${url}/metrics`, { headers: { authorization: 'Bearer token-of-ada' } });
    assert.equal(await allowed.text(), '# HELP tested yes\n');
  });

  test('every route answers every credential as it declares, and a wrong declaration is found', async () => {
    const routes = server.routes.filter(({ endpoint: { path } }) => path !== '/api/v1/wait');
    assert.equal(await assertRouteAuthorisation({ server: { routes }, url, tokensByRole: TOKENS }), 14 * 4);
    const lying = routes.map((route) =>
      route.endpoint.path === '/api/v1/secret'
        ? { ...route, access: { kind: 'roles', roles: ['viewer'] } as const }
        : route,
    );
    await assert.rejects(
      assertRouteAuthorisation({ server: { routes: lying }, url, tokensByRole: TOKENS }),
      /GET \/api\/v1\/secret as role admin: expected auth\.forbidden, got reached[\s\S]*as role viewer: expected reached, got auth\.forbidden/,
    );
    assert.equal(accessTable(routes)['DELETE /api/v1/secret'], 'Roles: admin, viewer');
  });
});

describe('closing the HTTP server', () => {
  test('a long poll is told to end and answers, then the port is free and a second close is the same', async () => {
    const gate = Promise.withResolvers<void>();
    const reasons: string[] = [];
    const { server, url } = await startServer(testRoutes({ enter: gate.resolve, reasons }));
    const polled = fetch(`${url}/api/v1/wait`);
    await gate.promise;
    const closing = server.close();
    const response = await polled;
    assert.equal(response.headers.get('connection'), 'close');
    assert.deepEqual(await response.json(), { reason: 'The server is shutting down.' });
    await closing;
    await server.close();
    await assert.rejects(fetch(`${url}/health`));
  });

  test('listening on a port that is taken says so', async () => {
    const { server, url } = await startServer([]);
    const second = await createHttpServer({
      routes: [],
      authenticators: { token: async () => undefined },
      log: pino({ level: 'silent' }),
      metrics: { meter: metrics.getMeter('test'), text: async () => '' },
      clock: systemClock,
      title: 'Second',
      version: '1',
    });
    const port = Number(new URL(url).port);
    await assert.rejects(second.listen({ host: '127.0.0.1', port }), { code: 'set-up.failed' });
    await Promise.all([second.close(), server.close()]);
  });
});
