import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { errorOf, PATIENT, postJson, startServer, testRoutes } from '../../test/example-server.ts';
import type { HttpServer } from './server.ts';

describe('what the HTTP server refuses, and what it tells of it', () => {
  const logLines: string[] = [];
  let server: HttpServer;
  let url: string;

  before(async () => {
    ({ server, url } = await startServer(testRoutes({ enter: () => undefined, reasons: [] }), logLines));
  });
  after(() => server.close());

  const post = (path: string, body: unknown, headers?: Record<string, string>) => postJson(url + path, body, headers);

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

  test('a content type that is refused is answered with those that are taken', async () => {
    const bytes = { method: 'PATCH', headers: { 'content-type': 'text/plain' }, body: 'x' };
    assert.match(
      (await errorOf(await fetch(`${url}/api/v1/uploads`, bytes))).message,
      /takes application\/octet-stream\./,
    );
    for (const type of ['text/xml', 'nonsense', ';'])
      assert.match(
        (await errorOf(await post('/api/v1/echo/anna', 'x', { 'content-type': type }))).message,
        /takes application\/json\./,
        type,
      );
  });

  test('an unknown path is answered with where the known ones are listed', async () => {
    assert.match((await errorOf(await fetch(`${url}/api/v1/nowhere`))).message, /\/openapi\.json/);
  });

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
    assert.ok(logged.some((line) => line.includes('TypeError') && line.includes('example-server.ts')));
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

  test('a body above the limit is refused with the limit in the message', async () => {
    const { message } = await errorOf(await post('/api/v1/echo/anna', { text: 'a'.repeat(3000) }));
    assert.match(message, /larger than the \d+ bytes that this operation accepts/);
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
});
